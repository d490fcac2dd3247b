import { isPlainDecimal, isPlainFloat, isPlainInteger, isPlainUuid, isVisible, skipCanonicalEscape } from './byte-values.ts';
import { BASE_VERSION, BOOLEAN, DECIMAL, FLOAT, INTEGER, OTHER, TEXT, TEXT_KEY, UUID_KEY } from './flat-template.ts';
import type { FlatTemplate, FlatValue } from './flat-template.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const ONE = 0x31;
const NINE = 0x39;
const SPACE = 0x20;

/** No number of so many digits leaves the range of 64 bits. */
const BASE_DIGITS_MAX = 18;

/** What stands in place of a value: `null`, or a text that PostgreSQL reads as it is, with its escapes undone, or in another spelling. */
export const ABSENT = 0;
export const PLAIN = 1;
export const ESCAPED = 2;
export const REWRITTEN = 3;

const NULL = new TextEncoder().encode('null');
const TRUE = new TextEncoder().encode('true');
const FALSE = new TextEncoder().encode('false');

/** The values of one row as places in the bytes of a chunk; one object serves all rows. */
export class FlatRow {
  /** First byte of each value as it is written, and the place behind its last one. */
  readonly wireStarts: Int32Array;
  readonly wireEnds: Int32Array;
  /** The same without quotes. */
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  readonly forms: Int32Array;
  /** Spellings of values that are {@link REWRITTEN}. */
  readonly texts: string[] = [];
  readonly #bytes: Uint8Array;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #hasEscapes = false;

  constructor(bytes: Uint8Array, valuesMax: number) {
    this.#bytes = bytes;
    this.wireStarts = new Int32Array(valuesMax);
    this.wireEnds = new Int32Array(valuesMax);
    this.starts = new Int32Array(valuesMax);
    this.ends = new Int32Array(valuesMax);
    this.forms = new Int32Array(valuesMax);
  }

  /** Reads the row that begins at `start`; returns the place behind it, or -1 if it has another form or is not right beyond doubt. */
  read({ values, ending, keyIndex }: FlatTemplate, start: number): number {
    const bytes = this.#bytes;
    let at = start;
    for (let index = 0; index < values.length; index += 1) {
      const value = values[index];
      if (value === undefined) return -1;
      at = skipLiteral(bytes, at, value.literal);
      if (at < 0) return -1;
      this.wireStarts[index] = at;
      at = this.#readValue(value, index, at);
      if (at < 0) return -1;
      this.wireEnds[index] = at;
    }
    return this.#hasOneKey(values, keyIndex) ? skipLiteral(bytes, at, ending) : -1;
  }

  #readValue(value: FlatValue, index: number, at: number): number {
    if (value.kind === BASE_VERSION) return this.#readVersion(index, at);
    if (this.#bytes[at] !== QUOTE) return this.#readWord(value, index, at);
    const end = this.#skipString(at + 1);
    if (end < 0) return -1;
    this.starts[index] = at + 1;
    this.ends[index] = end;
    this.forms[index] = this.#hasEscapes ? ESCAPED : PLAIN;
    return this.#isRight(value, index, at + 1, end) ? end + 1 : -1;
  }

  /** The place of the closing quote. */
  #skipString(start: number): number {
    const bytes = this.#bytes;
    this.#hasEscapes = false;
    for (let at = start; at >= 0 && at < bytes.length;) {
      const byte = bytes[at] ?? 0;
      if (byte === QUOTE) return at;
      if (byte < SPACE) return -1;
      if (byte === BACKSLASH) {
        this.#hasEscapes = true;
        at = skipCanonicalEscape(bytes, at);
      } else at += 1;
    }
    return -1;
  }

  #readVersion(index: number, start: number): number {
    const bytes = this.#bytes;
    let at = start;
    for (; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte < ZERO || byte > NINE) break;
    }
    this.starts[index] = start;
    this.ends[index] = at;
    return isPlainInteger(bytes, start, at, BASE_DIGITS_MAX) ? at : -1;
  }

  #readWord({ kind, slot }: FlatValue, index: number, at: number): number {
    const isNull = skipLiteral(this.#bytes, at, NULL);
    if (isNull >= 0) {
      this.forms[index] = ABSENT;
      return slot === undefined || slot.isKey || slot.column.notNull ? -1 : isNull;
    }
    if (kind !== BOOLEAN) return -1;
    const isTrue = skipLiteral(this.#bytes, at, TRUE);
    this.#rewrite(index, isTrue >= 0 ? 't' : 'f');
    return isTrue >= 0 ? isTrue : skipLiteral(this.#bytes, at, FALSE);
  }

  #isRight(value: FlatValue, index: number, start: number, end: number): boolean {
    const bytes = this.#bytes;
    switch (value.kind) {
      case TEXT:
        return true;
      case UUID_KEY:
        return isPlainUuid(bytes, start, end);
      case TEXT_KEY:
        return !this.#hasEscapes && isVisible(bytes, start, end);
      case INTEGER:
        return isPlainInteger(bytes, start, end, value.digitsMax) || this.#readText(value, index, start, end);
      case DECIMAL:
        return isPlainDecimal(bytes, start, end) || this.#readText(value, index, start, end);
      case FLOAT:
        return isPlainFloat(bytes, start, end) || this.#readText(value, index, start, end);
      case BOOLEAN:
        this.#rewrite(index, bytes[start] === ONE ? 't' : 'f');
        return end === start + 1 && (bytes[start] === ONE || bytes[start] === ZERO);
      case OTHER:
        return this.#readText(value, index, start, end);
      default:
        return false;
    }
  }

  /** Asks the reader of the column. */
  #readText({ slot }: FlatValue, index: number, start: number, end: number): boolean {
    const wire = this.#decoder.decode(this.#bytes.subarray(start - 1, end + 1));
    const value: unknown = JSON.parse(wire);
    const text = typeof value === 'string' ? slot?.read(value) : undefined;
    if (typeof text !== 'string') return false;
    this.#rewrite(index, text);
    return true;
  }

  #rewrite(index: number, text: string): void {
    this.forms[index] = REWRITTEN;
    this.texts[index] = text;
  }

  /** The key inside of the payload is the key of the row. */
  #hasOneKey(values: readonly FlatValue[], keyIndex: number): boolean {
    const bytes = this.#bytes;
    const keyStart = this.starts[keyIndex] ?? 0;
    const length = (this.ends[keyIndex] ?? 0) - keyStart;
    for (let index = 0; index < values.length; index += 1) {
      if (values[index]?.slot?.isKey !== true) continue;
      const start = this.starts[index] ?? 0;
      if ((this.ends[index] ?? 0) - start !== length) return false;
      for (let offset = 0; offset < length; offset += 1) if (bytes[start + offset] !== bytes[keyStart + offset]) return false;
    }
    return true;
  }
}

/** The place behind a literal that stands at `start`, or -1. */
export function skipLiteral(bytes: Uint8Array, start: number, literal: Uint8Array): number {
  for (let offset = 0; offset < literal.length; offset += 1) if (bytes[start + offset] !== literal[offset]) return -1;
  return start + literal.length;
}
