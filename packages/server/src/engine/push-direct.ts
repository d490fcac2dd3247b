import { PgFault } from '../ports/postgres.ts';
import type { PgRow, PgTransaction } from '../ports/postgres.ts';
import { planDirectPush } from '../rules/direct-push.ts';
import { selectRowChangers, selectRowColumns } from '../rules/push-apply-sql.ts';
import type { TableDescription } from '../rules/table-description.ts';
import { decideViolationKind } from '../rules/violation-map.ts';
import { applyTableSetting, applyTablesSetting } from '../store/capture.sql.ts';
import { commitDirectly } from '../store/direct-push.sql.ts';
import { BLOCK_BYTES, BLOCK_ROWS_MAX, settleConstraints, SQL_HASH_BYTES_MAX } from '../store/finalise.sql.ts';
import { RowReader } from '../store/row-reader.ts';
import { runStatements } from '../store/run-statements.ts';
import type { SyncContext } from './context.ts';
import { readWrittenRows } from './finalise.ts';
import type { WrittenRows } from './finalise.ts';
import { checkRowColumns } from './push-apply.ts';
import type { ApplyInput } from './push-apply-statement.ts';

export interface DirectInput extends ApplyInput {
  readonly bundleSeq: bigint;
  readonly floor: bigint;
  readonly stagedBytes: bigint;
}

/**
 * Tables of which a direct commit had to be taken back, because something else wrote as well. It would be in vain the next time too;
 * with a new catalog, whose triggers may be others, it is tried again.
 */
const busyTables = new WeakSet<TableDescription>();

/**
 * Applies the staged rows and writes their history in one statement, where the push says itself what its rows will look like.
 *
 * Keys and versions are checked on the way. Resolves to `undefined` when a row is in conflict, when a trigger or a reference has written
 * to a registered table too, or when anything about the data was refused: nothing has happened then, and going step by step gives the
 * right outcome or error.
 */
export async function commitDirect(
  ctx: Pick<SyncContext, 'names' | 'commitsDirectly'>,
  tx: PgTransaction,
  input: DirectInput,
): Promise<WrittenRows | undefined> {
  const push = ctx.commitsDirectly === false ? null : planDirectPush(input.groups, input.catalog);
  if (push === null || push.groups.some(({ table }) => busyTables.has(table))) return undefined;
  const tables = [...new Set(push.groups.map(({ table }) => table))];
  const { staged } = input;
  const hashBytesMax = tables.some((table) => table.hasNestedJson) ? 0 : SQL_HASH_BYTES_MAX;
  const rowCount = push.groups.reduce((sum, { group }) => sum + group.rowCount, 0);
  const hasSmallRows = Number(input.stagedBytes) <= rowCount * SMALL_ROW_BYTES;
  const query = {
    ...staged,
    push,
    hasSmallRows,
    bundleSeq: String(input.bundleSeq),
    floor: String(input.floor),
    hashBytesMax,
  };
  try {
    const results = await runStatements(tx, [
      'SAVEPOINT applied',
      'SET CONSTRAINTS ALL DEFERRED',
      applyTablesSetting(tables.map(({ tableId }) => tableId)),
      commitDirectly(ctx.names, query),
      applyTableSetting(null),
      ...settleConstraints(ctx.names, staged.scopePk, input.captureToken),
      ...tables.map(selectRowColumns),
      ...tables.map(selectRowChangers),
    ]);
    const [written, , , captures, ...columns] = results.slice(DIRECT_RESULT);
    checkRowColumns(
      tables,
      columns.map(({ rows }) => rows[0]?.[0] ?? ''),
    );
    // A trigger may have come since the catalog was read.
    const hasChanger = columns.slice(tables.length).some(({ rows }) => rows[0]?.[0] !== 'f');
    const isAlone = captures?.rows.length === 0 && !hasChanger;
    if (!isAlone) for (const table of tables) busyTables.add(table);
    const rows = readDirectRows(written?.rows[0] ?? [], push.op === 'INSERT' ? 0 : rowCount);
    if (isAlone && rows !== undefined) return rows;
  } catch (error) {
    if (!(error instanceof PgFault) || decideViolationKind(error) === null) throw error;
  }
  await tx.script('ROLLBACK TO SAVEPOINT applied');
  return undefined;
}

/** `undefined` when a row was in conflict, when one was not there, or when a block became too large. */
function readDirectRows(row: PgRow, appliedCountWanted: number): WrittenRows | undefined {
  if (row[0] === null || row[0] === '0') return undefined;
  const reader = new RowReader(row);
  const rows = readWrittenRows(reader);
  const appliedCount = reader.int();
  const largestBlock = reader.int();
  return appliedCount === appliedCountWanted && largestBlock <= BLOCK_BYTES ? rows : undefined;
}

/** Mean size up to which a block is taken to be far from its greatest size; one that grows beyond it nevertheless is written another way. */
const SMALL_ROW_BYTES = BLOCK_BYTES / BLOCK_ROWS_MAX / 2;

/** Place of the direct statement among those that are sent together. */
const DIRECT_RESULT = 3;
