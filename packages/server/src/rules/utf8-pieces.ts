import { copyBytes } from './byte-writers.ts';
import { PIECE_BYTES } from './piece-pool.ts';
import type { PiecePool } from './piece-pool.ts';

/** Bytes of the largest UTF-8 character: with less room a piece counts as full. */
const CHARACTER_BYTES_MAX = 4;

/** A text as UTF-8, cut anywhere between two characters. */
export interface EncodedText {
  readonly pieces: readonly Uint8Array[];
  readonly byteLength: number;
}

/** Encodes a long text bit by bit, without ever holding it as one string. Unpaired surrogates become U+FFFD. */
export class Utf8Pieces {
  readonly #encoder = new TextEncoder();
  readonly #pool: PiecePool | undefined;
  readonly #full: Uint8Array[] = [];
  #piece = new Uint8Array(0);
  #used = 0;
  #byteLength = 0;

  /** Without a pool each piece is a new one. */
  constructor(pool?: PiecePool) {
    this.#pool = pool;
  }

  append(text: string): void {
    for (let rest = text; rest !== '';) {
      if (this.#piece.byteLength - this.#used < CHARACTER_BYTES_MAX) this.#addPiece();
      const { read, written } = this.#encoder.encodeInto(rest, this.#piece.subarray(this.#used));
      this.#used += written;
      this.#byteLength += written;
      rest = read === rest.length ? '' : rest.slice(read);
    }
  }

  /** Takes a text that is encoded already. */
  appendBytes(bytes: Uint8Array): void {
    let taken = 0;
    while (taken < bytes.byteLength) {
      if (this.#piece.byteLength === this.#used) this.#addPiece();
      const end = Math.min(bytes.byteLength, taken + this.#piece.byteLength - this.#used);
      copyBytes(bytes, taken, end, this.#piece, this.#used);
      this.#used += end - taken;
      taken = end;
    }
    this.#byteLength += bytes.byteLength;
  }

  finish(): EncodedText {
    return { pieces: [...this.#full, this.#piece.subarray(0, this.#used)], byteLength: this.#byteLength };
  }

  #addPiece(): void {
    if (this.#used > 0) this.#full.push(this.#piece.subarray(0, this.#used));
    this.#piece = this.#pool?.take() ?? new Uint8Array(PIECE_BYTES);
    this.#used = 0;
  }
}

/** {@link EncodedText} of a short text. */
export function encodeText(text: string): EncodedText {
  const bytes = new TextEncoder().encode(text);
  return { pieces: [bytes], byteLength: bytes.byteLength };
}
