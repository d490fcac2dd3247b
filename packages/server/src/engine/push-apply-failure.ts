import { REPLAYED_ROWS_MAX } from '../limits.ts';
import { PgFault } from '../ports/postgres.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { findFirstFailing } from '../rules/find-first.ts';
import type { ApplyStatement, StagedPush } from '../rules/push-apply-sql.ts';
import { selectRowAt, selectRowByKey, selectRowByValues, selectRowWithNull } from '../rules/push-locate-sql.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import type { Catalog, TableDescription } from '../rules/table-description.ts';
import { createViolationError } from '../rules/violation.ts';
import type { Violation } from '../rules/violation.ts';
import { parseKeyDetail } from '../rules/violation-detail.ts';
import type { KeyDetail } from '../rules/violation-detail.ts';
import { decideViolationKind } from '../rules/violation-map.ts';
import { RowReader } from '../store/row-reader.ts';
import { formatStatement } from '../store/run-statements.ts';
import { formatApplyStatement } from './push-apply-statement.ts';
import type { ApplyInput } from './push-apply-statement.ts';
import { probe } from './push-locate.ts';

/** The pushed row to blame. */
interface BlamedRow {
  readonly rowOrdinal: number;
  readonly keyText: string;
  readonly table: TableDescription;
}

/**
 * Makes the answer to a push whose rows the database refused, after the transaction was rolled back to before the apply. Extra
 * round trips, but only here: the key named by the constraint is looked up among the staged rows, or the apply is repeated
 * statement by statement and the failing one halved.
 */
export async function locateApplyFailure(
  tx: PgTransaction,
  input: ApplyInput,
  plan: readonly ApplyStatement[],
  fault: PgFault,
): Promise<Error> {
  const kind = decideViolationKind(fault);
  if (kind === null) return fault;
  const row = (await findByFault(tx, input, fault)) ?? (await findByReplay(tx, input, plan));
  return createViolationError('push_commit_invalid', { kind, ...describePlace(fault, row), ...describeRow(row) }, fault);
}

/** Detail of a value that cannot be rendered: ordinal of the pushed row (empty for another row), colon, key. */
const RENDER_DETAIL = /^([0-9]*):([\s\S]*)$/;

/** Turns the fault of a bundle that cannot be rendered into its answer; every other error passes through. */
export function describeFinaliseFault(error: unknown, catalog: Catalog): unknown {
  if (!(error instanceof PgFault)) return error;
  const kind = decideViolationKind(error);
  if (kind === null) return error;
  const table = catalog.tables.get(`${error.schema}.${error.table}`);
  const [, ordinal = '', keyText = ''] = RENDER_DETAIL.exec(error.detail ?? '') ?? [];
  const row = table === undefined || ordinal === '' ? null : { rowOrdinal: Number(ordinal), keyText, table };
  return createViolationError('push_commit_invalid', { kind, ...describePlace(error, row), ...describeRow(row) }, error);
}

function describePlace(fault: PgFault, row: BlamedRow | null): Pick<Violation, 'schema' | 'table' | 'column' | 'constraint'> {
  return {
    schema: fault.schema ?? row?.table.schema ?? '',
    table: fault.table ?? row?.table.table ?? '',
    ...(fault.column === undefined ? {} : { column: fault.column }),
    ...(fault.constraint === undefined ? {} : { constraint: fault.constraint }),
  };
}

function describeRow(row: BlamedRow | null): Pick<Violation, 'row_ordinal' | 'key'> {
  return row === null ? {} : { row_ordinal: row.rowOrdinal, key: { [row.table.keyColumn]: row.keyText } };
}

async function findByFault(tx: PgTransaction, input: ApplyInput, fault: PgFault): Promise<BlamedRow | null> {
  const table = input.catalog.tables.get(`${fault.schema}.${fault.table}`);
  if (table === undefined) return null;
  for (const sql of formatLookups(input, table, fault)) {
    const found = await lookUp(tx, sql, input.catalog);
    if (found !== null) return found;
  }
  return null;
}

/** Statements that may find the row, the likeliest first. */
function formatLookups(input: ApplyInput, table: TableDescription, fault: PgFault): readonly string[] {
  const { staged } = input;
  const groups = input.groups.filter(({ tableId }) => tableId === table.tableId);
  const { column } = fault;
  if (fault.sqlState === '23502' && column !== undefined) {
    return groups.map((group) => selectRowWithNull(table, group, staged, column)).filter((sql) => sql !== null);
  }
  const detail = parseKeyDetail(fault.detail);
  if (detail === null) return [];
  const written = groups.map((group) => selectRowByValues(table, group, staged, detail)).filter((sql) => sql !== null);
  return [...written, ...formatParentLookup(input, staged, detail)];
}

/** A foreign key names the parent's key when the parent is deleted; the deleted row is the one to blame then. */
function formatParentLookup(input: ApplyInput, staged: StagedPush, detail: KeyDetail): readonly string[] {
  const keyColumn = detail.columns.find((column) => column !== SCOPE_COLUMN);
  const [scopeFirst, scopeLast] = [`${staged.scopeId}, `, `, ${staged.scopeId}`];
  const isScopeFirst = detail.columns[0] === SCOPE_COLUMN;
  if (detail.columns.length !== 2 || !detail.columns.includes(SCOPE_COLUMN)) return [];
  const keyText = isScopeFirst ? detail.values.slice(scopeFirst.length) : detail.values.slice(0, -scopeLast.length);
  const tableIds = [...input.catalog.byId.values()]
    .filter((table) => table.keyColumn === keyColumn)
    .map(({ tableId }) => tableId);
  return tableIds.length === 0 ? [] : [selectRowByKey(staged, tableIds, keyText)];
}

async function lookUp(tx: PgTransaction, sql: string, catalog: Catalog): Promise<BlamedRow | null> {
  try {
    const [, found] = await tx.script(`SAVEPOINT lookup;${sql};RELEASE SAVEPOINT lookup`);
    const row = found?.rows[0];
    if (row === undefined) return null;
    const reader = new RowReader(row);
    const [rowOrdinal, keyText, tableId] = [reader.int(), reader.text(), reader.int()];
    const table = catalog.byId.get(tableId);
    return table === undefined ? null : { rowOrdinal, keyText, table };
  } catch (error) {
    if (!(error instanceof PgFault) || decideViolationKind(error) === null) throw error;
    await tx.script('ROLLBACK TO SAVEPOINT lookup');
    return null;
  }
}

/** Finds the failing statement, then the row in it; `null` when only a deferred constraint or trigger fails. */
async function findByReplay(tx: PgTransaction, input: ApplyInput, plan: readonly ApplyStatement[]): Promise<BlamedRow | null> {
  const lastRowOrdinal = input.groups.reduce((sum, { rowCount }) => sum + rowCount, 0) - 1;
  if (lastRowOrdinal >= REPLAYED_ROWS_MAX) return null;
  await tx.script('SET CONSTRAINTS ALL DEFERRED');
  for (const statement of plan) {
    const run = (upTo?: number): string => formatApplyStatement(statement, upTo).map(formatStatement).join(';');
    if (await runsCleanly(tx, run())) continue;
    const fails = async (upTo: number): Promise<boolean> => (await probe(tx, run(upTo))) !== null;
    const rowOrdinal = await findFirstFailing(statement.group.firstRowOrdinal, lastRowOrdinal, fails);
    return lookUp(tx, selectRowAt(input.staged, rowOrdinal), input.catalog);
  }
  return null;
}

/** Keeps the effects of SQL that succeeds, for the statements after it. */
async function runsCleanly(tx: PgTransaction, sql: string): Promise<boolean> {
  try {
    await tx.script(`SAVEPOINT replayed;${sql};RELEASE SAVEPOINT replayed`);
    return true;
  } catch (error) {
    if (!(error instanceof PgFault) || decideViolationKind(error) === null) throw error;
    await tx.script('ROLLBACK TO SAVEPOINT replayed');
    return false;
  }
}
