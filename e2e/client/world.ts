import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { DatabaseSync } from 'node:sqlite';

import { createSyncClient } from '@oversync/client';
import type { SyncClient, SyncClientOptions } from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import { createTestDatabase } from '@oversync/dev-postgres/testing';
import { createSyncServer } from '@oversync/server';
import type { SyncServer, SyncServerOptions } from '@oversync/server';
import { createNodeHandler } from '@oversync/server/node';
import { createPgDatabase } from '@oversync/server/pg';
import { Pool } from 'pg';

import { watchResponses } from '../openapi/watch-responses.ts';

const SERVER_SCHEMA = `
CREATE SCHEMA business;
CREATE TABLE business.users (
  _sync_scope_id text NOT NULL, id text NOT NULL, name text NOT NULL CHECK (name <> 'forbidden'), age int8,
  PRIMARY KEY (_sync_scope_id, id)
);
CREATE UNIQUE INDEX users_age ON business.users (_sync_scope_id, age);
CREATE TABLE business.posts (
  _sync_scope_id text NOT NULL, id uuid NOT NULL, user_id text NOT NULL, body text, score float8, price numeric(10, 2),
  data bytea, meta jsonb, is_read boolean, at timestamptz,
  PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, user_id) REFERENCES business.users (_sync_scope_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);`;

export const DEVICE_SCHEMA = `
CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, age INTEGER UNIQUE);
CREATE TABLE posts (
  id BLOB PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, body TEXT, score REAL, price TEXT,
  data BLOB, meta TEXT, is_read BOOLEAN, at TEXT
);`;

/** A real server on a real PostgreSQL, reached over real HTTP; `close` rejects when an answer was not as the OpenAPI document says. */
export interface World {
  readonly url: string;
  readonly sync: SyncServer;
  /** For another server beside {@link World.sync}. */
  readonly database: SyncServerOptions['database'];
  query(sql: string): Promise<readonly Record<string, unknown>[]>;
  openDevice(user: string, options?: Partial<SyncClientOptions>): Promise<Device>;
  close(): Promise<void>;
}

/** One device; `restart` ends the client and opens another on the same database. */
export interface Device {
  client: SyncClient;
  sql(text: string): void;
  rows(text: string): readonly Record<string, unknown>[];
  restart(options?: Partial<SyncClientOptions>): Promise<SyncClient>;
}

/** A table beside those that every world has. */
export interface ExtraTable {
  readonly name: string;
  readonly serverSql: string;
  readonly deviceSql: string;
}

export async function openWorld(options: Partial<SyncServerOptions> = {}, extra?: ExtraTable): Promise<World> {
  const database = await createTestDatabase();
  const pool = new Pool({ connectionString: database.url, max: 6 });
  pool.on('error', () => undefined);
  await pool.query(SERVER_SCHEMA);
  if (extra !== undefined) await pool.query(extra.serverSql);
  const postgres = createPgDatabase(pool);
  const sync = createSyncServer({
    database: postgres,
    registeredTables: [
      { schema: 'business', table: 'users', syncKeyColumn: 'id' },
      { schema: 'business', table: 'posts', syncKeyColumn: 'id' },
      ...(extra === undefined ? [] : [{ schema: 'business', table: extra.name, syncKeyColumn: 'id' }]),
    ],
    resolveActor: (request) => {
      const user = request.headers.get('authorization');
      return user === null ? null : { scopeId: user, userId: user };
    },
    maintenance: { enabled: false },
    ...options,
  });
  await sync.bootstrap();
  const watched = watchResponses(sync);
  const http = createServer(createNodeHandler(watched));
  const url = await listen(http);
  const devices: Device[] = [];
  return {
    url,
    sync,
    database: postgres,
    query: async (sql) => (await pool.query<Record<string, unknown>>(sql)).rows,
    openDevice: async (user, options = {}) => {
      const device = await openDevice(url, user, options, extra);
      devices.push(device);
      return device;
    },
    close: async () => {
      await Promise.all(devices.map((device) => device.client.close()));
      await watched.settle();
      http.close();
      http.closeAllConnections();
      await sync.close({ timeoutMs: 1000 });
      await pool.end();
      await database.drop();
    },
  };
}

/** Resolves to the URL at which the server is reached. */
export async function listen(http: Server): Promise<string> {
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const address = http.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port');
  return `http://127.0.0.1:${address.port}`;
}

async function openDevice(url: string, user: string, options: Partial<SyncClientOptions>, extra?: ExtraTable): Promise<Device> {
  const database = new DatabaseSync(':memory:');
  database.exec(DEVICE_SCHEMA);
  if (extra !== undefined) database.exec(extra.deviceSql);
  const driver = createNodeSqliteDriver(database);
  const create = (change: Partial<SyncClientOptions>): SyncClient =>
    createSyncClient({
      driver,
      baseUrl: url,
      headers: () => ({ Authorization: user }),
      schema: 'business',
      tables: [
        { tableName: 'users', syncKeyColumnName: 'id' },
        { tableName: 'posts', syncKeyColumnName: 'id', jsonColumns: ['meta'] },
        ...(extra === undefined ? [] : [{ tableName: extra.name, syncKeyColumnName: 'id' }]),
      ],
      ...options,
      ...change,
    });
  const device: Device = {
    client: create({}),
    sql: (text) => database.exec(text),
    rows: (text) => database.prepare(text).all(),
    restart: async (change = {}) => {
      await device.client.close();
      device.client = create(change);
      await device.client.open();
      return device.client;
    },
  };
  await device.client.open();
  return device;
}
