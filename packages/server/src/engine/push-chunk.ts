import { isUuidToken, SyncError } from '@oversync/protocol';

import { INT32_MAX, RETRY_AFTER_MS } from '../limits.ts';
import { PgFault } from '../ports/postgres.ts';
import type { PgStatement, PgTransaction } from '../ports/postgres.ts';
import { selectRowColumns } from '../rules/push-apply-sql.ts';
import type { ApplyGroup } from '../rules/push-apply-sql.ts';
import type { PushRow } from '../rules/push-row.ts';
import type { Catalog } from '../rules/table-description.ts';
import { createLimitError, createViolationError } from '../rules/violation.ts';
import { decideViolationKind } from '../rules/violation-map.ts';
import { formatRowsJson } from '../store/push-row.ts';
import type { PushSession } from '../store/push-session.ts';
import { checkConversion, copyRows, hashStagedRange, insertRows } from '../store/push-row.sql.ts';
import { advanceSession, renewLease, renewSession } from '../store/push-session.sql.ts';
import { formatStatement, runLastStatements, runStatements } from '../store/run-statements.ts';
import { getCatalogInUse, hasCatalogChanged } from './catalog-change.ts';
import type { Actor, SyncContext } from './context.ts';
import { createFastSha256 } from './platform-hash.ts';
import { checkSeedLease, openPush } from './push-access.ts';
import type { OpenPush } from './push-access.ts';
import { checkRowColumns } from './push-apply.ts';
import { getRunningHashes } from './push-hash.ts';
import { getLayoutTag } from './push-layout.ts';
import { locateConversionFailure } from './push-locate.ts';
import { getPushMemory } from './push-memory.ts';
import { rebuildStagedRows } from './push-rebuild.ts';
import { stageSmallChunk } from './push-small.ts';
import {
  describeChunk,
  findFlatInput,
  hasFewRows,
  readStagedRows,
  readStaging,
  releaseStaging,
  StagingCopy,
} from './push-staging.ts';
import type { FlatInput, PushChunkInput, Staging } from './push-staging.ts';
import { withWriteTransaction } from './transaction.ts';
import type { FirstTry } from './transaction.ts';

export interface PushChunkReply {
  readonly push_id: string;
  readonly next_expected_row_ordinal: number;
}

/**
 * Stages one chunk of a push (protocol.md 8.3): everything that can be judged in memory first, then one transaction that converts
 * every value to the type of its column. No row of a refused chunk is staged.
 */
export async function stagePushChunk(ctx: SyncContext, actor: Actor, input: PushChunkInput): Promise<PushChunkReply> {
  if (!isUuidToken(input.pushId)) throw new SyncError('push_session_not_found');
  for (let changes = 0; ; changes += 1) {
    const catalog = getCatalogInUse(ctx);
    try {
      return await stageOnce(ctx, actor, input);
    } catch (error) {
      // A table that changed a moment ago explains a value that does not fit, so look before the client is blamed.
      const isSettled = !mayBeStale(error) || changes >= ctx.options.retry.attempts;
      if (isSettled || !(await hasCatalogChanged(ctx, catalog))) throw isAwaited(ctx, error) ? describeAwaited(error) : error;
    }
  }
}

/** Violations found in memory that a column added, widened or made nullable a moment ago would explain. */
const CATALOG_KINDS: ReadonlySet<unknown> = new Set([
  'unknown_column',
  'out_of_range',
  'not_null',
  'number_format',
  'invalid_text',
]);

function mayBeStale(error: unknown): boolean {
  if (!(error instanceof SyncError) || error.code !== 'push_chunk_invalid') return false;
  return error.cause instanceof PgFault || CATALOG_KINDS.has(getViolation(error).get('kind'));
}

function getViolation(error: unknown): ReadonlyMap<string, unknown> {
  const violation: unknown = error instanceof SyncError ? error.details['violation'] : undefined;
  return new Map(typeof violation === 'object' && violation !== null ? Object.entries(violation) : []);
}

/** A column that is there, and that this server will know as soon as another one has recorded it: not the client's fault. */
function isAwaited(ctx: SyncContext, error: unknown): boolean {
  const violation = getViolation(error);
  if (violation.get('kind') !== 'unknown_column') return false;
  const table = ctx.catalog().tables.get(`${String(violation.get('schema'))}.${String(violation.get('table'))}`);
  return table?.unrecordedColumns?.some((name) => name === violation.get('column')) === true;
}

function describeAwaited(cause: unknown): SyncError {
  const message = 'a column of the table is not recorded yet';
  return new SyncError('service_unavailable', { message, retryAfterMs: RETRY_AFTER_MS, cause });
}

async function stageOnce(ctx: SyncContext, actor: Actor, input: PushChunkInput): Promise<PushChunkReply> {
  const flat = findFlatInput(ctx, input);
  let small = flat === undefined && hasFewRows(ctx, input) ? readStaging(ctx, actor, input) : undefined;
  const stage = async (tx: PgTransaction): Promise<ChunkOutcome> => {
    if (small !== undefined && small.catalog !== ctx.catalog()) small = readStaging(ctx, actor, input);
    return applyChunk(ctx, tx, actor, input, { small, flat });
  };
  const tryFirst = (attempt: FirstTry): Promise<ChunkOutcome | undefined> => stageSmall(ctx, actor, input.pushId, small, attempt);
  const outcome = await withWriteTransaction(ctx, 'push_chunk', stage, { tryFirst });
  const { staging } = outcome;
  const { startRowOrdinal, rowCount } = staging;
  if (outcome.isReplayed) ctx.emit({ name: 'chunkReplayed' });
  else rememberChunk(ctx, input.pushId, staging, outcome.sourceBundleId);
  releaseStaging(staging);
  return { push_id: input.pushId, next_expected_row_ordinal: startRowOrdinal + rowCount };
}

interface ChunkOutcome {
  readonly isReplayed: boolean;
  readonly staging: Staging;
  readonly sourceBundleId: bigint;
}

function rememberChunk(ctx: SyncContext, pushId: string, staging: Staging, sourceBundleId: bigint): void {
  const { startRowOrdinal, rows, rowCount } = staging;
  getRunningHashes(ctx).addChunk(pushId, startRowOrdinal, staging.canonical, rowCount);
  const memory = getPushMemory(ctx);
  memory.forgetPush(pushId);
  if (startRowOrdinal !== 0 || rows === undefined || hasRepeatedKey(rows)) return;
  memory.notePush(pushId, {
    catalog: staging.catalog,
    groups: groupRows(rows),
    rowCount,
    stagedBytes: staging.canonical.byteLength,
    sourceBundleId,
  });
}

/** The first chunk of a push, with few rows. */
async function stageSmall(
  ctx: SyncContext,
  actor: Actor,
  pushId: string,
  staging: Staging | undefined,
  attempt: FirstTry,
): Promise<ChunkOutcome | undefined> {
  if (staging === undefined) return undefined;
  const { startRowOrdinal, rows, rowCount } = staging;
  if (startRowOrdinal !== 0 || rows === undefined) return undefined;
  const stagedBytes = BigInt(staging.canonical.byteLength);
  if (findSizeFault(ctx, stagedBytes, rowCount) !== undefined) return undefined;
  const chunk = {
    pushId,
    rowCount,
    stagedBytes,
    rowLayout: getLayoutTag(staging.catalog),
    ttlMs: ctx.options.pushSessionTtlMs,
    rowsJson: formatRowsJson(rows),
  };
  const checks = (scopePk: string): readonly PgStatement[] =>
    staging.conversions.map((group) => checkConversion(ctx.names, { scopePk, pushId }, { first: 0, last: INT32_MAX }, group));
  const sourceBundleId = await stageSmallChunk(ctx, actor, chunk, attempt, checks);
  return sourceBundleId === undefined ? undefined : { isReplayed: false, staging, sourceBundleId };
}

/** What is known of a chunk before its push is. */
interface ChunkForms {
  /** The chunk where it is small; any other is read when the push turns out to wait for it. */
  readonly small: Staging | undefined;
  /** The chunk where it can be read in place. */
  readonly flat: FlatInput | undefined;
}

async function applyChunk(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  input: PushChunkInput,
  { small, flat }: ChunkForms,
): Promise<ChunkOutcome> {
  const readAll = (): Staging => small ?? readStaging(ctx, actor, input);
  const { open, isNext, renewal } = await openForChunk(ctx, tx, actor, input.pushId, {
    readAll,
    isNext: (session) => isNextChunk(ctx, input, flat, session),
  });
  const { sourceBundleId } = open.session;
  if (!isNext) {
    const staging = readAll();
    await checkReplay(ctx, tx, open, staging);
    await runLastStatements(tx, [...renewal, renewSession(ctx.names, open, ctx.options.pushSessionTtlMs)]);
    return { isReplayed: true, staging, sourceBundleId };
  }
  const catalog = small?.catalog ?? ctx.catalog();
  const rowLayout = getLayoutTag(catalog);
  if (open.session.rowLayout !== null && open.session.rowLayout !== rowLayout) {
    readAll();
    await rebuildStagedRows(ctx, tx, actor, open, catalog);
  }
  const staging = await writeRows(ctx, tx, actor, { open, input, small, flat, catalog });
  checkPlannedRows(staging, open.session);
  const progress = {
    nextRowOrdinal: staging.startRowOrdinal + staging.rowCount,
    stagedBytes: checkSize(ctx, open, staging),
    rowLayout,
    ttlMs: ctx.options.pushSessionTtlMs,
  };
  const last = [...renewal, advanceSession(ctx.names, open, progress)];
  await finishRows(ctx, tx, actor, { open, input, staging }, last);
  return { isReplayed: false, staging, sourceBundleId };
}

interface PushForChunk {
  readonly open: OpenPush;
  /** The chunk starts where the push ends so far. */
  readonly isNext: boolean;
  readonly renewal: readonly PgStatement[];
}

/** Everything that can be judged before the rows are read; what is wrong with them is told first nevertheless. */
async function openForChunk(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  pushId: string,
  chunk: { readonly readAll: () => Staging; readonly isNext: (session: PushSession) => boolean },
): Promise<PushForChunk> {
  try {
    const open = await openPush(ctx, tx, actor, pushId, 'session');
    getPushMemory(ctx).noteScope(actor.scopeId, open.scopePk);
    const renewal = checkSeedLease(open) ? [renewLease(ctx.names, open.scopePk, ctx.options.initializationLeaseTtlMs)] : [];
    return { open, isNext: chunk.isNext(open.session), renewal };
  } catch (error) {
    if (error instanceof SyncError) chunk.readAll();
    throw error;
  }
}

/** How many rows a chunk has that is read in place is known when they are copied. */
function isNextChunk(ctx: SyncContext, input: PushChunkInput, flat: FlatInput | undefined, session: PushSession): boolean {
  if (flat !== undefined) return flat.startRowOrdinal === session.nextRowOrdinal;
  const chunk = describeChunk(ctx, input);
  const isNext = chunk.startRowOrdinal === session.nextRowOrdinal;
  if (isNext) checkPlannedRows(chunk, session);
  return isNext;
}

function checkPlannedRows(
  { startRowOrdinal, rowCount }: Pick<Staging, 'startRowOrdinal' | 'rowCount'>,
  session: PushSession,
): void {
  if (startRowOrdinal + rowCount > session.plannedRowCount)
    throw new SyncError('push_chunk_invalid', { message: 'the push has more rows than planned' });
}

/** A lost reply makes a client send a chunk again: equal rows are taken as already staged. */
async function checkReplay(ctx: SyncContext, tx: PgTransaction, open: OpenPush, staging: Staging): Promise<void> {
  const { startRowOrdinal, rowCount } = staging;
  const outOfOrder = new SyncError('push_chunk_out_of_order');
  if (startRowOrdinal + rowCount > open.session.nextRowOrdinal) throw outOfOrder;
  const range = { first: startRowOrdinal, last: startRowOrdinal + rowCount - 1 };
  const [staged] = await tx.script(hashStagedRange(ctx.names, open, range));
  const [count, digest] = staged?.rows[0] ?? [];
  const hash = createFastSha256();
  for (const piece of staging.canonical.pieces) hash.update(piece);
  if (count !== String(rowCount) || digest !== hash.digestHex()) throw outOfOrder;
}

/** Returns the canonical bytes of all staged rows with this chunk. */
function checkSize(ctx: SyncContext, open: OpenPush, staging: Staging): bigint {
  const { session } = open;
  const rowCount = session.nextRowOrdinal + staging.rowCount;
  const stagedBytes = session.stagedBytes + BigInt(staging.canonical.byteLength) + (session.nextRowOrdinal === 0 ? 0n : 1n);
  const fault = findSizeFault(ctx, stagedBytes, rowCount);
  if (fault !== undefined) throw fault;
  return stagedBytes;
}

/** Rows that no bundle could hold are refused when they arrive. */
function findSizeFault(ctx: SyncContext, stagedBytes: bigint, rowCount: number): SyncError | undefined {
  const limit = ctx.options.maxBytesPerBundle;
  const leastBundleBytes = stagedBytes - BigInt(rowCount * REQUEST_ROW_SURPLUS_BYTES);
  if (limit === null || leastBundleBytes <= BigInt(limit)) return undefined;
  const facts = { name: 'maxBytesPerBundle', limit, actual: leastBundleBytes };
  return createLimitError('push_chunk_invalid', facts, 'the push is larger than a bundle may be');
}

/** Bytes by which a canonical request row can exceed the row of the bundle: the longer member name, and the digits of the base. */
const REQUEST_ROW_SURPLUS_BYTES = 24;

interface UnreadChunk extends ChunkForms {
  readonly open: OpenPush;
  readonly input: PushChunkInput;
  readonly catalog: Catalog;
}

/** Sends the rows of any chunk but a small one, whose rows travel with the statements that follow. */
async function writeRows(ctx: SyncContext, tx: PgTransaction, actor: Actor, chunk: UnreadChunk): Promise<Staging> {
  const { open, input, small, flat, catalog } = chunk;
  if (small?.rows !== undefined) return small;
  const copy = new StagingCopy(ctx, actor, input, { scopePk: open.scopePk, catalog, flat });
  await tx.copyFrom(copyRows(ctx.names), copy.input());
  return copy.finish();
}

interface OpenChunk {
  readonly open: OpenPush;
  readonly input: PushChunkInput;
  readonly staging: Staging;
}

/** Writes the rows of a small chunk, converts every value once, and then runs the statements that record the progress. */
async function finishRows(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  { open, input, staging }: OpenChunk,
  progress: readonly PgStatement[],
): Promise<void> {
  const checkUpTo = (last: number): readonly PgStatement[] =>
    staging.conversions.map((group) => checkConversion(ctx.names, open, { first: staging.startRowOrdinal, last }, group));
  const write = staging.rows === undefined ? [] : [insertRows(ctx.names, open, formatRowsJson(staging.rows))];
  const checks = checkUpTo(INT32_MAX);
  try {
    await runLastStatements(tx, [...write, 'SAVEPOINT converted', ...checks, 'RELEASE SAVEPOINT converted', ...progress]);
  } catch (error) {
    if (!(error instanceof PgFault) || decideViolationKind(error) === null) throw error;
    await tx.script('ROLLBACK TO SAVEPOINT converted');
    const formatCheck = (last: number): string => checkUpTo(last).map(formatStatement).join(';');
    const rows = staging.rows ?? readStagedRows(ctx, actor, input);
    throw await describeConversionFailure(tx, actor, rows, error, formatCheck);
  }
}

/** The rows grouped as the whole push would be by `selectApplyGroups`. */
function groupRows(rows: readonly PushRow[]): readonly ApplyGroup[] {
  const groups = new Map<string, { readonly group: Omit<ApplyGroup, 'rowCount'>; rowCount: number }>();
  for (const { table, op, columnSet, rowOrdinal } of rows) {
    const name = `${table.tableId} ${op} ${columnSet}`;
    const known = groups.get(name);
    if (known === undefined) {
      groups.set(name, { group: { tableId: table.tableId, op, columnSet, firstRowOrdinal: rowOrdinal }, rowCount: 1 });
    } else known.rowCount += 1;
  }
  return [...groups.values()].map(({ group, rowCount }) => ({ ...group, rowCount }));
}

function hasRepeatedKey(rows: readonly PushRow[]): boolean {
  return new Set(rows.map(({ table, keyText }) => `${table.tableId} ${keyText}`)).size < rows.length;
}

async function describeConversionFailure(
  tx: PgTransaction,
  actor: Actor,
  rows: readonly PushRow[],
  cause: PgFault,
  checkUpTo: (rowOrdinal: number) => string,
): Promise<unknown> {
  const found = await locateConversionFailure(tx, rows, actor.scopeId, checkUpTo);
  if (found === null) return cause;
  const { row, fault, column } = found;
  // A literal of other columns than the table has says nothing about the row.
  const [columns] = await runStatements(tx, [selectRowColumns(row.table)]);
  checkRowColumns([row.table], [columns?.rows[0]?.[0] ?? '']);
  const { constraint } = fault;
  return createViolationError(
    'push_chunk_invalid',
    {
      kind: decideViolationKind(fault) ?? 'invalid_text',
      schema: row.table.schema,
      table: row.table.table,
      ...(column === undefined ? {} : { column }),
      ...(constraint === undefined ? {} : { constraint }),
      row_ordinal: row.rowOrdinal,
      key: { [row.table.keyColumn]: row.keyText },
    },
    fault,
  );
}
