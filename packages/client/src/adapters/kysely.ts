import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely';
import type { CompiledQuery, Dialect } from 'kysely';

import type { SqliteDriver, SqlValue } from '../ports/sqlite-driver.ts';
import { KyselyDriver } from './kysely-driver.ts';
import { toSqlValues } from './orm-values.ts';

/**
 * A Kysely dialect over the database of a client. Its writes are captured like all others, and reach live queries and the background loop.
 *
 * A transaction of Kysely is one of the driver: other calls, the engine's too, wait until it has ended, so it should await only its own
 * queries. Inside it use `trx`: a query on the outer instance would wait for itself. INTEGER is read as a number where that is exact and as
 * a bigint beyond 2^53; `insertId` is not reported, and streaming is not supported. The driver must have `allNamed`, as all of this package
 * do; `destroy()` leaves it open.
 *
 * @example
 * ```ts
 * const db = new Kysely<Database>({ dialect: createKyselyDialect(driver) });
 * await db.insertInto('notes').values({ id: crypto.randomUUID(), title: 'typed' }).execute();
 * ```
 */
export function createKyselyDialect(driver: SqliteDriver): Dialect {
  return {
    createDriver: () => new KyselyDriver(driver),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: () => new SqliteAdapter(),
    createIntrospector: (db) => new SqliteIntrospector(db),
  };
}

/**
 * The parameters of a compiled query as a live query takes them.
 *
 * @example
 * ```ts
 * const query = db.selectFrom('notes').select('title').compile();
 * client.liveQuery(query.sql, sqlParameters(query)).subscribe(show);
 * ```
 */
export function sqlParameters(query: Pick<CompiledQuery, 'parameters'>): SqlValue[] {
  return toSqlValues(query.parameters);
}
