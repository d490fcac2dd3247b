/** Where live row versions and business rows of one scope disagree (server.md 8.3): each key of either side has to be on both. */
import { keyBytesOfRow, keyTextFromBytes, tableRef } from '../rules/render-sql.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import type { TableDescription } from '../rules/table-description.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** `$1` scope_pk, `$2` scope id. One row per key that is on one side only; `is_lost`: the version is there, the row is not. */
function differencesSql(m: MetadataNames, tables: readonly TableDescription[]): string {
  return tables
    .map(
      (table) => `
  SELECT ${String(table.tableId)}::int4 AS table_id, COALESCE(b.key_bytes, r.key_bytes) AS key_bytes, b.key_bytes IS NULL AS is_lost
  FROM (SELECT ${keyBytesOfRow(table, 't')} AS key_bytes FROM ${tableRef(table)} t WHERE t.${quoteIdentifier(SCOPE_COLUMN)} = $2::text) b
  FULL JOIN (SELECT s.key_bytes FROM ${m.rowState} s WHERE s.scope_pk = $1::int8 AND s.table_id = ${String(table.tableId)} AND NOT s.deleted) r
    ON r.key_bytes = b.key_bytes
  WHERE b.key_bytes IS NULL OR r.key_bytes IS NULL`,
    )
    .join('\nUNION ALL ');
}

/** `$1` scope_pk, `$2` scope id, `$3` examples at most. Rows: table id, is lost, keys that differ, key text of one of them. */
export function selectScopeDifferences(m: MetadataNames, tables: readonly TableDescription[]): string {
  const keyText = tables.map((table) => `WHEN ${String(table.tableId)} THEN ${keyTextFromBytes(table, 'd.key_bytes')}`);
  return `
SELECT d.table_id, d.is_lost, d.total, CASE d.table_id ${keyText.join(' ')} END
FROM (
  SELECT f.*, count(*) OVER side AS total, row_number() OVER (side ORDER BY f.key_bytes) AS position
  FROM (${differencesSql(m, tables)}) f
  WINDOW side AS (PARTITION BY f.table_id, f.is_lost)
) d
WHERE d.position <= $3::int8
ORDER BY d.table_id, d.is_lost, d.position`;
}

/** `$1` scope_pk, `$2` scope id, `$3` capture token: declares every key that differs touched. Rows: table ids concerned. */
export function captureScopeDifferences(m: MetadataNames, tables: readonly TableDescription[]): string {
  return `
WITH captured AS (
  INSERT INTO ${m.capture} (scope_pk, token, ordinal, table_id, key_bytes)
  SELECT $1::int8, $3::uuid, row_number() OVER (ORDER BY d.table_id, d.key_bytes), d.table_id, d.key_bytes
  FROM (${differencesSql(m, tables)}) d
  RETURNING table_id
)
SELECT DISTINCT table_id FROM captured ORDER BY table_id`;
}

/** `$1` scope id, `$2` gap. The new head; no row for a scope without history. */
export function raiseFloorToHead(m: MetadataNames): string {
  return `
UPDATE ${m.scope} SET head = head + $2::int8, floor = head + $2::int8 WHERE scope_id = $1 AND state = 'initialized' RETURNING head`;
}
