import {
  JsonNumber,
  JsonValueError,
  canonicalJson,
  checkIntegerText,
  encodeBase64,
  formatFloat,
  isJsonObject,
  isTextKey,
  isWellFormed,
  parseJson,
  quoteJson,
} from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';

import { BLOB_MARKER } from './capture-sql.ts';
import { bytesFromHex, uuidFromHex } from './hex.ts';
import type { LocalColumn } from './local-schema.ts';

/** Why a captured value has no wire form (client.md 6.2 step 4). */
export type EncodeFaultCode =
  | 'invalid_key'
  | 'invalid_uuid'
  | 'integer_invalid'
  | 'number_not_finite'
  | 'real_invalid'
  | 'nul_character'
  | 'unsupported_value'
  | 'invalid_unicode'
  | 'json_invalid'
  | 'row_too_large';

/** Thrown and caught inside the codec; becomes a quarantine entry. */
export class EncodeFault extends Error {
  readonly code: EncodeFaultCode;
  readonly column: string;

  constructor(code: EncodeFaultCode, column: string) {
    super(code);
    this.code = code;
    this.column = column;
  }
}

/** The wire text of one value, and the text the request hash takes where it differs (numbers inside nested JSON). */
export interface EncodedValue {
  readonly wire: string;
  readonly hashed: string;
}

export const INT64_MIN = -9223372036854775808n;
export const INT64_MAX = 9223372036854775807n;

const SMALL_INTEGER = /^-?(?:0|[1-9][0-9]{0,17})$/;
const DECIMAL = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const NOT_A_NUMBER = /^[+-]?(?:inf|infinity|nan)$/i;

/** Nesting of a JSON column: what a server reads in all, less the levels around it. */
const JSON_COLUMN_DEPTH_MAX = 96;

/** Encodes a scalar column. `slice` is the captured JSON text, a string or `null`. */
export function encodeScalar(slice: string, column: LocalColumn): string {
  if (slice === 'null') return slice;
  const inner = slice.slice(1, -1);
  switch (column.kind) {
    case 'integer':
      return encodeInteger(inner, slice, column);
    case 'real':
      return encodeReal(inner, column);
    case 'blob':
      return encodeBlob(inner, column);
    case 'uuidBlob':
      return `"${uuidFromHex(inner) ?? fail('invalid_uuid', column)}"`;
    case 'text':
      return hasPlainEscapes(slice) ? slice : quoteJson(decodeText(slice, column));
  }
}

/** Encodes the text of a JSON column as a nested value. */
export function encodeJsonColumn(slice: string, column: LocalColumn): EncodedValue {
  if (slice === 'null') return { wire: slice, hashed: slice };
  const text = slice.includes('\\') ? decodeText(slice, column) : slice.slice(1, -1);
  try {
    const value = parseJson(text, { depthMax: JSON_COLUMN_DEPTH_MAX });
    return { wire: sortedJson(value), hashed: canonicalJson(value) };
  } catch (error) {
    const isTooLarge = error instanceof JsonValueError && error.reason === 'non_finite';
    return fail(isTooLarge ? 'number_not_finite' : 'json_invalid', column);
  }
}

/** The wire form of a key from its captured value. */
export function encodeKeyText(captured: string, column: LocalColumn): string {
  if (column.kind === 'uuidBlob') return uuidFromHex(captured) ?? fail('invalid_key', column);
  return isTextKey(captured) ? captured : fail('invalid_key', column);
}

function encodeInteger(inner: string, slice: string, column: LocalColumn): string {
  if (inner === '-0') return fail('integer_invalid', column);
  if (SMALL_INTEGER.test(inner) || checkIntegerText(inner, INT64_MIN, INT64_MAX) === null) return slice;
  return fail('integer_invalid', column);
}

function encodeReal(inner: string, column: LocalColumn): string {
  if (NOT_A_NUMBER.test(inner)) return fail('number_not_finite', column);
  if (inner.startsWith('\\u0000')) return fail('unsupported_value', column);
  if (!DECIMAL.test(inner)) return fail('real_invalid', column);
  const value = Number(inner);
  return Number.isFinite(value) ? `"${formatFloat(value)}"` : fail('number_not_finite', column);
}

function encodeBlob(inner: string, column: LocalColumn): string {
  const bytes = bytesFromHex(inner);
  return bytes === null ? fail('unsupported_value', column) : `"${encodeBase64(bytes)}"`;
}

/** What follows a backslash where SQLite escapes as canonical JSON does. A `\u` escape takes the exact path. */
const PLAIN_ESCAPES = '"\\\\bfnrt';

/** True for a text that is canonical as it stands. */
function hasPlainEscapes(slice: string): boolean {
  for (let at = slice.indexOf('\\'); at >= 0; at = slice.indexOf('\\', at + 2)) {
    if (!PLAIN_ESCAPES.includes(slice.charAt(at + 1))) return false;
  }
  return true;
}

function decodeText(slice: string, column: LocalColumn): string {
  const text: unknown = JSON.parse(slice);
  if (typeof text !== 'string') return fail('unsupported_value', column);
  if (text.startsWith(BLOB_MARKER)) return fail('unsupported_value', column);
  if (text.includes('\u0000')) return fail('nul_character', column);
  return isWellFormed(text) ? text : fail('invalid_unicode', column);
}

/** Compact, members sorted as in canonical JSON, numbers with their own digits. */
export function sortedJson(value: JsonValue): string {
  if (typeof value === 'string') return quoteJson(value);
  if (value instanceof JsonNumber) return value.lexeme;
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`;
  if (!isJsonObject(value)) return String(value);
  const members = Object.keys(value)
    .sort()
    .map((name) => `${quoteJson(name)}:${sortedJson(value[name] ?? null)}`);
  return `{${members.join(',')}}`;
}

function fail(code: EncodeFaultCode, column: LocalColumn): never {
  throw new EncodeFault(code, column.wireName);
}
