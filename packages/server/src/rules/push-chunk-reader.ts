import { isJsonObject, parseInt64, SyncError } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

import type { PushRow } from './push-row.ts';
import { PushRowReader } from './push-row-reader.ts';
import type { Catalog } from './table-description.ts';
import { createLimitError } from './violation.ts';

export interface ChunkReaderSettings {
  readonly catalog: Catalog;
  readonly scopeId: string;
  /** Option `maxRowsPerPushChunk`. */
  readonly rowsMax: number;
  /** Option `maxBytesPerSnapshotRow`. */
  readonly rowBytesMax: number;
}

/** A chunk that obeys every rule that can be judged without the database. */
export interface PushChunk {
  readonly startRowOrdinal: number;
  readonly rows: readonly PushRow[];
}

/**
 * Reads the body of a chunk (protocol.md 8.3 step 3).
 *
 * @throws SyncError `invalid_request` for a member of a wrong JSON type, `push_chunk_invalid` for everything else; the first
 * failing row is the one reported.
 */
export function readPushChunk(body: JsonValue, settings: ChunkReaderSettings): PushChunk {
  const outline = readChunkOutline(body, settings.rowsMax);
  return { startRowOrdinal: outline.startRowOrdinal, rows: [...readPushRows(outline, settings)] };
}

/** A chunk whose rows are not checked yet. */
export interface ChunkOutline {
  readonly startRowOrdinal: number;
  readonly rawRows: readonly JsonValue[];
}

/** Everything about a chunk but its rows; throws as {@link readPushChunk} does. */
export function readChunkOutline(body: JsonValue, rowsMax: number): ChunkOutline {
  if (!isJsonObject(body)) throw new SyncError('invalid_request', { message: 'the body must be an object' });
  const startRowOrdinal = readStartRowOrdinal(body);
  return { startRowOrdinal, rawRows: readRawRows(body, rowsMax) };
}

/** The checked rows one after the other, so that nobody has to hold all of them; throws as {@link readPushChunk} does. */
export function* readPushRows({ startRowOrdinal, rawRows }: ChunkOutline, settings: ChunkReaderSettings): Generator<PushRow> {
  const reader = new PushRowReader(settings);
  let rowOrdinal = startRowOrdinal;
  for (const raw of rawRows) {
    yield reader.read(raw, rowOrdinal);
    rowOrdinal += 1;
  }
}

function readStartRowOrdinal(body: JsonObject): number {
  const value = body['start_row_ordinal'] ?? 0;
  const start = parseInt64(value);
  if (start === null) throw new SyncError('invalid_request', { message: 'start_row_ordinal must be a 64-bit integer' });
  if (start < 0n) throw new SyncError('push_chunk_invalid', { message: 'start_row_ordinal must not be negative' });
  return start > START_MAX ? Number(START_MAX) : Number(start);
}

/** Beyond every push that could exist; larger values are out of order just the same. */
const START_MAX = 2n ** 40n;

function readRawRows(body: JsonObject, rowsMax: number): readonly JsonValue[] {
  const rows = body['rows'] ?? [];
  if (!Array.isArray(rows)) throw new SyncError('invalid_request', { message: 'rows must be an array' });
  if (rows.length === 0) throw new SyncError('push_chunk_invalid', { message: 'the chunk has no rows' });
  if (rows.length <= rowsMax) return rows;
  const limit = { name: 'maxRowsPerPushChunk', limit: rowsMax, actual: rows.length };
  throw createLimitError('push_chunk_invalid', limit, 'the chunk has too many rows');
}
