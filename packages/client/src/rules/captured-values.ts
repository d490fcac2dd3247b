import type { SqlValue } from '../ports/sqlite-driver.ts';
import { BLOB_MARKER } from './capture-sql.ts';
import { parseCaptured } from './encode-row.ts';
import { bytesFromHex } from './hex.ts';
import type { LocalColumn, LocalTable } from './local-schema.ts';

const INTEGER = /^-?[0-9]{1,19}$/;
const NUMBER = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;

/** The values to bind for a captured payload, in table order. A column the payload lacks is NULL. */
export function capturedValues(table: LocalTable, payload: string): SqlValue[] {
  const members = parseCaptured(payload, table.key);
  return table.columns.map((column) => capturedValue(column, members.get(column.wireName) ?? null));
}

/** One captured value as SQLite held it. Text that is no value of the kind is bound as text, as it was found. */
export function capturedValue(column: LocalColumn, text: string | null): SqlValue {
  if (text === null) return null;
  if (text.startsWith(BLOB_MARKER)) return bytesFromHex(text.slice(BLOB_MARKER.length)) ?? text;
  switch (column.kind) {
    case 'blob':
    case 'uuidBlob':
      return bytesFromHex(text) ?? text;
    case 'integer':
      return INTEGER.test(text) ? BigInt(text) : text;
    case 'real':
      return capturedReal(text);
    case 'text':
      return text;
  }
}

function capturedReal(text: string): SqlValue {
  if (text === 'Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return NUMBER.test(text) ? Number(text) : text;
}
