/** node-postgres behind the port {@link Postgres}: the host's own pool, results as text, COPY through pg-copy-streams. */
import type { Pool, PoolClient } from 'pg';

import { PgFault } from '../ports/postgres.ts';
import type { PgBegin, PgResult, PgTransaction, PgValue, Postgres } from '../ports/postgres.ts';
import { cancelBackend } from './pg-cancel.ts';
import { toPgFault } from './pg-faults.ts';
import { getConnectionStatements } from './pg-statements.ts';
import { PgOpenTransaction, runPgQuery } from './pg-transaction.ts';
import type { PgStatementOptions } from './pg-transaction.ts';

export { createPgListener } from './pg-listener.ts';
export type { PgListenerConfig } from './pg-listener.ts';

export interface PgDatabaseOptions {
  /**
   * Keeps repeated statements prepared on their connection: about a third less latency. By default on connections that lead
   * straight to PostgreSQL, told by the session number that it announces and the one that serves: a pooler in transaction mode
   * hands every transaction another session. `false` never prepares; `true` names statements with parameters everywhere, for
   * PgBouncer 1.21 and newer with `max_prepared_statements`.
   */
  readonly preparedStatements?: boolean;
}

/**
 * Wraps the host's `pg.Pool`. The pool is never closed by the server; its size bounds the transactions that run at once, and
 * its `connectionTimeoutMillis` should be set, or a request waits for a connection as long as the pool lets it.
 *
 * @example
 * ```ts
 * const database = createPgDatabase(new Pool({ connectionString, max: 20, connectionTimeoutMillis: 2_000 }));
 * ```
 */
export function createPgDatabase(pool: Pool, options: PgDatabaseOptions = {}): Postgres {
  const statements: PgStatementOptions = { arePrepared: options.preparedStatements };
  return {
    features: { concurrentTransactions: true },
    transaction: (begin, fn) => runTransaction(pool, statements, begin, fn),
    query: (sql, params) => runAutocommit(pool, statements, sql, params),
  };
}

async function runAutocommit(
  pool: Pool,
  statements: PgStatementOptions,
  sql: string,
  params: readonly PgValue[] | undefined,
): Promise<PgResult> {
  const connection = await PooledConnection.take(pool);
  try {
    return await runPgQuery(connection.client, statements, getConnectionStatements(connection.client), sql, params);
  } catch (error) {
    const fault = toPgFault(error);
    connection.noteFault(fault);
    throw fault;
  } finally {
    connection.giveBack();
  }
}

async function runTransaction<T>(
  pool: Pool,
  statements: PgStatementOptions,
  begin: PgBegin,
  fn: (tx: PgTransaction) => Promise<T>,
): Promise<T> {
  begin.signal?.throwIfAborted();
  const connection = await PooledConnection.take(pool, begin.signal);
  const stopWatching = watchSignal(connection);
  const kept = getConnectionStatements(connection.client);
  const open = new PgOpenTransaction(connection, statements, kept, begin);
  try {
    await kept.prepareWanted((sql) => connection.prepare(sql));
    const value = await fn(open);
    if (!open.isCommitted) begin.signal?.throwIfAborted();
    stopWatching();
    await open.commit();
    return value;
  } catch (error) {
    connection.noteFault(error);
    if (!connection.isBroken && !isCommitSent(error)) await open.rollBack();
    throw begin.signal?.aborted === true && !isCommitSent(error) ? begin.signal.reason : error;
  } finally {
    stopWatching();
    connection.giveBack();
  }
}

function isCommitSent(error: unknown): boolean {
  return error instanceof PgFault && error.commitSent;
}

function isConnectionFault(fault: PgFault): boolean {
  return fault.sqlState.startsWith('08') || fault.sqlState.startsWith('57P');
}

/** One connection of the pool and what is known about its health. */
class PooledConnection {
  readonly client: PoolClient;
  readonly signal: AbortSignal | undefined;
  readonly #onError: (error: unknown) => void;
  #isBroken = false;

  static async take(pool: Pool, signal?: AbortSignal): Promise<PooledConnection> {
    try {
      return new PooledConnection(await pool.connect(), signal);
    } catch (error) {
      throw toPgFault(error, 'connect');
    }
  }

  constructor(client: PoolClient, signal: AbortSignal | undefined) {
    this.client = client;
    this.signal = signal;
    // An idle moment between two statements can lose the connection too; without a listener that would end the process.
    this.#onError = () => this.markBroken();
    client.on('error', this.#onError);
  }

  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Runs a statement whose faults matter only if they are the connection's; resolves to whether it succeeded. */
  async prepare(sql: string): Promise<boolean> {
    try {
      await this.client.query(sql);
      return true;
    } catch (error) {
      const fault = toPgFault(error);
      if (isConnectionFault(fault)) throw fault;
      return false;
    }
  }

  markBroken(): void {
    this.#isBroken = true;
  }

  noteFault(error: unknown): void {
    if (error instanceof PgFault && isConnectionFault(error)) this.markBroken();
  }

  giveBack(): void {
    this.client.removeListener('error', this.#onError);
    this.client.release(this.#isBroken);
  }
}

/** Milliseconds between two cancel requests for a statement that goes on. */
const CANCEL_REPEAT_MS = 250;

/**
 * Cancels the running statement when the signal aborts; returns how to stop watching. The connection is given up then: the
 * cancel request may arrive after the rollback, and would hit a statement of its next user.
 */
function watchSignal(connection: PooledConnection): () => void {
  const { signal } = connection;
  if (signal === undefined) return () => {};
  let repeating: ReturnType<typeof setInterval> | undefined;
  const onAbort = (): void => {
    connection.markBroken();
    cancelBackend(connection.client);
    // A request that arrives before PostgreSQL has begun the statement cancels nothing, so it is repeated until the statement ends.
    repeating = setInterval(() => cancelBackend(connection.client), CANCEL_REPEAT_MS);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  return () => {
    clearInterval(repeating);
    signal.removeEventListener('abort', onAbort);
  };
}
