/** SQL that finds the pushed row a constraint complains about; runs only for a push that is refused. */
import { parseColumnSet } from './push-column-set.ts';
import type { ApplyGroup, StagedPush } from './push-apply-sql.ts';
import { jsonRecord } from './push-apply-sql.ts';
import { tableRef } from './render-sql.ts';
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';
import type { TableDescription } from './table-description.ts';
import type { KeyDetail } from './violation-detail.ts';

/** The staged rows of one group with their values as `x`, beside `row_ordinal` and `key_text`. */
function groupValues(
  table: TableDescription,
  group: ApplyGroup,
  staged: StagedPush,
): { from: string; value: (column: string) => string } {
  const set = parseColumnSet(group.columnSet, table);
  const rows =
    `FROM ${staged.pushRow} p WHERE p.scope_pk=${staged.scopePk} AND p.push_id='${staged.pushId}' AND p.table_id=${group.tableId} ` +
    `AND p.op='${group.op}' AND p.column_set='${group.columnSet}'`;
  if (set.form === 'l') {
    const from = `(SELECT p.row_ordinal,p.key_text,p.apply_text::${tableRef(table)} AS r ${rows} OFFSET 0) x`;
    return { from, value: (column) => `(x.r).${quoteIdentifier(column)}` };
  }
  const inner = `(SELECT p.row_ordinal,p.key_text,p.apply_text ${rows}) p, ${jsonRecord(table, set.columns, 'p.apply_text')}`;
  return { from: `(SELECT p.row_ordinal,p.key_text,r.* FROM ${inner}) x`, value: (column) => `x.${quoteIdentifier(column)}` };
}

/**
 * Last row of a group whose values are those of a key detail: of two equal rows the later one is at fault. `null` when the group
 * cannot have produced them.
 */
export function selectRowByValues(
  table: TableDescription,
  group: ApplyGroup,
  staged: StagedPush,
  detail: KeyDetail,
): string | null {
  if (group.op === 'DELETE') return null;
  const set = new Set(parseColumnSet(group.columnSet, table).columns);
  const isKnown = (column: string): boolean => column === SCOPE_COLUMN || column === table.keyColumn || set.has(column);
  if (!detail.columns.every(isKnown)) return null;
  const { from, value } = groupValues(table, group, staged);
  const texts = detail.columns.map((column) =>
    column === SCOPE_COLUMN ? quoteLiteral(staged.scopeId) : `COALESCE(${value(column)}::pg_catalog.text,'null')`,
  );
  return `SELECT x.row_ordinal,x.key_text,${table.tableId} FROM ${from} WHERE concat_ws(', ',${texts.join(',')})=${quoteLiteral(detail.values)} ORDER BY 1 DESC LIMIT 1`;
}

/** The staged row of one of some tables with a key. */
export function selectRowByKey(staged: StagedPush, tableIds: readonly number[], keyText: string): string {
  return (
    `SELECT p.row_ordinal,p.key_text,p.table_id FROM ${staged.pushRow} p WHERE p.scope_pk=${staged.scopePk} AND p.push_id='${staged.pushId}' ` +
    `AND p.table_id IN (${tableIds.join(',')}) AND p.key_text=${quoteLiteral(keyText)} ORDER BY 1 LIMIT 1`
  );
}

/** First row of a group that sets a column to NULL. */
export function selectRowWithNull(table: TableDescription, group: ApplyGroup, staged: StagedPush, column: string): string | null {
  if (group.op === 'DELETE' || !parseColumnSet(group.columnSet, table).columns.includes(column)) return null;
  const { from, value } = groupValues(table, group, staged);
  return `SELECT x.row_ordinal,x.key_text,${table.tableId} FROM ${from} WHERE ${value(column)} IS NULL ORDER BY 1 LIMIT 1`;
}

/** Table and key of a staged row. */
export function selectRowAt(staged: StagedPush, rowOrdinal: number): string {
  return (
    `SELECT p.row_ordinal,p.key_text,p.table_id FROM ${staged.pushRow} p WHERE p.scope_pk=${staged.scopePk} AND p.push_id='${staged.pushId}' ` +
    `AND p.row_ordinal=${rowOrdinal}`
  );
}
