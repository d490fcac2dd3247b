/** SQL that hashes and reads ranges of one table of a scope; built from checked table descriptions. */
import {
  columnRef,
  keyFromBytes,
  keyMember,
  keyTextOfRow,
  renderColumnValue,
  renderPayload,
  tableMembers,
  tableRef,
} from './render-sql.ts';
import type { RenderFunctions } from './render-sql.ts';
import { quoteLiteral } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';
import type { ColumnDescription, TableDescription } from './table-description.ts';

interface VerifyNames extends RenderFunctions {
  readonly rowState: string;
}

/**
 * `$1` scope_pk, `$2` scope id, `$3` JSON array of ranges with `ordinal`, `after_key` and `through_key` in hexadecimal, `$4` JSON array
 * of excluded keys in hexadecimal, `$5` parts. Per part that has rows: ordinal of the range, part, rows, hash, last key in hexadecimal,
 * whether metadata and table disagree.
 *
 * A row is hashed as its version, a space, and the payload of `columns`; the hash of a part is that of the hexadecimal row hashes in
 * key order. So PostgreSQL never holds the text of more than one row, whatever the size of the part.
 */
export function rangeHashes(table: TableDescription, columns: readonly ColumnDescription[], names: VerifyNames): string {
  const key = columnRef('t', table.keyColumn);
  const text = `s.version::pg_catalog.text||' '||${renderVerified(table, columns, names)}`;
  return `
WITH wanted AS MATERIALIZED (
  SELECT * FROM pg_catalog.json_to_recordset($3::pg_catalog.json) AS w(ordinal pg_catalog.int4, after_key pg_catalog.text, through_key pg_catalog.text)
), excluded AS MATERIALIZED (
  SELECT pg_catalog.decode(k, 'hex') AS key_bytes FROM pg_catalog.json_array_elements_text($4::pg_catalog.json) k
), hashed AS (
  SELECT w.ordinal, r.key_bytes, r.row_hash,
    pg_catalog.ntile($5::pg_catalog.int4) OVER (PARTITION BY w.ordinal ORDER BY r.key_bytes) AS part
  FROM wanted w CROSS JOIN LATERAL (
    SELECT s.key_bytes, CASE WHEN ${key} IS NOT NULL THEN
      pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(${text}, 'UTF8')), 'hex') END AS row_hash
    FROM ${liveRows(table, names)}
      AND s.key_bytes > pg_catalog.decode(w.after_key, 'hex') AND s.key_bytes <= pg_catalog.decode(w.through_key, 'hex')
      AND NOT EXISTS (SELECT FROM excluded e WHERE e.key_bytes = s.key_bytes)
  ) r
)
SELECT ordinal, part, count(*),
  pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.string_agg(row_hash, '' ORDER BY key_bytes), 'UTF8')), 'hex'),
  max(pg_catalog.encode(key_bytes, 'hex') COLLATE "C"), bool_or(row_hash IS NULL)
FROM hashed GROUP BY ordinal, part ORDER BY ordinal, part`;
}

/**
 * `$1` scope_pk, `$2` scope id, `$3` and `$4` ends of the range in hexadecimal, `$5` rows, `$6` bytes. Row text, NULL where metadata and
 * table disagree, and the number of rows before the cut by bytes. The first row always fits.
 */
export function rangeRows(table: TableDescription, names: VerifyNames): string {
  const key = columnRef('t', table.keyColumn);
  const text =
    `'{'||${tableMembers(table)}||','||${keyMember(table, keyTextOfRow(table, 't'))}||',"row_version":'||s.version::pg_catalog.text` +
    `||',"payload":'||${renderPayload(table, 't', names)}||'}'`;
  return `
SELECT row_text, found FROM (
  SELECT row_text, key_bytes, count(*) OVER () AS found,
    COALESCE(pg_catalog.sum(pg_catalog.octet_length(row_text)) OVER (ORDER BY key_bytes) - pg_catalog.octet_length(row_text), 0) AS bytes_before
  FROM (
    SELECT s.key_bytes, CASE WHEN ${key} IS NOT NULL THEN ${text} END AS row_text
    FROM ${liveRows(table, names)}
      AND s.key_bytes > pg_catalog.decode($3, 'hex') AND s.key_bytes <= pg_catalog.decode($4, 'hex')
    ORDER BY s.key_bytes LIMIT $5::pg_catalog.int4
  ) page
) cut WHERE bytes_before <= $6::pg_catalog.int8 ORDER BY key_bytes`;
}

/** Row state of the live rows of the scope with the rows that belong to them; ends inside the WHERE clause. */
function liveRows(table: TableDescription, names: VerifyNames): string {
  return (
    `${names.rowState} s LEFT JOIN ${tableRef(table)} t ON ${columnRef('t', SCOPE_COLUMN)} = $2 ` +
    `AND ${columnRef('t', table.keyColumn)} = ${keyFromBytes(table, 's.key_bytes')} ` +
    `WHERE s.scope_pk = $1::pg_catalog.int8 AND s.table_id = ${String(table.tableId)} AND NOT s.deleted`
  );
}

/**
 * The payload as it is hashed: the given columns in the order of their names. SQLite keeps a boolean as an integer and cannot know that
 * it was one, so booleans are written as a device sends them, `"0"` or `"1"`. Everything else stands as it does on the wire.
 */
function renderVerified(table: TableDescription, columns: readonly ColumnDescription[], names: VerifyNames): string {
  const detail = `':'||${keyTextOfRow(table, 't')}`;
  const members = columns.map((column, index) => {
    const opening = `${index === 0 ? '{' : ','}${JSON.stringify(column.name)}:`;
    const value =
      column.family === 'boolean'
        ? `CASE WHEN ${columnRef('t', column.name)} THEN '"1"' WHEN NOT ${columnRef('t', column.name)} THEN '"0"' END`
        : renderColumnValue(table, column, 't', names, detail);
    return `${quoteLiteral(opening)}||COALESCE(${value},'null')`;
  });
  return `(${members.join('||')}||'}')`;
}
