import { createSha256 } from './sha256.ts';
import type { Sha256, Sha256Factory } from './sha256.ts';

/** Rows are encoded one after the other into a buffer of this size before they are hashed: hashing each by itself costs more. */
const BUFFER_BYTES = 65_536;

/** Bytes of the largest UTF-8 character: with less room the buffer counts as full. */
const CHARACTER_BYTES_MAX = 4;

/**
 * Hash over the canonical array of the rows of one push or bundle, row by row: `[`, rows joined with `,`, `]`.
 *
 * Memory does not grow with the number of rows. Rows must be canonical texts (`requestRowText`, `committedRowText`)
 * in ordinal order.
 */
export class RowHasher {
  readonly #hash: Sha256;
  readonly #encoder = new TextEncoder();
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #buffered = 0;
  #hashedBytes = 0n;
  #rowCount = 0;
  #digest: string | undefined;

  constructor(factory: Sha256Factory = createSha256) {
    this.#hash = factory();
    this.#append('[');
  }

  /** Number of rows added. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Length in bytes of the canonical array of the rows added so far, brackets and commas included. */
  get byteCount(): bigint {
    const byteCount = this.#hashedBytes + BigInt(this.#buffered);
    return this.#digest === undefined ? byteCount + 1n : byteCount;
  }

  /** Adds one row and returns its length in bytes. */
  addRow(canonicalRowText: string): number {
    return this.addRows(canonicalRowText, 1);
  }

  /** Adds `count` rows whose texts are already joined with single commas. Returns the bytes of the joined text. */
  addRows(joinedCanonicalRowTexts: string, count: number): number {
    if (this.#digest !== undefined) throw new TypeError('the hash is finished');
    if (count === 0) return 0;
    if (this.#rowCount > 0) this.#append(',');
    this.#rowCount += count;
    return this.#append(joinedCanonicalRowTexts);
  }

  /** 64 lower-case hexadecimal digits. The same text at every call; no row can be added afterwards. */
  digestHex(): string {
    if (this.#digest === undefined) {
      this.#append(']');
      this.#flush();
      this.#digest = this.#hash.digestHex();
    }
    return this.#digest;
  }

  #append(text: string): number {
    let byteCount = 0;
    let rest = text;
    for (;;) {
      const { read, written } = this.#encoder.encodeInto(rest, this.#buffer.subarray(this.#buffered));
      this.#buffered += written;
      byteCount += written;
      if (this.#buffered > BUFFER_BYTES - CHARACTER_BYTES_MAX || read < rest.length) this.#flush();
      if (read === rest.length) return byteCount;
      rest = rest.slice(read);
    }
  }

  #flush(): void {
    if (this.#buffered === 0) return;
    this.#hash.update(this.#buffer.subarray(0, this.#buffered));
    this.#hashedBytes += BigInt(this.#buffered);
    this.#buffered = 0;
  }
}
