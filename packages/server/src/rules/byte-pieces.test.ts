import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BytePieces } from './byte-pieces.ts';

/** What of a value is written, the way Node's own buffers do it. */
function expected(value: string | number | bigint | Uint8Array): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value);
  const number = Buffer.alloc(typeof value === 'bigint' ? 8 : 4);
  if (typeof value === 'bigint') number.writeBigInt64BE(value);
  else number.writeInt32BE(typeof value === 'number' ? value : Buffer.byteLength(value));
  return typeof value === 'string' ? Buffer.concat([number, Buffer.from(value)]) : number;
}

function append(pieces: BytePieces, value: string | number | bigint | Uint8Array): void {
  if (value instanceof Uint8Array) pieces.append(value);
  else if (typeof value === 'string') pieces.appendCountedText(value);
  else if (typeof value === 'number') pieces.appendInt32(value);
  else pieces.appendInt64(value);
}

describe('BytePieces', () => {
  it('gives the bytes of everything that was appended, in order', () => {
    const values = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom('é'.repeat(20_000), 'x'.repeat(150_000), '日'.repeat(10_000)),
      fc.integer(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.uint8Array(),
    );
    const property = fc.property(fc.array(values, { maxLength: 30 }), (list) => {
      const pieces = new BytePieces();
      const taken: Uint8Array[] = [];
      for (const value of list) {
        append(pieces, value);
        if (pieces.hasFull) taken.push(...pieces.takeFull());
      }
      expect(Buffer.concat([...taken, ...pieces.finish()]).equals(Buffer.concat(list.map(expected)))).toBe(true);
    });
    fc.assert(property);
  });

  it('hands full pieces over while more comes, and none twice', () => {
    const pieces = new BytePieces();
    const taken: Uint8Array[] = [];
    for (let part = 0; part < 30; part += 1) {
      pieces.append(new Uint8Array(20_000).fill(part));
      taken.push(...pieces.takeFull());
    }
    expect(taken.length).toBeGreaterThan(3);
    expect(pieces.hasFull).toBe(false);
    expect(Buffer.concat([...taken, ...pieces.finish()]).byteLength).toBe(600_000);
  });

  it('gives nothing for nothing', () => {
    expect(new BytePieces().finish()).toEqual([]);
  });
});
