/**
 * SQL that applies staged rows to the business tables: one statement per (phase, table, column set), so that the number of
 * statements depends on the shape of a push and not on its size.
 */
import type { PgStatement } from '../ports/postgres.ts';
import { bindStatement } from './bound-statement.ts';
import type { SqlTerm } from './bound-statement.ts';
import { parseColumnSet } from './push-column-set.ts';
import type { ColumnSet } from './push-column-set.ts';
import type { PushOp } from './push-row.ts';
import { keyFromText, tableRef } from './render-sql.ts';
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';
import type { Catalog, TableDescription } from './table-description.ts';

/** Staged rows that one statement applies. */
export interface ApplyGroup {
  readonly tableId: number;
  readonly op: PushOp;
  readonly columnSet: string;
  readonly firstRowOrdinal: number;
  readonly rowCount: number;
  /** No row was ever seen by its device: all base versions are 0. Unknown where it was not asked. */
  readonly isNew?: boolean;
}

/** Where the staged rows are. */
export interface StagedPush {
  /** Qualified, quoted name of `push_row`. */
  readonly pushRow: string;
  readonly scopeId: string;
  readonly scopePk: string;
  readonly pushId: string;
}

/** {@link StagedPush} whose scope may be known to SQL only. */
export interface FoundPush extends Omit<StagedPush, 'scopePk'> {
  readonly scopePk: string | SqlTerm;
}

export interface ApplyStatement {
  readonly table: TableDescription;
  readonly group: ApplyGroup;
  /** Applies the rows of the group up to and including an ordinal; without one, all of them. */
  readonly sql: (rowOrdinalMax?: number) => PgStatement;
}

/** {@link StagedPush} with its values as SQL expressions. */
type StagedTerms = StagedPush;

/**
 * Phases of server.md 7.3 step 5. Deletes that no ON DELETE action follows come first, so that unique values become free; the
 * others come after the updates, so that a child moved to another parent survives the deletion of the old one.
 */
function phaseOf(op: PushOp, table: TableDescription): number {
  if (op === 'DELETE') return table.deletesFirst ? 0 : 2;
  return op === 'UPDATE' ? 1 : 3;
}

/** The statements in the order in which they have to run. Groups of tables that are no longer registered are an assertion failure. */
export function planApply(groups: readonly ApplyGroup[], catalog: Catalog, staged: FoundPush): readonly ApplyStatement[] {
  const firstOfTable = new Map<number, number>();
  for (const { tableId, firstRowOrdinal } of groups) {
    firstOfTable.set(tableId, Math.min(firstRowOrdinal, firstOfTable.get(tableId) ?? firstRowOrdinal));
  }
  return groups
    .map((group) => {
      const table = catalog.byId.get(group.tableId);
      if (table === undefined) throw new Error(`table ${group.tableId} of a staged row is not registered`);
      return { table, group, sql: (rowOrdinalMax?: number) => bindApply(table, group, staged, rowOrdinalMax) };
    })
    .filter(({ table, group }) => group.op !== 'UPDATE' || parseColumnSet(group.columnSet, table).columns.length > 0)
    .toSorted(
      (left, right) =>
        phaseOf(left.group.op, left.table) - phaseOf(right.group.op, right.table) ||
        (firstOfTable.get(left.group.tableId) ?? 0) - (firstOfTable.get(right.group.tableId) ?? 0) ||
        left.group.firstRowOrdinal - right.group.firstRowOrdinal,
    );
}

function bindApply(
  table: TableDescription,
  group: ApplyGroup,
  staged: FoundPush,
  rowOrdinalMax: number | undefined,
): PgStatement {
  return bindStatement((bind) => {
    const terms = {
      pushRow: staged.pushRow,
      scopeId: bind('text', staged.scopeId),
      scopePk: bind('int8', staged.scopePk),
      pushId: bind('uuid', staged.pushId),
    };
    return applySql(table, group, terms, rowOrdinalMax);
  });
}

function applySql(table: TableDescription, group: ApplyGroup, staged: StagedTerms, rowOrdinalMax: number | undefined): string {
  const rows = groupRows(group, staged, rowOrdinalMax);
  const key = quoteIdentifier(table.keyColumn);
  const matches = (keyValue: string): string => `t.${quoteIdentifier(SCOPE_COLUMN)}=x.scope AND t.${key}=${keyValue}`;
  if (group.op === 'DELETE') {
    const keys = `SELECT ${keyFromText(table, 'p.key_text')} AS key,${scopeOf(staged)} ${rows} OFFSET 0`;
    return `DELETE FROM ${tableRef(table)} t USING (${keys}) x WHERE ${matches('x.key')}`;
  }
  const set = parseColumnSet(group.columnSet, table);
  const source = valueSource(table, set, staged, rows);
  if (group.op === 'INSERT') {
    const names = [...set.columns, SCOPE_COLUMN].map(quoteIdentifier).join(',');
    const values = set.columns.map((column) => source.value(column));
    return `INSERT INTO ${tableRef(table)} (${names}) SELECT ${values.join(',')},${staged.scopeId} FROM ${source.from}`;
  }
  const assignments = set.columns.map((column) => `${quoteIdentifier(column)}=${source.value(column)}`).join(',');
  return `UPDATE ${tableRef(table)} t SET ${assignments} FROM ${source.from} WHERE ${matches(source.value(table.keyColumn))}`;
}

/**
 * The scope comes out of a sub-select that the planner does not look into. With a constant it would expect one row of a scope or
 * a push that it has no statistics of, and might compare every staged row with every row of the scope.
 */
function scopeOf(staged: StagedTerms): string {
  return `${staged.scopeId} AS scope`;
}

function groupRows(group: ApplyGroup, staged: StagedTerms, rowOrdinalMax: number | undefined): string {
  const bound = rowOrdinalMax === undefined ? '' : ` AND p.row_ordinal<=${rowOrdinalMax}`;
  return (
    `FROM ${staged.pushRow} p WHERE p.scope_pk=${staged.scopePk} AND p.push_id=${staged.pushId} AND p.table_id=${group.tableId}` +
    ` AND p.op='${group.op}' AND p.column_set='${group.columnSet}'${bound} ORDER BY p.row_ordinal`
  );
}

interface ValueSource {
  readonly from: string;
  readonly value: (column: string) => string;
}

/** `OFFSET 0` keeps the planner from pulling the cast up, where it would run once per column instead of once per row. */
function valueSource(table: TableDescription, set: ColumnSet, staged: StagedTerms, rows: string): ValueSource {
  if (set.form === 'l') {
    return {
      from: `(SELECT p.apply_text::${tableRef(table)} AS r,${scopeOf(staged)} ${rows} OFFSET 0) x`,
      value: (column) => `(x.r).${quoteIdentifier(column)}`,
    };
  }
  return {
    from: `(SELECT r.*,${scopeOf(staged)} FROM (SELECT p.apply_text ${rows}) p, ${jsonRecord(table, set.columns, 'p.apply_text')} OFFSET 0) x`,
    value: (column) => `x.${quoteIdentifier(column)}`,
  };
}

/** Reads the texts of a JSON object by the input functions of the columns' own types. */
export function jsonRecord(table: TableDescription, columns: readonly string[], text: string): string {
  const wanted = columns.includes(table.keyColumn) ? columns : [table.keyColumn, ...columns];
  const types = wanted.map((name) => `${quoteIdentifier(name)} ${table.columnByName.get(name)?.sqlType ?? 'text'}`);
  return `LATERAL pg_catalog.json_to_record(${text}::pg_catalog.json) AS r(${types.join(',')})`;
}

/** An expression over `p` that PostgreSQL can only evaluate by converting every value of the staged row. */
export function conversionProbe(table: TableDescription, columnSet: string): string {
  const set = parseColumnSet(columnSet, table);
  if (set.form === 'l') return `p.apply_text::${tableRef(table)} IS NULL`;
  return `(SELECT r IS NULL FROM ${jsonRecord(table, set.columns, 'p.apply_text').replace('LATERAL ', '')})`;
}

/** Names of the fields of a table's row type, as `rowColumns.join(',')`: read after the apply, when its locks keep them so. */
export function selectRowColumns(table: TableDescription): PgStatement {
  return bindStatement(
    () =>
      `SELECT pg_catalog.string_agg(a.attname::pg_catalog.text,',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a ` +
      `WHERE a.attrelid=${quoteLiteral(tableRef(table))}::pg_catalog.regclass AND a.attnum>0 AND NOT a.attisdropped`,
  );
}

/**
 * Whether anything may change a pushed row before it is stored: a BEFORE ROW trigger or a rule, of the table or of a partition. The catalog
 * tells it too, as it was when it was read; after the rows were applied, the locks of the table keep the answer true.
 */
export function selectRowChangers(table: TableDescription): PgStatement {
  const relations = `pg_catalog.pg_class c WHERE c.oid=${quoteLiteral(tableRef(table))}::pg_catalog.regclass OR c.oid IN (
    SELECT p.relid FROM pg_catalog.pg_partition_tree(${quoteLiteral(tableRef(table))}::pg_catalog.regclass) p)`;
  return bindStatement(() => `SELECT pg_catalog.bool_or(${changesRows('c')}) FROM ${relations}`);
}

/** The same of one row of `pg_class`, as SQL. */
export function changesRows(relation: string): string {
  return (
    `(${relation}.relhasrules OR EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid=${relation}.oid AND NOT t.tgisinternal ` +
    `AND t.tgtype&3=3 AND t.tgtype&20<>0 AND t.tgenabled IN ('O','A')))`
  );
}
