/** Bytes of one piece: large enough to cost few writes, small enough that the last one wastes little. */
export const PIECE_BYTES = 131_072;

/**
 * Pieces that are used again. Memory outside of the heap is given back by the collector only, which is started for nothing else where
 * the rows of a push pass through: marking the heap again and again took more of the processor than the rows did.
 */
export class PiecePool {
  readonly #free: ArrayBuffer[] = [];
  readonly #countMax: number;

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** A piece of {@link PIECE_BYTES}; what it holds is left over from before. */
  take(): Uint8Array<ArrayBuffer> {
    const buffer = this.#free.pop();
    return new Uint8Array(buffer ?? new ArrayBuffer(PIECE_BYTES));
  }

  /** Takes pieces, or parts of them, that nobody looks at any more. Others than its own are left alone. */
  giveBack(pieces: Iterable<Uint8Array>): void {
    for (const { buffer } of pieces) {
      if (this.#free.length >= this.#countMax) return;
      if (buffer instanceof ArrayBuffer && buffer.byteLength === PIECE_BYTES) this.#free.push(buffer);
    }
  }
}
