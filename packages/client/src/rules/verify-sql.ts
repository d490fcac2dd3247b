import { keyJsonSql, payloadSql } from './capture-sql.ts';
import type { LocalTable } from './local-schema.ts';
import { quoteIdentifier } from './sql-text.ts';
import { equalsWireSql, keyValueSql, tableSql } from './wire-sql.ts';

/** Which ends of a range of keys are given: the first exclusive, the second inclusive. */
export interface RangeEnds {
  readonly hasAfter: boolean;
  readonly hasThrough: boolean;
}

const PAYLOAD = 'COALESCE(p.sql_payload, p.payload)';

/** Schema, table, ends that are given, rows. Key, captured payload and version of the rows of a range, in key order. */
export function rangeRowsSql(table: LocalTable, ends: RangeEnds): string {
  return (
    `SELECT ${keyJsonSql(table, 'x')}, ${payloadSql(table, 'x')}, COALESCE(CAST(s.row_version AS TEXT), '0') FROM ${tableSql(table)} x ` +
    `LEFT JOIN _sync_row_state s ON s.schema_name = ? AND s.table_name = ? AND s.key_json = ${keyJsonSql(table, 'x')} AND s.deleted = 0 ` +
    `WHERE ${inRangeSql(table, ends)} ORDER BY x.${quoteIdentifier(table.key.name)} LIMIT ?`
  );
}

/** First ordinal, table, version, ends that are given, table. Rows of a range that the page does not hold are deletions. */
export function pageExtraRowsSql(table: LocalTable, ends: RangeEnds): string {
  return (
    `INSERT INTO _oversync_work._oversync_page(ordinal, table_name, key_json, op, row_version) ` +
    `SELECT ? + row_number() OVER (), ?, ${keyJsonSql(table, 'x')}, 'DELETE', ? FROM ${tableSql(table)} x ` +
    `WHERE ${inRangeSql(table, ends)} AND NOT EXISTS (SELECT 1 FROM _oversync_work._oversync_page p ` +
    `WHERE p.table_name = ? AND p.key_json = ${keyJsonSql(table, 'x')})`
  );
}

/** Table, schema. Rows of the page that the table holds already, under the same version. */
export function dropEqualRowsSql(table: LocalTable): string {
  const key = quoteIdentifier(table.key.name);
  return (
    `DELETE FROM _oversync_work._oversync_page WHERE ordinal IN (SELECT p.ordinal FROM _oversync_work._oversync_page p ` +
    `JOIN ${tableSql(table)} x ON x.${key} = ${keyValueSql(table, 'p.key_json')} JOIN _sync_row_state s ` +
    `ON s.table_name = p.table_name AND s.key_json = p.key_json AND s.deleted = 0 AND s.row_version = p.row_version ` +
    `WHERE p.table_name = ? AND p.op <> 'DELETE' AND s.schema_name = ? AND ${equalsWireSql(table, 'x', PAYLOAD)})`
  );
}

/** The condition on a live row state of the table, alias `s`, that its row is missing and nothing unsent explains that. Schema, table. */
export function orphanStateSql(table: LocalTable): string {
  const same = 'schema_name = s.schema_name AND d.table_name = s.table_name AND d.key_json = s.key_json';
  return (
    `s.schema_name = ? AND s.table_name = ? AND s.deleted = 0 ` +
    `AND NOT EXISTS (SELECT 1 FROM ${tableSql(table)} x WHERE x.${quoteIdentifier(table.key.name)} = ${keyValueSql(table, 's.key_json')}) ` +
    `AND NOT EXISTS (SELECT 1 FROM _sync_dirty_rows d WHERE d.${same}) ` +
    `AND NOT EXISTS (SELECT 1 FROM _oversync_quarantine d WHERE d.${same} AND d.shows = 'local') ` +
    `AND (s.table_name, s.key_json) NOT IN (SELECT table_name, key_json FROM _sync_outbox_rows)`
  );
}

function inRangeSql(table: LocalTable, { hasAfter, hasThrough }: RangeEnds): string {
  const key = `x.${quoteIdentifier(table.key.name)}`;
  const tests = [...(hasAfter ? [`${key} > ?`] : []), ...(hasThrough ? [`${key} <= ?`] : [])];
  return tests.length === 0 ? 'true' : tests.join(' AND ');
}
