import { isWellFormed } from '../ids.ts';
import { JsonSyntaxError } from './json-error.ts';
import type { JsonSyntaxReason } from './json-error.ts';
import { createJsonObject, JsonNumber } from './json-value.ts';
import type { JsonObject, JsonValue } from './json-value.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** Integers of so many digits are safe, whatever the digits. */
const SAFE_DIGITS = 15;

/** Recent member names are kept in a small table, one per slot. */
const NAME_SLOTS_MASK = 255;

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function indexOrEnd(text: string, part: string, start: number): number {
  const index = text.indexOf(part, start);
  return index < 0 ? text.length : index;
}

/** Reads a whole document value by value, with every rule checked where it stands. */
class JsonScanner {
  readonly #text: string;
  readonly #depthMax: number;
  /** A text with no control character at all needs no look into its strings for one. */
  readonly #mayHoldControls: boolean;
  /** Index of the first backslash not yet passed: most strings need no look into them for one. */
  #nextEscape: number;
  readonly #names: (string | undefined)[] = Array.from({ length: NAME_SLOTS_MASK + 1 });
  #position = 0;
  #depth = 0;

  constructor(text: string, depthMax: number) {
    this.#text = text;
    this.#depthMax = depthMax;
    this.#mayHoldControls = /[\u0000-\u001f]/.test(text);
    this.#nextEscape = indexOrEnd(text, '\\', 0);
  }

  readDocument(): JsonValue {
    this.#skipSpace();
    const value = this.#readValue();
    this.#skipSpace();
    if (this.#position !== this.#text.length) this.#refuse('trailing_data');
    return value;
  }

  #refuse(reason: JsonSyntaxReason): never {
    throw new JsonSyntaxError(reason, this.#position);
  }

  #skipSpace(): void {
    const text = this.#text;
    let code = text.charCodeAt(this.#position);
    while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) {
      this.#position += 1;
      code = text.charCodeAt(this.#position);
    }
  }

  #readValue(): JsonValue {
    switch (this.#text.charCodeAt(this.#position)) {
      case QUOTE:
        return this.#readString();
      case 0x7b:
        return this.#readObject();
      case 0x5b:
        return this.#readArray();
      case 0x74:
        return this.#readWord('true', true);
      case 0x66:
        return this.#readWord('false', false);
      case 0x6e:
        return this.#readWord('null', null);
      default:
        return this.#readNumber();
    }
  }

  #readWord<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#position)) this.#refuse('syntax');
    this.#position += word.length;
    return value;
  }

  #enter(): void {
    this.#depth += 1;
    if (this.#depth > this.#depthMax) this.#refuse('depth');
    this.#position += 1;
    this.#skipSpace();
  }

  #leave(): void {
    this.#depth -= 1;
    this.#position += 1;
  }

  /** Steps over a separator; false at the closing character. */
  #continues(close: number): boolean {
    this.#skipSpace();
    const code = this.#text.charCodeAt(this.#position);
    if (code === close) return false;
    if (code !== COMMA) this.#refuse('syntax');
    this.#position += 1;
    this.#skipSpace();
    return true;
  }

  #readArray(): JsonValue[] {
    this.#enter();
    const values: JsonValue[] = [];
    if (this.#text.charCodeAt(this.#position) !== 0x5d) {
      do values.push(this.#readValue());
      while (this.#continues(0x5d));
    }
    this.#leave();
    return values;
  }

  #readObject(): JsonObject {
    this.#enter();
    const members = createJsonObject();
    if (this.#text.charCodeAt(this.#position) !== 0x7d) {
      do this.#readMember(members);
      while (this.#continues(0x7d));
    }
    this.#leave();
    return members;
  }

  #readMember(members: JsonObject): void {
    if (this.#text.charCodeAt(this.#position) !== QUOTE) this.#refuse('syntax');
    const start = this.#position;
    const name = this.#readName();
    if (name in members) throw new JsonSyntaxError('duplicate_member', start);
    this.#skipSpace();
    if (this.#text.charCodeAt(this.#position) !== COLON) this.#refuse('syntax');
    this.#position += 1;
    this.#skipSpace();
    members[name] = this.#readValue();
  }

  /**
   * A member name. The same names come again and again, and a text cut out anew is much slower as a name than one
   * that the engine knows already.
   */
  #readName(): string {
    const text = this.#text;
    const start = this.#position + 1;
    const end = text.indexOf('"', start);
    const slot = (text.charCodeAt(start) * 31 + text.charCodeAt(end - 1) + end - start) & NAME_SLOTS_MASK;
    const known = this.#names[slot];
    if (known !== undefined && known.length === end - start && text.startsWith(known, start)) {
      this.#position = end + 1;
      return known;
    }
    const name = this.#readString();
    // Only a name without escapes is as long as its text.
    if (name.length === end - start) this.#names[slot] = name;
    return name;
  }

  #readString(): string {
    const text = this.#text;
    const start = this.#position + 1;
    const end = text.indexOf('"', start);
    if (end < 0) this.#refuse('syntax');
    if (this.#nextEscape < end) return this.#readEscapedString(start);
    this.#position = end + 1;
    const value = text.slice(start, end);
    if (this.#mayHoldControls && /[\u0000-\u001f]/.test(value)) this.#refuse('syntax');
    return value;
  }

  #readEscapedString(start: number): string {
    const text = this.#text;
    let end = start;
    for (let code = text.charCodeAt(end); code !== QUOTE; code = text.charCodeAt(end)) {
      if (end >= text.length) this.#refuse('syntax');
      end += code === BACKSLASH ? 2 : 1;
    }
    const value = this.#decodeEscapes(text.slice(start - 1, end + 1));
    if (!isWellFormed(value)) this.#refuse('lone_surrogate');
    this.#nextEscape = indexOrEnd(text, '\\', end);
    this.#position = end + 1;
    return value;
  }

  /** One string literal: the native reader knows its grammar to the letter. */
  #decodeEscapes(literal: string): string {
    try {
      return String(JSON.parse(literal));
    } catch {
      return this.#refuse('syntax');
    }
  }

  #readNumber(): number | JsonNumber {
    const text = this.#text;
    const start = this.#position;
    const digits = text.charCodeAt(start) === MINUS ? start + 1 : start;
    const integerEnd = this.#skipInteger(digits);
    const end = this.#skipExponent(this.#skipFraction(integerEnd));
    this.#position = end;
    const lexeme = text.slice(start, end);
    const isNegativeZero = digits > start && text.charCodeAt(digits) === ZERO;
    if (end !== integerEnd || isNegativeZero) return new JsonNumber(lexeme);
    const value = Number(lexeme);
    return end - digits <= SAFE_DIGITS || Number.isSafeInteger(value) ? value : new JsonNumber(lexeme);
  }

  #skipInteger(start: number): number {
    if (this.#text.charCodeAt(start) === ZERO) return start + 1;
    return this.#skipDigits(start);
  }

  #skipFraction(start: number): number {
    return this.#text.charCodeAt(start) === DOT ? this.#skipDigits(start + 1) : start;
  }

  #skipExponent(start: number): number {
    const code = this.#text.charCodeAt(start);
    if (code !== 0x65 && code !== 0x45) return start;
    const sign = this.#text.charCodeAt(start + 1);
    return this.#skipDigits(sign === MINUS || sign === 0x2b ? start + 2 : start + 1);
  }

  /** At least one digit. */
  #skipDigits(start: number): number {
    let end = start;
    while (isDigit(this.#text.charCodeAt(end))) end += 1;
    if (end === start) this.#refuse('syntax');
    return end;
  }
}

/**
 * The reader behind {@link parseJson}: one pass over the text, every rule checked where it stands.
 *
 * Not `JSON.parse` behind checks of its result: that reader rounds numbers, drops duplicate members and lets
 * unpaired surrogates pass, in V8 it decodes some escaped names wrongly (https://github.com/nodejs/node/issues/63785),
 * and the checks cost more than reading the text here.
 */
export function scanJson(text: string, depthMax: number): JsonValue {
  if (text.charCodeAt(0) === 0xfeff) throw new JsonSyntaxError('bom', 0);
  if (!isWellFormed(text)) throw new JsonSyntaxError('lone_surrogate', 0);
  return new JsonScanner(text, depthMax).readDocument();
}
