import { parseJson } from '@oversync/protocol';

import { RESPONSE_JSON_DEPTH_MAX } from '../limits.ts';
import { malformedBody, stringEnd } from './json-cursor.ts';

/** One member of an object, as positions in the text. */
export interface MemberSpan {
  readonly name: string;
  readonly valueStart: number;
  readonly valueEnd: number;
}

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f]/;
const BACKSLASH = '\\';
/** What may follow a backslash, but for `u`. */
const SHORT_ESCAPES = '"\\/bfnrt';
const UNICODE_ESCAPE = /u(?![dD][89a-fA-F])[0-9a-fA-F]{4}/y;
const SCALAR = /true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/** True when no raw control character is in the text. Without them and without escapes a string is valid as it stands. */
export function hasNoControls(text: string): boolean {
  return !CONTROL.test(text);
}

/**
 * Checks what a scan over slices cannot see: escapes, control characters, surrogates. Most rows need nothing of it and pay two searches.
 */
export function checkRowText(text: string): void {
  if (!CONTROL.test(text) && hasPlainEscapes(text)) return;
  try {
    parseJson(text, { depthMax: RESPONSE_JSON_DEPTH_MAX });
  } catch (cause) {
    throw malformedBody(cause);
  }
}

/** True when every backslash begins an escape that JSON knows, and none stands for a surrogate: those have to be in pairs. */
export function hasPlainEscapes(text: string): boolean {
  for (let at = text.indexOf(BACKSLASH); at >= 0; at = text.indexOf(BACKSLASH, at + 2)) {
    if (SHORT_ESCAPES.includes(text.charAt(at + 1)) && at + 1 < text.length) continue;
    UNICODE_ESCAPE.lastIndex = at + 1;
    if (!UNICODE_ESCAPE.test(text)) return false;
  }
  return true;
}

/**
 * The members of the object that starts at `start`, in order, and the index after its closing brace. The text must have passed
 * `checkRowText`. Members are not compared with one another here.
 */
export function scanMembers(text: string, start: number): { readonly members: readonly MemberSpan[]; readonly end: number } {
  const members: MemberSpan[] = [];
  if (text.charCodeAt(start) !== 0x7b) throw malformedBody();
  let at = skipSpace(text, start + 1);
  if (text.charCodeAt(at) === 0x7d) return { members, end: at + 1 };
  for (;;) {
    if (text.charCodeAt(at) !== 0x22) throw malformedBody();
    const nameEnd = endOfString(text, at);
    const name = memberName(text, at, nameEnd);
    at = skipSpace(text, nameEnd);
    if (text.charCodeAt(at) !== 0x3a) throw malformedBody();
    const valueStart = skipSpace(text, at + 1);
    const valueEnd = scanValueEnd(text, valueStart);
    members.push({ name, valueStart, valueEnd });
    at = skipSpace(text, valueEnd);
    const code = text.charCodeAt(at);
    if (code === 0x7d) return { members, end: at + 1 };
    if (code !== 0x2c) throw malformedBody();
    at = skipSpace(text, at + 1);
  }
}

function memberName(text: string, start: number, end: number): string {
  const name = text.slice(start + 1, end - 1);
  if (!name.includes('\\')) return name;
  const decoded: unknown = JSON.parse(text.slice(start, end));
  if (typeof decoded !== 'string') throw malformedBody();
  return decoded;
}

/** Index after the value; nested values are only bracketed, see `checkNestedValue`. */
function scanValueEnd(text: string, start: number): number {
  const code = text.charCodeAt(start);
  if (code === 0x22) return endOfString(text, start);
  if (code === 0x7b || code === 0x5b) return scanNestedEnd(text, start);
  SCALAR.lastIndex = start;
  if (!SCALAR.test(text)) throw malformedBody();
  return SCALAR.lastIndex;
}

function scanNestedEnd(text: string, start: number): number {
  const end = nestedEnd(text, start);
  if (end < 0) throw malformedBody();
  return end;
}

/** Index after the object or array that starts at `start`, −1 when it has no end. What is inside is only bracketed. */
export function nestedEnd(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x22) {
      at = stringEnd(text, at) - 1;
      if (at < 0) return -1;
    } else if (code === 0x7b || code === 0x5b) depth += 1;
    else if (code === 0x7d || code === 0x5d) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

/** Exact check of a nested value: grammar, duplicate members, depth. */
export function checkNestedValue(text: string): void {
  try {
    parseJson(text, { depthMax: RESPONSE_JSON_DEPTH_MAX });
  } catch (cause) {
    throw malformedBody(cause);
  }
}

function endOfString(text: string, start: number): number {
  const end = stringEnd(text, start);
  if (end < 0) throw malformedBody();
  return end;
}

function skipSpace(text: string, start: number): number {
  let at = start;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
    at += 1;
  }
}
