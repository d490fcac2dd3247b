import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { keyJsonSql, payloadSql } from '../rules/capture-sql.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { tableTriggers, triggerNames } from '../rules/trigger-sql.ts';
import { textColumn } from './columns.ts';
import { loadMeta, saveMeta } from './meta.ts';

/** Registers the managed tables, brings their triggers up to date, and retires tables that left the configuration. */
export async function installTables(tx: SqliteTx, schema: LocalSchema, transitionWrites: 'capture' | 'reject'): Promise<void> {
  const installed = await loadTriggers(tx);
  const statements: string[] = [];
  for (const table of schema.tables) statements.push(...triggerChanges(schema, table, transitionWrites, installed));
  const retired = await retiredTables(tx, schema);
  for (const name of retired.flatMap(triggerNames)) if (installed.has(name)) statements.push(dropTrigger(name));
  if (statements.length > 0) await tx.exec(statements.join(';\n'));
  await tx.run(REGISTER_TABLES, [schema.name, JSON.stringify(schema.tables.map((table) => table.wireName))]);
  if (retired.length > 0) await quarantineRetired(tx, JSON.stringify(retired));
  await recaptureChangedTables(tx, schema);
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

/**
 * Dirty rows captured before an ALTER TABLE lack the new column, or carry a dropped one: they are captured again from the live rows.
 * A fingerprint per table says when that is due.
 */
async function recaptureChangedTables(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  const stored = await loadMeta(tx, FINGERPRINTS);
  const now = JSON.stringify(Object.fromEntries(schema.tables.map((table) => [table.wireName, fingerprint(table)])));
  if (stored === now) return;
  if (stored !== null) {
    const before: unknown = JSON.parse(stored);
    for (const table of schema.tables) {
      if (typeof before !== 'object' || before === null || !(table.wireName in before)) continue;
      if (Object.entries(before).some(([name, value]) => name === table.wireName && value === fingerprint(table))) continue;
      await tx.run(recaptureSql(table), [table.wireName]);
    }
  }
  await saveMeta(tx, FINGERPRINTS, now);
}

function fingerprint(table: LocalTable): string {
  return table.columns.map((column) => `${column.wireName}:${column.kind}`).join();
}

/** Parameter: the wire name of the table. */
function recaptureSql(table: LocalTable): string {
  return (
    `UPDATE _sync_dirty_rows SET payload = live.payload ` +
    `FROM (SELECT ${keyJsonSql(table, 'x')} AS key_json, ${payloadSql(table, 'x')} AS payload FROM main.${quoteIdentifier(table.name)} x) live ` +
    `WHERE _sync_dirty_rows.table_name = ? AND _sync_dirty_rows.payload IS NOT NULL AND _sync_dirty_rows.key_json = live.key_json`
  );
}

const FINGERPRINTS = 'table_fingerprints';

/** Schema name, JSON array of wire names. */
const REGISTER_TABLES = `
INSERT INTO _sync_managed_tables(schema_name, table_name) SELECT ?, value FROM json_each(?) WHERE true ON CONFLICT DO NOTHING`;

/** JSON array of the retired wire names. */
const QUARANTINE_RETIRED = `
INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
SELECT schema_name, table_name, key_json, op, base_row_version, payload, 'freeze', 'table_not_managed', 'local', 0
FROM _sync_dirty_rows WHERE table_name IN (SELECT value FROM json_each(?))
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, payload = excluded.payload, code = excluded.code`;
