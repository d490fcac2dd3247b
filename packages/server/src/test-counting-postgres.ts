import type { PgBegin, PgResult, PgTransaction, PgValue, Postgres } from './ports/postgres.ts';

/** Counts round trips: one for BEGIN with its settings, one per call, one for COMMIT or ROLLBACK. */
export class CountingPostgres implements Postgres {
  readonly #inner: Postgres;
  roundTrips = 0;
  openTransactions = 0;

  constructor(inner: Postgres) {
    this.#inner = inner;
  }

  get features(): Postgres['features'] {
    return this.#inner.features;
  }

  query(sql: string, params?: readonly PgValue[]): Promise<PgResult> {
    this.roundTrips += 1;
    return this.#inner.query(sql, params);
  }

  async transaction<T>(begin: PgBegin, fn: (tx: PgTransaction) => Promise<T>): Promise<T> {
    this.roundTrips += 2;
    this.openTransactions += 1;
    try {
      return await this.#inner.transaction(begin, (tx) => fn(this.#count(tx)));
    } finally {
      this.openTransactions -= 1;
    }
  }

  /** Round trips that `fn` makes. */
  async measure(fn: () => Promise<unknown>): Promise<number> {
    const before = this.roundTrips;
    await fn();
    return this.roundTrips - before;
  }

  #count(tx: PgTransaction): PgTransaction {
    const counted = <Args extends readonly unknown[], T>(call: (...args: Args) => T) =>
      (...args: Args): T => {
        this.roundTrips += 1;
        return call(...args);
      };
    return {
      query: counted((sql: string, params?: readonly PgValue[]) => tx.query(sql, params)),
      script: counted((sql: string) => tx.script(sql)),
      copyFrom: counted((sql: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) => tx.copyFrom(sql, chunks)),
      copyTo: counted((sql: string) => tx.copyTo(sql)),
    };
  }
}
