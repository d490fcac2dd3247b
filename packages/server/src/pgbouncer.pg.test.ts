import { createTestDatabase } from '@oversync/dev-postgres/testing';
import type { TestDatabase } from '@oversync/dev-postgres/testing';
import { Pool } from 'pg';
import postgres from 'postgres';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { createPgDatabase } from './drivers/pg.ts';
import { createPostgresJsDatabase } from './drivers/postgres-js.ts';
import type { Postgres } from './ports/postgres.ts';
import { hasPgBouncer, POOL_SIZE, startPgBouncer } from './test-pgbouncer.ts';
import type { PgBouncer } from './test-pgbouncer.ts';
import { tourServer } from './test-whole-server.ts';
import { postgresConformance } from './testing/index.ts';

/** Connections of the host: more than PgBouncer opens, so that every transaction may get another server. */
const CLIENTS = 3 * POOL_SIZE;

const drivers = [
  {
    name: 'node-postgres',
    open: (url: string) => {
      const pool = new Pool({ connectionString: url, max: CLIENTS, connectionTimeoutMillis: 10_000 });
      pool.on('error', () => {});
      return { db: createPgDatabase(pool), end: () => pool.end() };
    },
  },
  {
    name: 'postgres.js',
    open: (url: string) => {
      const sql = postgres(url, { max: CLIENTS, prepare: false, onnotice: () => {} });
      return { db: createPostgresJsDatabase(sql), end: () => sql.end({ timeout: 1 }) };
    },
  },
] as const;

describe.skipIf(!hasPgBouncer)('behind PgBouncer in transaction mode', () => {
  let database: TestDatabase;
  let bouncer: PgBouncer;
  beforeEach(async () => {
    database = await createTestDatabase();
    bouncer = await startPgBouncer(database.url);
  });
  afterEach(async () => {
    await bouncer.stop();
    await database.drop();
  });

  test.each(drivers)('$name: transactions share few servers, and a whole server works on them', async ({ open }) => {
    const { db, end } = open(bouncer.url);
    try {
      expect(await countServers(db)).toBeLessThanOrEqual(POOL_SIZE);
      await tourServer(db);
    } finally {
      await end();
    }
  });

  test.each(drivers)('$name meets the requirements of a driver', async ({ open }) => {
    const { db, end } = open(bouncer.url);
    try {
      for (const { name, run } of postgresConformance) await expect(run(db), name).resolves.toBeUndefined();
    } finally {
      await end();
    }
  });
});

/** Servers that twice as many transactions as clients have run on. */
async function countServers(db: Postgres): Promise<number> {
  const pids = await Promise.all(
    Array.from({ length: 2 * CLIENTS }, () =>
      db.transaction({ isolation: 'read committed' }, async (tx) => (await tx.query('SELECT pg_backend_pid()')).rows[0]?.[0]),
    ),
  );
  return new Set(pids).size;
}
