import { JsonSyntaxError, parseJsonBytes } from '@oversync/protocol';

import { ByteKeySet } from './byte-key-set.ts';
import { FlatRow, skipLiteral } from './flat-row.ts';
import { createFlatTemplate } from './flat-template.ts';
import type { FlatTemplate } from './flat-template.ts';
import type { ChunkReaderSettings } from './push-chunk-reader.ts';
import { isUtf8 } from './utf8-check.ts';

const OPENING = new TextEncoder().encode('{"start_row_ordinal":');
const ROWS = new TextEncoder().encode(',"rows":[');
const CLOSING = new TextEncoder().encode(']}');

const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const ZERO = 0x30;
const NINE = 0x39;

/** No push comes so far; larger numbers are for the exact reader. */
const START_DIGITS_MAX = 9;

/** Different forms of rows in one chunk: a few tables, with and without some columns. */
const TEMPLATES_MAX = 24;

/** Bytes of the shortest row, for the room that keys need. */
const ROW_BYTES_MIN = 32;

/** Nesting of a row without nested JSON inside of a chunk. */
export const FLAT_DEPTH = 4;

/** Where the rows of a chunk begin, and the ordinal of the first of them. */
export interface FlatHead {
  readonly startRowOrdinal: number;
  readonly rowsStart: number;
}

/** The head of a chunk that may be read in place; `undefined` for one that is written in any other way. */
export function readFlatHead(bytes: Uint8Array): FlatHead | undefined {
  const start = skipLiteral(bytes, 0, OPENING);
  if (start < 0) return undefined;
  let [at, startRowOrdinal] = [start, 0];
  for (; at < bytes.length && at - start < START_DIGITS_MAX; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte < ZERO || byte > NINE) break;
    startRowOrdinal = startRowOrdinal * 10 + byte - ZERO;
  }
  const isPlain = at > start && (bytes[start] !== ZERO || at === start + 1);
  const rowsStart = isPlain ? skipLiteral(bytes, at, ROWS) : -1;
  return rowsStart < 0 || !isUtf8(bytes) ? undefined : { startRowOrdinal, rowsStart };
}

/**
 * Reads the rows of a chunk where they lie, as long as each of them looks like one before it and is right beyond doubt. No value
 * becomes a string, which makes it several times as fast as the exact reader. At the first surprise it stops for good: everything that
 * was read until then is what the exact reader finds too, and what is wrong, if anything, that one has to say.
 */
export class FlatChunk {
  /** The row read last. */
  readonly row: FlatRow;
  readonly bytes: Uint8Array;
  readonly startRowOrdinal: number;
  readonly #settings: ChunkReaderSettings;
  readonly #keys: ByteKeySet;
  readonly #templates: FlatTemplate[] = [];
  #at: number;
  #rowLength = 0;
  #rowCount = 0;
  #isComplete = false;

  constructor(bytes: Uint8Array, { startRowOrdinal, rowsStart }: FlatHead, settings: ChunkReaderSettings) {
    this.bytes = bytes;
    this.startRowOrdinal = startRowOrdinal;
    this.#settings = settings;
    this.#at = rowsStart;
    this.#keys = new ByteKeySet(bytes, Math.min(settings.rowsMax, Math.ceil(bytes.byteLength / ROW_BYTES_MIN)));
    const columnsMax = Math.max(0, ...[...settings.catalog.tables.values()].map(({ columns }) => columns.length));
    this.row = new FlatRow(bytes, columnsMax + 2);
  }

  /** Rows read so far. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Bytes of the row read last. */
  get rowLength(): number {
    return this.#rowLength;
  }

  /** Whether the last row of the chunk was read, and nothing but its end follows. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Reads one row; `undefined` behind the last one and before a surprise. */
  next(): FlatTemplate | undefined {
    if (this.#isComplete || this.#at < 0) return undefined;
    const start = this.#rowCount === 0 ? this.#at : this.#at + 1;
    const template = this.#readRow(start);
    if (template === undefined) this.#at = -1;
    else if (skipLiteral(this.bytes, this.#at, CLOSING) === this.bytes.length) this.#isComplete = true;
    return template;
  }

  #readRow(start: number): FlatTemplate | undefined {
    if (this.#rowCount > 0 && this.bytes[this.#at] !== COMMA) return undefined;
    const template = this.#findTemplate(start) ?? this.#learn(start);
    if (template === undefined) return undefined;
    const { starts, ends } = this.row;
    const [keyStart, keyEnd] = [starts[template.keyIndex] ?? 0, ends[template.keyIndex] ?? 0];
    const isTooLong = this.#payloadLength(template) > this.#settings.rowBytesMax;
    if (isTooLong || !this.#keys.add(template.codec.table.tableId, keyStart, keyEnd)) return undefined;
    this.#rowCount += 1;
    this.#rowLength = this.#at - start;
    return template;
  }

  #payloadLength({ plan, values, payloadIndex, payloadHeadLength }: FlatTemplate): number {
    if (plan === undefined) return 0;
    const { wireStarts, wireEnds } = this.row;
    return (
      (wireEnds[payloadIndex + plan.names.length - 1] ?? values.length) + 1 - (wireStarts[payloadIndex] ?? 0) + payloadHeadLength
    );
  }

  /** Reads the row by the first form that fits, which then is the first to be tried. */
  #findTemplate(start: number): FlatTemplate | undefined {
    const templates = this.#templates;
    for (let index = 0; index < templates.length; index += 1) {
      const template = templates[index];
      if (template === undefined) return undefined;
      const end = this.row.read(template, start);
      if (end < 0) continue;
      this.#at = end;
      if (index > 0) templates.unshift(...templates.splice(index, 1));
      return template;
    }
    return undefined;
  }

  #learn(start: number): FlatTemplate | undefined {
    if (this.#templates.length >= TEMPLATES_MAX) return undefined;
    const template = this.#createTemplate(start);
    const end = template === undefined ? -1 : this.row.read(template, start);
    if (template === undefined || end < 0) return undefined;
    this.#templates.unshift(template);
    this.#at = end;
    return template;
  }

  #createTemplate(start: number): FlatTemplate | undefined {
    const end = findObjectEnd(this.bytes, start);
    if (end < 0) return undefined;
    try {
      const row = parseJsonBytes(this.bytes.subarray(start, end), { depthMax: FLAT_DEPTH - 2 });
      return createFlatTemplate(row, this.#settings.catalog);
    } catch (error) {
      if (error instanceof JsonSyntaxError) return undefined;
      throw error;
    }
  }
}

/** The place behind the object that begins at `start`, or -1. */
function findObjectEnd(bytes: Uint8Array, start: number): number {
  let depth = 0;
  let isText = false;
  for (let at = start; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (isText) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) isText = false;
    } else if (byte === QUOTE) isText = true;
    else if (byte === OPEN) depth += 1;
    else if (byte === CLOSE) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
    if (depth === 0) return -1;
  }
  return -1;
}
