import { availableParallelism } from 'node:os';

import type { DevPostgres } from '@oversync/dev-postgres';
import type { PgListener, Postgres } from '@oversync/server';
import { createPgDatabase, createPgListener } from '@oversync/server/pg';
import { Pool } from 'pg';

/**
 * Connections of the server's pool. PostgreSQL runs on this machine too: with many more sessions at work than cores, short transactions
 * take each other's caches away and all of them become slower.
 */
const POOL_SIZE = Math.max(4, 2 * availableParallelism());

/** How long a request waits for a connection, in milliseconds, before it is answered with 503. */
const CONNECTION_WAIT_MS = 5000;

export interface ExampleDatabase {
  readonly database: Postgres;
  readonly listenDatabase?: PgListener;
  close(): Promise<void>;
}

/** Connects the sync server to whatever PostgreSQL there is: a pool for a server with a URL, the instance itself for PGlite. */
export async function connectDatabase(postgres: DevPostgres): Promise<ExampleDatabase> {
  if (postgres.kind === 'pglite') {
    const { createPgliteDatabase } = await import('@oversync/server/pglite');
    return { database: createPgliteDatabase(postgres.database), close: () => Promise.resolve() };
  }
  const pool = new Pool({ connectionString: postgres.url, max: POOL_SIZE, connectionTimeoutMillis: CONNECTION_WAIT_MS });
  // A server that goes away ends idle connections; the pool opens new ones, so there is nothing to do but not to crash.
  pool.on('error', () => undefined);
  return {
    database: createPgDatabase(pool, { preparedStatements: true }),
    listenDatabase: createPgListener({ connectionString: postgres.url }),
    close: () => pool.end(),
  };
}
