import { PgFault } from '../ports/postgres.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { findFirstFailing } from '../rules/find-first.ts';
import { createColumnProbes } from '../rules/push-probe.ts';
import type { PushRow } from '../rules/push-row.ts';
import { tableRef } from '../rules/render-sql.ts';
import { quoteLiteral } from '../rules/sql-text.ts';
import { decideViolationKind } from '../rules/violation-map.ts';

/** Runs SQL under a savepoint and undoes it; resolves to its fault about the data, `null` when it succeeds. */
export async function probe(tx: PgTransaction, sql: string): Promise<PgFault | null> {
  try {
    await tx.script(`SAVEPOINT probe;${sql};ROLLBACK TO SAVEPOINT probe;RELEASE SAVEPOINT probe`);
    return null;
  } catch (error) {
    if (!(error instanceof PgFault) || decideViolationKind(error) === null) throw error;
    await tx.script('ROLLBACK TO SAVEPOINT probe;RELEASE SAVEPOINT probe');
    return error;
  }
}

/** The first row of a chunk that PostgreSQL cannot convert. */
export interface ConversionFailure {
  readonly row: PushRow;
  readonly fault: PgFault;
  readonly column: string | undefined;
}

/**
 * Finds the first row that fails and its column by halving: extra round trips, but only for a chunk that is refused anyway.
 * `checkUpTo` is SQL that converts the rows from the start of the chunk to an ordinal.
 */
export async function locateConversionFailure(
  tx: PgTransaction,
  rows: readonly PushRow[],
  scopeId: string,
  checkUpTo: (rowOrdinal: number) => string,
): Promise<ConversionFailure | null> {
  const first = rows[0]?.rowOrdinal ?? 0;
  const last = rows.at(-1)?.rowOrdinal ?? 0;
  const ordinal = await findFirstFailing(first, last, async (upTo) => (await probe(tx, checkUpTo(upTo))) !== null);
  const confirmed = await probe(tx, checkUpTo(ordinal));
  const row = rows[ordinal - first];
  if (confirmed === null || row === undefined) return null;
  return { row, fault: confirmed, column: await locateColumn(tx, row, scopeId) };
}

async function locateColumn(tx: PgTransaction, row: PushRow, scopeId: string): Promise<string | undefined> {
  for (const { column, literal } of createColumnProbes(row, scopeId)) {
    if ((await probe(tx, `SELECT ${quoteLiteral(literal)}::${tableRef(row.table)}`)) !== null) return column;
  }
  return undefined;
}
