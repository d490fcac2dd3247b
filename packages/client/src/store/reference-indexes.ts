import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalReference, LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';

/** Rows from which building and dropping an index is cheaper than the scans it saves. */
export const INDEXED_ROWS_MIN = 2_000;

/**
 * Runs `work` with temporary indexes on the reference columns of foreign-key cycles and self-references that have none. There no order
 * of rows puts every parent first, and each parent that comes or goes scans all children: 100 000 rows would take minutes.
 */
export async function withReferenceIndexes<R>(
  tx: SqliteTx,
  schema: LocalSchema,
  rowCount: number | bigint,
  work: () => Promise<R>,
): Promise<R> {
  const missing =
    rowCount < INDEXED_ROWS_MIN ? [] : schema.tables.filter((table) => table.isGroupIndivisible).flatMap(missingIndexes);
  if (missing.length === 0) return work();
  await tx.exec(missing.map(({ create }) => create).join(';\n'));
  const result = await work();
  await tx.exec(missing.map(({ drop }) => drop).join(';\n'));
  return result;
}

function missingIndexes(table: LocalTable): { readonly create: string; readonly drop: string }[] {
  return table.references.filter((reference) => !reference.isIndexed).map((reference) => indexSql(table, reference));
}

function indexSql(table: LocalTable, reference: LocalReference): { readonly create: string; readonly drop: string } {
  const name = quoteIdentifier(`_oversync_reference_${table.wireName}_${reference.column.wireName}`);
  const column = quoteIdentifier(reference.column.name);
  return {
    create: `CREATE INDEX IF NOT EXISTS main.${name} ON ${quoteIdentifier(table.name)}(${column})`,
    drop: `DROP INDEX IF EXISTS main.${name}`,
  };
}
