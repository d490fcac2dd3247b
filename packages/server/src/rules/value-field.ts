import {
  checkBooleanBridge,
  checkDecimalText,
  checkFloatText,
  checkIntegerText,
  decodeBase64,
  formatFloat,
  JsonNumber,
  stringifyJson,
} from '@oversync/protocol';
import type { JsonValue, ViolationKind } from '@oversync/protocol';

import { DECIMAL_EXPONENT_MAX } from '../limits.ts';
import { formatHex } from './hex.ts';
import type { ColumnDescription, ColumnFamily } from './table-description.ts';

/** Why a value is refused before it reaches PostgreSQL. */
export interface ValueFailure {
  readonly kind: ViolationKind;
  readonly category?: string;
}

/**
 * Reads one payload value that is not `null`. Returns the text that PostgreSQL's own input function turns into the value, or
 * why the value is refused.
 */
export type ValueReader = (value: JsonValue) => string | ValueFailure;

const NOT_TEXT: ValueFailure = { kind: 'payload' };
const NUL: ValueFailure = { kind: 'nul_character' };
const INVALID_TEXT: ValueFailure = { kind: 'invalid_text' };
const NON_FINITE: ValueFailure = { kind: 'number_format', category: 'non_finite' };

/**
 * The rules of protocol.md 5.3–5.6 for one column. Enums, domains, lengths, dates and everything else that only PostgreSQL can
 * judge are passed through as text; the conversion check of the chunk covers them.
 */
export function createValueReader(column: ColumnDescription): ValueReader {
  switch (column.family) {
    case 'integer': {
      const { min, max } = column.integerRange ?? raiseNoRange(column);
      return createNumberReader((value) => checkIntegerText(value, min, max));
    }
    case 'numeric':
      return createNumberReader(checkDecimal);
    case 'float8':
      return createNumberReader((value) => checkFloatText(value, 'float8'));
    case 'float4':
      return createNumberReader((value) => checkFloatText(value, 'float4'), roundToBinary32);
    case 'boolean':
      return readBoolean;
    case 'bytea':
      return readBytes;
    case 'json':
      return column.jsonAsText ? readText : readNestedJson;
    case 'uuid':
    case 'text':
    case 'timestamptz':
    case 'datetime':
      return readText;
  }
}

function raiseNoRange(column: ColumnDescription): never {
  throw new Error(`integer column ${column.name} has no range`);
}

function createNumberReader(
  check: (value: JsonValue) => string | null,
  format: (text: string) => string = keepText,
): ValueReader {
  return (value) => {
    const category = check(value);
    if (category === null && typeof value === 'string') return format(value);
    return { kind: category === 'out_of_range' ? 'out_of_range' : 'number_format', category: category ?? 'malformed' };
  };
}

const EXPONENT = /[eE]([+-]?[0-9]+)$/;

/** A large exponent costs nothing to send but a line of zeros in each copy of the row: what cannot be meant is out of range. */
function checkDecimal(value: JsonValue): string | null {
  const category = checkDecimalText(value);
  if (category !== null || typeof value !== 'string') return category;
  const exponent = EXPONENT.exec(value)?.[1];
  return exponent !== undefined && Math.abs(Number(exponent)) > DECIMAL_EXPONENT_MAX ? 'out_of_range' : null;
}

function keepText(text: string): string {
  return text;
}

/**
 * The wire value is a binary64; PostgreSQL would round the decimal text straight to binary32, which differs next to the middle of
 * two neighbours.
 */
function roundToBinary32(text: string): string {
  return formatFloat(Math.fround(Number(text)));
}

function readBoolean(value: JsonValue): string | ValueFailure {
  if (value === true) return 't';
  if (value === false) return 'f';
  const category = checkBooleanBridge(value);
  return category === null ? (value === '1' ? 't' : 'f') : { kind: 'number_format', category };
}

function readBytes(value: JsonValue): string | ValueFailure {
  if (typeof value !== 'string') return NOT_TEXT;
  const bytes = decodeBase64(value);
  return bytes === null ? INVALID_TEXT : `\\x${formatHex(bytes)}`;
}

function readText(value: JsonValue): string | ValueFailure {
  if (typeof value !== 'string') return NOT_TEXT;
  return value.includes('\0') ? NUL : value;
}

function readNestedJson(value: JsonValue): string | ValueFailure {
  return checkJsonValue(value) ?? stringifyJson(value);
}

/** Refuses what `jsonb` cannot hold (U+0000) and what the hashes cannot express (numbers beyond binary64). */
export function checkJsonValue(value: JsonValue): ValueFailure | null {
  if (typeof value === 'string') return value.includes('\0') ? NUL : null;
  if (value === null || typeof value !== 'object') return null;
  if (value instanceof JsonNumber) return Number.isFinite(Number(value.lexeme)) ? null : NON_FINITE;
  for (const [name, member] of Object.entries(value)) {
    const failure = name.includes('\0') ? NUL : checkJsonValue(member);
    if (failure !== null) return failure;
  }
  return null;
}

/** Families whose texts hold no character that a row literal would have to quote, and are never empty. */
const BARE_FAMILIES: ReadonlySet<ColumnFamily> = new Set(['integer', 'numeric', 'float4', 'float8', 'boolean']);

export function isBareFamily(family: ColumnFamily): boolean {
  return BARE_FAMILIES.has(family);
}

const QUOTED_IN_FIELD = /["\\]/g;

/** Quotes a text for a field of a row literal; an unquoted empty field would be NULL. */
export function quoteField(text: string): string {
  if (!text.includes('"') && !text.includes('\\')) return `"${text}"`;
  return `"${text.replace(QUOTED_IN_FIELD, '$&$&')}"`;
}
