import { describe, expect, it } from 'vitest';

import { PIECE_BYTES, PiecePool } from './piece-pool.ts';

describe('PiecePool', () => {
  it('gives a piece again that came back, whole although only a part of it was used', () => {
    const pool = new PiecePool(2);
    const piece = pool.take();
    pool.giveBack([piece.subarray(0, 10)]);
    const again = pool.take();
    expect(again.buffer).toBe(piece.buffer);
    expect(again.byteLength).toBe(PIECE_BYTES);
    expect(pool.take().buffer).not.toBe(piece.buffer);
  });

  it('keeps no more pieces than it may, and none of another size', () => {
    const pool = new PiecePool(1);
    const [first, second] = [pool.take(), pool.take()];
    pool.giveBack([new Uint8Array(10), new Uint8Array(PIECE_BYTES + 1), first, second]);
    expect(pool.take().buffer).toBe(first.buffer);
    expect([first.buffer, second.buffer]).not.toContain(pool.take().buffer);
  });
});
