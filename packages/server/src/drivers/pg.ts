/** node-postgres behind the port {@link Postgres}: the host's own pool, results as text, COPY through pg-copy-streams. */
import type { Pool, PoolClient } from 'pg';

import { PgFault } from '../ports/postgres.ts';
import type { PgBegin, PgResult, PgTransaction, PgValue, Postgres } from '../ports/postgres.ts';
import { cancelBackend } from './pg-cancel.ts';
import { toPgFault } from './pg-faults.ts';
import { createPgTransaction, runPgQuery } from './pg-transaction.ts';
import type { PgStatementOptions } from './pg-transaction.ts';

export { createPgListener } from './pg-listener.ts';
export type { PgListenerConfig } from './pg-listener.ts';

export interface PgDatabaseOptions {
  /**
   * Keeps repeated statements prepared on their connection: about a third less latency. Off by default, because a pooler in
   * transaction mode hands every transaction another connection; switch it on for a direct connection, or for PgBouncer 1.21
   * and newer with `max_prepared_statements`.
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
  const statements: PgStatementOptions = { arePrepared: options.preparedStatements ?? false };
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
    return await runPgQuery(connection.client, statements, sql, params);
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
  try {
    await connection.run(formatBegin(begin));
    const value = await fn(createPgTransaction(connection, statements));
    begin.signal?.throwIfAborted();
    stopWatching();
    await commit(connection);
    return value;
  } catch (error) {
    connection.noteFault(error);
    if (!(error instanceof PgFault && error.commitSent)) await connection.rollBack();
    throw begin.signal?.aborted === true && !isCommitSent(error) ? begin.signal.reason : error;
  } finally {
    stopWatching();
    connection.giveBack();
  }
}

function isCommitSent(error: unknown): boolean {
  return error instanceof PgFault && error.commitSent;
}

function formatBegin(begin: PgBegin): string {
  const mode = begin.readOnly === true ? 'READ ONLY' : 'READ WRITE';
  const head = `BEGIN ISOLATION LEVEL ${begin.isolation === 'repeatable read' ? 'REPEATABLE READ' : 'READ COMMITTED'} ${mode}`;
  return begin.settings === undefined ? head : `${head};${begin.settings}`;
}

/**
 * An aborted transaction answers COMMIT with ROLLBACK; that must not look like success. A fault with a SQLSTATE of its own
 * (a deferred constraint, a serialization failure) proves the rollback; only a lost connection leaves the outcome open.
 */
async function commit(connection: PooledConnection): Promise<void> {
  let command: string;
  try {
    command = (await connection.client.query('COMMIT')).command;
  } catch (error) {
    const fault = toPgFault(error);
    const isOpen = fault.sqlState.startsWith('08') || fault.sqlState.startsWith('57P0');
    throw isOpen ? new PgFault(fault.message, { sqlState: fault.sqlState, commitSent: true, cause: error }) : fault;
  }
  if (command !== 'COMMIT') throw new PgFault('the transaction had failed before COMMIT', { sqlState: '25P02' });
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

  async run(sql: string): Promise<void> {
    try {
      await this.client.query(sql);
    } catch (error) {
      throw toPgFault(error);
    }
  }

  markBroken(): void {
    this.#isBroken = true;
  }

  noteFault(error: unknown): void {
    if (error instanceof PgFault && (error.sqlState.startsWith('08') || error.sqlState.startsWith('57P'))) this.markBroken();
  }

  /** A connection that cannot even roll back is destroyed, so that no open transaction reaches the next user. */
  async rollBack(): Promise<void> {
    if (this.#isBroken) return;
    try {
      await this.client.query('ROLLBACK');
    } catch {
      this.markBroken();
    }
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
