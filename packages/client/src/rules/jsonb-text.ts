import { JsonNumber, isJsonObject, quoteJson } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';

import { utf8Length } from './utf8-length.ts';

/**
 * The text that PostgreSQL's `jsonb` writes for a value that came from it: members by the length of their names in bytes, then by the
 * bytes, one space after commas and colons, numbers with the digits they have.
 */
export function jsonbText(value: JsonValue): string {
  if (typeof value === 'string') return quoteJson(value);
  if (value instanceof JsonNumber) return value.lexeme;
  if (Array.isArray(value)) return `[${value.map(jsonbText).join(', ')}]`;
  if (!isJsonObject(value)) return String(value);
  const members = Object.keys(value)
    .sort(compareNames)
    .map((name) => `${quoteJson(name)}: ${jsonbText(value[name] ?? null)}`);
  return `{${members.join(', ')}}`;
}

function compareNames(a: string, b: string): number {
  return utf8Length(a) - utf8Length(b) || compareBytes(encoder.encode(a), encoder.encode(b));
}

const encoder = new TextEncoder();

/** Of equal length. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
