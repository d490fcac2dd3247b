import { DatabaseSync } from 'node:sqlite';

import { clientWins, createSyncClient, mergeColumns } from '@oversync/client';
import type { ConflictSummary, QuarantineRef, SyncClient, SyncClientOptions, SyncEvent } from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openWorld } from './world.ts';
import type { Device, World } from './world.ts';

let world: World;
let userCount = 0;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const newUser = (): string => `decided-${(userCount += 1)}`;

async function attached(user: string, options: Partial<SyncClientOptions> = {}): Promise<Device> {
  const device = await world.openDevice(user, options);
  await device.client.attach(user);
  return device;
}

async function outcomesOf(client: SyncClient): Promise<readonly (readonly unknown[])[]> {
  return (await client.outcomes.list()).map(({ table, key, op, outcome, code }) => [table, key, op, outcome, code]);
}

describe('outcomes', () => {
  it('[K24] every local write ends in one: accepted, or rejected with the reason of the server or of this device', async () => {
    const rejected: QuarantineRef[] = [];
    const device = await attached(newUser(), { onRejected: (rows) => rejected.push(...rows) });
    const events: SyncEvent[] = [];
    device.client.subscribe((event) => events.push(event));
    device.sql(`INSERT INTO users VALUES ('good', 'n', 1), ('poison', 'forbidden', 2), ('twin', 'n', 3);
      INSERT INTO posts(id, user_id, body) VALUES (X'00', 'good', 'its key is no uuid')`);
    const report = await device.client.pushPending();
    expect(report.bundles.map(({ rowCount }) => rowCount)).toEqual([2]);
    expect(rejected.map(({ table, key, code, origin }) => [table, key, code, origin])).toEqual([
      ['posts', '00', 'invalid_key', 'freeze'],
      ['users', 'poison', 'check', 'push'],
    ]);
    expect(await outcomesOf(device.client)).toEqual([
      ['posts', '00', 'INSERT', 'rejected', 'invalid_key'],
      ['users', 'poison', 'INSERT', 'rejected', 'check'],
      ['users', 'twin', 'INSERT', 'accepted', null],
      ['users', 'good', 'INSERT', 'accepted', null],
    ]);
    expect(events.filter(({ type }) => type === 'outcomes')).toHaveLength(3);
    device.sql("UPDATE users SET name = 'better' WHERE id = 'poison'; DELETE FROM posts");
    await device.client.pushPending();
    expect(await device.client.outcomes.list({ table: 'users', key: 'poison' })).toMatchObject([
      { outcome: 'rejected' },
      { outcome: 'accepted', bundleSeq: 2n, rowVersion: 2n },
    ]);
    expect(await device.client.quarantine.list()).toEqual([]);
  });

  it('survive a restart, are bounded, and can be switched off', async () => {
    const user = newUser();
    const device = await attached(user, { outcomeLimit: 3 });
    const poison = (from: number): string =>
      [0, 1, 2].map((index) => `INSERT INTO users VALUES ('p${from + index}', 'forbidden', ${from + index})`).join(';');
    device.sql(poison(1));
    await device.client.pushPending();
    device.sql(poison(4));
    await device.client.pushPending();
    const client = await device.restart();
    expect((await client.outcomes.list()).map(({ key, outcome }) => [key, outcome])).toEqual([
      ['p4', 'rejected'],
      ['p5', 'rejected'],
      ['p6', 'rejected'],
    ]);
    expect((await client.outcomes.list({ key: 'p6', limit: 1 })).map(({ key }) => key)).toEqual(['p6']);
    const silent = await device.restart({ outcomeLimit: 0 });
    await silent.attach(user);
    device.sql(poison(7));
    await silent.pushPending();
    expect(await silent.outcomes.list({ key: 'p7' })).toEqual([]);
  });

  it('conflicts are told once, with how they were resolved, in one round for all rows', async () => {
    const user = newUser();
    const conflicts: ConflictSummary[] = [];
    const first = await attached(user, {
      resolver: mergeColumns({ prefer: 'local' }),
      onConflict: (list) => {
        conflicts.push(...list);
        throw new Error('a callback that throws disturbs nothing');
      },
    });
    first.sql("INSERT INTO users VALUES ('u1', 'a', 1), ('u2', 'b', 2)");
    await first.client.sync();
    const second = await attached(user, { resolver: clientWins });
    second.sql("UPDATE users SET name = name || ' theirs'");
    await second.client.sync();
    first.sql('UPDATE users SET age = age + 100');
    const report = await first.client.pushPending();
    expect(report).toMatchObject({ outcome: 'committed', bundles: [{ rowCount: 2 }] });
    expect(conflicts.map(({ key, resolution }) => [key, resolution])).toEqual([
      ['u1', 'keepMerged'],
      ['u2', 'keepMerged'],
    ]);
    expect(first.rows('SELECT * FROM users ORDER BY id')).toEqual([
      { id: 'u1', name: 'a theirs', age: 101 },
      { id: 'u2', name: 'b theirs', age: 102 },
    ]);
    expect((await first.client.outcomes.list({ key: 'u1' })).map(({ outcome }) => outcome)).toEqual([
      'accepted',
      'merged',
      'accepted',
    ]);
  });
});

describe('a new version of the application', () => {
  it('gets the values of a column that it did not know, and keeps what is unsent', async () => {
    const user = newUser();
    const other = await attached(user);
    other.sql("INSERT INTO users VALUES ('u1', 'Ada', 36), ('u2', 'Bob', 41)");
    await other.client.sync();
    const database = new DatabaseSync(':memory:');
    database.exec(`CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
      CREATE TABLE posts (id BLOB PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE)`);
    const open = async (): Promise<SyncClient> => {
      const client = createSyncClient({
        driver: createNodeSqliteDriver(database),
        baseUrl: world.url,
        headers: () => ({ Authorization: user }),
        schema: 'business',
        tables: [
          { tableName: 'users', syncKeyColumnName: 'id' },
          { tableName: 'posts', syncKeyColumnName: 'id' },
        ],
      });
      await client.open();
      await client.attach(user);
      return client;
    };
    const old = await open();
    await old.sync();
    database.exec("INSERT INTO users VALUES ('u3', 'Cy'); UPDATE users SET name = 'Robert' WHERE id = 'u2'");
    await old.close();
    database.exec('ALTER TABLE users ADD COLUMN age INTEGER');
    const fresh = await open();
    const report = await fresh.sync();
    expect(report).toMatchObject({ push: { outcome: 'committed' }, remote: { outcome: 'applied_snapshot' } });
    expect(
      database
        .prepare('SELECT id, age FROM users ORDER BY id')
        .all()
        .map((row) => ({ ...row })),
    ).toEqual([
      { id: 'u1', age: 36 },
      { id: 'u2', age: 41 },
      { id: 'u3', age: null },
    ]);
    expect(await fresh.verify()).toMatchObject({ isEqual: true });
    expect((await fresh.sync()).remote.outcome).toBe('already_at_target');
    await fresh.close();
  });
});
