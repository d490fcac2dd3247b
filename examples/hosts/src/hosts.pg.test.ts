import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import { DatabaseSync } from 'node:sqlite';

import { serve } from '@hono/node-server';
import { createSyncClient, type SyncClient } from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import { createTestDatabase, type TestDatabase } from '@oversync/dev-postgres/testing';
import type { SyncServer } from '@oversync/server';
import { createNodeHandler } from '@oversync/server/node';
import { createPgDatabase } from '@oversync/server/pg';
import { createPostgresJsDatabase } from '@oversync/server/postgres-js';
import { Pool } from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createExpressApp } from './express-app.ts';
import { createFastifyApp } from './fastify-app.ts';
import { createFetchHost } from './fetch-hosts.ts';
import { createHonoApp } from './hono-app.ts';
import { createNotesServer } from './sync-server.ts';

const NOTES_SQL = `
CREATE SCHEMA business;
CREATE TABLE business.notes (_sync_scope_id text NOT NULL, id uuid NOT NULL, body text NOT NULL, PRIMARY KEY (_sync_scope_id, id));`;

/** Rows that a device pushes: enough for compressed answers and a body beyond every framework's own limit. */
const ROWS = 1000;

const verifyToken = (token: string): Promise<string | null> => Promise.resolve(token === '' ? null : token);

let database: TestDatabase;
let pool: Pool;
let server: SyncServer;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  pool = new Pool({ connectionString: database.url, max: 5 });
  pool.on('error', () => undefined);
  await pool.query(NOTES_SQL);
  server = createNotesServer(createPgDatabase(pool), verifyToken);
  await server.bootstrap();
});
afterAll(async () => {
  await server.close();
  await Promise.all(closers.map((close) => close()));
  await pool.end();
  await database.drop();
});

async function listen(listener: RequestListener): Promise<string> {
  const http = createServer(listener);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  closers.push(() => (http.closeAllConnections(), http.close()));
  const address = http.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port');
  return `http://127.0.0.1:${String(address.port)}`;
}

interface Device {
  readonly sqlite: DatabaseSync;
  readonly client: SyncClient;
}

async function openDevice(baseUrl: string, user: string): Promise<Device> {
  const sqlite = new DatabaseSync(':memory:');
  sqlite.exec('CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, body TEXT NOT NULL)');
  const client = createSyncClient({
    driver: createNodeSqliteDriver(sqlite),
    baseUrl,
    headers: () => ({ Authorization: `Bearer ${user}` }),
    schema: 'business',
    tables: [{ tableName: 'notes', syncKeyColumnName: 'id' }],
  });
  await client.open();
  await client.attach(user);
  closers.push(() => client.close());
  return { sqlite, client };
}

/** Two devices and many rows. */
async function syncTwoDevices(baseUrl: string): Promise<void> {
  const user = randomUUID();
  const [first, second] = [await openDevice(baseUrl, user), await openDevice(baseUrl, user)];
  const insert = first.sqlite.prepare('INSERT INTO notes VALUES (?, ?)');
  first.sqlite.exec('BEGIN');
  for (let row = 0; row < ROWS; row += 1) insert.run(randomUUID(), `a note of some length, number ${String(row)} `.repeat(40));
  first.sqlite.exec('COMMIT');
  await first.client.sync();
  await second.client.sync();
  const read = ({ sqlite }: Device): unknown => sqlite.prepare('SELECT * FROM notes ORDER BY id').all();
  expect(read(second)).toEqual(read(first));
}

async function checkHost(url: string): Promise<void> {
  await syncTwoDevices(url);
  expect((await fetch(`${url}/syncx/health`)).status).toBe(200);
  expect((await fetch(`${url}/sync/pull`)).status).toBe(401);
  const headers = { 'Content-Type': 'application/json' };
  const echo = await fetch(`${url}/echo`, { method: 'POST', headers, body: '{"a":1}' });
  expect(await echo.json()).toEqual({ a: 1 });
}

describe('the host examples', () => {
  it('sync through Express, beside routes with a body parser', async () => {
    await expect(checkHost(await listen(createExpressApp(server)))).resolves.toBeUndefined();
  });

  it('sync through Fastify, beside routes with a body parser', async () => {
    const app = await createFastifyApp(server);
    closers.push(() => app.close());
    await expect(checkHost(await app.listen())).resolves.toBeUndefined();
  });

  it('sync through Hono on Node', async () => {
    const url = await new Promise<string>((resolve) => {
      const http = serve({ fetch: createHonoApp(server).fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
        resolve(`http://127.0.0.1:${String(port)}`),
      );
      closers.push(() => http.close());
    });
    await expect(checkHost(url)).resolves.toBeUndefined();
  });

  it('sync through the fetch that Bun and Deno serve', async () => {
    const host = createFetchHost(server, async (request) => Response.json(await request.json()));
    await expect(checkHost(await listen(createNodeHandler(host)))).resolves.toBeUndefined();
  });

  it('sync through a route handler of Next.js, which exports one function per method', async () => {
    process.env['DATABASE_URL'] = database.url;
    const route = await import('./route.ts').finally(() => delete process.env['DATABASE_URL']);
    // Next.js calls the export that is named like the method, and answers 405 itself where there is none.
    const next = (request: Request): Promise<Response> => {
      const method = Object.entries(route).find(([name]) => name === request.method)?.[1];
      return typeof method === 'function' ? method(request) : Promise.resolve(new Response(null, { status: 405 }));
    };
    const url = await listen(createNodeHandler({ fetch: next }));
    await expect(syncTwoDevices(`${url}/api`)).resolves.toBeUndefined();
    expect((await fetch(`${url}/api/sync/pull`, { method: 'PUT' })).status).toBe(405);
  });

  it('sync over postgres.js', async () => {
    const sql = postgres(database.url, { max: 5, onnotice: () => undefined });
    const other = createNotesServer(createPostgresJsDatabase(sql), verifyToken);
    closers.push(async () => (await other.close(), sql.end({ timeout: 1 })));
    await other.bootstrap();
    await expect(syncTwoDevices(await listen(createNodeHandler(other)))).resolves.toBeUndefined();
  });
});
