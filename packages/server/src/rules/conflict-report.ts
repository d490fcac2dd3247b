import { isJsonObject, LIMITS, parseJson, stringifyJson } from '@oversync/protocol';
import type { Conflict, ListedConflict } from '@oversync/protocol';

import type { PushOp } from './push-row.ts';
import type { TableDescription } from './table-description.ts';

/** One refused row as PostgreSQL reports it. */
export interface FoundConflict {
  readonly rowOrdinal: number;
  readonly table: TableDescription;
  readonly op: PushOp;
  readonly keyText: string;
  readonly baseRowVersion: bigint;
  readonly serverVersion: bigint;
  readonly isDeleted: boolean;
}

/** Members of the error body beside code and message. */
export interface ConflictReport {
  readonly conflict: Conflict;
  readonly conflict_count: number;
  readonly conflicts: readonly ListedConflict[];
}

/** Bytes of an error body besides the conflicts: code, message, member names. */
const ENVELOPE_BYTES = 512;

/** Our own text of a stored row; json columns may be deep. */
const DEPTH_MAX = 6000;

/**
 * What a refused push tells its writer. The first conflict is always complete, because a `null` in place of its row would mean
 * that the row is gone; the list ends where the body would grow beyond what old clients read, or where a row is not at hand.
 *
 * @param serverRows payload texts of live rows by row ordinal
 */
export function reportConflicts(
  found: readonly [FoundConflict, ...FoundConflict[]],
  count: number,
  serverRows: ReadonlyMap<number, string>,
): ConflictReport {
  const conflict = describe(found[0], serverRows);
  const conflicts: ListedConflict[] = [];
  let byteCount = ENVELOPE_BYTES + countBytes(conflict);
  for (const row of found) {
    if (isLive(row) && !serverRows.has(row.rowOrdinal) && row !== found[0]) break;
    const listed = { ...describe(row, serverRows), row_ordinal: row.rowOrdinal };
    byteCount += countBytes(listed) + 1;
    if (byteCount > LIMITS.errorBodyBytesMax) break;
    conflicts.push(listed);
  }
  return { conflict, conflict_count: count, conflicts };
}

/** A conflict whose server row has to be rendered. */
export function isLive(conflict: FoundConflict): boolean {
  return conflict.serverVersion > 0n && !conflict.isDeleted;
}

function describe(found: FoundConflict, serverRows: ReadonlyMap<number, string>): Conflict {
  return {
    schema: found.table.schema,
    table: found.table.table,
    key: { [found.table.keyColumn]: found.keyText },
    op: found.op,
    base_row_version: found.baseRowVersion,
    server_row_version: found.serverVersion,
    server_row_deleted: found.isDeleted,
    server_row: parseRow(serverRows.get(found.rowOrdinal)),
  };
}

function parseRow(text: string | undefined): Conflict['server_row'] {
  if (text === undefined) return null;
  const row = parseJson(text, { depthMax: DEPTH_MAX });
  if (!isJsonObject(row)) throw new TypeError('a rendered row is no object');
  return row;
}

function countBytes(value: Conflict): number {
  return new TextEncoder().encode(stringifyJson(value)).length;
}
