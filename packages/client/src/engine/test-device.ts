import { DatabaseSync } from 'node:sqlite';
import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { NodeSqliteDriver } from '../drivers/node-sqlite.ts';
import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import { eagerClock } from '../ports/test-clock.ts';
import type { SyncClientOptions } from './options.ts';
import { TestServer } from './test-server.ts';
import type { SyncEvent } from './events.ts';

export const USER_TABLES = [
  { table: 'users', key: 'id' },
  { table: 'posts', key: 'id' },
] as const;

const LOCAL_SCHEMA = `
CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, body TEXT);`;

/** A server for `users` and `posts`. */
export function createTestServer(): TestServer {
  return new TestServer(USER_TABLES);
}

/** One device: a database in memory that survives restarts of the client, and what its client reported. */
export interface TestDevice {
  readonly driver: NodeSqliteDriver;
  /** The client that runs now. */
  client: SyncClient;
  readonly events: SyncEvent[];
  /** Ends the client, as a restart of the application does, and opens another one on the same database. */
  restart(change?: Partial<SyncClientOptions>): Promise<SyncClient>;
  sql(text: string): void;
  /** First column of every row, as text. */
  list(text: string): readonly string[];
  dirtyKeys(): readonly string[];
}

export interface DeviceSetup {
  readonly options?: Partial<SyncClientOptions>;
  readonly before?: string;
  /** A copy of another device's database, made with `serialize()`, instead of an empty one. */
  readonly image?: Uint8Array;
}

/** Opens a device; the schema exists, `before` has run, nothing is attached. */
export async function openDevice(server: TestServer, setup: DeviceSetup = {}): Promise<TestDevice> {
  const database = new DatabaseSync(':memory:');
  if (setup.image === undefined) database.exec(LOCAL_SCHEMA);
  else database.deserialize(setup.image);
  if (setup.before !== undefined) database.exec(setup.before);
  const driver = createNodeSqliteDriver(database);
  const events: SyncEvent[] = [];
  const create = (change: Partial<SyncClientOptions>): SyncClient => {
    const client = createSyncClient({
      driver,
      baseUrl: 'https://sync.test/api/',
      headers: () => ({ Authorization: 'Bearer secret-token' }),
      schema: 'main',
      tables: USER_TABLES.map(({ table, key }) => ({ tableName: table, syncKeyColumnName: key })),
      ...setup.options,
      ...change,
      ports: { http: server.fetch, clock: eagerClock(), ...setup.options?.ports, ...change.ports },
    });
    client.subscribe((event) => events.push(event));
    return client;
  };
  const device: TestDevice = {
    driver,
    client: create({}),
    events,
    restart: async (change = {}) => {
      await device.client.close();
      device.client = create(change);
      await device.client.open();
      return device.client;
    },
    sql: (text) => database.exec(text),
    list: (text) =>
      database
        .prepare(text)
        .all()
        .map((row) => String(Object.values(row)[0])),
    dirtyKeys: () => device.list('SELECT key_json FROM _sync_dirty_rows ORDER BY dirty_ordinal'),
  };
  await device.client.open();
  return device;
}

/** A device that is attached, on a server that has been initialised. */
export async function openAttachedDevice(server: TestServer, setup: DeviceSetup = {}): Promise<TestDevice> {
  const device = await openDevice(server, setup);
  const result = await device.client.attach('user-1');
  if (result.status !== 'connected') throw new Error('the device should be connected');
  return device;
}
