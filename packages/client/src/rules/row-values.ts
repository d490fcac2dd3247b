import { parseJson, stringifyJson } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';

import type { SqlValue } from '../ports/sqlite-driver.ts';
import { capturedValue } from './captured-values.ts';
import type { RowValue, RowValues } from './conflict-types.ts';
import { parseCaptured } from './encode-row.ts';
import type { LocalColumn, LocalTable } from './local-schema.ts';
import { isSameJson, parseWirePayload, wireValue } from './wire-values.ts';

const JSON_DEPTH_MAX = 128;

/** The typed row of a captured payload. */
export function rowFromCaptured(table: LocalTable, payload: string): RowValues {
  const members = parseCaptured(payload, table.key);
  return rowOf(table, (column) => typedValue(column, capturedValue(column, members.get(column.wireName) ?? null)));
}

/** The typed row of a checked wire payload. */
export function rowFromWire(table: LocalTable, payload: string): RowValues {
  const members = parseWirePayload(payload);
  return rowOf(table, (column) => {
    const value = members[column.wireName] ?? null;
    return column.isJson ? value : wireValue(column, value);
  });
}

function rowOf(table: LocalTable, valueOf: (column: LocalColumn) => RowValue): RowValues {
  return Object.fromEntries(table.columns.map((column) => [column.wireName, valueOf(column)]));
}

/** JSON columns are parsed; text that is no JSON stays text. */
function typedValue(column: LocalColumn, value: SqlValue): RowValue {
  if (!column.isJson || typeof value !== 'string') return value;
  try {
    return parseJson(value, { depthMax: JSON_DEPTH_MAX });
  } catch {
    return value;
  }
}

/**
 * The values to bind for a row that a resolver made. `null` when it does not have exactly the columns of the table, or a value that its
 * column cannot hold. Names are compared without case.
 */
export function valuesOfMergedRow(table: LocalTable, row: RowValues): SqlValue[] | null {
  const byName = new Map(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value]));
  if (byName.size !== table.columns.length || Object.keys(row).length !== byName.size) return null;
  const values: SqlValue[] = [];
  for (const column of table.columns) {
    const value = byName.get(column.wireName);
    const bound = value === undefined ? undefined : boundValue(column, value);
    if (bound === undefined) return null;
    values.push(bound);
  }
  return values;
}

function boundValue(column: LocalColumn, value: RowValue): SqlValue | undefined {
  if (value === null) return null;
  if (column.isJson && !(value instanceof Uint8Array) && typeof value !== 'bigint') return stringifyJson(value);
  switch (column.kind) {
    case 'integer':
      if (typeof value === 'bigint') return value;
      if (typeof value === 'boolean') return value ? 1n : 0n;
      return typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : undefined;
    case 'real':
      if (typeof value === 'bigint') return Number(value);
      return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
    case 'blob':
    case 'uuidBlob':
      return value instanceof Uint8Array ? value : undefined;
    case 'text':
      return typeof value === 'string' ? value : undefined;
  }
}

/** Equality of typed values; `0` and `-0` are the same on the wire, so they are the same here. */
export function isSameValue(a: RowValue, b: RowValue): boolean {
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return (
      a instanceof Uint8Array && b instanceof Uint8Array && a.length === b.length && a.every((byte, index) => byte === b[index])
    );
  }
  if (typeof a === 'bigint' || typeof b === 'bigint') return a === b;
  if (typeof a === 'object' && a !== null && isJson(a) && typeof b === 'object' && b !== null && isJson(b))
    return isSameJson(a, b);
  return a === b;
}

function isJson(value: RowValue): value is JsonValue {
  return !(value instanceof Uint8Array) && typeof value !== 'bigint';
}

/** True when both rows hold the same values in every column. */
export function isSameRow(a: RowValues, b: RowValues): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length && names.every((name) => name in b && isSameValue(a[name] ?? null, b[name] ?? null))
  );
}
