import { isJsonObject, parseJson } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

import { EncodeFault, encodeJsonColumn, encodeKeyText, encodeScalar } from './encode-value.ts';
import type { LocalColumn, LocalTable } from './local-schema.ts';
import { capturedPrefixes, sliceCaptured } from './member-scan.ts';

/** A captured row in its wire form. `hashed` differs from `wire` only by numbers inside nested JSON columns. */
export interface EncodedPayload {
  readonly wire: string;
  readonly hashed: string;
}

/** Encodes captured rows of one table; keeps what depends only on the table. */
export class RowEncoder {
  readonly #columns: readonly LocalColumn[];
  readonly #prefixes: readonly string[];
  /** Positions of the columns in wire order, with the text that stands before each value. */
  readonly #places: readonly { readonly index: number; readonly prefix: string; readonly column: LocalColumn }[];
  readonly #hasJson: boolean;
  readonly #key: LocalColumn;
  readonly #keyPrefix: string;

  constructor(table: LocalTable) {
    this.#columns = table.columns;
    this.#prefixes = capturedPrefixes(table.columns);
    this.#places = table.columns
      .map((column, index) => ({ column, index, prefix: '' }))
      .sort((a, b) => (a.column.wireName < b.column.wireName ? -1 : 1))
      .map((place, position) => ({
        ...place,
        prefix: `${position === 0 ? '{' : ','}${JSON.stringify(place.column.wireName)}:`,
      }));
    this.#hasJson = table.columns.some((column) => column.isJson);
    this.#key = table.key;
    this.#keyPrefix = `{${JSON.stringify(table.key.wireName)}:`;
  }

  /** The wire key object of a `key_json`. @throws EncodeFault `invalid_key` */
  encodeKey(keyJson: string): string {
    const captured = capturedKeyValue(keyJson, this.#key);
    return `${this.#keyPrefix}${JSON.stringify(encodeKeyText(captured, this.#key))}}`;
  }

  /** The canonical wire payload of a captured payload. @throws EncodeFault */
  encodePayload(payload: string): EncodedPayload {
    const slices = sliceCaptured(payload, this.#columns, this.#prefixes);
    if (slices === null) return this.#encodeExactly(payload);
    return this.#hasJson ? this.#joinWithJson(slices) : this.#join(slices);
  }

  #join(slices: readonly string[]): EncodedPayload {
    let wire = '';
    for (const { index, prefix, column } of this.#places) {
      const slice = slices[index] ?? 'null';
      wire += prefix + encodeScalar(slice, column);
    }
    wire += '}';
    return { wire, hashed: wire };
  }

  #joinWithJson(slices: readonly string[]): EncodedPayload {
    let wire = '';
    let hashed = '';
    for (const { index, prefix, column } of this.#places) {
      const slice = slices[index] ?? 'null';
      const encoded = column.isJson ? encodeJsonColumn(slice, column) : null;
      const scalar = encoded === null ? encodeScalar(slice, column) : '';
      wire += prefix + (encoded?.wire ?? scalar);
      hashed += prefix + (encoded?.hashed ?? scalar);
    }
    return { wire: `${wire}}`, hashed: `${hashed}}` };
  }

  /** A payload of another shape: written by another client, or captured before a column was added. Missing columns are left out. */
  #encodeExactly(payload: string): EncodedPayload {
    const wire: string[] = [];
    const hashed: string[] = [];
    const members = parseCaptured(payload, this.#key);
    for (const { column } of this.#places) {
      const value = members.get(column.wireName);
      if (value === undefined) continue;
      const slice = value === null ? 'null' : JSON.stringify(value);
      const name = `${JSON.stringify(column.wireName)}:`;
      const encoded = column.isJson ? encodeJsonColumn(slice, column) : null;
      const scalar = encoded === null ? encodeScalar(slice, column) : '';
      wire.push(name + (encoded?.wire ?? scalar));
      hashed.push(name + (encoded?.hashed ?? scalar));
    }
    return { wire: `{${wire.join(',')}}`, hashed: `{${hashed.join(',')}}` };
  }
}

/** The members of a captured payload by lower-case name. Values of another type are refused. */
export function parseCaptured(payload: string, key: LocalColumn): ReadonlyMap<string, string | null> {
  const members = new Map<string, string | null>();
  const parsed = parseCapturedJson(payload, key);
  for (const [name, value] of Object.entries<JsonValue>(parsed)) {
    if (value !== null && typeof value !== 'string') throw new EncodeFault('unsupported_value', name);
    members.set(name, value);
  }
  return members;
}

function parseCapturedJson(payload: string, key: LocalColumn): JsonObject {
  try {
    const parsed = parseJson(payload, { depthMax: CAPTURED_DEPTH_MAX });
    if (isJsonObject(parsed)) return parsed;
  } catch {
    // Falls through: a payload that is no object at all cannot be sent.
  }
  throw new EncodeFault('unsupported_value', key.wireName);
}

const CAPTURED_DEPTH_MAX = 8;

/** The captured value inside a `key_json`. */
export function capturedKeyValue(keyJson: string, key: LocalColumn): string {
  const prefix = `{"${key.wireName}":"`;
  const isPlain = keyJson.startsWith(prefix) && keyJson.endsWith('"}') && !keyJson.includes('\\');
  const plain = isPlain ? keyJson.slice(prefix.length, -2) : '';
  if (isPlain && !plain.includes('"')) return plain;
  const value = parseCaptured(keyJson, key).get(key.wireName);
  if (value === null || value === undefined) throw new EncodeFault('invalid_key', key.wireName);
  return value;
}
