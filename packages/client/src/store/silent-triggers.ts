import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { triggerNames } from '../rules/trigger-sql.ts';
import { textColumn } from './columns.ts';

/**
 * Runs `work`, which capture has to be silent for anyway, without the triggers of capture: one that only finds out that it is silent still
 * costs each row a look, and keeps SQLite from emptying a table in one go. The transaction brings them back whatever happens.
 */
export async function withoutCaptureTriggers<R>(tx: SqliteTx, schema: LocalSchema, work: () => Promise<R>): Promise<R> {
  const names = schema.tables.flatMap((table) => triggerNames(table.wireName));
  const triggers = (await tx.all(LOAD_TRIGGERS, [JSON.stringify(names)])).map((row) => ({
    name: textColumn(row, 0),
    sql: textColumn(row, 1),
  }));
  for (const { name } of triggers) await tx.run(`DROP TRIGGER main.${quoteIdentifier(name)}`);
  const result = await work();
  for (const { sql } of triggers) await tx.run(sql);
  return result;
}

/** JSON array of names. In the order in which they were created. */
const LOAD_TRIGGERS = `
SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND name IN (SELECT value FROM json_each(?)) ORDER BY rowid`;
