import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';

/** Rejects a driver for which `isRight` is false. */
export function check(isRight: boolean, what: string): void {
  if (!isRight) throw new Error(`the driver breaks the contract: ${what}`);
}

/** The only row of a query. */
export async function only(tx: SqliteTx, sql: string, params: readonly SqlValue[] = []): Promise<SqlValue[]> {
  const rows = await tx.all(sql, params);
  check(rows.length === 1, `one row was expected, ${rows.length} came`);
  return rows[0] ?? [];
}

/** What `work` rejects with. */
export async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('the driver breaks the contract: a failure was expected');
}
