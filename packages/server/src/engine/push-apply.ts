import { APPLY_STATEMENTS_MAX } from '../limits.ts';
import { PgFault } from '../ports/postgres.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { planApply, selectRowColumns } from '../rules/push-apply-sql.ts';
import type { ApplyStatement } from '../rules/push-apply-sql.ts';
import type { TableDescription } from '../rules/table-description.ts';
import { createLimitError } from '../rules/violation.ts';
import { decideViolationKind } from '../rules/violation-map.ts';
import { applyTableSetting } from '../store/capture.sql.ts';
import { settleConstraints } from '../store/finalise.sql.ts';
import { RowReader } from '../store/row-reader.ts';
import { runStatements } from '../store/run-statements.ts';
import type { ScriptStatement } from '../store/run-statements.ts';
import type { SyncContext } from './context.ts';
import { locateApplyFailure } from './push-apply-failure.ts';
import { formatApplyStatement } from './push-apply-statement.ts';
import type { ApplyInput } from './push-apply-statement.ts';

/**
 * Applies the staged rows to the business tables and lets deferred triggers and constraints run: one round trip, whatever the
 * number of rows.
 *
 * Resolves to the ids of the tables that something else than the push itself touched.
 *
 * @throws SyncError `push_commit_invalid` with a violation; PgFault for everything that is not the data's fault.
 */
export async function applyStagedRows(
  ctx: Pick<SyncContext, 'names'>,
  tx: PgTransaction,
  input: ApplyInput,
): Promise<readonly number[]> {
  const plan = planApply(input.groups, input.catalog, input.staged);
  checkStatementCount(plan);
  const tables = [...new Set(plan.map(({ table }) => table))];
  try {
    const results = await runStatements(tx, formatApplyScript(ctx, input, plan, tables));
    const [captures, ...columns] = results.slice(-tables.length - 1);
    checkRowColumns(
      tables,
      columns.map(({ rows }) => rows[0]?.[0] ?? ''),
    );
    return (captures?.rows ?? []).map((row) => new RowReader(row).int());
  } catch (error) {
    if (!(error instanceof PgFault) || decideViolationKind(error) === null) throw error;
    await tx.script('ROLLBACK TO SAVEPOINT applied');
    throw await locateApplyFailure(tx, input, plan, error);
  }
}

function formatApplyScript(
  ctx: Pick<SyncContext, 'names'>,
  { staged, captureToken }: ApplyInput,
  plan: readonly ApplyStatement[],
  tables: readonly TableDescription[],
): readonly ScriptStatement[] {
  return [
    'SAVEPOINT applied',
    'SET CONSTRAINTS ALL DEFERRED',
    ...plan.flatMap((statement) => formatApplyStatement(statement)),
    applyTableSetting(null),
    ...settleConstraints(ctx.names, staged.scopePk, captureToken),
    ...tables.map(selectRowColumns),
  ];
}

/** Distinct column sets are the only thing by which the number of statements grows. */
function checkStatementCount(plan: readonly ApplyStatement[]): void {
  if (plan.length <= APPLY_STATEMENTS_MAX) return;
  const facts = { name: 'columnSetsPerPush', limit: APPLY_STATEMENTS_MAX, actual: plan.length };
  throw createLimitError('push_commit_invalid', facts, 'the rows of the push set too many different combinations of columns');
}

/**
 * A row literal means something else once a column was added or dropped. The catalog may be a minute old; now that the tables are
 * locked by the apply, what they look like is certain.
 */
export function checkRowColumns(tables: readonly TableDescription[], found: readonly string[]): void {
  tables.forEach((table, index) => {
    if (found[index] === table.rowColumns.join(',')) return;
    throw new PgFault('a table changed while its rows were applied', { sqlState: STALE_CATALOG_STATE });
  });
}

/** Undefined column: makes the transaction start again with a fresh catalog. */
const STALE_CATALOG_STATE = '42703';
