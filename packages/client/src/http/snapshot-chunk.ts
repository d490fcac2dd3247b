import type { IncomingRow } from '../rules/incoming-row.ts';
import { utf8Length } from '../rules/utf8-length.ts';
import type { BodyReader } from './body.ts';
import { JsonCursor } from './json-cursor.ts';
import { readBoolean, readCount, readElements, readInt64, readMembers, readString } from './json-envelope.ts';
import { RowTextReader, violation } from './row-text.ts';

/** One snapshot chunk (protocol.md 8.11), shapes checked, not yet compared with the session. */
export interface SnapshotChunk {
  readonly snapshotId: string;
  readonly snapshotBundleSeq: bigint;
  readonly rows: readonly IncomingRow[];
  readonly nextRowOrdinal: number;
  readonly hasMore: boolean;
  /** As the server counts. */
  readonly byteCount: number;
  /** UTF-8 length of the row texts as they were received. */
  readonly measuredByteCount: number;
}

/** Reads a chunk. Exactly the six members of the contract: the chunk is a closed shape. `rowBytesMax` bounds the text of each row. */
export async function readSnapshotChunk(body: BodyReader, rowBytesMax: number): Promise<SnapshotChunk> {
  const cursor = new JsonCursor(body);
  const chunk: { -readonly [K in keyof SnapshotChunk]?: SnapshotChunk[K] } = {};
  await readMembers(cursor, async (name) => {
    if (name === 'snapshot_id') chunk.snapshotId = await readString(cursor);
    else if (name === 'snapshot_bundle_seq') chunk.snapshotBundleSeq = await readInt64(cursor);
    else if (name === 'next_row_ordinal') chunk.nextRowOrdinal = await readCount(cursor);
    else if (name === 'has_more') chunk.hasMore = await readBoolean(cursor);
    else if (name === 'byte_count') chunk.byteCount = await readCount(cursor);
    else if (name === 'rows') Object.assign(chunk, await readRows(cursor, rowBytesMax));
    else throw violation('row_shape');
  });
  await cursor.expectEnd();
  return complete(chunk);
}

async function readRows(cursor: JsonCursor, rowBytesMax: number): Promise<Pick<SnapshotChunk, 'rows' | 'measuredByteCount'>> {
  const rows: IncomingRow[] = [];
  const reader = new RowTextReader();
  let measuredByteCount = 0;
  await readElements(cursor, rowBytesMax, (text) => {
    const byteCount = utf8Length(text);
    if (byteCount > rowBytesMax) throw violation('count');
    measuredByteCount += byteCount;
    rows.push(reader.snapshotRow(text));
  });
  return { rows, measuredByteCount };
}

function complete(chunk: Partial<SnapshotChunk>): SnapshotChunk {
  const { snapshotId, snapshotBundleSeq, rows, nextRowOrdinal, hasMore, byteCount, measuredByteCount } = chunk;
  if (snapshotId === undefined || snapshotBundleSeq === undefined) throw violation('identity');
  if (rows === undefined || measuredByteCount === undefined) throw violation('row_shape');
  if (nextRowOrdinal === undefined || hasMore === undefined || byteCount === undefined) throw violation('row_shape');
  return { snapshotId, snapshotBundleSeq, rows, nextRowOrdinal, hasMore, byteCount, measuredByteCount };
}
