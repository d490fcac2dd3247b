import type { PgRow, PgTransaction } from '../ports/postgres.ts';
import { isLive } from '../rules/conflict-report.ts';
import type { FoundConflict } from '../rules/conflict-report.ts';
import { parsePushOp } from '../rules/push-row.ts';
import type { Catalog } from '../rules/table-description.ts';
import { selectServerRows } from './conflict.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import type { PushRef } from './push-row.sql.ts';
import { RowReader } from './row-reader.ts';

/** The conflicts of a push: the first ones, and how many there are. */
export interface FoundConflicts {
  readonly rows: readonly [FoundConflict, ...FoundConflict[]];
  readonly count: number;
}

/** Reads the rows of `selectConflicts`; `null` when there is none. */
export function parseConflicts(rows: readonly PgRow[], catalog: Catalog): FoundConflicts | null {
  let count = 0;
  const [first, ...others] = rows.map((row): FoundConflict => {
    const reader = new RowReader(row);
    const rowOrdinal = reader.int();
    const table = catalog.byId.get(reader.int());
    if (table === undefined) throw new Error('a staged row belongs to a table that is not registered');
    const conflict = {
      rowOrdinal,
      table,
      op: parsePushOp(reader.text()),
      keyText: reader.text(),
      baseRowVersion: reader.bigint(),
      serverVersion: reader.bigint(),
      isDeleted: reader.flag(),
    };
    count = reader.int();
    return conflict;
  });
  return first === undefined ? null : { rows: [first, ...others], count };
}

/** Payload texts of the live rows among the conflicts, as far as they fit into `bytesMax`; the first one always. */
export async function loadServerRows(
  tx: PgTransaction,
  m: MetadataNames,
  push: PushRef & { readonly scopeId: string },
  conflicts: FoundConflicts,
  bytesMax: number,
): Promise<ReadonlyMap<number, string>> {
  const live = conflicts.rows.filter(isLive);
  const tables = new Set(live.map(({ table }) => table));
  const statements = [...tables].map((table) => {
    const rowOrdinals = live.filter((row) => row.table === table).map(({ rowOrdinal }) => rowOrdinal);
    const query = { scopeId: push.scopeId, table, rowOrdinals, mandatoryRowOrdinal: conflicts.rows[0].rowOrdinal, bytesMax };
    return selectServerRows(m, push, query, m);
  });
  if (statements.length === 0) return new Map();
  const results = await tx.script(statements.join(';'));
  return new Map(
    results.flatMap(({ rows }) => rows.map(([ordinal, payload]): [number, string] => [Number(ordinal), payload ?? 'null'])),
  );
}
