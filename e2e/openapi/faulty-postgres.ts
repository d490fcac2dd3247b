import { PgFault } from '@oversync/server';
import type { PgBegin, PgResult, Postgres, PgTransaction, PgValue } from '@oversync/server';

/**
 * A database out of order on demand:
 * `broken`: every statement fails in a way nobody expects;
 * `cut`: transactions commit, but the connection breaks before the answer, and nothing can be asked afterwards;
 * `slow`: everything waits until {@link FaultyPostgres.release}.
 */
export type DatabaseMood = 'well' | 'broken' | 'cut' | 'slow';

/** A real database behind a fault. */
export class FaultyPostgres implements Postgres {
  readonly #inner: Postgres;
  readonly #waiting: (() => void)[] = [];
  mood: DatabaseMood = 'well';

  constructor(inner: Postgres) {
    this.#inner = inner;
  }

  get features(): Postgres['features'] {
    return this.#inner.features;
  }

  async query(sql: string, params?: readonly PgValue[]): Promise<PgResult> {
    await this.#suffer();
    if (this.mood === 'cut') throw new PgFault('connection refused', { sqlState: '08006' });
    return this.#inner.query(sql, params);
  }

  async transaction<T>(begin: PgBegin, fn: (tx: PgTransaction) => Promise<T>): Promise<T> {
    await this.#suffer();
    const result = await this.#inner.transaction(begin, fn);
    if (this.mood === 'cut') throw new PgFault('connection reset', { sqlState: '08006', commitSent: true });
    return result;
  }

  /** Ends `slow`. */
  release(): void {
    this.mood = 'well';
    for (const go of this.#waiting.splice(0)) go();
  }

  async #suffer(): Promise<void> {
    if (this.mood === 'broken') throw new PgFault('out of order', { sqlState: 'XX000' });
    if (this.mood !== 'slow') return;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}
