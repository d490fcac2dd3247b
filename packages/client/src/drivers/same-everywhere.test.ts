import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';

import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import { createTestServer } from '../engine/test-device.ts';
import type { TestServer } from '../engine/test-server.ts';
import type { SqliteDriver, SqlValue } from '../ports/sqlite-driver.ts';
import { eagerClock } from '../ports/test-clock.ts';
import { mergeColumns } from '../rules/resolvers.ts';
import type { Random } from '../ports/clock.ts';
import { createBetterSqlite3Driver } from './better-sqlite3.ts';
import { createNodeSqliteDriver } from './node-sqlite.ts';
import { createNodeSqlite3WasmDriver } from './node-sqlite3-wasm.ts';
import { createSqliteWasmDriver } from './sqlite-wasm.ts';

/*
 * One history of two devices, run on every driver: the tables of the application and the sync state must come out the same as on
 * node:sqlite, to the byte.
 */

type OpenDriver = () => SqliteDriver & { close(): void };

const sqlite3 = await sqlite3InitModule();
const REFERENCE: OpenDriver = () => createNodeSqliteDriver(':memory:');
const OTHERS: readonly { readonly name: string; readonly open: OpenDriver }[] = [
  { name: 'better-sqlite3', open: () => createBetterSqlite3Driver(':memory:') },
  { name: 'node-sqlite3-wasm', open: () => createNodeSqlite3WasmDriver(':memory:') },
  { name: 'the official WASM build', open: () => createSqliteWasmDriver({ sqlite3 }) },
];

const DDL = `
CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, age INTEGER, score REAL, data BLOB);
CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT NOT NULL, body TEXT)`;

const DUMPS = [
  "SELECT id, name, CAST(age AS TEXT), printf('%!.17g', score), hex(data), typeof(age), typeof(score), typeof(data) FROM users ORDER BY id",
  'SELECT id, user_id, body FROM posts ORDER BY id',
  'SELECT table_name, key_json, op, CAST(base_row_version AS TEXT), payload FROM _sync_dirty_rows ORDER BY dirty_ordinal',
  'SELECT table_name, key_json, CAST(row_version AS TEXT), CAST(deleted AS TEXT) FROM _sync_row_state ORDER BY table_name, key_json',
];

type Step =
  | { readonly kind: 'user'; readonly device: 0 | 1; readonly id: string; readonly values: readonly SqlValue[] }
  | { readonly kind: 'post'; readonly device: 0 | 1; readonly id: string; readonly user: string; readonly body: string | null }
  | { readonly kind: 'delete'; readonly device: 0 | 1; readonly table: 'users' | 'posts'; readonly id: string }
  | { readonly kind: 'sync' | 'rebuild'; readonly device: 0 | 1 };

const device = fc.constantFrom<0 | 1>(0, 1);
const key = fc.constantFrom('a', 'b', 'ü', '"quoted"');
const bodies = fc.option(fc.constantFrom('', 'x', 'line\nline', '\u2028<&>😀', '{"json":1}'));
const ages = fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
const scores = fc.option(fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer()));
const blobs = fc.option(fc.uint8Array({ maxLength: 4 }));

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('user'), device, id: key, values: fc.tuple(fc.constantFrom('n1', 'n2'), ages, scores, blobs) }),
  fc.record({ kind: fc.constant('post'), device, id: key, user: key, body: bodies }),
  fc.record({ kind: fc.constant('delete'), device, table: fc.constantFrom('users', 'posts'), id: key }),
  fc.record({ kind: fc.constant('sync'), device }),
  fc.record({ kind: fc.constantFrom('sync', 'rebuild'), device }),
);

interface Device {
  readonly driver: ReturnType<OpenDriver>;
  readonly client: SyncClient;
}

/** The same ids in every run, and other ones for each device. */
function randomOf(deviceNumber: number): Random {
  let count = 0;
  const uuid = (): string => {
    count += 1;
    return `${String(deviceNumber).padStart(8, '0')}-0000-4000-8000-${String(count).padStart(12, '0')}`;
  };
  return { fraction: () => 0, uuid };
}

async function openDevice(open: OpenDriver, server: TestServer, deviceNumber: number): Promise<Device> {
  const driver = open();
  await driver.exec(DDL);
  const client = createSyncClient({
    driver,
    baseUrl: 'https://sync.test',
    headers: () => ({}),
    schema: 'main',
    tables: ['users', 'posts'].map((tableName) => ({ tableName, syncKeyColumnName: 'id' })),
    resolver: mergeColumns({ prefer: 'local' }),
    ports: { http: server.fetch, clock: eagerClock(), random: randomOf(deviceNumber) },
  });
  await client.open();
  return { driver, client };
}

async function take(step: Step, { driver, client }: Device): Promise<unknown> {
  switch (step.kind) {
    case 'user':
      return driver.run(
        'INSERT INTO users VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, age = excluded.age, score = excluded.score, data = excluded.data',
        [step.id, ...step.values],
      );
    case 'post':
      return driver.run('INSERT OR REPLACE INTO posts SELECT ?, id, ? FROM users WHERE id = ?', [step.id, step.body, step.user]);
    case 'delete':
      return driver.run(`DELETE FROM ${step.table} WHERE id = ?`, [step.id]);
    case 'sync':
      return client.sync().then(() => 'done');
    case 'rebuild':
      return client.rebuild().then(() => 'done');
  }
}

/** What two devices hold after a history, and how its steps went. */
async function runHistory(open: OpenDriver, history: readonly Step[]): Promise<readonly unknown[]> {
  const server = createTestServer();
  const devices = [await openDevice(open, server, 1), await openDevice(open, server, 2)] as const;
  const seen: unknown[] = [];
  for (const { client } of devices) seen.push((await client.attach('user-1')).status);
  for (const step of history) seen.push(await take(step, devices[step.device]));
  for (const { driver, client } of devices) {
    for (const sql of DUMPS) seen.push(await driver.all(sql));
    await client.close();
    driver.close();
  }
  return seen;
}

test.each(OTHERS)('[T119] a history leaves the same rows and the same sync state on $name', async ({ open }) => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { minLength: 20, maxLength: 40, size: 'max' }), async (history) => {
      expect(await runHistory(open, history)).toEqual(await runHistory(REFERENCE, history));
    }),
    { numRuns: 6 },
  );
});
