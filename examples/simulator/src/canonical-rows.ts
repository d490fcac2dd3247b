import type { SqlValue } from '@oversync/client';

import { TABLES } from './tables.ts';
import type { ColumnKind, TableName } from './tables.ts';

const MICROS_PER_MS = 1000n;
const TIME = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** Columns of a table in the order in which both sides are read. */
export function columnsOf(table: TableName): readonly (readonly [name: string, kind: ColumnKind])[] {
  return Object.entries<ColumnKind>(TABLES[table]);
}

/** A row of SQLite as one text per column, comparable with `serverSelect`. */
export function deviceRow(table: TableName, row: readonly SqlValue[]): readonly (string | null)[] {
  return columnsOf(table).map(([, kind], index) => deviceText(kind, row[index] ?? null));
}

/** A row of PostgreSQL, read with `serverSelect`. */
export function serverRow(table: TableName, row: readonly (string | null)[]): readonly (string | null)[] {
  return columnsOf(table).map(([, kind], index) => {
    const value = row[index] ?? null;
    return value !== null && kind === 'float' ? floatText(Number(value)) : value;
  });
}

/** Reads the rows of one user; every column comes as text, floats widened to binary64, times as microseconds. */
export function serverSelect(table: TableName): string {
  const list = columnsOf(table).map(([name, kind]) => serverText(name, kind));
  return `SELECT ${list.join(', ')} FROM business.${table} WHERE _sync_scope_id = $1 ORDER BY id`;
}

function serverText(name: string, kind: ColumnKind): string {
  switch (kind) {
    case 'bytes':
      return `encode(${name}, 'hex')`;
    case 'float':
      return `${name}::float8::text`;
    case 'time':
      return `(extract(epoch FROM ${name}) * 1000000)::bigint::text`;
    default:
      return `${name}::text`;
  }
}

function deviceText(kind: ColumnKind, value: SqlValue): string | null {
  if (value === null) return null;
  switch (kind) {
    case 'blobUuid':
      return dashed(hex(value));
    case 'bytes':
      return hex(value);
    case 'float':
      return floatText(Number(value));
    case 'boolean':
      return String(BigInt(String(value)) !== 0n);
    case 'time':
      return String(microseconds(String(value)));
    default:
      return String(value);
  }
}

function hex(value: SqlValue): string {
  if (!(value instanceof Uint8Array)) throw new Error('a BLOB was expected');
  return Buffer.from(value).toString('hex');
}

function dashed(digits: string): string {
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function floatText(value: number): string {
  return value === 0 ? '0' : String(value);
}

/** Microseconds since 1970 of a time as PostgreSQL renders it. */
export function microseconds(text: string): bigint {
  const [, day, time, fraction = '', zone = ''] = TIME.exec(text) ?? [];
  if (day === undefined || time === undefined) throw new Error(`not a time: ${text}`);
  return BigInt(Date.parse(`${day}T${time}${zone}`)) * MICROS_PER_MS + BigInt(fraction.padEnd(6, '0').slice(0, 6));
}
