import { isJsonObject, JsonNumber } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

import { createMemberPlan } from './push-member-plan.ts';
import type { MemberPlan } from './push-member-plan.ts';
import type { PushOp } from './push-row.ts';
import { getTableCodec } from './push-table-codec.ts';
import type { ColumnSlot, TableCodec } from './push-table-codec.ts';
import type { Catalog, ColumnDescription } from './table-description.ts';

/** How a value is judged where it stands. */
export const UUID_KEY = 0;
export const TEXT_KEY = 1;
export const BASE_VERSION = 2;
/** Any text, the key inside of the payload included. */
export const TEXT = 3;
export const INTEGER = 4;
export const DECIMAL = 5;
export const FLOAT = 6;
export const BOOLEAN = 7;
/** Judged as a string by the reader of the column. */
export const OTHER = 8;

/** One value of a row and the bytes in front of it. */
export interface FlatValue {
  readonly literal: Uint8Array;
  readonly kind: number;
  /** Largest number of digits of an integer that fits its type whatever they are. */
  readonly digitsMax: number;
  /** For members of the payload. */
  readonly slot: ColumnSlot | undefined;
}

/** The form of a row: what stands between its values, as the rows of one client repeat it. */
export interface FlatTemplate {
  readonly codec: TableCodec;
  readonly op: PushOp;
  readonly plan: MemberPlan | undefined;
  readonly columnSet: string;
  readonly values: readonly FlatValue[];
  /** Bytes behind the last value. */
  readonly ending: Uint8Array;
  /** Index of the key among the values. */
  readonly keyIndex: number;
  /** Index of the base version; -1 where the row does not name it. */
  readonly baseIndex: number;
  /** Index of the first member of the payload. */
  readonly payloadIndex: number;
  /** Bytes of the payload before the value of its first member. */
  readonly payloadHeadLength: number;
}

/**
 * The form of a row, or `undefined` for one whose values cannot be taken as they stand in the request: nested JSON, columns that are
 * ignored, names that no table has, members that JavaScript would put into another order. Whether the row itself is right shows when it is read.
 */
export function createFlatTemplate(row: JsonValue, catalog: Catalog): FlatTemplate | undefined {
  if (!isJsonObject(row)) return undefined;
  const codec = findCodec(row, catalog);
  const op = readOp(row['op']);
  if (codec === undefined || codec.needsCanonicaliser || op === undefined) return undefined;
  const payload = row['payload'] ?? null;
  if ((op === 'DELETE') !== (payload === null) || (payload !== null && !isJsonObject(payload))) return undefined;
  const plan = payload === null ? undefined : findPlan(codec, op, payload);
  if (payload !== null && plan === undefined) return undefined;
  const parts = new TemplateWriter(codec).write(row);
  if (parts === undefined || parts.keyIndex < 0) return undefined;
  const columnSet = plan === undefined ? '' : op === 'INSERT' ? plan.insertSet : plan.updateSet;
  return { codec, op, plan, columnSet, ...parts };
}

function findCodec(row: JsonObject, catalog: Catalog): TableCodec | undefined {
  const { schema = '', table = '' } = row;
  if (typeof schema !== 'string' || typeof table !== 'string') return undefined;
  const found = catalog.tables.get(`${schema === '' ? 'public' : schema}.${table}`);
  return found === undefined ? undefined : getTableCodec(found);
}

function readOp(value: JsonValue | undefined): PushOp | undefined {
  return value === 'INSERT' || value === 'UPDATE' || value === 'DELETE' ? value : undefined;
}

function findPlan(codec: TableCodec, op: PushOp, payload: JsonObject): MemberPlan | undefined {
  const plan = createMemberPlan(codec, Object.keys(payload));
  const isIncomplete = op === 'INSERT' && plan.missingColumn !== undefined;
  return plan.unknownName !== undefined || plan.ignoresValues || plan.form !== 'l' || isIncomplete ? undefined : plan;
}

type Parts = Pick<FlatTemplate, 'values' | 'ending' | 'keyIndex' | 'baseIndex' | 'payloadIndex' | 'payloadHeadLength'>;

/** Writes a row down again with gaps in place of its values. */
class TemplateWriter {
  readonly #codec: TableCodec;
  readonly #values: FlatValue[] = [];
  #text = '';
  #keyIndex = -1;
  #baseIndex = -1;
  #payloadIndex = -1;
  #payloadHeadLength = 0;

  constructor(codec: TableCodec) {
    this.#codec = codec;
  }

  write(row: JsonObject): Parts | undefined {
    for (const [index, [name, value]] of Object.entries(row).entries()) {
      this.#text += `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`;
      if (!this.#writeMember(name, value)) return undefined;
    }
    const ending = new TextEncoder().encode(`${this.#text}}`);
    return {
      values: this.#values,
      ending,
      keyIndex: this.#keyIndex,
      baseIndex: this.#baseIndex,
      payloadIndex: this.#payloadIndex,
      payloadHeadLength: this.#payloadHeadLength,
    };
  }

  #writeMember(name: string, value: JsonValue): boolean {
    if (name === 'key') return this.#writeKey(value);
    if (name === 'base_row_version') {
      if (typeof value !== 'number' && !(value instanceof JsonNumber)) return false;
      this.#baseIndex = this.#addValue(BASE_VERSION);
      return true;
    }
    if (name === 'payload') return this.#writePayload(value);
    if (name !== 'schema' && name !== 'table' && name !== 'op') return false;
    this.#text += JSON.stringify(value);
    return true;
  }

  #writeKey(value: JsonValue): boolean {
    const { keyColumn, keyKind } = this.#codec.table;
    if (!isJsonObject(value) || Object.keys(value).length !== 1 || typeof value[keyColumn] !== 'string') return false;
    this.#text += `{${JSON.stringify(keyColumn)}:`;
    this.#keyIndex = this.#addValue(keyKind === 'uuid' ? UUID_KEY : TEXT_KEY);
    this.#text += '}';
    return true;
  }

  #writePayload(value: JsonValue): boolean {
    this.#payloadIndex = this.#values.length;
    if (!isJsonObject(value)) {
      this.#text += 'null';
      return value === null;
    }
    const names = Object.keys(value);
    this.#payloadHeadLength = new TextEncoder().encode(`{${JSON.stringify(names[0])}:`).byteLength;
    for (const [index, name] of names.entries()) {
      this.#text += `${index === 0 ? '{' : ','}${JSON.stringify(name)}:`;
      const slot = this.#codec.slots.get(name);
      if (slot === undefined) return false;
      this.#addValue(kindOf(slot), slot);
    }
    this.#text += '}';
    return names.length > 0;
  }

  #addValue(kind: number, slot?: ColumnSlot): number {
    const digitsMax = kind === INTEGER && slot !== undefined ? safeDigits(slot.column) : 0;
    this.#values.push({ literal: new TextEncoder().encode(this.#text), kind, digitsMax, slot });
    this.#text = '';
    return this.#values.length - 1;
  }
}

function kindOf({ column, isKey }: ColumnSlot): number {
  if (isKey) return TEXT;
  switch (column.family) {
    case 'integer':
      return INTEGER;
    case 'numeric':
      return DECIMAL;
    case 'float8':
      return FLOAT;
    case 'boolean':
      return BOOLEAN;
    case 'json':
      return column.jsonAsText ? TEXT : OTHER;
    case 'text':
    case 'uuid':
    case 'timestamptz':
    case 'datetime':
      return TEXT;
    case 'float4':
    case 'bytea':
      return OTHER;
  }
}

/** One digit less than the largest value has. */
function safeDigits({ integerRange }: ColumnDescription): number {
  return integerRange === undefined ? 0 : String(integerRange.max).length - 1;
}
