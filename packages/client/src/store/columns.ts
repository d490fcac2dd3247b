import type { SqlValue } from '../ports/sqlite-driver.ts';

/** A column that holds text; anything else is a fault of the statement. */
export function textColumn(row: readonly SqlValue[], index: number): string {
  const value = row[index];
  if (typeof value !== 'string') throw new TypeError(`column ${index} is not text`);
  return value;
}

export function optionalTextColumn(row: readonly SqlValue[], index: number): string | null {
  return row[index] === null ? null : textColumn(row, index);
}

/** A 64-bit integer, which statements read as text where a driver could round it. */
export function bigintColumn(row: readonly SqlValue[], index: number): bigint {
  const value = row[index];
  if (typeof value === 'bigint') return value;
  if (typeof value === 'string' || (typeof value === 'number' && Number.isSafeInteger(value))) return BigInt(value);
  throw new TypeError(`column ${index} is not an integer`);
}

/** An integer that is known to be small: a count, a flag, a position. */
export function countColumn(row: readonly SqlValue[], index: number): number {
  return Number(bigintColumn(row, index));
}

/** The only row of a statement that always gives one. */
export function onlyRow(rows: readonly SqlValue[][]): SqlValue[] {
  const [row] = rows;
  if (row === undefined) throw new TypeError('the statement gave no row');
  return row;
}
