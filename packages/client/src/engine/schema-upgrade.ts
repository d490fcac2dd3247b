import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { triggerNames } from '../rules/trigger-sql.ts';

/**
 * Takes the capture triggers off tables that are about to lose columns: SQLite refuses to drop a column that a trigger names. Call it in
 * the transaction of the migration, before `ALTER TABLE … DROP COLUMN`; the next `open` puts the triggers back. Writes to these tables
 * are not captured until then. Adding and renaming columns does not need it.
 */
export async function releaseTablesForMigration(tx: Pick<SqliteTx, 'exec'>, tables: readonly string[]): Promise<void> {
  const names = tables.flatMap((table) => triggerNames(table.trim().toLowerCase()));
  await tx.exec(names.map((name) => `DROP TRIGGER IF EXISTS main.${quoteIdentifier(name)}`).join(';\n'));
}
