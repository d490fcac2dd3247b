import { stringEnd } from './json-cursor.ts';
import { checkNestedValue } from './wire-row.ts';
import type { MemberSpan } from './wire-row.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const BRACE_OPEN = 0x7b;
const BRACE_CLOSE = 0x7d;

const BACKSLASH = '\\';
/** What follows a backslash in canonical JSON. `\u` escapes may be canonical too, but take the exact path. */
const CANONICAL_ESCAPES = '"\\bfnrt';

/** What is known of a payload that has the expected members. */
export interface PayloadCheck {
  readonly isCanonical: boolean;
}

const CANONICAL: PayloadCheck = { isCanonical: true };
const OTHER: PayloadCheck = { isCanonical: false };

/** The members of a payload in their order. Payloads of one table have the same shape, so the next one is compared, not analysed. */
export class PayloadShape {
  /** `"name":` of each member. */
  readonly #labels: readonly string[];
  readonly names: readonly string[];
  readonly #isSorted: boolean;

  constructor(names: readonly string[]) {
    this.names = names;
    this.#labels = names.map((name) => `${JSON.stringify(name)}:`);
    this.#isSorted = names.every((name, index) => index === 0 || (names[index - 1] ?? '') < name);
  }

  /** The shape of an analysed payload; its nested values are checked exactly. */
  static of(text: string, members: readonly MemberSpan[]): PayloadShape {
    for (const { valueStart, valueEnd } of members) {
      const first = text.charCodeAt(valueStart);
      if (first === BRACE_OPEN || first === 0x5b) checkNestedValue(text.slice(valueStart, valueEnd));
    }
    return new PayloadShape(members.map(({ name }) => name));
  }

  /** `null` unless the text from `start` to `end` is an object of exactly this shape, compact, with strings and literals as values. */
  check(text: string, start: number, end: number): PayloadCheck | null {
    if (text.charCodeAt(start) !== BRACE_OPEN || this.#labels.length === 0) return null;
    let at = start + 1;
    for (let index = 0; index < this.#labels.length; index += 1) {
      const label = this.#labels[index] ?? '';
      if (!text.startsWith(label, at)) return null;
      at = simpleValueEnd(text, at + label.length);
      const isLast = index === this.#labels.length - 1;
      if (at < 0 || text.charCodeAt(at) !== (isLast ? BRACE_CLOSE : COMMA)) return null;
      at += 1;
    }
    if (at !== end) return null;
    return this.#isSorted && hasCanonicalEscapes(text) ? CANONICAL : OTHER;
  }
}

function hasCanonicalEscapes(text: string): boolean {
  for (let at = text.indexOf(BACKSLASH); at >= 0; at = text.indexOf(BACKSLASH, at + 2)) {
    if (!CANONICAL_ESCAPES.includes(text.charAt(at + 1))) return false;
  }
  return true;
}

/** Index after a string or a literal; -1 for anything else. */
function simpleValueEnd(text: string, start: number): number {
  switch (text.charCodeAt(start)) {
    case QUOTE:
      return stringEnd(text, start);
    case 0x6e:
      return text.startsWith('null', start) ? start + 4 : -1;
    case 0x74:
      return text.startsWith('true', start) ? start + 4 : -1;
    case 0x66:
      return text.startsWith('false', start) ? start + 5 : -1;
    default:
      return -1;
  }
}
