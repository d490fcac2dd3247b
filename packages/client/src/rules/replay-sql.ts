import { payloadSql } from './capture-sql.ts';
import type { LocalColumn, LocalTable } from './local-schema.ts';
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
    `UPDATE _oversync_work._oversync_page SET verdict = 3 WHERE ordinal IN (SELECT p.ordinal FROM _oversync_work._oversync_page p ` +
    `JOIN _sync_outbox_rows o ON o.source_bundle_id = ? AND o.row_ordinal = p.uploaded_ordinal ` +
    `LEFT JOIN ${tableSql(table)} x ON x.${keyIsSql(table, 'p.key_json')} ` +
    `LEFT JOIN _sync_dirty_rows d ON d.schema_name = ? AND d.table_name = p.table_name AND d.key_json = p.key_json ` +
    `WHERE p.table_name = ? AND CASE WHEN o.op = 'DELETE' THEN ${key} IS NOT NULL ` +
    `WHEN ${key} IS NULL THEN true ELSE ${payloadSql(table, 'x')} IS NOT o.local_payload ` +
    `OR (d.key_json IS NOT NULL AND d.payload IS NOT o.local_payload) END)`
  );
}

/** What stands in the way of leaving a matched row alone, besides an edit of the live row. */
export interface MatchedRisks {
  readonly hasDirty: boolean;
  readonly hasBases: boolean;
  /** Every matched row is written, as if the server had changed it. */
  readonly writesAll: boolean;
}

/**
 * Version, source bundle id, first and last ordinal: a run of upserts, or of deletes, of the table. Puts those matched rows into the page that have to be judged or written: the
 * live row is not what was uploaded, the key has other records, or writing the wire form would change how a value is stored. The
 * others hold the committed values already.
 */
export function pageFromMatchedSql(table: LocalTable, isDelete: boolean, risks: MatchedRisks): string {
  const key = `x.${quoteIdentifier(table.key.name)}`;
  const isOther = [`${payloadSql(table, 'x')} IS NOT o.local_payload`, ...table.columns.map(isRewrittenSql)].join(' OR ');
  const conditions = [
    isDelete ? `${key} IS NOT NULL` : `CASE WHEN ${key} IS NULL THEN true ELSE ${isOther} END`,
    ...(risks.hasDirty ? [recordExistsSql('_sync_dirty_rows')] : []),
    ...(risks.hasBases ? [recordExistsSql('_oversync_row_bases')] : []),
  ];
  const isRisky = risks.writesAll || table.columns.some((column) => column.isJson) ? 'true' : conditions.join(' OR ');
  return (
    `INSERT INTO _oversync_work._oversync_page(ordinal, table_name, key_json, op, row_version, payload, uploaded_ordinal) ` +
    `SELECT o.row_ordinal, o.table_name, o.key_json, o.op, ?, o.wire_payload, o.row_ordinal FROM _sync_outbox_rows o ` +
    `LEFT JOIN ${tableSql(table)} x ON x.${keyIsSql(table, 'o.key_json')} ` +
    `WHERE o.source_bundle_id = ? AND o.row_ordinal BETWEEN ? AND ? AND (${isRisky})`
  );
}

/** True for a value that is not stored as the wire form would be: an integer in a text column, a negative zero. */
function isRewrittenSql(column: LocalColumn): string {
  const value = `x.${quoteIdentifier(column.name)}`;
  switch (column.kind) {
    case 'integer':
      return `typeof(${value}) NOT IN ('integer', 'null')`;
    case 'real':
      return `(typeof(${value}) NOT IN ('real', 'null') OR (${value} = 0 AND printf('%!.20g', ${value}) <> '0.0'))`;
    case 'blob':
    case 'uuidBlob':
      return `typeof(${value}) NOT IN ('blob', 'null')`;
    case 'text':
      return `typeof(${value}) NOT IN ('text', 'null')`;
  }
}

function recordExistsSql(recordTable: string): string {
  return (
    `EXISTS (SELECT 1 FROM ${recordTable} d WHERE d.schema_name = o.schema_name AND d.table_name = o.table_name ` +
    `AND d.key_json = o.key_json)`
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
    `FROM _oversync_work._oversync_page p LEFT JOIN ${tableSql(table)} x ON x.${keyIsSql(table, 'p.key_json')} ` +
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
