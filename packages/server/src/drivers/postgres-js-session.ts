import type { Sql, TransactionSql } from 'postgres';

import { PgFault } from '../ports/postgres.ts';
import { sendCancelRequest } from './pg-cancel.ts';
import { isConnectionLost, toPgFault } from './postgres-js-faults.ts';

const POOL_EXHAUSTED = '53300';

/** Thrown into `sql.begin` to make it roll back. */
const UNDO = new Error('roll back');

/** Milliseconds between two cancel requests for a statement that goes on. */
const CANCEL_REPEAT_MS = 250;

/**
 * A transaction of postgres.js that is ended from outside. `sql.begin` commits or rolls back when its callback ends; here the callback
 * only waits for the verdict. After the connection was lost the verdict never comes: postgres.js would send ROLLBACK on a socket that is
 * gone, which throws outside of every promise.
 */
export class Session {
  readonly tx: TransactionSql;
  readonly #ended: Promise<unknown>;
  readonly #verdict: PromiseWithResolvers<void>;
  #isLost = false;
  #backend: { readonly pid: number; readonly secret: number } | undefined;

  /**
   * Waits for a connection of the pool and begins a transaction.
   *
   * @throws PgFault `53300` when no connection becomes free in time.
   */
  static async open(sql: Sql, mode: string, connectionWaitMs: number): Promise<Session> {
    const opened = Promise.withResolvers<TransactionSql>();
    const verdict = Promise.withResolvers<void>();
    let isGivenUp = false;
    const ended = sql.begin(mode, (tx) => {
      opened.resolve(tx);
      return isGivenUp ? Promise.reject(UNDO) : verdict.promise;
    });
    ended.catch((error: unknown) => opened.reject(toPgFault(error, 'connect')));
    const timer = setTimeout(() => {
      isGivenUp = true;
      opened.reject(new PgFault('no connection became free in time', { sqlState: POOL_EXHAUSTED }));
    }, connectionWaitMs);
    try {
      return new Session(await opened.promise, ended, verdict);
    } finally {
      clearTimeout(timer);
    }
  }

  private constructor(tx: TransactionSql, ended: Promise<unknown>, verdict: PromiseWithResolvers<void>) {
    this.tx = tx;
    this.#ended = ended;
    this.#verdict = verdict;
    ended.catch(() => {
      this.#isLost = true;
    });
  }

  /** Throws when nothing can be sent any more. */
  check(): void {
    if (this.#isLost) throw new PgFault('the connection was lost', { sqlState: '08006' });
  }

  noteFault(fault: PgFault): void {
    if (isConnectionLost(fault)) this.#isLost = true;
  }

  /** Remembers which backend serves this transaction, for cancel requests. */
  noteBackend(result: unknown): void {
    const state: unknown = typeof result === 'object' && result !== null ? Reflect.get(result, 'state') : undefined;
    if (typeof state !== 'object' || state === null || !('pid' in state) || !('secret' in state)) return;
    const { pid, secret } = state;
    if (typeof pid === 'number' && typeof secret === 'number') this.#backend = { pid, secret };
  }

  /** @throws PgFault whose `commitSent` is true when the connection broke before the answer to COMMIT had arrived. */
  async commit(): Promise<void> {
    this.check();
    this.#verdict.resolve();
    try {
      await this.#ended;
    } catch (error) {
      const fault = toPgFault(error);
      if (!isConnectionLost(fault)) throw fault;
      throw new PgFault(fault.message, { sqlState: fault.sqlState, commitSent: true, cause: error });
    }
  }

  async rollBack(): Promise<void> {
    if (this.#isLost) return;
    this.#verdict.reject(UNDO);
    await this.#ended.catch(() => {});
  }

  /**
   * Cancels the running statement when the signal aborts. The function returned stops watching and waits for the requests on their way:
   * one that arrives late would hit a statement of the connection's next user.
   */
  watch(signal: AbortSignal | undefined, address: { readonly host: string; readonly port: number }): () => Promise<void> {
    if (signal === undefined) return () => Promise.resolve();
    const deliveries: Promise<void>[] = [];
    let repeating: ReturnType<typeof setInterval> | undefined;
    const cancel = (): void => {
      const backend = this.#backend;
      if (backend === undefined) return;
      deliveries.push(sendCancelRequest({ ...address, processId: backend.pid, secretKey: backend.secret }));
    };
    const onAbort = (): void => {
      cancel();
      // A request that arrives before PostgreSQL has begun the statement cancels nothing, so it is repeated until the statement ends.
      repeating = setInterval(cancel, CANCEL_REPEAT_MS);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    return async () => {
      clearInterval(repeating);
      signal.removeEventListener('abort', onAbort);
      await Promise.all(deliveries);
    };
  }
}
