import { Pool } from 'pg';
import postgres from 'postgres';

import { createPgDatabase } from './drivers/pg.ts';
import { createPostgresJsDatabase } from './drivers/postgres-js.ts';
import type { Postgres } from './ports/postgres.ts';

/** The suites run on node-postgres; `OVERSYNC_TEST_DRIVER=postgres-js` runs them on the other driver. */
export const isPostgresJs = process.env['OVERSYNC_TEST_DRIVER'] === 'postgres-js';

/** `OVERSYNC_TEST_PREPARED=off` sends every statement as text, as behind a transaction pooler. */
const preparesNothing = process.env['OVERSYNC_TEST_PREPARED'] === 'off';

/** How long a test waits for a connection of its pool, in milliseconds. */
const CONNECTION_WAIT_MS = 5000;

/** A pool of the driver under test. */
export function openTestDriver(
  url: string,
  options: { readonly max: number; readonly preparedStatements?: boolean },
): { readonly db: Postgres; readonly end: () => Promise<void> } {
  const { max, ...wanted } = options;
  const driverOptions = preparesNothing ? { preparedStatements: false } : wanted;
  if (isPostgresJs) {
    const sql = postgres(url, { max, onnotice: () => {} });
    return { db: createPostgresJsDatabase(sql, driverOptions), end: () => sql.end({ timeout: 1 }) };
  }
  const pool = new Pool({ connectionString: url, max, connectionTimeoutMillis: CONNECTION_WAIT_MS });
  // Dropping the database ends connections that are still closing; their farewell is nobody's business.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return { db: createPgDatabase(pool, driverOptions), end: () => pool.end() };
}
