import { isWellFormed } from '../ids.ts';
import { JsonSyntaxError } from './json-error.ts';
import { EMPTY_PROTOTYPE } from './json-value.ts';
import type { JsonValue } from './json-value.ts';
import { scanJson } from './scan-json.ts';

/** Bounds of {@link parseJson}. */
export interface ParseJsonOptions {
  /** Deepest allowed nesting of arrays and objects; `[[1]]` has 2. */
  readonly depthMax: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;
const UNDECIDED = -1;

/** True when the quote at `position` belongs to the string, being escaped by an odd number of backslashes. */
function isEscaped(text: string, position: number): boolean {
  let first = position;
  while (text.charCodeAt(first - 1) === BACKSLASH) first -= 1;
  return (position - first) % 2 === 1;
}

/** Index after the string that opens at `start`; the length of the text when it never closes. */
function skipString(text: string, start: number, mayHoldEscapes: boolean): number {
  let end = text.indexOf('"', start + 1);
  while (mayHoldEscapes && end > 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end + 1;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

/**
 * Number of members in a text that the native reader accepts, or `UNDECIDED` when it is too deep, or holds a member
 * name with an escape or a number that is not plainly an integer.
 *
 * Outside strings a colon stands only after a member name, a dot and `E` only in a number, `e` after a digit only
 * in an exponent. Inside strings nothing is looked at. Escaped names are left to the exact reader because V8 can
 * decode one as another (https://github.com/nodejs/node/issues/63785).
 */
function countMembers(text: string, depthMax: number): number {
  let members = 0;
  let depth = 0;
  let position = 0;
  let nextEscape = text.indexOf('\\');
  let isStringEscaped = false;
  while (position < text.length) {
    const code = text.charCodeAt(position);
    if (code === QUOTE) {
      position = skipString(text, position, nextEscape >= 0);
      isStringEscaped = nextEscape >= 0 && nextEscape < position;
      if (isStringEscaped) nextEscape = text.indexOf('\\', position);
      continue;
    }
    if (code === 0x3a) {
      if (isStringEscaped) return UNDECIDED;
      members += 1;
    } else if (code === 0x7b || code === 0x5b) {
      depth += 1;
      if (depth > depthMax) return UNDECIDED;
    } else if (code === 0x7d || code === 0x5d) depth -= 1;
    else if (code === 0x2e || code === 0x45) return UNDECIDED;
    else if (code === 0x65 && isDigit(text.charCodeAt(position - 1))) return UNDECIDED;
    else if (code === 0x2d && text.charCodeAt(position + 1) === 0x30) return UNDECIDED;
    position += 1;
  }
  return members;
}

/**
 * Counts the members of a native tree and cuts its objects off from `Object.prototype`; `UNDECIDED` when a number
 * is not safe. The tree is at most `depthMax` deep, the caller has seen to that.
 */
function countTreeMembers(value: object): number {
  return Array.isArray(value) ? countItemMembers(value) : countObjectMembers(Object.setPrototypeOf(value, EMPTY_PROTOTYPE));
}

function countItemMembers(items: readonly unknown[]): number {
  let members = 0;
  for (const item of items) {
    const inner = countInner(item);
    if (inner === UNDECIDED) return UNDECIDED;
    members += inner;
  }
  return members;
}

/** Nothing is inherited, so `for in` sees the own members; it is several times faster than making a list of them. */
function countObjectMembers(value: Readonly<Record<string, unknown>>): number {
  let members = 0;
  for (const name in value) {
    const inner = countInner(value[name]);
    if (inner === UNDECIDED) return UNDECIDED;
    members += 1 + inner;
  }
  return members;
}

function countInner(value: unknown): number {
  if (typeof value === 'string') return 0;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 0 : UNDECIDED;
  return typeof value === 'object' && value !== null ? countTreeMembers(value) : 0;
}

function isLossless(tree: unknown, membersInText: number): tree is JsonValue {
  return countInner(tree) === membersInText;
}

/**
 * The native reader's tree where it provably lost nothing; `undefined` for every document in doubt.
 *
 * The native reader knows the grammar but drops duplicate members, rounds numbers, and lets unpaired surrogates
 * pass. So: well-formed text without surrogate escapes, no escaped member name, no number but plain integers, all of
 * them safe, and as many members in the tree as in the text (a duplicate is a member less).
 */
export function parseNatively(text: string, depthMax: number): JsonValue | undefined {
  if (SURROGATE_ESCAPE.test(text) || !isWellFormed(text)) return undefined;
  const members = countMembers(text, depthMax);
  if (members === UNDECIDED) return undefined;
  try {
    const tree: unknown = JSON.parse(text);
    return isLossless(tree, members) ? tree : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads one JSON document without loss.
 *
 * Accepts exactly RFC 8259 texts, and of those refuses duplicate members (also when one is written with escapes),
 * unpaired surrogates, a byte order mark, and nesting beyond `depthMax`. Numbers that a JS number would not keep
 * come back as {@link JsonNumber}. Documents without such numbers are read at close to the speed of `JSON.parse`.
 *
 * @throws {@link JsonSyntaxError} with the reason and the offset.
 */
export function parseJson(text: string, options: ParseJsonOptions): JsonValue {
  return parseNatively(text, options.depthMax) ?? scanJson(text, options.depthMax);
}

/**
 * {@link parseJson} for the bytes of a body: refuses malformed UTF-8 and a byte order mark too.
 *
 * @throws {@link JsonSyntaxError}
 */
export function parseJsonBytes(bytes: Uint8Array, options: ParseJsonOptions): JsonValue {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) throw new JsonSyntaxError('bom', 0);
  return parseJson(decodeUtf8(bytes), options);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new JsonSyntaxError('utf8', 0);
  }
}
