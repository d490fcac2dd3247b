import { isWellFormed } from '../ids.ts';
import { JsonValueError } from './json-error.ts';
import { JsonNumber } from './json-value.ts';
import type { JsonOutput } from './json-value.ts';

const NEEDS_CARE = /[\u0000-\u001f"\\\ud800-\udfff]/;

/**
 * The JSON literal of a string, escaped as RFC 8785 says: only what must be, in the shortest form.
 *
 * @throws {@link JsonValueError} for an unpaired surrogate.
 */
export function quoteJson(text: string): string {
  if (!NEEDS_CARE.test(text)) return `"${text}"`;
  if (!isWellFormed(text)) throw new JsonValueError('lone_surrogate');
  return JSON.stringify(text);
}

/**
 * Compact JSON text in member order, with the digits of every number kept: lexemes as they were read, bigint as
 * decimal digits. Members that are `undefined` are left out.
 *
 * @throws {@link JsonValueError} for an unpaired surrogate or a non-finite number.
 */
export function stringifyJson(value: JsonOutput): string {
  if (typeof value === 'string') return quoteJson(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new JsonValueError('non_finite');
    return String(value);
  }
  if (typeof value !== 'object' || value === null) return String(value);
  if (value instanceof JsonNumber) return value.lexeme;
  if (isArray(value)) return `[${value.map(stringifyJson).join(',')}]`;
  return stringifyObject(value);
}

function isArray(value: JsonOutput): value is readonly JsonOutput[] {
  return Array.isArray(value);
}

function stringifyObject(members: { readonly [name: string]: JsonOutput | undefined }): string {
  if (isPlain(members)) return JSON.stringify(members);
  let text = '';
  for (const name of Object.keys(members)) {
    const value = members[name];
    if (value === undefined) continue;
    text += `${text === '' ? '' : ','}${quoteJson(name)}:${stringifyJson(value)}`;
  }
  return `{${text}}`;
}

/**
 * True when the native writer gives the text of this package: the object holds well-formed strings, booleans, nulls
 * and integers, and no objects. Most rows are like that, and the native writer is several times faster.
 */
export function isPlain(members: { readonly [name: string]: JsonOutput | undefined }): boolean {
  for (const name in members) {
    const value = members[name];
    const isNative =
      typeof value === 'string'
        ? isWellFormed(value)
        : value === null || typeof value === 'boolean' || Number.isSafeInteger(value);
    if (!isNative || !isWellFormed(name)) return false;
  }
  return true;
}
