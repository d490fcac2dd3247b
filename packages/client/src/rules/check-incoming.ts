import {
  SyncError,
  checkFloatText,
  checkIntegerText,
  isCanonicalBase64,
  isTextKey,
  isUuidKey,
  parseJson,
  stringifyJson,
} from '@oversync/protocol';

import { INT64_MAX, INT64_MIN } from './encode-value.ts';
import { hexFromUuid } from './hex.ts';
import type { CheckedRow, IncomingRow } from './incoming-row.ts';
import type { LocalColumn, LocalSchema, LocalTable } from './local-schema.ts';
import { stringEnd } from './member-scan.ts';

/** Nesting of a server row that is read exactly: the reader of the body has already bounded it. */
const PAYLOAD_DEPTH_MAX = 128;

const SMALL_INTEGER = /^-?(?:0|[1-9][0-9]{0,17})$/;

/**
 * Checks rows of a server against the local tables (client.md 8.1 step 4, 10.1) on the text itself: no value is parsed into a number.
 * The JSON of the payloads must have been checked before: grammar, duplicate members, hidden column.
 *
 * @throws SyncError `protocol_violation` (schema, key), `table_unknown`, `payload_column_missing`, `payload_value_invalid`.
 */
export function checkIncomingRows(schema: LocalSchema, rows: readonly IncomingRow[]): CheckedRow[] {
  return rows.map((row) => checkIncomingRow(schema, row));
}

/** One row, see {@link checkIncomingRows}. */
export function checkIncomingRow(schema: LocalSchema, row: IncomingRow): CheckedRow {
  if (row.schema !== schema.name) throw new SyncError('protocol_violation', { details: { reason: 'schema' } });
  const table = schema.tablesByName.get(row.table);
  if (table === undefined) throw new SyncError('table_unknown', { details: { table: row.table } });
  const keyJson = incomingKeyJson(table, row.keyColumn, row.keyValue);
  const payload = row.payload === null ? null : checkPayload(table, row.payload, row.keyValue);
  return { schema: schema.name, table: table.wireName, keyJson, op: row.op, rowVersion: row.rowVersion, payload };
}

/** `key_json` for a wire key: the very text that the triggers write. */
export function incomingKeyJson(table: LocalTable, keyColumn: string, keyValue: string): string {
  const isValid = table.key.kind === 'uuidBlob' ? isUuidKey(keyValue) : isTextKey(keyValue);
  if (keyColumn !== table.key.wireName || !isValid)
    throw new SyncError('protocol_violation', { details: { reason: 'row_shape' } });
  return keyJsonOf(table, keyValue);
}

/** `key_json` for a wire key that is known to be valid. */
export function keyJsonOf(table: LocalTable, keyValue: string): string {
  const captured = table.key.kind === 'uuidBlob' ? hexFromUuid(keyValue) : keyValue;
  return `${tablePlan(table).keyPrefix}${JSON.stringify(captured)}}`;
}

/**
 * The payload as it may be stored: compact, with plain member names, every local column present and of a form that its column can
 * take. Members without a local column are kept and ignored.
 */
function checkPayload(table: LocalTable, payload: string, keyValue: string): string {
  const checked = checkCompact(table, payload, keyValue);
  if (checked) return payload;
  const compact = stringifyJson(parseJson(payload, { depthMax: PAYLOAD_DEPTH_MAX }));
  if (!checkCompact(table, compact, keyValue)) throw new SyncError('protocol_violation', { details: { reason: 'row_shape' } });
  return compact;
}

/** False when the text has white space or an escaped name and must be rewritten first. */
function checkCompact(table: LocalTable, payload: string, keyValue: string): boolean {
  const { columns } = tablePlan(table);
  let found = 0;
  let at = 1;
  if (payload.charCodeAt(0) !== BRACE_OPEN) return false;
  if (payload === '{}') at = 2;
  while (at < payload.length) {
    if (payload.charCodeAt(at) !== QUOTE) return false;
    const nameEnd = payload.indexOf('"', at + 1);
    if (payload.charCodeAt(nameEnd - 1) === BACKSLASH || payload.charCodeAt(nameEnd + 1) !== COLON) return false;
    const column = columns.get(payload.slice(at + 1, nameEnd));
    const valueEnd = compactValueEnd(payload, nameEnd + 2);
    if (valueEnd < 0) return false;
    if (column !== undefined) {
      found += 1;
      checkValue(table, column, payload.slice(nameEnd + 2, valueEnd), keyValue);
    }
    const next = payload.charCodeAt(valueEnd);
    if (next !== COMMA && next !== BRACE_CLOSE) return false;
    at = valueEnd + 1;
  }
  if (found < table.columns.length) throw missingColumn(table, payload);
  return true;
}

const QUOTE = 0x22;
const COLON = 0x3a;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;
const BRACKET_OPEN = 0x5b;
const BRACKET_CLOSE = 0x5d;

/** What depends only on the table. */
interface TablePlan {
  readonly columns: ReadonlyMap<string, LocalColumn>;
  /** `key_json` up to the value. */
  readonly keyPrefix: string;
}

const plans = new WeakMap<LocalTable, TablePlan>();

function tablePlan(table: LocalTable): TablePlan {
  const known = plans.get(table);
  if (known !== undefined) return known;
  const columns = new Map(table.columns.map((column) => [column.wireName, column]));
  const plan = { columns, keyPrefix: `{${JSON.stringify(table.key.wireName)}:` };
  plans.set(table, plan);
  return plan;
}

/** Index after a value that begins at `start`; white space between tokens gives −1. */
function compactValueEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return stringEnd(text, start);
  if (first === BRACE_OPEN || first === BRACKET_OPEN) return nestedEnd(text, start);
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === BRACE_CLOSE) return at > start ? at : -1;
    if (code <= 0x20) return -1;
    at += 1;
  }
  return -1;
}

function nestedEnd(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at) - 1;
      if (at < 0) return -1;
    } else if (code === BRACE_OPEN || code === BRACKET_OPEN) depth += 1;
    else if (code === BRACE_CLOSE || code === BRACKET_CLOSE) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

function checkValue(table: LocalTable, column: LocalColumn, slice: string, keyValue: string): void {
  if (column === table.key) {
    if (stringOf(slice) !== keyValue) throw invalidValue(table, column, 'key');
    return;
  }
  if (slice === 'null') return;
  const category = column.isJson ? jsonFault(slice) : scalarFault(column, slice);
  if (category !== null) throw invalidValue(table, column, category);
}

function scalarFault(column: LocalColumn, slice: string): string | null {
  if (slice.charCodeAt(0) !== QUOTE) {
    if (column.kind === 'integer' && (slice === 'true' || slice === 'false')) return null;
    return isNumberText(slice) ? 'legacy_json_number' : 'malformed';
  }
  if (column.kind === 'text') return nulFault(slice);
  const text = stringOf(slice);
  switch (column.kind) {
    case 'integer':
      return SMALL_INTEGER.test(text) && text !== '-0' ? null : checkIntegerText(text, INT64_MIN, INT64_MAX);
    case 'real':
      return String(Number(text)) === text && text !== 'NaN' && !text.endsWith('Infinity')
        ? null
        : checkFloatText(text, 'float8');
    case 'blob':
      return isCanonicalBase64(text) ? null : 'noncanonical';
    case 'uuidBlob':
      return isUuidKey(text) ? null : 'malformed';
  }
}

/** A nested value may hold anything but U+0000, which no column of a server can hold and which SQLite would cut at. */
function jsonFault(slice: string): string | null {
  return nulFault(slice);
}

function nulFault(slice: string): string | null {
  if (!slice.includes('\\u0000')) return null;
  return JSON.stringify(JSON.parse(slice)).includes('\\u0000') && hasNul(JSON.parse(slice)) ? 'nul_character' : null;
}

function hasNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\u0000');
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([name, member]) => name.includes('\u0000') || hasNul(member));
}

function isNumberText(slice: string): boolean {
  const first = slice.charCodeAt(0);
  return first === 0x2d || (first >= 0x30 && first <= 0x39);
}

function stringOf(slice: string): string {
  if (slice.charCodeAt(0) !== QUOTE) return '';
  if (!slice.includes('\\')) return slice.slice(1, -1);
  const decoded: unknown = JSON.parse(slice);
  return typeof decoded === 'string' ? decoded : '';
}

function invalidValue(table: LocalTable, column: LocalColumn, category: string): SyncError {
  return new SyncError('payload_value_invalid', { details: { table: table.wireName, column: column.wireName, category } });
}

function missingColumn(table: LocalTable, payload: string): SyncError {
  const parsed: unknown = JSON.parse(payload);
  const names = new Set(typeof parsed === 'object' && parsed !== null ? Object.keys(parsed) : []);
  const column = table.columns.find((candidate) => !names.has(candidate.wireName));
  return new SyncError('payload_column_missing', { details: { table: table.wireName, column: column?.wireName ?? '' } });
}
