import { payloadSql } from './capture-sql.ts';
import type { LocalTable } from './local-schema.ts';
import { quoteIdentifier } from './sql-text.ts';
import { keyIsSql } from './row-sql.ts';
import { tableSql } from './wire-sql.ts';

/**
 * Source bundle id, schema, table. Marks uploaded rows whose live row is no longer what was uploaded:
 *
 * | uploaded | live row | decision |
 * | --- | --- | --- |
 * | DELETE | absent | accept |
 * | DELETE | present | keep |
 * | upsert | absent | keep |
 * | upsert | present, other than the upload or than a newer record | keep |
 * | upsert | present, equal | accept |
 */
export function judgeUploadedSql(table: LocalTable): string {
  const key = `x.${quoteIdentifier(table.key.name)}`;
  return (
    `UPDATE temp._oversync_page SET verdict = 3 WHERE ordinal IN (SELECT p.ordinal FROM temp._oversync_page p ` +
    `JOIN _sync_outbox_rows o ON o.source_bundle_id = ? AND o.row_ordinal = p.uploaded_ordinal ` +
    `LEFT JOIN ${tableSql(table)} x ON x.${keyIsSql(table, 'p.key_json')} ` +
    `LEFT JOIN _sync_dirty_rows d ON d.schema_name = ? AND d.table_name = p.table_name AND d.key_json = p.key_json ` +
    `WHERE p.table_name = ? AND CASE WHEN o.op = 'DELETE' THEN ${key} IS NOT NULL ` +
    `WHEN ${key} IS NULL THEN true ELSE ${payloadSql(table, 'x')} IS NOT o.local_payload ` +
    `OR (d.key_json IS NOT NULL AND d.payload IS NOT o.local_payload) END)`
  );
}

/** Schema, schema, table. Queues the kept rows again, based on the version just committed, at their old place in the order. */
export function requeueSql(table: LocalTable): string {
  const key = `x.${quoteIdentifier(table.key.name)}`;
  return (
    `INSERT INTO _sync_dirty_rows(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal) ` +
    `SELECT ?, p.table_name, p.key_json, CASE WHEN ${key} IS NULL THEN 'DELETE' WHEN p.op = 'DELETE' THEN 'INSERT' ELSE 'UPDATE' END, ` +
    `p.row_version, CASE WHEN ${key} IS NULL THEN NULL ELSE ${payloadSql(table, 'x')} END, ` +
    `COALESCE(d.dirty_ordinal, (SELECT COALESCE(MAX(dirty_ordinal), 0) FROM _sync_dirty_rows) + row_number() OVER (ORDER BY p.uploaded_ordinal)) ` +
    `FROM temp._oversync_page p LEFT JOIN ${tableSql(table)} x ON x.${keyIsSql(table, 'p.key_json')} ` +
    `LEFT JOIN _sync_dirty_rows d ON d.schema_name = ? AND d.table_name = p.table_name AND d.key_json = p.key_json ` +
    `WHERE p.table_name = ? AND p.verdict = 3 ` +
    `ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, base_row_version = excluded.base_row_version, ` +
    `payload = excluded.payload`
  );
}

/** Key_json. The captured payload of the live row. */
export function livePayloadSql(table: LocalTable): string {
  return `SELECT ${payloadSql(table, 'x')} FROM ${tableSql(table)} x WHERE x.${keyIsSql(table, '?')}`;
}

/** JSON array of key_json texts. Key and captured payload of the live rows. */
export function livePayloadsSql(table: LocalTable): string {
  return (
    `SELECT wanted.value, ${payloadSql(table, 'x')} FROM json_each(?) wanted ` +
    `JOIN ${tableSql(table)} x ON x.${keyIsSql(table, 'wanted.value')}`
  );
}
