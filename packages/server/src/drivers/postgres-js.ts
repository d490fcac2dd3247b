/** postgres.js behind the port {@link Postgres}: the host's own pool, results as text. */
import type { Sql } from 'postgres';

import { PgFault } from '../ports/postgres.ts';
import type { PgBegin, PgResult, PgTransaction, PgValue, Postgres } from '../ports/postgres.ts';
import { toPgFault } from './postgres-js-faults.ts';
import { createQuery, toPgResult } from './postgres-js-query.ts';
import type { StatementOptions } from './postgres-js-query.ts';
import { Session } from './postgres-js-session.ts';
import { PostgresJsTransaction } from './postgres-js-transaction.ts';

export { createPostgresJsListener } from './postgres-js-listener.ts';
export type { PostgresJsListenerOptions } from './postgres-js-listener.ts';

export interface PostgresJsDatabaseOptions {
  /**
   * Keeps repeated statements prepared on their connection; saves a round trip per statement with parameters. Off by default, because a
   * pooler in transaction mode hands every transaction another connection. The option `prepare: false` of the pool wins.
   */
  readonly preparedStatements?: boolean;
  /** How long a request waits for a connection of the pool, in milliseconds; postgres.js itself waits without end. Default 5000. */
  readonly connectionWaitMs?: number;
}

const CONNECTION_WAIT_MS = 5000;

/** What runs when the host's options are resolved. */
interface Driver {
  readonly sql: Sql;
  readonly statements: StatementOptions;
  readonly connectionWaitMs: number;
}

/**
 * Wraps the host's pool of postgres.js, which is never closed by the server. Types and transforms of the pool do not touch what the
 * server reads and writes, except `transform.row`, which is refused. Behind PgBouncer in transaction mode the pool needs `prepare: false`.
 *
 * COPY TO is replaced by a cursor, so node-postgres reads large answers faster.
 *
 * @throws TypeError for a pool with `transform.row`.
 *
 * @example
 * ```ts
 * const database = createPostgresJsDatabase(postgres(process.env['DATABASE_URL'] ?? '', { max: 20 }));
 * ```
 */
export function createPostgresJsDatabase(sql: Sql, options: PostgresJsDatabaseOptions = {}): Postgres {
  if (sql.options.transform.row.from !== undefined)
    throw new TypeError('a pool with transform.row changes what the server reads');
  const driver: Driver = {
    sql,
    statements: { arePrepared: options.preparedStatements ?? false },
    connectionWaitMs: options.connectionWaitMs ?? CONNECTION_WAIT_MS,
  };
  return {
    features: { concurrentTransactions: true },
    transaction: (begin, fn) => runTransaction(driver, begin, fn),
    query: (text, params) => runAutocommit(driver, text, params),
  };
}

async function runAutocommit(driver: Driver, text: string, params: readonly PgValue[] | undefined): Promise<PgResult> {
  const query = createQuery(driver.sql, driver.statements, text, params);
  const timer = setTimeout(() => {
    // Only a query that no connection has taken yet: that one is removed from the queue.
    if (Reflect.get(query, 'state') === null) query.cancel();
  }, driver.connectionWaitMs);
  try {
    return toPgResult(await query);
  } catch (error) {
    throw Reflect.get(query, 'cancelled') === true ? createExhausted(error) : toPgFault(error);
  } finally {
    clearTimeout(timer);
  }
}

function createExhausted(cause: unknown): PgFault {
  return new PgFault('no connection became free in time', { sqlState: '53300', cause });
}

async function runTransaction<T>(driver: Driver, begin: PgBegin, fn: (tx: PgTransaction) => Promise<T>): Promise<T> {
  begin.signal?.throwIfAborted();
  const session = await Session.open(driver.sql, formatMode(begin), driver.connectionWaitMs);
  const stopWatching = session.watch(begin.signal, getAddress(driver.sql));
  let value: T;
  try {
    value = await runBody(new PostgresJsTransaction(session, driver.statements, begin.signal), begin, fn);
    begin.signal?.throwIfAborted();
    await stopWatching();
  } catch (error) {
    await stopWatching();
    await session.rollBack();
    throw begin.signal?.aborted === true ? begin.signal.reason : error;
  }
  await session.commit();
  return value;
}

async function runBody<T>(tx: PostgresJsTransaction, begin: PgBegin, fn: (tx: PgTransaction) => Promise<T>): Promise<T> {
  // Sent together with the first statement of the body, which fails as well when the settings do.
  const settings = begin.settings === undefined ? Promise.resolve() : tx.pin(begin.settings);
  settings.catch(() => {});
  let value: T;
  try {
    value = await fn(tx);
  } catch (error) {
    await settings;
    throw error;
  }
  await settings;
  // An aborted transaction would answer COMMIT with ROLLBACK, which postgres.js does not tell from success.
  if (tx.hasFailed) await tx.query('SELECT 1');
  return value;
}

function formatMode(begin: PgBegin): string {
  const level = begin.isolation === 'repeatable read' ? 'repeatable read' : 'read committed';
  return `isolation level ${level} ${begin.readOnly === true ? 'read only' : 'read write'}`;
}

/** Where cancel requests go. With several hosts it may be the wrong one; time-outs bound the statement then. */
function getAddress(sql: Sql): { readonly host: string; readonly port: number } {
  const { path, host, port } = sql.options;
  const [firstPort = 5432] = port;
  if (typeof path === 'string' && path.includes('/')) return { host: path.slice(0, path.lastIndexOf('/')), port: firstPort };
  return { host: host[0] ?? '127.0.0.1', port: firstPort };
}
