import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';

/** A transaction of the driver for those who begin and end one by separate calls. */
export class OpenedTransaction {
  readonly tx: SqliteTx;
  readonly #end: PromiseWithResolvers<void>;
  readonly #done: Promise<void>;

  private constructor(tx: SqliteTx, end: PromiseWithResolvers<void>, done: Promise<void>) {
    this.tx = tx;
    this.#end = end;
    this.#done = done;
  }

  /** Waits for its turn and begins. */
  static async begin(driver: SqliteDriver, mode: 'deferred' | 'immediate'): Promise<OpenedTransaction> {
    const begun = Promise.withResolvers<SqliteTx>();
    const end = Promise.withResolvers<void>();
    const done = driver.transaction(mode, (tx) => {
      begun.resolve(tx);
      return end.promise;
    });
    done.catch(begun.reject);
    return new OpenedTransaction(await begun.promise, end, done);
  }

  /** Rejects when the COMMIT fails; everything is rolled back then. */
  async commit(): Promise<void> {
    this.#end.resolve();
    await this.#done;
  }

  async rollback(): Promise<void> {
    const reason = new Error('rolled back');
    this.#end.reject(reason);
    await this.#done.catch((error: unknown) => {
      if (error !== reason) throw error;
    });
  }
}
