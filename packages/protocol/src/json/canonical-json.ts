import { JsonValueError } from './json-error.ts';
import { JsonNumber } from './json-value.ts';
import type { JsonOutput } from './json-value.ts';
import { isPlain, quoteJson } from './stringify-json.ts';

/**
 * The RFC 8785 text of a value: members in UTF-16 order, no white space, every number as the shortest spelling of
 * its binary64 value.
 *
 * Two values that differ only in member order or number spelling have the same text. Members that are `undefined`
 * are left out.
 *
 * @throws {@link JsonValueError} for an unpaired surrogate, also in a member name, and for a number that is not a
 * finite binary64.
 */
export function canonicalJson(value: JsonOutput): string {
  if (typeof value === 'string') return quoteJson(value);
  if (typeof value !== 'object') return typeof value === 'boolean' ? String(value) : canonicalNumber(Number(value));
  if (value === null) return 'null';
  if (value instanceof JsonNumber) return canonicalNumber(Number(value.lexeme));
  return isArray(value) ? `[${value.map(canonicalJson).join(',')}]` : canonicalObject(value);
}

function isArray(value: JsonOutput): value is readonly JsonOutput[] {
  return Array.isArray(value);
}

function canonicalNumber(value: number): string {
  if (!Number.isFinite(value)) throw new JsonValueError('non_finite');
  return String(value);
}

function canonicalObject(members: { readonly [name: string]: JsonOutput | undefined }): string {
  const names = Object.keys(members);
  if (isSorted(names)) {
    // The native writer keeps the order of `Object.keys`, which is that of the text here.
    if (isPlain(members)) return JSON.stringify(members);
  } else names.sort();
  let text = '';
  for (const name of names) {
    const value = members[name];
    if (value === undefined) continue;
    text += `${text === '' ? '' : ','}${quoteJson(name)}:${canonicalJson(value)}`;
  }
  return `{${text}}`;
}

/** Rows mostly arrive in order: a look is cheaper than a sort. */
function isSorted(names: readonly string[]): boolean {
  let previous = '';
  for (const name of names) {
    if (name < previous) return false;
    previous = name;
  }
  return true;
}
