import { PgFault } from '../ports/postgres.ts';
import type { PgBegin, PgResult, PgTransaction, PgValue, Postgres } from '../ports/postgres.ts';

/**
 * Remembers when PostgreSQL last answered anything. A pool that is busy to its last connection cannot answer a health check, but it
 * is busy only because the database works.
 */
export class ObservedPostgres implements Postgres {
  readonly #inner: Postgres;
  #answeredAt = Number.NEGATIVE_INFINITY;

  constructor(inner: Postgres) {
    this.#inner = inner;
  }

  get features(): Postgres['features'] {
    return this.#inner.features;
  }

  /** Milliseconds since the last answer; infinite before the first. */
  get silentMs(): number {
    return performance.now() - this.#answeredAt;
  }

  query(sql: string, params?: readonly PgValue[]): Promise<PgResult> {
    return this.#observe(this.#inner.query(sql, params));
  }

  transaction<T>(begin: PgBegin, fn: (tx: PgTransaction) => Promise<T>): Promise<T> {
    return this.#observe(
      this.#inner.transaction(begin, (tx) => {
        this.#answeredAt = performance.now();
        return fn(tx);
      }),
    );
  }

  async #observe<T>(answer: Promise<T>): Promise<T> {
    try {
      const value = await answer;
      this.#answeredAt = performance.now();
      return value;
    } catch (error) {
      if (isFromPostgres(error)) this.#answeredAt = performance.now();
      throw error;
    }
  }
}

/** A refusal is an answer too; a lost connection, a server that goes down or an exhausted pool is none. */
function isFromPostgres(error: unknown): boolean {
  return error instanceof PgFault && !/^(?:08|53|57P)/.test(error.sqlState);
}
