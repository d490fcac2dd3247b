import { SyncError } from '@oversync/protocol';

import { RETRY_AFTER_MS } from '../limits.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { chooseBlockRange } from '../rules/block-range.ts';
import type { BlockRange } from '../rules/block-range.ts';
import { copyBlockSlices } from '../store/block-copy.ts';
import { loadSnapshotBlocks } from '../store/snapshot.ts';
import type { SnapshotBlocks } from '../store/snapshot.ts';
import { copySnapshotBlocks } from '../store/snapshot.sql.ts';
import { createBufferedBody, encodeText } from './byte-body.ts';
import type { ByteBody } from './byte-body.ts';
import type { Actor, SyncContext } from './context.ts';
import type { Release } from './scope-queue.ts';
import { checkSnapshotToken } from './snapshot-access.ts';
import { withReadTransaction } from './transaction.ts';

export interface SnapshotChunkInput {
  readonly snapshotId: string;
  /** Number of rows that the client has already. */
  readonly afterRowOrdinal: bigint;
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** Some rows of a session's image, byte for byte as they were counted. The permit is held until the last byte is sent. */
export async function readSnapshotChunk(ctx: SyncContext, actor: Actor, input: SnapshotChunkInput): Promise<ByteBody> {
  const startedAt = performance.now();
  const releasePermit = await takeChunkPermit(ctx);
  const queueMs = performance.now() - startedAt;
  try {
    const reservation = await ctx.buffers.reserve(input.maxBytes, input.maxBytes, ctx.options.lockTimeoutMs, ctx.signal);
    const release = (): void => {
      reservation.release();
      releasePermit();
    };
    try {
      const chunk = await withReadTransaction(ctx, 'snapshot_chunk', (tx) => readChunk(ctx, tx, actor, input));
      const durationMs = performance.now() - startedAt;
      const { rowCount, byteCount } = chunk.range;
      ctx.emit({ name: 'snapshotChunk', rows: rowCount, bytes: String(byteCount), durationMs, queueMs });
      const body = createBufferedBody(chunk.parts, release);
      reservation.shrinkTo(body.byteLength);
      return body;
    } catch (error) {
      reservation.release();
      throw error;
    }
  } catch (error) {
    releasePermit();
    throw error;
  }
}

async function takeChunkPermit(ctx: SyncContext): Promise<Release> {
  const release = await ctx.permits.snapshotChunk.acquire(ctx.options.snapshotQueueWaitMs);
  if (release !== null) return release;
  ctx.lifecycle.checkAccepting();
  const waitedMs = ctx.options.snapshotQueueWaitMs;
  const times = { durationMs: waitedMs, queueMs: waitedMs };
  ctx.emit({ name: 'snapshotRejected', rows: 0, bytes: '0', ...times, code: 'snapshot_chunk_capacity' });
  const facts = { name: 'maxConcurrentSnapshotChunkRequests', limit: ctx.options.maxConcurrentSnapshotChunkRequests };
  throw new SyncError('snapshot_chunk_capacity', { retryAfterMs: RETRY_AFTER_MS, details: { limit_exceeded: facts } });
}

interface Chunk {
  readonly parts: readonly Uint8Array[];
  readonly range: BlockRange;
}

/** Ordinals are 64 bit on the wire, but no image has more rows than this. */
const ROW_ORDINAL_MAX = 2n ** 53n - 1n;

async function readChunk(ctx: SyncContext, tx: PgTransaction, actor: Actor, input: SnapshotChunkInput): Promise<Chunk> {
  const scopePk = await checkSnapshotToken(ctx, tx, actor, input.snapshotId);
  const start = input.afterRowOrdinal > ROW_ORDINAL_MAX ? ROW_ORDINAL_MAX : input.afterRowOrdinal;
  const found = await loadSnapshotBlocks(tx, ctx.names, {
    scopePk,
    snapshotId: input.snapshotId,
    startRowOrdinal: start,
    rowCountMax: input.maxRows,
  });
  if (found === undefined) throw new SyncError('snapshot_session_not_found');
  if (found.isExpired) throw new SyncError('snapshot_session_expired');
  const startRowOrdinal = Number(start);
  const range = chooseBlockRange(found.blocks, {
    startRowOrdinal,
    rowCountMax: input.maxRows,
    byteCountMax: input.maxBytes,
    takesFirstRow: false,
  });
  checkFits(range, startRowOrdinal, found);
  const rows = await readRows(ctx, tx, scopePk, found, range);
  const opening = `{"snapshot_id":"${input.snapshotId}","snapshot_bundle_seq":${found.bundleSeq.toString()},"rows":[`;
  return { parts: [encodeText(opening), ...rows, encodeText(formatClosing(input, range, found))], range };
}

/** An image that lost rows (an unlogged table after a crash loses its sessions too) must not look like its end. */
function checkFits(range: BlockRange, startRowOrdinal: number, found: SnapshotBlocks): void {
  if (range.rowCount > 0 || startRowOrdinal >= found.rowCount) return;
  if (range.firstRowBytes === undefined)
    throw new SyncError('snapshot_chunk_failed', { message: 'rows of the image are missing' });
  throw new SyncError('snapshot_chunk_too_small', { details: { required_byte_count: range.firstRowBytes } });
}

async function readRows(
  ctx: SyncContext,
  tx: PgTransaction,
  scopePk: string,
  found: SnapshotBlocks,
  range: BlockRange,
): Promise<readonly Uint8Array[]> {
  const first = range.slices[0]?.firstRowOrdinal;
  const last = range.slices.at(-1)?.firstRowOrdinal;
  if (first === undefined || last === undefined) return [];
  const blocks = found.blocks.filter((block) => block.firstRowOrdinal >= first && block.firstRowOrdinal <= last);
  return copyBlockSlices(
    tx,
    copySnapshotBlocks(ctx.names, { scopePk, imageId: found.imageId, first, last }),
    blocks,
    range.slices,
  );
}

function formatClosing(input: SnapshotChunkInput, range: BlockRange, found: SnapshotBlocks): string {
  const next = input.afterRowOrdinal + BigInt(range.rowCount);
  const hasMore = range.rowCount > 0 && next < BigInt(found.rowCount);
  return `],"next_row_ordinal":${next.toString()},"has_more":${String(hasMore)},"byte_count":${String(range.byteCount)}}`;
}
