import * as v from 'valibot';
import type { JsonValue } from '../json/json-value.ts';
import { checkSnapshotRow } from './rows.ts';
import type { SnapshotRow } from './rows.ts';
import { CounterSchema, JsonListSchema, NotBlankSchema, parseMessage, RowCountSchema } from './schemas.ts';

/** Reply of `GET /sync/snapshot-sessions/{snapshot_id}`, rows unseen. A closed shape: exactly these six members. */
export const SnapshotChunkSchema = v.pipe(
  v.strictObject({
    snapshot_id: NotBlankSchema,
    snapshot_bundle_seq: CounterSchema,
    rows: JsonListSchema,
    /** Number of rows consumed, those of this chunk included. */
    next_row_ordinal: RowCountSchema,
    has_more: v.boolean(),
    /** Bytes of the row texts of this chunk. */
    byte_count: RowCountSchema,
  }),
  v.check(({ rows, has_more: hasMore }) => !hasMore || rows.length > 0),
  v.check(({ rows, byte_count: byteCount }) => (rows.length === 0) === (byteCount === 0)),
);

/** Some rows of a frozen image. */
export type SnapshotChunk = Omit<v.InferOutput<typeof SnapshotChunkSchema>, 'rows'> & { readonly rows: readonly SnapshotRow[] };

/**
 * Reads a chunk and checks what it can know of itself. The bytes of the rows cannot be checked here: they are those
 * of the text as it was received.
 *
 * @throws SyncError `protocol_violation`
 */
export function parseSnapshotChunk(json: JsonValue): SnapshotChunk {
  const chunk = parseMessage(SnapshotChunkSchema, json, 'protocol_violation');
  return { ...chunk, rows: chunk.rows.map(checkSnapshotRow) };
}
