import { SyncError } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import { chooseBlockRange } from '../rules/block-range.ts';
import type { BlockLengths, BlockRange, BlockSlice } from '../rules/block-range.ts';
import { loadActorFacts } from '../store/actor-facts.ts';
import { copyBlockSlices, cutBlockSlices } from '../store/block-copy.ts';
import { loadCommittedBlocks } from '../store/committed-blocks.ts';
import type { CommittedBlock } from '../store/committed-blocks.ts';
import { copyCommittedBlocks } from '../store/reading.sql.ts';
import { checkActor } from './actor-check.ts';
import type { Reservation } from './byte-budget.ts';
import { createBufferedBody, encodeText } from './byte-body.ts';
import type { ByteBody } from './byte-body.ts';
import type { Actor, SyncContext } from './context.ts';
import { withReadTransaction } from './transaction.ts';

export interface CommittedRowsInput {
  readonly bundleSeq: bigint;
  /** Ordinal of the last row that the client has; `undefined` for the first page. */
  readonly afterRowOrdinal: bigint | undefined;
  readonly maxRows: number;
}

const PAGE_BYTES_MIN = 64 * 1024;
const INT4_MAX = 2_147_483_647n;

/** Rows of one committed bundle, always as they were hashed, whatever happened to the tables since. */
export async function readCommittedRows(ctx: SyncContext, actor: Actor, input: CommittedRowsInput): Promise<ByteBody> {
  const reservation = await ctx.buffers.reserve(PAGE_BYTES_MIN, PAGE_BYTES_MIN, ctx.options.lockTimeoutMs, ctx.signal);
  try {
    return await withReadTransaction(ctx, 'committed_bundle_rows', (tx) => readPage(ctx, tx, actor, input, reservation));
  } catch (error) {
    reservation.release();
    throw error;
  }
}

async function readPage(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  input: CommittedRowsInput,
  reservation: Reservation,
): Promise<ByteBody> {
  const startedAt = performance.now();
  const scopePk = await checkRetainedBundle(ctx, tx, actor, input.bundleSeq);
  const startRowOrdinal = Number(min(input.afterRowOrdinal === undefined ? 0n : input.afterRowOrdinal + 1n, INT4_MAX));
  const found = await loadCommittedBlocks(tx, ctx.names, {
    scopePk,
    bundleSeq: input.bundleSeq,
    startRowOrdinal,
    rowCountMax: input.maxRows,
  });
  if (found === undefined) throw new SyncError('committed_bundle_not_found');
  const range = chooseRange(
    found.blocks,
    startRowOrdinal,
    input.maxRows,
    ctx.options.maxBytesPerCommittedBundleChunk,
    reservation,
  );
  const rows = await readSlices(ctx, tx, { scopePk, bundleSeq: input.bundleSeq }, found.blocks, range.slices);
  const nextRowOrdinal = range.rowCount === 0 ? (input.afterRowOrdinal ?? 0n) : BigInt(startRowOrdinal + range.rowCount - 1);
  const hasMore = range.rowCount > 0 && startRowOrdinal + range.rowCount < found.rowCount;
  const closing = encodeText(`],"next_row_ordinal":${nextRowOrdinal.toString()},"has_more":${String(hasMore)}}`);
  const body = createBufferedBody([encodeText(found.opening), ...rows, closing], () => reservation.release());
  reservation.shrinkTo(body.byteLength);
  const durationMs = performance.now() - startedAt;
  ctx.emit({ name: 'committedRowsPage', bundles: 1, rows: range.rowCount, bytes: range.byteCount, durationMs });
  return body;
}

/** The bytes of the slices; of a small bundle they are here already. */
async function readSlices(
  ctx: SyncContext,
  tx: PgTransaction,
  bundle: { readonly scopePk: string; readonly bundleSeq: bigint },
  blocks: readonly CommittedBlock[],
  slices: readonly BlockSlice[],
): Promise<readonly Uint8Array[]> {
  const [first] = slices;
  const last = slices.at(-1);
  if (first === undefined || last === undefined) return [];
  const wanted = blocks.filter(
    ({ firstRowOrdinal }) => firstRowOrdinal >= first.firstRowOrdinal && firstRowOrdinal <= last.firstRowOrdinal,
  );
  const texts = wanted.flatMap(({ rowTexts }) => (rowTexts === undefined ? [] : [encodeText(rowTexts)]));
  if (texts.length === wanted.length) return cutBlockSlices(texts, wanted, slices);
  const range = { ...bundle, first: first.firstRowOrdinal, last: last.firstRowOrdinal };
  return copyBlockSlices(tx, copyCommittedBlocks(ctx.names, range), wanted, slices);
}

/** While memory is short, the page is cut to what could be had, but it holds one row at least. */
function chooseRange(
  blocks: readonly BlockLengths[],
  startRowOrdinal: number,
  rowCountMax: number,
  byteCountMax: number,
  reservation: Reservation,
): BlockRange {
  const request = { startRowOrdinal, rowCountMax, byteCountMax, takesFirstRow: true };
  const range = chooseBlockRange(blocks, request);
  const held = reservation.extendTo(range.byteCount);
  return range.byteCount > held ? chooseBlockRange(blocks, { ...request, byteCountMax: held }) : range;
}

async function checkRetainedBundle(ctx: SyncContext, tx: PgTransaction, actor: Actor, bundleSeq: bigint): Promise<string> {
  const facts = await loadActorFacts(tx, ctx.names, actor);
  checkActor(ctx, actor, facts);
  if (facts.scope === undefined) throw new SyncError('committed_bundle_not_found');
  if (bundleSeq > facts.scope.floor) return facts.scope.scopePk;
  ctx.emit({ name: 'historyPruned', operation: 'committed_bundle_rows', distance: String(facts.scope.floor - bundleSeq) });
  throw new SyncError('history_pruned');
}

function min(left: bigint, right: bigint): bigint {
  return left < right ? left : right;
}
