import { isCanonicalBase64, isUuidKey } from '@oversync/protocol';

import type { LocalColumn } from '../rules/local-schema.ts';
import { stringEnd } from './json-cursor.ts';
import { checkNestedValue, hasPlainEscapes, nestedEnd } from './wire-row.ts';

/*
 * Values of received rows where they stand in the text of the body: one look at each character. Everything here may say −1 ("look
 * closer"), never "fine" to a value that the exact checks of `check-incoming.ts` refuse.
 */

const QUOTE = 0x22;
const MINUS = 0x2d;
const POINT = 0x2e;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const BACKSLASH = '\\';

/** Digits of an integer that fits 64 bits whatever they are. */
const SAFE_DIGITS_MAX = 18;
/** Digits of a decimal that no other decimal of so many digits shares a binary64 with. */
const EXACT_DIGITS_MAX = 15;
/** Zeros after the point up to which JavaScript writes a number without exponent. */
const FRACTION_ZEROS_MAX = 5;

/** A text without raw control characters, and where its next backslash is: most values have none, and none is searched for twice. */
export class ScannedText {
  readonly text: string;
  #backslash: number;

  constructor(text: string) {
    this.text = text;
    this.#backslash = this.#find(0);
  }

  /** Index after the string that starts at `start`; −1 when it is no string, has no end here, or its escapes need a closer look. */
  stringEnd(start: number): number {
    const { text } = this;
    if (text.charCodeAt(start) !== QUOTE) return -1;
    const quote = text.indexOf('"', start + 1);
    if (quote < 0 || !this.hasEscape(start, quote)) return quote + 1 || -1;
    const end = stringEnd(text, start);
    if (end < 0) return -1;
    const inner = text.slice(start, end);
    return hasPlainEscapes(inner) && !inner.includes('\\u0000') ? end : -1;
  }

  /** True when a backslash stands between the positions. The start must not fall from call to call, but by `rewind`. */
  hasEscape(start: number, end: number): boolean {
    if (this.#backslash < start) this.#backslash = this.#find(start);
    return this.#backslash < end;
  }

  /** To be called where scanning begins anew at an earlier position. */
  rewind(start: number): void {
    this.#backslash = this.#find(start);
  }

  #find(start: number): number {
    const at = this.text.indexOf(BACKSLASH, start);
    return at < 0 ? Number.POSITIVE_INFINITY : at;
  }
}

/** Index after the value of `column` that starts at `start`, −1 unless it is certainly one that the column takes. */
export function columnValueEnd(scanned: ScannedText, start: number, column: LocalColumn | null): number {
  const { text } = scanned;
  switch (text.charCodeAt(start)) {
    case QUOTE:
      return stringValueEnd(scanned, start, column);
    case 0x6e:
      return text.startsWith('null', start) ? start + 4 : -1;
    case 0x74:
      return takesLiterals(column) && text.startsWith('true', start) ? start + 4 : -1;
    case 0x66:
      return takesLiterals(column) && text.startsWith('false', start) ? start + 5 : -1;
    case 0x7b:
    case 0x5b:
      return column === null || column.isJson ? nestedValueEnd(text, start) : -1;
    default:
      return -1;
  }
}

function takesLiterals(column: LocalColumn | null): boolean {
  return column === null || column.isJson || column.kind === 'integer';
}

function stringValueEnd(scanned: ScannedText, start: number, column: LocalColumn | null): number {
  const end = scanned.stringEnd(start);
  if (end < 0 || column === null || column.kind === 'text' || column.isJson) return end;
  if (scanned.hasEscape(start, end)) return -1;
  return isScalar(column, scanned.text, start + 1, end - 1) ? end : -1;
}

function isScalar(column: LocalColumn, text: string, start: number, end: number): boolean {
  switch (column.kind) {
    case 'integer':
      return isPlainInteger(text, start, end);
    case 'real':
      return isPlainDecimal(text, start, end) || isCanonicalFloat(text.slice(start, end));
    case 'blob':
      return isCanonicalBase64(text.slice(start, end));
    case 'uuidBlob':
      return isUuidKey(text.slice(start, end));
    case 'text':
      return true;
  }
}

function isPlainInteger(text: string, start: number, end: number): boolean {
  const first = text.charCodeAt(start) === MINUS ? start + 1 : start;
  if (first >= end || end - first > SAFE_DIGITS_MAX) return false;
  if (text.charCodeAt(first) === DIGIT_0) return end - start === 1;
  return digitsEnd(text, first, end) === end;
}

/** A decimal of few digits without exponent is what JavaScript writes for its own binary64, so it needs no number to be compared with. */
export function isPlainDecimal(text: string, start: number, end: number): boolean {
  const first = text.charCodeAt(start) === MINUS ? start + 1 : start;
  if (end - first > EXACT_DIGITS_MAX) return false;
  const point = digitsEnd(text, first, end);
  const hasZero = text.charCodeAt(first) === DIGIT_0;
  if (point === first || (hasZero && point - first > 1)) return false;
  if (point === end) return !hasZero || first === start;
  const isFraction = text.charCodeAt(point) === POINT && point + 1 < end && text.charCodeAt(end - 1) !== DIGIT_0;
  if (!isFraction || digitsEnd(text, point + 1, end) !== end) return false;
  return !hasZero || end - point - 2 <= FRACTION_ZEROS_MAX || !text.startsWith('000000', point + 1);
}

/** A number as JavaScript writes it. */
export function isCanonicalFloat(text: string): boolean {
  return String(Number(text)) === text && text !== 'NaN' && !text.endsWith('Infinity');
}

function digitsEnd(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && text.charCodeAt(at) >= DIGIT_0 && text.charCodeAt(at) <= DIGIT_9) at += 1;
  return at;
}

function nestedValueEnd(text: string, start: number): number {
  const end = nestedEnd(text, start);
  if (end < 0) return -1;
  const value = text.slice(start, end);
  if (value.includes('\\u0000')) return -1;
  try {
    checkNestedValue(value);
    return end;
  } catch {
    return -1;
  }
}
