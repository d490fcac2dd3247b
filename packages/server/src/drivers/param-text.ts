import type { PgValue } from '../ports/postgres.ts';

/** The text form of a parameter, for drivers that send text only. */
export function formatParam(value: PgValue): string | null {
  if (value === null || typeof value === 'string') return value;
  return value instanceof Uint8Array ? formatBytea(value) : formatArray(value);
}

function formatBytea(bytes: Uint8Array): string {
  let hex = '\\x';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

function formatArray(values: readonly (string | null)[]): string {
  const elements = values.map((value) => (value === null ? 'NULL' : `"${value.replaceAll(/["\\]/g, '\\$&')}"`));
  return `{${elements.join(',')}}`;
}
