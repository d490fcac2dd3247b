import { JsonNumber, decodeBase64, isJsonObject, parseJson, stringifyJson } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

import type { SqlValue } from '../ports/sqlite-driver.ts';
import { bytesFromHex, hexFromUuid } from './hex.ts';
import type { LocalColumn, LocalTable } from './local-schema.ts';

const PAYLOAD_DEPTH_MAX = 128;

/** The values to bind for a checked wire payload, in table order. */
export function wireValues(table: LocalTable, payload: string): SqlValue[] {
  const members = parseWirePayload(payload);
  return table.columns.map((column) => wireValue(column, members[column.wireName] ?? null));
}

/** The members of a checked wire payload. */
export function parseWirePayload(payload: string): JsonObject {
  const parsed = parseJson(payload, { depthMax: PAYLOAD_DEPTH_MAX });
  if (!isJsonObject(parsed)) throw new TypeError('a checked payload is an object');
  return parsed;
}

/** One checked wire value as SQLite stores it. */
export function wireValue(column: LocalColumn, value: JsonValue): SqlValue {
  if (value === null) return null;
  if (column.isJson) return stringifyJson(value);
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value !== 'string') throw new TypeError('a checked scalar is a string');
  switch (column.kind) {
    case 'integer':
      return BigInt(value);
    case 'real':
      return Number(value);
    case 'blob':
      return decodeBase64(value);
    case 'uuidBlob':
      return bytesFromHex(hexFromUuid(value));
    case 'text':
      return value;
  }
}

/** True when both values are the same JSON, whatever the order of members; numbers are compared by their digits. */
export function isSameJson(a: JsonValue, b: JsonValue): boolean {
  if (a instanceof JsonNumber || b instanceof JsonNumber) {
    return a instanceof JsonNumber && b instanceof JsonNumber && a.lexeme === b.lexeme;
  }
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, index) => isSameJson(item, b[index] ?? null));
  }
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => name in b && isSameJson(a[name] ?? null, b[name] ?? null));
}
