import type { SqlValue } from '../ports/sqlite-driver.ts';

/**
 * A parameter of a query builder as the port takes it: an integral number becomes INTEGER, a boolean 1 or 0. Throws a `TypeError` for a
 * value that SQLite has no type for, such as `undefined` or a `Date`.
 */
export function toSqlValue(value: unknown): SqlValue {
  switch (typeof value) {
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
    case 'boolean':
      return value ? 1n : 0n;
    case 'string':
    case 'bigint':
      return value;
    default:
      if (value === null || value instanceof Uint8Array) return value;
      throw new TypeError(`SQLite has no type for a parameter of type ${typeof value}`);
  }
}

/** Parameters in the order of the statement. */
export function toSqlValues(values: readonly unknown[]): SqlValue[] {
  return values.map(toSqlValue);
}

/** A value as query builders expect it: an INTEGER is a number where a number is exact, and a bigint beyond 2^53. */
export function fromSqlValue(value: SqlValue): SqlValue {
  if (typeof value !== 'bigint') return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
