import { keyJsonSql, payloadSql } from './capture-sql.ts';
import type { LocalTable } from './local-schema.ts';
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';

export interface TriggerText {
  readonly name: string;
  readonly sql: string;
}

const APPLY_MODE = 'COALESCE((SELECT apply_mode FROM _sync_apply_state WHERE singleton_key = 1), 0)';
const NOW = "strftime('%Y-%m-%dT%H:%M:%fZ','now')";
const NEXT_ORDINAL = 'COALESCE((SELECT MAX(dirty_ordinal) FROM _sync_dirty_rows), 0) + 1';
const DIRTY_COLUMNS = 'schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal, updated_at';
const ON_EXISTING =
  'ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, payload = excluded.payload, updated_at = excluded.updated_at';

const SUFFIXES = ['ai', 'au', 'ad', 'bi_guard', 'bu_guard', 'bd_guard'] as const;

/** The names all triggers of a table may have, whether it is still configured or not. */
export function triggerNames(tableWireName: string): readonly string[] {
  return SUFFIXES.map((suffix) => `trg_${tableWireName}_${suffix}`);
}

/** The triggers a managed table needs (client.md 4.1, 4.3). Guards only under `reject`. */
export function tableTriggers(
  schemaName: string,
  table: LocalTable,
  transitionWrites: 'capture' | 'reject',
): readonly TriggerText[] {
  const capture = captureTriggers(schemaName, table);
  return transitionWrites === 'reject' ? [...capture, ...guardTriggers(table)] : capture;
}

function captureTriggers(schemaName: string, table: LocalTable): TriggerText[] {
  const keyChanged = `OLD.${quoteIdentifier(table.key.name)} IS NOT NEW.${quoteIdentifier(table.key.name)} COLLATE BINARY`;
  const base = table.capturesBase ? [baseImage(schemaName, table)] : [];
  return [
    trigger(table, 'ai', 'AFTER INSERT', [upsertRecord(schemaName, table)]),
    trigger(table, 'au', 'AFTER UPDATE', [...base, deleteRecord(schemaName, table, keyChanged), upsertRecord(schemaName, table)]),
    trigger(table, 'ad', 'AFTER DELETE', [...base, deleteRecord(schemaName, table, 'true')]),
  ];
}

function trigger(table: LocalTable, suffix: string, event: string, statements: readonly string[]): TriggerText {
  const name = `trg_${table.wireName}_${suffix}`;
  const head = `CREATE TRIGGER ${quoteIdentifier(name)} ${event} ON ${quoteIdentifier(table.name)} WHEN ${APPLY_MODE} <> 1`;
  return { name, sql: `${head} BEGIN ${statements.join('; ')}; END` };
}

function upsertRecord(schemaName: string, table: LocalTable): string {
  const identity = identitySql(schemaName, table, 'NEW');
  const state = `(SELECT deleted FROM _sync_row_state WHERE ${identity})`;
  const values = [
    quoteLiteral(schemaName),
    quoteLiteral(table.wireName),
    keyJsonSql(table, 'NEW'),
    `CASE ${state} WHEN 0 THEN 'UPDATE' ELSE 'INSERT' END`,
    `COALESCE((SELECT row_version FROM _sync_row_state WHERE ${identity}), 0)`,
    payloadSql(table, 'NEW'),
    NEXT_ORDINAL,
    NOW,
  ];
  return `INSERT INTO _sync_dirty_rows(${DIRTY_COLUMNS}) VALUES (${values.join(', ')}) ${ON_EXISTING}`;
}

function deleteRecord(schemaName: string, table: LocalTable, condition: string): string {
  const identity = identitySql(schemaName, table, 'OLD');
  const values = [
    quoteLiteral(schemaName),
    quoteLiteral(table.wireName),
    keyJsonSql(table, 'OLD'),
    `'DELETE'`,
    `COALESCE((SELECT row_version FROM _sync_row_state WHERE ${identity}), 0)`,
    'NULL',
    NEXT_ORDINAL,
    NOW,
  ];
  return `INSERT INTO _sync_dirty_rows(${DIRTY_COLUMNS}) SELECT ${values.join(', ')} WHERE ${condition} ${ON_EXISTING}`;
}

function baseImage(schemaName: string, table: LocalTable): string {
  const identity = identitySql(schemaName, table, 'OLD');
  return (
    `INSERT INTO _oversync_row_bases(schema_name, table_name, key_json, base_row_version, base_payload) ` +
    `SELECT schema_name, table_name, key_json, row_version, ${payloadSql(table, 'OLD')} FROM _sync_row_state ` +
    `WHERE ${identity} AND deleted = 0 AND NOT EXISTS (SELECT 1 FROM _sync_dirty_rows WHERE ${identity}) ON CONFLICT DO NOTHING`
  );
}

function identitySql(schemaName: string, table: LocalTable, row: 'NEW' | 'OLD'): string {
  return `schema_name = ${quoteLiteral(schemaName)} AND table_name = ${quoteLiteral(table.wireName)} AND key_json = ${keyJsonSql(table, row)}`;
}

function guardTriggers(table: LocalTable): TriggerText[] {
  return (
    [
      ['bi_guard', 'BEFORE INSERT'],
      ['bu_guard', 'BEFORE UPDATE'],
      ['bd_guard', 'BEFORE DELETE'],
    ] as const
  ).map(([suffix, event]) => {
    const name = `trg_${table.wireName}_${suffix}`;
    const isTransition = `EXISTS (SELECT 1 FROM _sync_operation_state WHERE singleton_key = 1 AND kind <> 'none')`;
    const head = `CREATE TRIGGER ${quoteIdentifier(name)} ${event} ON ${quoteIdentifier(table.name)} WHEN ${isTransition} AND ${APPLY_MODE} = 0`;
    return { name, sql: `${head} BEGIN SELECT RAISE(ABORT, 'SYNC_TRANSITION_PENDING'); END` };
  });
}
