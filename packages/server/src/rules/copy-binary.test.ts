import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { CopyBinaryReader } from './copy-binary.ts';

type Row = readonly (string | null)[];

/** What PostgreSQL sends for `COPY … TO STDOUT (FORMAT binary)` of text columns. */
function formatBinary(rows: readonly Row[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')];
  for (const row of rows) {
    parts.push(toBytes(row.length, 2));
    for (const value of row) parts.push(toBytes(value === null ? -1 : Buffer.byteLength(value), 4), Buffer.from(value ?? ''));
  }
  return Buffer.concat([...parts, toBytes(-1, 2)]);
}

function toBytes(value: number, byteCount: number): Uint8Array {
  const bytes = Buffer.alloc(byteCount);
  bytes.writeIntBE(value, 0, byteCount);
  return bytes;
}

const rows = fc.array(fc.array(fc.option(fc.string({ unit: 'binary', maxLength: 300 })), { maxLength: 4 }), { maxLength: 8 });

test('the contents come out in order and unchanged, wherever the copy is cut', () => {
  fc.assert(
    fc.property(rows, fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 }), (values, sizes) => {
      const bytes = formatBinary(values);
      const reader = new CopyBinaryReader();
      const contents: Uint8Array[] = [];
      for (let from = 0, turn = 0; from < bytes.length; turn += 1) {
        expect(reader.isComplete).toBe(false);
        const to = from + (sizes[turn % sizes.length] ?? 1);
        contents.push(...reader.read(bytes.subarray(from, to)));
        from = to;
      }
      expect(Buffer.concat(contents).toString('utf8')).toBe(Buffer.from(values.flat().join('')).toString('utf8'));
      expect(reader.isComplete).toBe(true);
    }),
  );
});

test('a field longer than 64 KiB and one that would be negative as 16 bits are read whole', () => {
  const long = 'x'.repeat(70_000);
  const reader = new CopyBinaryReader();
  const contents = reader.read(formatBinary([[long, null, '']]));
  expect(Buffer.concat(contents).toString()).toBe(long);
});

test('another format, and bytes behind the end, are refused', () => {
  expect(() => new CopyBinaryReader().read(Buffer.from('{"rows":[]}'))).toThrow('not a binary COPY');
  const reader = new CopyBinaryReader();
  reader.read(formatBinary([]));
  expect(() => reader.read(Buffer.from([0]))).toThrow('behind its end');
});

test('a copy that was cut off is not complete', () => {
  const reader = new CopyBinaryReader();
  reader.read(formatBinary([['a']]).subarray(0, -2));
  expect(reader.isComplete).toBe(false);
});
