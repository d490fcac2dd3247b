import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema, LocalSchemaConfig, LocalTable } from '../rules/local-schema.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { tableTriggers, triggerNames } from '../rules/trigger-sql.ts';
import { textColumn } from './columns.ts';
import { adaptToChangedTables, captureJoinedTables } from './schema-change.ts';

/** Registers the managed tables, brings their triggers up to date, and retires tables that left the configuration. */
export async function installTables(
  tx: SqliteTx,
  schema: LocalSchema,
  config: LocalSchemaConfig,
  isOpening: boolean,
): Promise<void> {
  const transitionWrites = config.transitionWrites ?? 'capture';
  const installed = await loadTriggers(tx);
  const statements: string[] = [];
  for (const table of schema.tables) statements.push(...triggerChanges(schema, table, transitionWrites, installed));
  const retired = await retiredTables(tx, schema);
  for (const name of retired.flatMap(triggerNames)) if (installed.has(name)) statements.push(dropTrigger(name));
  if (statements.length > 0) await tx.exec(statements.join(';\n'));
  await tx.run(REGISTER_TABLES, [schema.name, JSON.stringify(schema.tables.map((table) => table.wireName))]);
  if (retired.length > 0) await quarantineRetired(tx, JSON.stringify(retired));
  const joined = schema.tables.filter((table) => !triggerNames(table.wireName).some((name) => installed.has(name)));
  await captureJoinedTables(tx, schema, joined);
  await adaptToChangedTables(tx, schema, config, isOpening);
}

async function loadTriggers(tx: SqliteTx): Promise<Map<string, string>> {
  const rows = await tx.all(`SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND sql IS NOT NULL`);
  return new Map(rows.map((row) => [textColumn(row, 0), foldText(textColumn(row, 1))]));
}

function triggerChanges(
  schema: LocalSchema,
  table: LocalTable,
  transitionWrites: 'capture' | 'reject',
  installed: ReadonlyMap<string, string>,
): string[] {
  const wanted = tableTriggers(schema.name, table, transitionWrites);
  const changes: string[] = [];
  for (const name of triggerNames(table.wireName)) {
    const trigger = wanted.find((candidate) => candidate.name === name);
    const present = installed.get(name);
    if (trigger !== undefined && present === foldText(trigger.sql)) continue;
    if (present !== undefined) changes.push(dropTrigger(name));
    if (trigger !== undefined) changes.push(trigger.sql);
  }
  return changes;
}

function dropTrigger(name: string): string {
  return `DROP TRIGGER IF EXISTS main.${quoteIdentifier(name)}`;
}

function foldText(sql: string): string {
  return sql
    .replace(/\bIF NOT EXISTS\b/gi, '')
    .replace(/\s+/g, ' ')
    .trim();
}

async function retiredTables(tx: SqliteTx, schema: LocalSchema): Promise<string[]> {
  const rows = await tx.all('SELECT table_name FROM _sync_managed_tables WHERE schema_name = ?', [schema.name]);
  return rows.map((row) => textColumn(row, 0)).filter((name) => !schema.tablesByName.has(name));
}

async function quarantineRetired(tx: SqliteTx, names: string): Promise<void> {
  await tx.run(QUARANTINE_RETIRED, [names]);
  await tx.run(`DELETE FROM _sync_dirty_rows WHERE table_name IN (SELECT value FROM json_each(?))`, [names]);
}

/** Schema name, JSON array of wire names. */
const REGISTER_TABLES = `
INSERT INTO _sync_managed_tables(schema_name, table_name) SELECT ?, value FROM json_each(?) WHERE true ON CONFLICT DO NOTHING`;

/** JSON array of the retired wire names. */
const QUARANTINE_RETIRED = `
INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
SELECT schema_name, table_name, key_json, op, base_row_version, payload, 'freeze', 'table_not_managed', 'local', 0
FROM _sync_dirty_rows WHERE table_name IN (SELECT value FROM json_each(?))
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, payload = excluded.payload, code = excluded.code`;
