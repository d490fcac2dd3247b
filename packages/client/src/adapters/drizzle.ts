import type { DrizzleConfig } from 'drizzle-orm';
import { drizzle as drizzleOverProxy } from 'drizzle-orm/sqlite-proxy';
import type { AsyncBatchRemoteCallback, AsyncRemoteCallback, SqliteRemoteDatabase } from 'drizzle-orm/sqlite-proxy';

import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { fromSqlValue, toSqlValues } from './orm-values.ts';

/**
 * Drizzle over the database of a client. Its writes are captured like all others, and reach live queries and the background loop.
 *
 * A transaction of Drizzle is one of the driver (`behavior: 'deferred'` where Drizzle asks for it, else IMMEDIATE): other calls, the
 * engine's too, wait until it has ended, so it should await only its own queries, through `tx`. INTEGER is read as a number where that is
 * exact and as a bigint beyond 2^53.
 *
 * @example
 * ```ts
 * const db = createDrizzle(driver);
 * await db.insert(notes).values({ id: crypto.randomUUID(), title: 'typed' });
 * ```
 */
export function createDrizzle<TSchema extends Record<string, unknown> = Record<string, never>>(
  driver: SqliteDriver,
  config: DrizzleConfig<TSchema> = {},
): SqliteRemoteDatabase<TSchema> {
  const database = drizzleOverProxy(callsOn(driver), batchesOn(driver), config);
  database.transaction = (work, settings) =>
    driver.transaction(settings?.behavior === 'deferred' ? 'deferred' : 'immediate', (tx) =>
      drizzleOverProxy(insideTransaction(callsOn(tx)), config).transaction(work, settings),
    );
  return database;
}

/**
 * The parameters of a query as a live query takes them.
 *
 * @example
 * ```ts
 * const { sql, params } = db.select({ title: notes.title }).from(notes).toSQL();
 * client.liveQuery(sql, sqlParameters(params)).subscribe(show);
 * ```
 */
export function sqlParameters(params: readonly unknown[]): SqlValue[] {
  return toSqlValues(params);
}

function callsOn(tx: SqliteTx): AsyncRemoteCallback {
  return async (sql, params, method) => {
    const values = toSqlValues(params);
    if (method === 'run') {
      await tx.run(sql, values);
      return { rows: [] };
    }
    const rows = (await tx.all(sql, values)).map((row) => row.map(fromSqlValue));
    if (method !== 'get') return { rows };
    const [first] = rows;
    return first === undefined ? NO_ROW : { rows: first };
  };
}

/** Drizzle tells a missing row by missing `rows`, which its own type does not have. */
const NO_ROW = { rows: undefined } as unknown as { rows: unknown[] };

function batchesOn(driver: SqliteDriver): AsyncBatchRemoteCallback {
  return (steps) =>
    driver.transaction('immediate', async (tx) => {
      const call = callsOn(tx);
      const results: { rows: unknown[] }[] = [];
      for (const { sql, params, method } of steps) results.push(await call(sql, params, method));
      return results;
    });
}

/** The statements by which Drizzle begins and ends a transaction of its own; the driver does both. Savepoints pass. */
const TRANSACTION_CONTROL = /^(?:begin(?: \w+)?|commit|rollback)$/;

function insideTransaction(call: AsyncRemoteCallback): AsyncRemoteCallback {
  return (sql, params, method) => (TRANSACTION_CONTROL.test(sql) ? Promise.resolve({ rows: [] }) : call(sql, params, method));
}
