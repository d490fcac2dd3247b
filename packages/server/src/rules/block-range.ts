/** One stored block of row texts: rows joined by one comma, with the UTF-8 length of each. */
export interface BlockLengths {
  /** Ordinal of the first row, 0-based. */
  readonly firstRowOrdinal: number;
  readonly rowLengths: readonly number[];
}

export interface RangeRequest {
  /** Ordinal of the first row wanted. */
  readonly startRowOrdinal: number;
  readonly rowCountMax: number;
  readonly byteCountMax: number;
  /** One row is taken even if it is larger than the limit. */
  readonly takesFirstRow: boolean;
}

/** Part of one block: the bytes of consecutive rows with the commas between them. */
export interface BlockSlice {
  readonly firstRowOrdinal: number;
  readonly byteOffset: number;
  readonly byteLength: number;
}

export interface BlockRange {
  readonly slices: readonly BlockSlice[];
  readonly rowCount: number;
  /** Bytes of the rows alone, without the commas between them. */
  readonly byteCount: number;
  /** Bytes of the first row wanted, `undefined` when there is none. */
  readonly firstRowBytes: number | undefined;
}

const COMMA_BYTES = 1;

/**
 * Which bytes of which blocks make up the rows from `startRowOrdinal` on, within both limits. `blocks` are consecutive and
 * begin at or before the first row wanted.
 */
export function chooseBlockRange(blocks: readonly BlockLengths[], request: RangeRequest): BlockRange {
  const slices: BlockSlice[] = [];
  let rowCount = 0;
  let byteCount = 0;
  let firstRowBytes: number | undefined;
  for (const block of blocks) {
    const skipped = Math.max(0, request.startRowOrdinal - block.firstRowOrdinal);
    let taken = 0;
    let sliceBytes = 0;
    for (const length of block.rowLengths.slice(skipped)) {
      firstRowBytes ??= length;
      const mayTake = (rowCount === 0 && request.takesFirstRow) || byteCount + length <= request.byteCountMax;
      if (rowCount >= request.rowCountMax || !mayTake) break;
      rowCount += 1;
      taken += 1;
      byteCount += length;
      sliceBytes += length;
    }
    if (taken > 0) slices.push(createSlice(block, skipped, taken, sliceBytes));
    if (taken < block.rowLengths.length - skipped) break;
  }
  return { slices, rowCount, byteCount, firstRowBytes };
}

function createSlice(block: BlockLengths, skipped: number, taken: number, rowBytes: number): BlockSlice {
  let byteOffset = 0;
  for (const length of block.rowLengths.slice(0, skipped)) byteOffset += length + COMMA_BYTES;
  return { firstRowOrdinal: block.firstRowOrdinal, byteOffset, byteLength: rowBytes + (taken - 1) * COMMA_BYTES };
}

/** Bytes of a whole block as it is stored. */
export function getBlockBytes(block: BlockLengths): number {
  let bytes = Math.max(0, block.rowLengths.length - 1) * COMMA_BYTES;
  for (const length of block.rowLengths) bytes += length;
  return bytes;
}

/** Reads PostgreSQL's text of an `int4[]`: `{1,2,3}`. */
export function parseInt4Array(text: string): readonly number[] {
  const inner = text.slice(1, -1);
  return inner === '' ? [] : inner.split(',').map(Number);
}
