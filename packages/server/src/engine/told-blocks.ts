import type { PgResult } from '../ports/postgres.ts';
import { BLOCK_ROWS_MAX } from '../store/finalise.sql.ts';
import type { WrittenRows } from './finalise.ts';
import { BlockHasher } from './hash-blocks.ts';
import type { HashedBlocks } from './hash-blocks.ts';
import { createFastSha256 } from './platform-hash.ts';

/**
 * Hashes the blocks of a direct commit while PostgreSQL writes the next ones: the hash costs a commit no time then, and neither side reads
 * or holds the texts again.
 */
export class ToldBlocks {
  readonly #hasher: BlockHasher;
  #isSound = true;

  constructor({ rowCount, ...blocks }: Pick<HashedBlocks, 'bundleSeq' | 'hasNestedJson'> & { readonly rowCount: number }) {
    this.#hasher = new BlockHasher({ ...blocks, pushedRowCount: rowCount, hashesRequest: false, createHash: createFastSha256 });
  }

  readonly take = (text: string): void => {
    if (!this.#isSound) return;
    try {
      this.#hasher.add(text);
    } catch {
      this.#isSound = false;
    }
  };

  /** `undefined` when the stored blocks have to be read: that tells what is wrong with one, or brings them into order. */
  finish(parts: readonly PgResult[]): WrittenRows['hash'] {
    const ordinals: number[] = [];
    for (const { rows } of parts) {
      for (const row of rows.slice(0, -1)) {
        ordinals.push(Number(row[0]));
        // From a driver that hands nothing over.
        const text = row.at(-1);
        if (typeof text === 'string') this.take(text);
      }
    }
    const isOrdered = ordinals.every((ordinal, index) => ordinal === index * BLOCK_ROWS_MAX);
    return this.#isSound && isOrdered ? this.#hasher.finish() : undefined;
  }
}
