/**
 * Which pushes say themselves what their rows will look like, so that rows, versions and history can be written by one statement that
 * reads each staged row once.
 */
import type { ApplyGroup } from './push-apply-sql.ts';
import { parseColumnSet } from './push-column-set.ts';
import type { PushOp } from './push-row.ts';
import type { Catalog, TableDescription } from './table-description.ts';

/** Groups in one statement; a push with more of them is made of rows too different to gain anything. */
const DIRECT_GROUPS_MAX = 16;

/** Staged rows of one table that set the same columns. */
export interface DirectGroup {
  readonly table: TableDescription;
  readonly group: ApplyGroup;
  /** Columns that are written, in the order of the row literal; none for DELETE. */
  readonly columns: readonly string[];
}

export interface DirectPush {
  readonly op: PushOp;
  readonly groups: readonly DirectGroup[];
}

/**
 * The push as direct groups, or `null` when a stored row might differ from the staged one, or when the order of its statements matters.
 *
 * A row literal is read by the input functions of the row type, with their modifiers: what comes out is what INSERT and UPDATE store,
 * unless something else has a say. BEFORE ROW triggers and rules have; so have generated columns, defaults of columns that the row leaves
 * out, and, for an UPDATE, the old values of such columns. Whatever AFTER triggers and references do is captured, and seen afterwards.
 */
export function planDirectPush(groups: readonly ApplyGroup[], catalog: Catalog): DirectPush | null {
  const [first] = groups;
  if (first === undefined || groups.length > DIRECT_GROUPS_MAX) return null;
  const { op } = first;
  if (groups.some((group) => group.op !== op)) return null;
  const direct = groups.map((group) => describeGroup(group, catalog));
  if (!direct.every((group) => group !== null)) return null;
  // Two statements on one table could pass a unique value on; inside one statement their order is not defined.
  const tableCount = new Set(direct.map(({ table }) => table)).size;
  return op !== 'INSERT' && tableCount < direct.length ? null : { op, groups: direct };
}

function describeGroup(group: ApplyGroup, catalog: Catalog): DirectGroup | null {
  const table = catalog.byId.get(group.tableId);
  if (table === undefined || table.capturesPushes) return null;
  if (group.op === 'DELETE') return table.deletesFirst ? { table, group, columns: [] } : null;
  const { form, columns } = parseColumnSet(group.columnSet, table);
  const given = new Set(columns);
  const saysAll = table.columns.every(
    ({ name, isGenerated }) => !isGenerated && (given.has(name) || (group.op === 'UPDATE' && name === table.keyColumn)),
  );
  return form === 'l' && columns.length > 0 && saysAll ? { table, group, columns } : null;
}
