import { createSha256, encodePieces } from './sha256.ts';
import type { Sha256, Sha256Factory } from './sha256.ts';

/** Short rows are joined up to this many UTF-16 units before they are hashed: one call per row costs more. */
const PENDING_LENGTH_MAX = 16_384;

/**
 * Hash over the canonical array of the rows of one push or bundle, row by row: `[`, rows joined with `,`, `]`.
 *
 * Memory does not grow with the number of rows. Rows must be canonical texts (`requestRowText`, `committedRowText`)
 * in ordinal order.
 */
export class RowHasher {
  readonly #hash: Sha256;
  #pending = '[';
  #hashedBytes = 0n;
  #rowCount = 0;
  #digest: string | undefined;

  constructor(factory: Sha256Factory = createSha256) {
    this.#hash = factory();
  }

  /** Number of rows added. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Length in bytes of the canonical array of the rows added so far, brackets and commas included. */
  get byteCount(): bigint {
    this.#flush();
    return this.#digest === undefined ? this.#hashedBytes + 1n : this.#hashedBytes;
  }

  /** Adds one row. */
  addRow(canonicalRowText: string): void {
    this.addRows(canonicalRowText, 1);
  }

  /** Adds `count` rows whose texts are already joined with single commas. */
  addRows(joinedCanonicalRowTexts: string, count: number): void {
    if (this.#digest !== undefined) throw new TypeError('the hash is finished');
    if (count === 0) return;
    this.#pending += this.#rowCount === 0 ? joinedCanonicalRowTexts : `,${joinedCanonicalRowTexts}`;
    this.#rowCount += count;
    if (this.#pending.length > PENDING_LENGTH_MAX) this.#flush();
  }

  /** 64 lower-case hexadecimal digits. The same text at every call; no row can be added afterwards. */
  digestHex(): string {
    if (this.#digest === undefined) {
      this.#pending += ']';
      this.#flush();
      this.#digest = this.#hash.digestHex();
    }
    return this.#digest;
  }

  #flush(): void {
    encodePieces(this.#pending, (bytes) => {
      this.#hash.update(bytes);
      this.#hashedBytes += BigInt(bytes.length);
    });
    this.#pending = '';
  }
}
