import { isConstraintFault } from '../ports/sqlite-fault.ts';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { tableSql } from '../rules/wire-sql.ts';
import { textColumn } from './columns.ts';

/**
 * Empties every registered or configured table that exists, children first. Capture must be silent and foreign keys deferred. Returns
 * the wire names.
 */
export async function deleteAllRows(tx: SqliteTx, schema: LocalSchema): Promise<readonly string[]> {
  const retired = (await tx.all(RETIRED_TABLES)).filter((row) => !schema.tablesByName.has(textColumn(row, 0)));
  for (const row of retired) await tx.run(`DELETE FROM main.${quoteIdentifier(textColumn(row, 1))}`);
  const children = [...schema.tables].reverse();
  await tx.exec('SAVEPOINT oversync_delete');
  try {
    for (const table of children) await tx.run(`DELETE FROM ${tableSql(table)}`);
    await tx.exec('RELEASE oversync_delete');
  } catch (error) {
    await tx.exec('ROLLBACK TO oversync_delete; RELEASE oversync_delete');
    if (!isConstraintFault(error)) throw error;
    await deleteLeavesFirst(tx, schema, children);
  }
  return [...retired.map((row) => textColumn(row, 0)), ...children.map((table) => table.wireName)];
}

/** RESTRICT is judged at once, also while foreign keys are deferred: rows go from the leaves upwards, cycles are opened by NULL. */
async function deleteLeavesFirst(tx: SqliteTx, schema: LocalSchema, tables: readonly LocalTable[]): Promise<void> {
  for (let hasChanged = true; hasChanged;) {
    hasChanged = false;
    for (const table of tables) hasChanged = (await tx.run(deleteLeavesSql(schema, table))).changes > 0 || hasChanged;
  }
  for (const table of tables) {
    for (const reference of table.references) {
      if (reference.column.isNotNull) continue;
      await tx.run(`UPDATE ${tableSql(table)} SET ${quoteIdentifier(reference.column.name)} = NULL`);
    }
  }
  for (const table of tables) await tx.run(`DELETE FROM ${tableSql(table)}`);
}

function deleteLeavesSql(schema: LocalSchema, table: LocalTable): string {
  const uses = schema.tables.flatMap((child) =>
    child.references
      .filter((reference) => reference.parentTable === table.wireName)
      .map((reference) => {
        const parentColumn = table.columns.find((column) => column.wireName === reference.parentColumn) ?? table.key;
        return `EXISTS (SELECT 1 FROM ${tableSql(child)} y WHERE y.${quoteIdentifier(reference.column.name)} = x.${quoteIdentifier(parentColumn.name)})`;
      }),
  );
  const condition = uses.length === 0 ? '' : ` WHERE NOT (${uses.join(' OR ')})`;
  return `DELETE FROM ${tableSql(table)} AS x${condition}`;
}

const RETIRED_TABLES = `
SELECT m.table_name, t.name FROM _sync_managed_tables m JOIN pragma_table_list t ON lower(t.name) = m.table_name
WHERE t.schema = 'main' AND t.type = 'table'`;
