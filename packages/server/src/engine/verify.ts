import { isTextKey, isUuidKey, SyncError } from '@oversync/protocol';
import type { JsonOutput, VerifyRequest, VerifyRowsRequest } from '@oversync/protocol';

import {
  RETRY_AFTER_MS,
  VERIFY_EXCLUDED_KEYS_MAX,
  VERIFY_PAGE_BYTES,
  VERIFY_PARTS_MAX,
  VERIFY_RANGES_MAX,
  VERIFY_ROWS_MAX,
} from '../limits.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { bytesOfHex, formatHex } from '../rules/hex.ts';
import type { ColumnDescription, TableDescription } from '../rules/table-description.ts';
import { loadActorFacts } from '../store/actor-facts.ts';
import type { ScopeFacts } from '../store/actor-facts.ts';
import { loadRangeHashes, loadRangeRows } from '../store/verify.ts';
import type { HashedPart, HexRange } from '../store/verify.ts';
import { checkActor, checkScopeInitialized } from './actor-check.ts';
import { createBufferedBody, encodeText } from './byte-body.ts';
import type { ByteBody } from './byte-body.ts';
import type { Actor, SyncContext } from './context.ts';
import { withReadTransaction } from './transaction.ts';

/** SHA-256 of nothing: the hash of a range without rows. */
const EMPTY_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Above every key: a uuid has 16 bytes, and no UTF-8 text has a byte 0xff. */
const LAST_KEY_HEX = 'ff'.repeat(17);

type PartBody = { readonly through: string | undefined; readonly row_count: bigint; readonly hash: string };

/**
 * Hashes ranges of one table as of one sequence, in one consistent view. Devices compare them with their own and ask again, for smaller
 * ranges, where they differ.
 *
 * @throws SyncError `verify_invalid`, `verify_out_of_date` when the scope has moved on, `checkpoint_ahead`, `scope_uninitialized`,
 * `scope_initializing`, `snapshot_build_capacity`
 */
export async function verifyRanges(ctx: SyncContext, actor: Actor, request: VerifyRequest): Promise<JsonOutput> {
  const table = findTable(ctx, request);
  const columns = findColumns(table, request.columns);
  const parts = checkCount('parts', request.parts, VERIFY_PARTS_MAX);
  checkCount('ranges', BigInt(request.ranges.length), VERIFY_RANGES_MAX);
  checkCount('excluded_keys', BigInt(request.excluded_keys.length), VERIFY_EXCLUDED_KEYS_MAX);
  const ranges = request.ranges.map((range) => hexRange(table, range));
  const excludedKeys = request.excluded_keys.map((key) => hexKey(table, key));
  const found = await withPermit(ctx, () =>
    withReadTransaction(
      ctx,
      'verify',
      async (tx) => {
        const scope = await checkSequence(ctx, tx, actor, request.bundle_seq);
        const verified = { scopePk: scope.scopePk, scopeId: actor.scopeId, table };
        return loadRangeHashes(tx, ctx.names, { ...verified, columns, ranges, excludedKeys, parts });
      },
      { isBulk: true },
    ),
  );
  if (found.some((part) => part.isInconsistent)) throw inconsistent(ctx);
  const bodies = request.ranges.map((range, ordinal) => {
    const own = found.filter((part) => part.rangeOrdinal === ordinal);
    return { parts: partBodies(table, own, range.through) };
  });
  return { bundle_seq: request.bundle_seq, ranges: bodies };
}

/** The parts cover the range without a gap: the last one ends where the range does. */
function partBodies(table: TableDescription, parts: readonly HashedPart[], through: string | undefined): PartBody[] {
  if (parts.length === 0) return [{ through, row_count: 0n, hash: EMPTY_HASH }];
  return parts.map((part, index) => ({
    through: index === parts.length - 1 ? through : keyText(table, part.lastKey),
    row_count: part.rowCount,
    hash: part.hash,
  }));
}

/**
 * One page of the rows of a range as of one sequence, in the order of their keys and in the form of snapshot rows.
 *
 * @throws SyncError as {@link verifyRanges}
 */
export async function readRangeRows(ctx: SyncContext, actor: Actor, request: VerifyRowsRequest): Promise<ByteBody> {
  const table = findTable(ctx, request);
  const range = hexRange(table, request);
  const wanted = request.max_rows ?? BigInt(VERIFY_ROWS_MAX);
  const rowsMax = wanted > BigInt(VERIFY_ROWS_MAX) ? VERIFY_ROWS_MAX : Number(wanted);
  const reservation = await ctx.buffers.reserve(VERIFY_PAGE_BYTES, VERIFY_PAGE_BYTES, ctx.options.lockTimeoutMs, ctx.signal);
  try {
    const page = await withReadTransaction(ctx, 'verify_rows', async (tx) => {
      const scope = await checkSequence(ctx, tx, actor, request.bundle_seq);
      const verified = { scopePk: scope.scopePk, scopeId: actor.scopeId, table };
      return loadRangeRows(tx, ctx.names, { ...verified, range, rowsMax, bytesMax: VERIFY_PAGE_BYTES });
    });
    if (page.rowTexts.includes(null)) throw inconsistent(ctx);
    const opening = `{"bundle_seq":${request.bundle_seq.toString()},"rows":[`;
    const text = `${opening}${page.rowTexts.join(',')}],"has_more":${String(page.hasMore)}}`;
    return createBufferedBody([encodeText(text)], () => reservation.release());
  } catch (error) {
    reservation.release();
    throw error;
  }
}

async function checkSequence(ctx: SyncContext, tx: PgTransaction, actor: Actor, bundleSeq: bigint): Promise<ScopeFacts> {
  const facts = await loadActorFacts(tx, ctx.names, actor);
  checkActor(ctx, actor, facts);
  const scope = checkScopeInitialized(facts.scope);
  if (bundleSeq > scope.head) throw new SyncError('checkpoint_ahead');
  if (bundleSeq < scope.head) throw new SyncError('verify_out_of_date');
  return scope;
}

/** Hashing a whole table costs as much as building a snapshot, so both share their permits. */
async function withPermit<T>(ctx: SyncContext, work: () => Promise<T>): Promise<T> {
  const release = await ctx.permits.snapshotBuild.acquire(ctx.options.snapshotQueueWaitMs);
  if (release === null) {
    ctx.lifecycle.checkAccepting();
    const limit = { name: 'maxConcurrentSnapshotBuilds', limit: ctx.options.maxConcurrentSnapshotBuilds };
    throw new SyncError('snapshot_build_capacity', { retryAfterMs: RETRY_AFTER_MS, details: { limit_exceeded: limit } });
  }
  try {
    return await work();
  } finally {
    release();
  }
}

function findTable(ctx: SyncContext, request: { readonly schema: string; readonly table: string }): TableDescription {
  const table = ctx.catalog().tables.get(`${request.schema}.${request.table}`);
  if (table === undefined) throw new SyncError('verify_invalid', { message: 'the table is not registered' });
  return table;
}

/** In the order of the published columns, which is that of their names. */
function findColumns(table: TableDescription, names: readonly string[]): readonly ColumnDescription[] {
  const wanted = new Set(names);
  const columns = table.columns.filter((column) => wanted.has(column.name));
  if (columns.length === wanted.size && wanted.has(table.keyColumn)) return columns;
  throw new SyncError('verify_invalid', { message: 'the columns are not those of the table' });
}

function checkCount(name: string, actual: bigint, limit: number): number {
  if (actual <= BigInt(limit)) return Number(actual);
  throw new SyncError('verify_invalid', { details: { limit_exceeded: { name, limit, actual: Number(actual) } } });
}

function hexRange(
  table: TableDescription,
  range: { readonly after?: string | undefined; readonly through?: string | undefined },
): HexRange {
  return {
    after: range.after === undefined ? '' : hexKey(table, range.after),
    through: range.through === undefined ? LAST_KEY_HEX : hexKey(table, range.through),
  };
}

/** Metadata key bytes of a wire key, in hexadecimal. */
function hexKey(table: TableDescription, key: string): string {
  const isValid = table.keyKind === 'uuid' ? isUuidKey(key) : isTextKey(key);
  if (!isValid) throw new SyncError('verify_invalid', { message: 'a key is malformed' });
  return table.keyKind === 'uuid' ? key.replaceAll('-', '') : formatHex(encodeText(key));
}

function keyText(table: TableDescription, hex: string): string {
  if (table.keyKind === 'text') return new TextDecoder().decode(bytesOfHex(hex));
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

function inconsistent(ctx: SyncContext): SyncError {
  ctx.emit({ name: 'integrityMismatch' });
  return new SyncError('verify_failed', { message: 'the sync metadata and the tables of the scope disagree' });
}
