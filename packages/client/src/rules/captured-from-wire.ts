import { decodeBase64, stringifyJson } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';

import { hexFromBytes, hexFromUuid } from './hex.ts';
import type { LocalColumn, LocalTable } from './local-schema.ts';
import { parseWirePayload } from './wire-values.ts';

/**
 * The captured form of a checked wire payload, for base images. REAL keeps the shortest spelling where a trigger would write twenty
 * digits: base images are compared by value.
 */
export function capturedFromWire(table: LocalTable, payload: string): string {
  const members = parseWirePayload(payload);
  const captured = table.columns.map((column) => {
    const text = capturedText(column, members[column.wireName] ?? null);
    return `${JSON.stringify(column.wireName)}:${text === null ? 'null' : JSON.stringify(text)}`;
  });
  return `{${captured.join(',')}}`;
}

function capturedText(column: LocalColumn, value: JsonValue): string | null {
  if (value === null) return null;
  if (column.isJson) return stringifyJson(value);
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value !== 'string') throw new TypeError('a checked scalar is a string');
  if (column.kind === 'blob') return hexFromBytes(decodeBase64(value) ?? new Uint8Array());
  return column.kind === 'uuidBlob' ? hexFromUuid(value) : value;
}
