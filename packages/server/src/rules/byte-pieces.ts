import { PIECE_BYTES } from './piece-pool.ts';
import type { PiecePool } from './piece-pool.ts';

/** Texts of more UTF-16 units become pieces of their own: room for the worst case would be three times as much. */
const LONG_TEXT_LENGTH = 16_384;

/**
 * A long run of bytes, written from front to back and handed over piece by piece. Whoever writes in place asks for room, writes into
 * `bytes` from `used` on, and moves `used` behind the last byte.
 */
export class BytePieces {
  /** The piece that is being written. */
  bytes = new Uint8Array(0);
  /** The same bytes. */
  view = new DataView(this.bytes.buffer);
  /** Bytes of the piece that are written. */
  used = 0;
  readonly #encoder = new TextEncoder();
  readonly #pool: PiecePool | undefined;
  #full: Uint8Array[] = [];

  /** Without a pool each piece is a new one. */
  constructor(pool?: PiecePool) {
    this.#pool = pool;
  }

  /** Makes room for `byteCount` bytes in one piece. */
  reserve(byteCount: number): void {
    if (this.bytes.byteLength - this.used >= byteCount) return;
    this.#startPiece(byteCount > PIECE_BYTES ? new Uint8Array(byteCount) : (this.#pool?.take() ?? new Uint8Array(PIECE_BYTES)));
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.byteLength);
    this.bytes.set(bytes, this.used);
    this.used += bytes.byteLength;
  }

  /** A 32-bit integer in network order, as PostgreSQL writes lengths. */
  appendInt32(value: number): void {
    this.reserve(4);
    this.view.setInt32(this.used, value);
    this.used += 4;
  }

  appendInt64(value: bigint): void {
    this.reserve(8);
    this.view.setBigInt64(this.used, value);
    this.used += 8;
  }

  /** The UTF-8 bytes of a text behind their number. */
  appendCountedText(text: string): void {
    if (text.length > LONG_TEXT_LENGTH) {
      const bytes = this.#encoder.encode(text);
      this.appendInt32(bytes.byteLength);
      this.#startPiece(bytes);
      this.used = bytes.byteLength;
      return;
    }
    this.reserve(4 + text.length * 3);
    const { written } = this.#encoder.encodeInto(text, this.bytes.subarray(this.used + 4));
    this.view.setInt32(this.used, written);
    this.used += 4 + written;
  }

  get hasFull(): boolean {
    return this.#full.length > 0;
  }

  /** Hands over the pieces that are full. */
  takeFull(): readonly Uint8Array[] {
    const full = this.#full;
    if (full.length > 0) this.#full = [];
    return full;
  }

  /** What was not handed over. */
  finish(): readonly Uint8Array[] {
    this.#startPiece(new Uint8Array(0));
    return this.takeFull();
  }

  #startPiece(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.used > 0) this.#full.push(this.bytes.subarray(0, this.used));
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.used = 0;
  }
}
