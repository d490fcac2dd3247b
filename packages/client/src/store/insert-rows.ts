import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';

/**
 * Writes many rows in one call. `into` is the statement up to the column list, `width` the number of columns, `conflict` an optional
 * ON CONFLICT clause. Native drivers loop over one prepared statement; elsewhere a call is a message, so the rows travel as one JSON
 * text. BLOBs are possible only with the former and are never needed here.
 */
export async function insertRows(
  tx: SqliteTx,
  into: string,
  width: number,
  rows: readonly (readonly SqlValue[])[],
  conflict = '',
): Promise<void> {
  if (rows.length === 0) return;
  if (tx.runMany !== undefined) {
    const places = Array.from({ length: width }, () => '?').join(', ');
    await tx.runMany(`${into} VALUES (${places}) ${conflict}`, rows);
    return;
  }
  const columns = Array.from({ length: width }, (_, index) => `value->>${index}`).join(', ');
  await tx.run(`${into} SELECT ${columns} FROM json_each(?) WHERE true ${conflict}`, [jsonRows(rows)]);
}

/** Rows as one JSON text for `json_each`. Integers become strings of digits: every target column has INTEGER affinity. */
export function jsonRows(rows: readonly (readonly SqlValue[])[]): string {
  return JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}
