import type { PgBegin, PgResult, PgStatement, PgTransaction, PgValue, Postgres } from './ports/postgres.ts';

/** Counts round trips of a driver that has `run`: BEGIN travels with a first script, COMMIT with statements that say so. */
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
    this.openTransactions += 1;
    try {
      const state = { isBegun: false, isCommitted: false };
      return await this.#inner.transaction(begin, async (tx) => {
        const value = await fn(this.#count(tx, state));
        if (state.isBegun && !state.isCommitted) this.roundTrips += 1;
        return value;
      });
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

  #count(tx: PgTransaction, state: { isBegun: boolean; isCommitted: boolean }): PgTransaction {
    const note = (isScript: boolean): void => {
      this.roundTrips += state.isBegun || isScript ? 1 : 2;
      state.isBegun = true;
    };
    const counted =
      <Args extends readonly unknown[], T>(call: (...args: Args) => T) =>
      (...args: Args): T => {
        note(false);
        return call(...args);
      };
    const run = tx.run?.bind(tx);
    return {
      query: counted((sql: string, params?: readonly PgValue[]) => tx.query(sql, params)),
      script: (sql) => {
        note(true);
        return tx.script(sql);
      },
      ...(run === undefined
        ? {}
        : {
            run: async (statements: readonly (string | PgStatement)[], commits: boolean, takeText?: (text: string) => void) => {
              note(true);
              const results = await run(statements, commits, takeText);
              if (commits) state.isCommitted = true;
              return results;
            },
          }),
      copyFrom: counted((sql: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>) => tx.copyFrom(sql, chunks)),
      copyTo: counted((sql: string) => tx.copyTo(sql)),
    };
  }
}
