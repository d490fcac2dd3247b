import { decodeBase64, isJsonObject, parseJson, stringifyJson } from '@oversync/protocol';

import { hexFromBytes } from './hex.ts';
import type { LocalTable } from './local-schema.ts';

const PAYLOAD_DEPTH_MAX = 128;

/** A wire payload with its BLOB columns in hexadecimal, for SQL. The payload has been checked. */
export function hexPayload(table: LocalTable, payload: string): string {
  let text = payload;
  for (const column of table.columns) {
    if (column.kind !== 'blob') continue;
    const replaced = replaceBlob(text, column.wireName);
    if (replaced === null) return rewriteExactly(table, payload);
    text = replaced;
  }
  return text;
}

/** Replaces in place where the member can only stand once; base64 has no characters that JSON escapes. */
function replaceBlob(payload: string, name: string): string | null {
  const member = `"${name}":`;
  const at = payload.indexOf(member);
  if (at < 0 || payload.includes(member, at + member.length)) return null;
  const start = at + member.length;
  if (payload.startsWith('null', start)) return payload;
  const end = payload.indexOf('"', start + 1);
  const bytes = decodeBase64(payload.slice(start + 1, end));
  return bytes === null ? null : `${payload.slice(0, start + 1)}${hexFromBytes(bytes)}${payload.slice(end)}`;
}

function rewriteExactly(table: LocalTable, payload: string): string {
  const parsed = parseJson(payload, { depthMax: PAYLOAD_DEPTH_MAX });
  if (!isJsonObject(parsed)) throw new TypeError('a checked payload is an object');
  for (const column of table.columns) {
    const value = parsed[column.wireName];
    if (column.kind !== 'blob' || typeof value !== 'string') continue;
    const bytes = decodeBase64(value);
    if (bytes === null) throw new TypeError('a checked payload holds canonical base64');
    parsed[column.wireName] = hexFromBytes(bytes);
  }
  return stringifyJson(parsed);
}
