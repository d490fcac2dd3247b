import type { PgTransaction } from '../ports/postgres.ts';
import { getBlockBytes } from '../rules/block-range.ts';
import type { BlockLengths, BlockSlice } from '../rules/block-range.ts';
import { CopyBinaryReader } from '../rules/copy-binary.ts';

/**
 * COPY in a form in which JSON text needs no escaping: none of the three control characters occurs in it, because JSON escapes
 * them. Each COPY row ends with a newline, which is white space between JSON tokens.
 */
export function copyJsonOut(select: string): string {
  return `COPY (${select}) TO STDOUT (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01', NULL E'\\x03', ENCODING 'UTF8')`;
}

/** COPY for {@link copyTexts}; every column of `select` is of type text. */
export function copyTextsOut(select: string): string {
  return `COPY (${select}) TO STDOUT (FORMAT binary)`;
}

/** All texts of a {@link copyTextsOut} as one run of UTF-8 bytes, with nothing between them. */
export async function* copyTexts(tx: PgTransaction, sql: string): AsyncGenerator<Uint8Array> {
  const reader = new CopyBinaryReader();
  for await (const chunk of tx.copyTo(sql)) yield* reader.read(chunk);
  if (!reader.isComplete) throw new Error('the copy ended before its end');
}

/**
 * Reads whole blocks with one COPY and keeps only the bytes of `slices`, with one comma between two of them. `blocks` are the
 * blocks of the slices in the order in which `sql` returns them. Bytes that are not wanted are dropped as they arrive.
 */
export async function copyBlockSlices(
  tx: PgTransaction,
  sql: string,
  blocks: readonly BlockLengths[],
  slices: readonly BlockSlice[],
): Promise<readonly Uint8Array[]> {
  const cutter = new BlockCutter(blocks, slices);
  for await (const chunk of copyTexts(tx, sql)) cutter.add(chunk);
  return cutter.finish();
}

/** {@link copyBlockSlices} of blocks that are in memory. */
export function cutBlockSlices(
  texts: readonly Uint8Array[],
  blocks: readonly BlockLengths[],
  slices: readonly BlockSlice[],
): readonly Uint8Array[] {
  const cutter = new BlockCutter(blocks, slices);
  for (const text of texts) cutter.add(text);
  return cutter.finish();
}

/** Keeps the bytes of slices out of the bytes of their blocks. */
class BlockCutter {
  readonly #windows: readonly ByteWindow[];
  readonly #parts: Uint8Array[] = [];
  #position = 0;
  #current = 0;
  #missing = 0;

  constructor(blocks: readonly BlockLengths[], slices: readonly BlockSlice[]) {
    this.#windows = toWindows(blocks, slices);
    for (const window of this.#windows) this.#missing += window.end - window.start;
  }

  add(chunk: Uint8Array): void {
    for (let window = this.#windows[this.#current]; window !== undefined; window = this.#windows[this.#current]) {
      const from = Math.max(window.start, this.#position);
      const to = Math.min(window.end, this.#position + chunk.byteLength);
      if (from < to) {
        if (from === window.start && this.#current > 0) this.#parts.push(COMMA);
        this.#parts.push(chunk.subarray(from - this.#position, to - this.#position));
        this.#missing -= to - from;
      }
      if (this.#position + chunk.byteLength < window.end) break;
      this.#current += 1;
    }
    this.#position += chunk.byteLength;
  }

  finish(): readonly Uint8Array[] {
    if (this.#missing !== 0) throw new Error('the stored blocks are shorter than their lengths say');
    return this.#parts;
  }
}

const COMMA = new Uint8Array([0x2c]);

interface ByteWindow {
  readonly start: number;
  readonly end: number;
}

function toWindows(blocks: readonly BlockLengths[], slices: readonly BlockSlice[]): readonly ByteWindow[] {
  const startByOrdinal = new Map<number, number>();
  let position = 0;
  for (const block of blocks) {
    startByOrdinal.set(block.firstRowOrdinal, position);
    position += getBlockBytes(block);
  }
  return slices.map((slice) => {
    const start = (startByOrdinal.get(slice.firstRowOrdinal) ?? 0) + slice.byteOffset;
    return { start, end: start + slice.byteLength };
  });
}
