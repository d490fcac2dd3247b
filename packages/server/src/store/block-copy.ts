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
): Promise<Uint8Array[]> {
  const windows = toWindows(blocks, slices);
  const parts: Uint8Array[] = [];
  let position = 0;
  let current = 0;
  let missing = 0;
  for (const window of windows) missing += window.end - window.start;
  for await (const chunk of copyTexts(tx, sql)) {
    for (let window = windows[current]; window !== undefined; window = windows[current]) {
      const from = Math.max(window.start, position);
      const to = Math.min(window.end, position + chunk.byteLength);
      if (from < to) {
        if (from === window.start && current > 0) parts.push(COMMA);
        parts.push(chunk.subarray(from - position, to - position));
        missing -= to - from;
      }
      if (to < window.end) break;
      current += 1;
    }
    position += chunk.byteLength;
  }
  if (missing !== 0) throw new Error('the stored blocks are shorter than their lengths say');
  return parts;
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
