/** SQL that yields all rows of a scope as snapshot rows; built from checked table descriptions. */
import { keyBytesOfRow, keyMember, keyTextOfRow, renderPayload, tableMembers, tableRef } from './render-sql.ts';
import type { RenderFunctions } from './render-sql.ts';
import { quoteIdentifier } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';
import type { TableDescription } from './table-description.ts';

interface SnapshotNames extends RenderFunctions {
  readonly rowState: string;
}

/**
 * A query with the columns `table_id, key_bytes, row_text` over all tables. `scopePk` and `scopeId` are SQL expressions, usually
 * parameters. Metadata and table are joined from both sides: a key that lives in only one of them yields a NULL text, because an
 * image that hides the difference would hide it from every device.
 */
export function snapshotImageRows(
  tables: readonly TableDescription[],
  names: SnapshotNames,
  scope: { readonly scopePk: string; readonly scopeId: string },
): string {
  if (tables.length === 0) return 'SELECT 0::int4 AS table_id, NULL::bytea AS key_bytes, NULL::text AS row_text WHERE false';
  return tables.map((table) => tableRows(table, names, scope)).join('\nUNION ALL\n');
}

function tableRows(
  table: TableDescription,
  names: SnapshotNames,
  scope: { readonly scopePk: string; readonly scopeId: string },
): string {
  const id = String(table.tableId);
  const key = `t.${quoteIdentifier(table.keyColumn)}`;
  const text =
    `'{'||${tableMembers(table)}||','||${keyMember(table, keyTextOfRow(table, 't'))}||',"row_version":'||s.version::text` +
    `||',"payload":'||${renderPayload(table, 't', names)}||'}'`;
  return (
    `SELECT ${id}::int4 AS table_id, COALESCE(s.key_bytes, ${keyBytesOfRow(table, 't')}) AS key_bytes, ` +
    `CASE WHEN s.version IS NOT NULL AND ${key} IS NOT NULL THEN ${text} END AS row_text ` +
    `FROM (SELECT key_bytes, version FROM ${names.rowState} WHERE scope_pk = ${scope.scopePk} AND table_id = ${id} AND NOT deleted) s ` +
    `FULL JOIN (SELECT * FROM ${tableRef(table)} WHERE ${quoteIdentifier(SCOPE_COLUMN)} = ${scope.scopeId}) t ` +
    `ON s.key_bytes = ${keyBytesOfRow(table, 't')}`
  );
}
