import type { LocalSchema } from './local-schema.ts';
import { quoteLiteral } from './sql-text.ts';

/**
 * The upload order of client.md 6.2 step 3 as ORDER BY terms over `d` (dirty rows): upserts by table order, then deletes backwards.
 * Tables in `deletesFirst` send their deletes before everything else.
 */
export function uploadOrderSql(schema: LocalSchema, deletesFirst: ReadonlySet<string>): string {
  const cases = schema.tables.map((table) => `WHEN ${quoteLiteral(table.wireName)} THEN ${table.order}`).join(' ');
  const order = schema.tables.length === 0 ? '0' : `CASE d.table_name ${cases} ELSE ${schema.tables.length} END`;
  const early = [...deletesFirst].map(quoteLiteral).join(', ');
  const phase = `CASE WHEN d.payload IS NOT NULL THEN 1 WHEN d.table_name IN (${early}) THEN 0 ELSE 2 END`;
  return `${phase}, CASE WHEN d.payload IS NULL THEN -(${order}) ELSE ${order} END, d.dirty_ordinal, d.table_name, d.key_json`;
}

/** Schema, highest ordinal. Fills the freeze plan in upload order. */
export function fillFreezePlanSql(schema: LocalSchema, deletesFirst: ReadonlySet<string>): string {
  const names = schema.tables.map((table) => quoteLiteral(table.wireName)).join(', ');
  const size = schema.features.hasOctetLength ? 'octet_length' : 'length';
  return (
    `INSERT INTO _oversync_work._oversync_freeze_plan(dirty_rowid, dirty_ordinal, is_delete, size) ` +
    `SELECT d.rowid, d.dirty_ordinal, d.payload IS NULL, COALESCE(${size}(d.payload), 0) FROM _sync_dirty_rows d ` +
    `WHERE d.schema_name = ? AND d.dirty_ordinal <= ? AND d.table_name IN (${names}) ORDER BY ${uploadOrderSql(schema, deletesFirst)}`
  );
}
