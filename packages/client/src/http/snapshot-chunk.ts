import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { utf8Length } from '../rules/utf8-length.ts';
import type { BodyReader } from './body.ts';
import { JsonCursor } from './json-cursor.ts';
import { decodeString, readBoolean, readCount, readElement, readInt64, readMembers, SCALAR_CHARS_MAX } from './json-envelope.ts';
import { violation } from './row-text.ts';
import { SnapshotRows } from './snapshot-rows.ts';

/** One snapshot chunk (protocol.md 8.11), shapes and rows checked, not yet compared with the session. */
export interface SnapshotChunk {
  readonly snapshotId: string;
  readonly snapshotBundleSeq: bigint;
  /** All rows of the chunk, those handed over before included. */
  readonly rowCount: number;
  /** Those that have not been handed over. */
  readonly rows: readonly CheckedRow[];
  readonly nextRowOrdinal: number;
  readonly hasMore: boolean;
  /** As the server counts. */
  readonly byteCount: number;
  /** UTF-8 length of the row texts as they were received. */
  readonly measuredByteCount: number;
}

/** Takes the rows of a chunk before all of it has arrived, so that memory holds a few of them. */
export interface RowPages {
  readonly rowsMax: number;
  /** An attempt to read the chunk begins; what an earlier one has handed over is void. */
  begin(): Promise<void>;
  take(rows: readonly CheckedRow[]): Promise<void>;
  /** The attempt has failed; another may follow. */
  breakOff?(): void;
}

/** Reads a chunk. Exactly the six members of the contract: the chunk is a closed shape. `rowBytesMax` bounds the text of each row. */
export async function readSnapshotChunk(
  body: BodyReader,
  schema: LocalSchema,
  rowBytesMax: number,
  pages: RowPages | null = null,
): Promise<SnapshotChunk> {
  if (pages === null) return readChunk(body, schema, rowBytesMax, null);
  try {
    await pages.begin();
    return await readChunk(body, schema, rowBytesMax, pages);
  } catch (error) {
    pages.breakOff?.();
    throw error;
  }
}

async function readChunk(
  body: BodyReader,
  schema: LocalSchema,
  rowBytesMax: number,
  pages: RowPages | null,
): Promise<SnapshotChunk> {
  const cursor = new JsonCursor(body);
  const rows = new SnapshotRows(schema, rowBytesMax);
  const chunk: { -readonly [K in keyof SnapshotChunk]?: SnapshotChunk[K] } = {};
  let idText = '';
  await readMembers(cursor, async (name) => {
    if (name === 'snapshot_id') chunk.snapshotId = decodeString((idText = await cursor.valueText(SCALAR_CHARS_MAX)));
    else if (name === 'snapshot_bundle_seq') chunk.snapshotBundleSeq = await readInt64(cursor);
    else if (name === 'next_row_ordinal') chunk.nextRowOrdinal = await readCount(cursor);
    else if (name === 'has_more') chunk.hasMore = await readBoolean(cursor);
    else if (name === 'byte_count') chunk.byteCount = await readCount(cursor);
    else if (name === 'rows') chunk.rows = await readRows(cursor, rows, rowBytesMax, pages);
    else throw violation('row_shape');
  });
  await cursor.expectEnd();
  // Only rows and the id can hold characters of several bytes, so nobody has to count the bytes of each row.
  const extraBytes = body.byteCount - cursor.charCount - (utf8Length(idText) - idText.length);
  chunk.rowCount = rows.rowCount;
  chunk.measuredByteCount = rows.charCount + extraBytes;
  return complete(chunk);
}

async function readRows(
  cursor: JsonCursor,
  rows: SnapshotRows,
  charsMax: number,
  pages: RowPages | null,
): Promise<readonly CheckedRow[]> {
  const rowsMax = pages?.rowsMax ?? Number.POSITIVE_INFINITY;
  if ((await cursor.peek()) !== '[') throw violation('row_shape');
  await cursor.expect('[');
  if (await cursor.accept(']')) return rows.rows;
  const scan = (text: string, start: number): number => rows.scan(text, start);
  do {
    if (!cursor.scanned(scan, charsMax)) await readElement(cursor, charsMax, rows);
    if (rows.rows.length >= rowsMax) await pages?.take(rows.take());
  } while (cursor.bufferedDelimiter(']') ?? (await cursor.delimiter(']')));
  return rows.rows;
}

function complete(chunk: Partial<SnapshotChunk>): SnapshotChunk {
  const { snapshotId, snapshotBundleSeq, rowCount, rows, nextRowOrdinal, hasMore, byteCount, measuredByteCount } = chunk;
  if (snapshotId === undefined || snapshotBundleSeq === undefined) throw violation('identity');
  if (rows === undefined || rowCount === undefined || measuredByteCount === undefined) throw violation('row_shape');
  if (nextRowOrdinal === undefined || hasMore === undefined || byteCount === undefined) throw violation('row_shape');
  return { snapshotId, snapshotBundleSeq, rowCount, rows, nextRowOrdinal, hasMore, byteCount, measuredByteCount };
}
