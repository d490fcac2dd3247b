/** Bytes of one piece: large enough to cost few writes, small enough that the last one wastes little. */
const PIECE_BYTES = 131_072;

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
  #full: Uint8Array[] = [];
  #piece = new Uint8Array(0);
  #used = 0;
  #byteLength = 0;

  append(text: string): void {
    for (let rest = text; rest !== '';) {
      if (this.#piece.byteLength - this.#used < CHARACTER_BYTES_MAX) this.#addPiece();
      const { read, written } = this.#encoder.encodeInto(rest, this.#piece.subarray(this.#used));
      this.#used += written;
      this.#byteLength += written;
      rest = read === rest.length ? '' : rest.slice(read);
    }
  }

  /** Hands over the pieces that are full; they are not part of what {@link finish} returns any more. */
  takeFull(): readonly Uint8Array[] {
    const full = this.#full;
    if (full.length > 0) this.#full = [];
    return full;
  }

  finish(): EncodedText {
    return { pieces: [...this.#full, this.#piece.subarray(0, this.#used)], byteLength: this.#byteLength };
  }

  #addPiece(): void {
    if (this.#used > 0) this.#full.push(this.#piece.subarray(0, this.#used));
    this.#piece = new Uint8Array(PIECE_BYTES);
    this.#used = 0;
  }
}

/** {@link EncodedText} of a short text. */
export function encodeText(text: string): EncodedText {
  const bytes = new TextEncoder().encode(text);
  return { pieces: [bytes], byteLength: bytes.byteLength };
}
