import { randomUUID } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';

import { createSyncClient, type SyncClient } from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import { createTestDatabase, type TestDatabase } from '@oversync/dev-postgres/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type AppServer, startAppServer } from './app-server.ts';
import { type Member, signToken } from './auth.ts';

const SECRET = 'a secret of this test only';

const DEVICE_SQL = `
CREATE TABLE person (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL, is_active INTEGER NOT NULL DEFAULT 1,
  height_m REAL, points INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL
);
CREATE TABLE person_address (
  id TEXT PRIMARY KEY NOT NULL, person_id TEXT NOT NULL REFERENCES person(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  street TEXT NOT NULL, city TEXT NOT NULL, is_primary INTEGER NOT NULL DEFAULT 0, latitude REAL, longitude REAL
);
CREATE TABLE comment (
  id TEXT PRIMARY KEY NOT NULL, person_id TEXT NOT NULL REFERENCES person(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  body TEXT NOT NULL, likes INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL
);`;

interface Device {
  readonly client: SyncClient;
  readonly database: DatabaseSync;
}

let database: TestDatabase;
let server: AppServer;
const devices: Device[] = [];
beforeAll(async () => {
  database = await createTestDatabase();
  server = await startAppServer({ databaseUrl: database.url, jwtSecret: SECRET, port: 0 });
});
afterAll(async () => {
  await Promise.all(devices.map(({ client }) => client.close()));
  await server.close();
  await database.drop();
});

async function openDevice(member: Member): Promise<Device> {
  const sqlite = new DatabaseSync(':memory:');
  sqlite.exec(DEVICE_SQL);
  const headers = { Authorization: `Bearer ${await signToken(SECRET, member)}` };
  const client = createSyncClient({
    driver: createNodeSqliteDriver(sqlite),
    baseUrl: server.url,
    headers: () => headers,
    schema: 'app',
    tables: ['person', 'person_address', 'comment'].map((tableName) => ({ tableName, syncKeyColumnName: 'id' })),
  });
  await client.open();
  await client.attach(member.user);
  const device = { client, database: sqlite };
  devices.push(device);
  return device;
}

function addPerson({ database: sqlite }: Device, name: string, email: string): string {
  const id = randomUUID();
  sqlite
    .prepare('INSERT INTO person VALUES (?, ?, ?, ?, ?, ?, ?)')
    .run(id, name, email, 0n, 1.7, 9_007_199_254_740_993n, '2026-01-02T03:04:05Z');
  sqlite.prepare('INSERT INTO person_address VALUES (?, ?, ?, ?, 1, 42.5, 1.25)').run(randomUUID(), id, 'Main Street 1', 'Vila');
  sqlite.prepare('INSERT INTO comment VALUES (?, ?, ?, 3, ?)').run(randomUUID(), id, 'hello “there”', '2026-01-02T03:04:05Z');
  return id;
}

function list({ database: sqlite }: Device, sql: string): readonly unknown[] {
  const statement = sqlite.prepare(sql);
  statement.setReadBigInts(true);
  return statement.all();
}

describe('the sample server', () => {
  it('gives members of a tenant the same rows, exact to the last bit, and other tenants none', async () => {
    const [ada, bob, eve] = [
      await openDevice({ tenant: 'acme', user: 'ada' }),
      await openDevice({ tenant: 'acme', user: 'bob' }),
      await openDevice({ tenant: 'other', user: 'eve' }),
    ];
    const id = addPerson(ada, 'Ada', 'ada@example.com');
    await ada.client.sync();
    await bob.client.sync();
    await eve.client.sync();
    for (const table of ['person', 'person_address', 'comment']) {
      expect(list(bob, `SELECT * FROM ${table}`)).toEqual(list(ada, `SELECT * FROM ${table}`));
      expect(list(eve, `SELECT * FROM ${table}`)).toEqual([]);
    }
    expect(list(bob, 'SELECT is_active, points FROM person')).toEqual([{ is_active: 0n, points: 9_007_199_254_740_993n }]);
    bob.database.prepare('DELETE FROM person WHERE id = ?').run(id);
    await bob.client.sync();
    await ada.client.sync();
    expect(list(ada, 'SELECT id FROM comment UNION ALL SELECT id FROM person_address')).toEqual([]);
  });

  it('keeps an e-mail address unique within a tenant only', async () => {
    const [first, second, elsewhere] = [
      await openDevice({ tenant: 'one', user: 'a' }),
      await openDevice({ tenant: 'one', user: 'b' }),
      await openDevice({ tenant: 'two', user: 'c' }),
    ];
    addPerson(first, 'First', 'same@example.com');
    addPerson(elsewhere, 'Elsewhere', 'same@example.com');
    addPerson(second, 'Second', 'same@example.com');
    await first.client.sync();
    await expect(elsewhere.client.sync()).resolves.toBeDefined();
    await second.client.sync();
    // The three rows of the graph wait on the device until the person has another address; nobody else sees them.
    expect(await second.client.pendingSyncStatus()).toMatchObject({ quarantinedRowCount: 3 });
    await first.client.sync();
    expect(list(first, 'SELECT name FROM person')).toEqual([{ name: 'First' }]);
    second.database.exec(`UPDATE person SET email = 'second@example.com' WHERE name = 'Second'`);
    await second.client.sync();
    await first.client.sync();
    expect(list(first, 'SELECT name FROM person ORDER BY name')).toEqual([{ name: 'First' }, { name: 'Second' }]);
  });

  it('takes no token of another secret, without a tenant, or with a tenant that is no plain name', async () => {
    const send = async (token: string): Promise<number> => {
      const headers = { Authorization: `Bearer ${token}`, 'Oversync-Source-ID': 'device' };
      return (await fetch(`${server.url}/sync/capabilities`, { headers })).status;
    };
    expect(await send(await signToken(SECRET, { tenant: 'acme', user: 'ada' }))).toBe(200);
    expect(await send(await signToken('another secret', { tenant: 'acme', user: 'ada' }))).toBe(401);
    await expect(signToken(SECRET, { tenant: 'a b', user: 'ada' })).rejects.toThrow('tenant');
    expect((await fetch(`${server.url}/syncx/health`)).status).toBe(200);
    expect((await fetch(`${server.url}/`)).status).toBe(404);
  });
});
