import { SyncError } from '@oversync/protocol';

/** What a chunk was asked with, and what was received before it. */
export interface ChunkExpectation {
  readonly snapshotId: string;
  readonly snapshotBundleSeq: bigint;
  readonly sessionRowCount: bigint;
  readonly sessionByteCount: bigint;
  /** Rows received before this chunk. */
  readonly afterRowOrdinal: number;
  /** Bytes received before this chunk. */
  readonly afterByteCount: bigint;
  readonly rowsMax: number;
  readonly bytesMax: number;
}

/** The members of a chunk that are compared. */
export interface ChunkFacts {
  readonly snapshotId: string;
  readonly snapshotBundleSeq: bigint;
  readonly rowCount: number;
  readonly nextRowOrdinal: number;
  readonly hasMore: boolean;
  readonly byteCount: number;
  readonly measuredByteCount: number;
}

/** Compares a chunk with its session (protocol.md 8.11). Throws `protocol_violation` with what was wrong. */
export function checkSnapshotChunk(expected: ChunkExpectation, chunk: ChunkFacts): void {
  if (chunk.snapshotId !== expected.snapshotId || chunk.snapshotBundleSeq !== expected.snapshotBundleSeq)
    throw violated('identity');
  if (chunk.nextRowOrdinal !== expected.afterRowOrdinal + chunk.rowCount) throw violated('ordinal');
  if (chunk.hasMore && chunk.rowCount === 0) throw violated('ended_early');
  if (chunk.rowCount > expected.rowsMax || chunk.byteCount > expected.bytesMax) throw violated('count');
  if (chunk.byteCount !== chunk.measuredByteCount) throw violated('byte_count');
  const rows = BigInt(chunk.nextRowOrdinal);
  const bytes = expected.afterByteCount + BigInt(chunk.byteCount);
  if (rows > expected.sessionRowCount || bytes > expected.sessionByteCount) throw violated('count');
  if (chunk.hasMore && rows === expected.sessionRowCount) throw violated('count');
}

/** Compares the sums of all chunks with the session. They are compared after the last chunk is stored, whose rows are valid by themselves. */
export function checkSnapshotEnd(
  session: { readonly rowCount: bigint; readonly byteCount: bigint },
  staged: { readonly rowCount: number; readonly byteCount: bigint },
): void {
  if (BigInt(staged.rowCount) !== session.rowCount || staged.byteCount !== session.byteCount) throw violated('ended_early');
}

function violated(reason: string): SyncError {
  return new SyncError('protocol_violation', { details: { reason } });
}
