import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { chooseBlockRange, getBlockBytes, parseInt4Array } from './block-range.ts';
import type { BlockLengths } from './block-range.ts';

/** Rows of distinct bytes, so that a wrong slice cannot look right. */
function makeBlocks(blockSizes: readonly number[][]): { blocks: BlockLengths[]; texts: string[]; rows: string[] } {
  const blocks: BlockLengths[] = [];
  const texts: string[] = [];
  const rows: string[] = [];
  for (const lengths of blockSizes) {
    const ofBlock = lengths.map((length, index) => String.fromCharCode(97 + ((rows.length + index) % 26)).repeat(length));
    blocks.push({ firstRowOrdinal: rows.length, rowLengths: lengths });
    texts.push(ofBlock.join(','));
    rows.push(...ofBlock);
  }
  return { blocks, texts, rows };
}

const blockSizes = fc.array(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }), {
  minLength: 0,
  maxLength: 5,
});

test('the chosen slices are exactly the longest run of rows that fits both limits', () => {
  fc.assert(
    fc.property(
      blockSizes,
      fc.nat(30),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 40 }),
      fc.boolean(),
      (sizes, start, rowsMax, bytesMax, takesFirstRow) => {
        const { blocks, texts, rows } = makeBlocks(sizes);
        const expected: string[] = [];
        let bytes = 0;
        for (const row of rows.slice(start)) {
          const isForced = expected.length === 0 && takesFirstRow;
          if (expected.length >= rowsMax || (!isForced && bytes + row.length > bytesMax)) break;
          expected.push(row);
          bytes += row.length;
        }
        const range = chooseBlockRange(blocks, {
          startRowOrdinal: start,
          rowCountMax: rowsMax,
          byteCountMax: bytesMax,
          takesFirstRow,
        });
        const pieces = range.slices.map((slice) => {
          const index = blocks.findIndex((block) => block.firstRowOrdinal === slice.firstRowOrdinal);
          return texts[index]?.slice(slice.byteOffset, slice.byteOffset + slice.byteLength);
        });
        expect(pieces.join(',')).toBe(expected.join(','));
        expect(range.rowCount).toBe(expected.length);
        expect(range.byteCount).toBe(bytes);
        expect(range.firstRowBytes).toBe(rows[start]?.length);
      },
    ),
  );
});

test('the bytes of a block count its commas', () => {
  expect(getBlockBytes({ firstRowOrdinal: 0, rowLengths: [3, 4, 5] })).toBe(14);
  expect(getBlockBytes({ firstRowOrdinal: 0, rowLengths: [] })).toBe(0);
});

test('arrays of PostgreSQL are read', () => {
  expect(parseInt4Array('{1,22,333}')).toStrictEqual([1, 22, 333]);
  expect(parseInt4Array('{}')).toStrictEqual([]);
});
