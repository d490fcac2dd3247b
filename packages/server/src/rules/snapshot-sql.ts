/** SQL that yields the rows of a scope as snapshot rows; built from checked table descriptions. */
import { columnRef, keyFromBytes, keyMember, keyTextOfRow, renderPayload, tableMembers, tableRef } from './render-sql.ts';
import type { RenderFunctions } from './render-sql.ts';
import { quoteIdentifier } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';
import type { TableDescription } from './table-description.ts';

interface SnapshotNames extends RenderFunctions {
  readonly rowState: string;
}

/** SQL expressions for the scope, usually parameters. */
interface ScopeExpressions {
  readonly scopePk: string;
  readonly scopeId: string;
}

/** SQL expressions for consecutive keys of one table: from `firstKey` on, up to but without `endKey`. */
interface KeyRange {
  readonly tableId: string;
  readonly firstKey: string;
  readonly endKey: string;
}

/**
 * A query with the columns `key_bytes, row_text` over the live keys of the metadata in `range`. A key without a row yields a NULL text:
 * an image that hides the difference would hide it from every device.
 */
export function snapshotRows(
  tables: readonly TableDescription[],
  names: SnapshotNames,
  scope: ScopeExpressions,
  range: KeyRange,
): string {
  if (tables.length === 0) return 'SELECT NULL::bytea AS key_bytes, NULL::text AS row_text WHERE false';
  return tables.map((table) => tableRows(table, names, scope, range)).join('\nUNION ALL\n');
}

function tableRows(table: TableDescription, names: SnapshotNames, scope: ScopeExpressions, range: KeyRange): string {
  const id = String(table.tableId);
  const key = columnRef('t', table.keyColumn);
  const text =
    `'{'||${tableMembers(table)}||','||${keyMember(table, keyTextOfRow(table, 't'))}||',"row_version":'||s.version::text` +
    `||',"payload":'||${renderPayload(table, 't', names)}||'}'`;
  return (
    `SELECT s.key_bytes, CASE WHEN ${key} IS NOT NULL THEN ${text} END AS row_text FROM ${names.rowState} s ` +
    `LEFT JOIN ${rowsOfKeys(table, scope, range)} ` +
    `WHERE ${range.tableId} = ${id} AND s.scope_pk = ${scope.scopePk} AND s.table_id = ${id} AND NOT s.deleted ` +
    `AND s.key_bytes >= ${range.firstKey} AND s.key_bytes < ${range.endKey}`
  );
}

/**
 * The rows that belong to the keys of `s`. Uuids sort like their bytes, so their rows are one range of the index: reading it once is
 * cheaper than a look-up for each key. The order of texts depends on their collation, so they are looked up; `OFFSET 0` keeps the
 * planner from reading all texts of the scope for each batch instead.
 */
function rowsOfKeys(table: TableDescription, scope: ScopeExpressions, range: KeyRange): string {
  const key = columnRef('t', table.keyColumn);
  const isOfScope = `${columnRef('t', SCOPE_COLUMN)} = ${scope.scopeId}`;
  const isRow = `${key} = ${keyFromBytes(table, 's.key_bytes')}`;
  if (table.keyKind === 'text')
    return `LATERAL (SELECT * FROM ${tableRef(table)} t WHERE ${isOfScope} AND ${isRow} OFFSET 0) t ON true`;
  const first = keyFromBytes(table, range.firstKey);
  // The end of the last batch is longer than a uuid; its first 16 bytes are the greatest one.
  const last = keyFromBytes(table, `pg_catalog.substring(${range.endKey},1,16)`);
  return `${tableRef(table)} t ON ${isOfScope} AND ${key} >= ${first} AND ${key} <= ${last} AND ${isRow}`;
}

/** An SQL expression for the rows that the tables hold for the scope, whatever the metadata says. */
export function countScopeRows(tables: readonly TableDescription[], scopeId: string): string {
  const counts = tables.map(
    (table) => `(SELECT count(*) FROM ${tableRef(table)} WHERE ${quoteIdentifier(SCOPE_COLUMN)} = ${scopeId})`,
  );
  return ['0', ...counts].join('+');
}
