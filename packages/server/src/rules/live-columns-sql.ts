/** SQL that looks up what tables hold now for rows of history; built from checked table descriptions. */
import { columnRef, keyBytesOfText, keyFromText, renderPayload, tableRef } from './render-sql.ts';
import type { RenderFunctions } from './render-sql.ts';
import { SCOPE_COLUMN } from './table-description.ts';
import type { TableDescription } from './table-description.ts';

interface LiveNames extends RenderFunctions {
  readonly rowState: string;
}

/** A table and those of its columns that are asked for. */
export interface LiveColumns {
  readonly table: TableDescription;
  readonly columns: readonly string[];
}

/**
 * `$1` scope_pk, `$2` scope id, `$3` table ids, `$4` wire texts of the keys, `$5` bytes of stored text up to and including each row,
 * `$6` bytes at most. Version and columns, NULL for a row that is gone, of as many rows as fit, in their order; the first one always does.
 */
export function liveColumns(tables: readonly LiveColumns[], names: LiveNames): string {
  return `
WITH wanted AS MATERIALIZED (
  SELECT table_id, key_text, stored_bytes, ordinal FROM ROWS FROM (
    pg_catalog.unnest($3::pg_catalog.text[]::pg_catalog.int4[]), pg_catalog.unnest($4::pg_catalog.text[]),
    pg_catalog.unnest($5::pg_catalog.text[]::pg_catalog.int8[])
  ) WITH ORDINALITY AS w(table_id, key_text, stored_bytes, ordinal)
)
SELECT version, payload FROM (
  SELECT ordinal, version, payload, stored_bytes + pg_catalog.sum(COALESCE(pg_catalog.octet_length(payload), 0)) OVER (ORDER BY ordinal) AS bytes
  FROM (
    ${tables.map((live) => liveRows(live, names)).join('\n    UNION ALL\n    ')}
  ) found
) held WHERE ordinal = 1 OR bytes <= $6::pg_catalog.int8 ORDER BY ordinal`;
}

/** One look-up of the state and one of the row for each wanted key, whatever the planner thinks of their number. */
function liveRows({ table, columns }: LiveColumns, names: LiveNames): string {
  const id = String(table.tableId);
  const wanted = { ...table, columns: table.columns.filter(({ name }) => columns.includes(name)) };
  return (
    `SELECT w.ordinal, w.stored_bytes, s.version::pg_catalog.text AS version, r.payload FROM wanted w ` +
    `LEFT JOIN LATERAL (SELECT st.version FROM ${names.rowState} st WHERE st.scope_pk = $1::pg_catalog.int8 AND st.table_id = ${id} ` +
    `AND st.key_bytes = ${keyBytesOfText(table, 'w.key_text')} AND NOT st.deleted OFFSET 0) s ON true ` +
    `LEFT JOIN LATERAL (SELECT ${renderPayload(wanted, 't', names)} AS payload FROM ${tableRef(table)} t ` +
    `WHERE ${columnRef('t', SCOPE_COLUMN)} = $2 AND ${columnRef('t', table.keyColumn)} = ${keyFromText(table, 'w.key_text')} OFFSET 0) r ` +
    `ON true WHERE w.table_id = ${id}`
  );
}
