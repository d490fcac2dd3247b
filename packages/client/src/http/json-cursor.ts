import { SyncError } from '@oversync/protocol';

import type { BodyReader } from './body.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** The error of a body that is not the JSON it has to be. */
export function malformedBody(cause?: unknown): SyncError {
  return new SyncError('protocol_violation', { details: { reason: 'decode' }, ...(cause === undefined ? {} : { cause }) });
}

function tooLarge(charsMax: number): SyncError {
  return new SyncError('response_too_large', { details: { limit: charsMax } });
}

/** Index after the closing quote of the string that starts at `start`, or -1 when the text ends inside it. */
export function stringEnd(text: string, start: number): number {
  let from = start + 1;
  for (;;) {
    const quote = text.indexOf('"', from);
    if (quote < 0) return -1;
    let escapes = 0;
    while (text.charCodeAt(quote - 1 - escapes) === BACKSLASH) escapes += 1;
    if (escapes % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

/**
 * Walks over JSON text that arrives in pieces. It finds where values begin and end; whoever takes a value out checks what is inside.
 * Consumed text is dropped with the next piece, so memory holds one piece and one value.
 */
export class JsonCursor {
  readonly #body: BodyReader;
  #text = '';
  #position = 0;
  #charCount = 0;

  constructor(body: BodyReader) {
    this.#body = body;
  }

  /** UTF-16 units of the body that have arrived. */
  get charCount(): number {
    return this.#charCount;
  }

  /** The next character that is no white space, or '' at the end of the body. It stays unread. */
  async peek(): Promise<string> {
    for (;;) {
      this.#skipSpace();
      if (this.#position < this.#text.length) return this.#text.charAt(this.#position);
      if (!(await this.#fill())) return '';
    }
  }

  /** Reads exactly this character. */
  async expect(character: string): Promise<void> {
    if ((await this.peek()) !== character) throw malformedBody();
    this.#position += 1;
  }

  /** Reads this character if it comes next. */
  async accept(character: string): Promise<boolean> {
    if ((await this.peek()) !== character) return false;
    this.#position += 1;
    return true;
  }

  /** The next value if all of it has arrived, else `null`. Spares an await per row. */
  bufferedValue(charsMax: number): string | null {
    this.#skipSpace();
    const end = scanValue(this.#text, { at: this.#position, depth: 0 }, this.#position);
    return end < 0 ? null : this.#take(end, charsMax);
  }

  /**
   * Lets `scan` read the next value where it stands: it returns the index after it, or −1 to leave it. True when it was
   * read. `charsMax` bounds it.
   */
  scanned(scan: (text: string, start: number) => number, charsMax: number): boolean {
    this.#skipSpace();
    const end = this.#position < this.#text.length ? scan(this.#text, this.#position) : -1;
    if (end < 0) return false;
    if (end - this.#position > charsMax) throw tooLarge(charsMax);
    this.#position = end;
    return true;
  }

  /** Waits for more of the body; false at its end. */
  more(): Promise<boolean> {
    return this.#fill();
  }

  /** Reads the comma or bracket after an element: true when another element follows. */
  bufferedDelimiter(close: string): boolean | null {
    this.#skipSpace();
    const character = this.#text.charAt(this.#position);
    if (character === '') return null;
    if (character !== ',' && character !== close) throw malformedBody();
    this.#position += 1;
    return character === ',';
  }

  /** The same, waiting for it. */
  async delimiter(close: string): Promise<boolean> {
    const isBuffered = (await this.peek()) !== '';
    const hasMore = isBuffered ? this.bufferedDelimiter(close) : null;
    if (hasMore === null) throw malformedBody();
    return hasMore;
  }

  /** Text of the next value, from its first to its last character. `charsMax` bounds it. */
  async valueText(charsMax: number): Promise<string> {
    await this.peek();
    const scan = { at: this.#position, depth: 0 };
    for (;;) {
      const end = scanValue(this.#text, scan, this.#position);
      if (end >= 0) return this.#take(end, charsMax);
      if (this.#text.length - this.#position > charsMax) throw tooLarge(charsMax);
      const dropped = this.#position;
      if (!(await this.#fill())) return this.#take(this.#text.length, charsMax);
      scan.at -= dropped;
    }
  }

  /** Throws unless only white space is left. */
  async expectEnd(): Promise<void> {
    if ((await this.peek()) !== '') throw malformedBody();
  }

  #skipSpace(): void {
    while (this.#position < this.#text.length && isSpace(this.#text.charCodeAt(this.#position))) this.#position += 1;
  }

  #take(end: number, charsMax: number): string {
    const value = this.#text.slice(this.#position, end);
    if (value === '') throw malformedBody();
    if (value.length > charsMax) throw tooLarge(charsMax);
    this.#position = end;
    return value;
  }

  async #fill(): Promise<boolean> {
    const piece = await this.#body.read();
    if (piece === null) return false;
    this.#charCount += piece.length;
    this.#text = this.#text.slice(this.#position) + piece;
    this.#position = 0;
    return true;
  }
}

/** Continues a scan; -1 when the text ends before the value does. `scan.at` is where to go on. */
function scanValue(text: string, scan: { at: number; depth: number }, start: number): number {
  while (scan.at < text.length) {
    const code = text.charCodeAt(scan.at);
    if (code === QUOTE) {
      const end = stringEnd(text, scan.at);
      if (end < 0) return -1;
      scan.at = end;
      if (scan.depth === 0) return end;
      continue;
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) scan.depth += 1;
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      if (scan.depth === 0) return scan.at;
      scan.depth -= 1;
      if (scan.depth === 0) return scan.at + 1;
    } else if (scan.depth === 0 && scan.at > start && (code === COMMA || isSpace(code))) return scan.at;
    scan.at += 1;
  }
  return -1;
}
