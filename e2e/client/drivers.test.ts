import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createSyncClient, mergeColumns } from '@oversync/client';
import type { SyncClient, SyncClientOptions } from '@oversync/client';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { DRIVER_KINDS, databaseIn } from './driver-kinds.ts';
import type { DriverKind, TestDriver } from './driver-kinds.ts';
import { DEVICE_SCHEMA, openWorld } from './world.ts';
import type { World } from './world.ts';

const USERS = 'SELECT id, name, CAST(age AS TEXT) FROM users ORDER BY id';
const POSTS =
  "SELECT hex(id), user_id, body, printf('%!.17g', score), price, hex(data), meta, CAST(is_read AS TEXT), at FROM posts ORDER BY id";
const POST_ID = new Uint8Array(16).fill(0xab);

let world: World;
let folder: string;
let userCount = 0;
const opened: { readonly client: SyncClient; readonly driver: TestDriver }[] = [];

beforeAll(async () => {
  world = await openWorld();
  folder = await mkdtemp(join(tmpdir(), 'oversync-drivers-'));
});
afterEach(async () => {
  for (const { client, driver } of opened.splice(0)) {
    await client.close();
    driver.close();
  }
});
afterAll(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

interface Device {
  readonly driver: TestDriver;
  readonly client: SyncClient;
}

function connect(driver: TestDriver, user: string, options: Partial<SyncClientOptions> = {}): Device {
  const client = createSyncClient({
    driver,
    baseUrl: world.url,
    headers: () => ({ Authorization: user }),
    schema: 'business',
    tables: [
      { tableName: 'users', syncKeyColumnName: 'id' },
      { tableName: 'posts', syncKeyColumnName: 'id', jsonColumns: ['meta'] },
    ],
    ...options,
  });
  opened.push({ client, driver });
  return { driver, client };
}

async function openDevice(kind: DriverKind, user: string, name: string, options?: Partial<SyncClientOptions>): Promise<Device> {
  const driver = kind.open(databaseIn(folder, `${user}-${name}`));
  await driver.exec(DEVICE_SCHEMA);
  const device = connect(driver, user, options);
  await device.client.open();
  return device;
}

const text = (device: Device, sql: string): Promise<readonly unknown[][]> => device.driver.all(sql);

describe.each(DRIVER_KINDS)('the engine on $name', (kind) => {
  it('[T119] seeds, restores and keeps every kind of value', async () => {
    const user = `driver-user-${(userCount += 1)}`;
    const first = await openDevice(kind, user, 'first');
    await first.driver.run('INSERT INTO users VALUES (?, ?, ?), (?, ?, ?)', [
      'u1',
      'é<&>"😀',
      9007199254740993n,
      'u2',
      'Bob',
      null,
    ]);
    await first.driver.run('INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)', [
      POST_ID,
      'u1',
      'tab\tline\n',
      4.4e192,
      '1250.50',
      new Uint8Array([0, 255, 16]),
      '{"a":[9007199254740993,null]}',
      1n,
      '2026-03-24T18:42:11.12+00:00',
    ]);
    expect(await first.client.attach(user)).toMatchObject({ outcome: 'seeded_from_local' });
    expect(await first.client.sync()).toMatchObject({ push: { outcome: 'committed', bundles: [{ rowCount: 3 }] } });
    const second = await openDevice(kind, user, 'second');
    expect(await second.client.attach(user)).toMatchObject({ outcome: 'used_remote_state', restore: { rowCount: 3n } });
    expect(await text(second, USERS)).toEqual(await text(first, USERS));
    expect(await text(second, POSTS)).toEqual(await text(first, POSTS));
    expect((await text(second, POSTS))[0]?.slice(3, 7)).toEqual([
      '4.4e+192',
      '1250.50',
      '00FF10',
      '{"a":[9007199254740993,null]}',
    ]);
    expect((await text(second, USERS))[0]).toEqual(['u1', 'é<&>"😀', '9007199254740993']);
  });

  it('[T119] merges an edit of both sides, pulls deletes with their cascades, and rebuilds without losing an edit', async () => {
    const user = `driver-user-${(userCount += 1)}`;
    const options = { resolver: mergeColumns({ prefer: 'local' }) };
    const first = await openDevice(kind, user, 'first', options);
    await first.driver.exec("INSERT INTO users VALUES ('u1', 'Ada', 36), ('u2', 'Bob', 40)");
    await first.driver.run('INSERT INTO posts(id, user_id) VALUES (?, ?)', [POST_ID, 'u2']);
    await first.client.attach(user);
    await first.client.sync();
    const second = await openDevice(kind, user, 'second', options);
    await second.client.attach(user);
    const changes: (readonly string[])[] = [];
    const end = second.client.onTableChange(({ tables }) => changes.push(tables));
    await first.driver.exec("UPDATE users SET name = 'Ada L.' WHERE id = 'u1'; DELETE FROM users WHERE id = 'u2'");
    await first.client.sync();
    await second.client.write((tx) => tx.run("UPDATE users SET age = 37 WHERE id = 'u1'"));
    expect(changes).toEqual([['users']]);
    await second.client.sync();
    expect(changes.flat()).toContain('posts');
    end();
    expect(await text(second, USERS)).toEqual([['u1', 'Ada L.', '37']]);
    expect(await text(second, POSTS)).toEqual([]);
    await first.driver.run('INSERT INTO users VALUES (?, ?, ?)', ['u3', 'unsent', 3n]);
    await first.client.rebuild();
    expect(await text(first, USERS)).toEqual([
      ['u1', 'Ada L.', '37'],
      ['u3', 'unsent', '3'],
    ]);
    await first.client.sync();
    await second.client.sync();
    expect(await text(second, USERS)).toEqual(await text(first, USERS));
    expect(await second.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 0 });
  });

  it('[T119] sets a row aside that the server refuses, and sends a thousand others', async () => {
    const user = `driver-user-${(userCount += 1)}`;
    const device = await openDevice(kind, user, 'first');
    await device.client.attach(user);
    await device.driver.transaction('immediate', async (tx) => {
      await tx.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO users SELECT 'u' || i, 'name ' || i, i FROM n",
      );
      await tx.run("UPDATE users SET name = 'forbidden' WHERE id = 'u500'");
    });
    const report = await device.client.pushPending();
    expect(report.quarantined).toMatchObject([{ table: 'users', key: 'u500' }]);
    expect(await world.query(`SELECT count(*)::int AS n FROM business.users WHERE _sync_scope_id = '${user}'`)).toEqual([
      { n: 999 },
    ]);
  });
});

describe.each(DRIVER_KINDS.filter(({ isFileBased }) => isFileBased))('a file of $name', (kind) => {
  it('keeps its state for the next process', async () => {
    const user = `driver-user-${(userCount += 1)}`;
    const first = await openDevice(kind, user, 'file');
    await first.client.attach(user);
    await first.client.sync();
    await first.driver.run("INSERT INTO users VALUES ('u1', 'offline', NULL)");
    await first.client.close();
    first.driver.close();
    opened.splice(0);
    const again = connect(kind.open(databaseIn(folder, `${user}-file`)), user);
    await again.client.open();
    expect(await again.client.attach(user)).toMatchObject({ outcome: 'resumed_attached_state' });
    expect(await again.client.sync()).toMatchObject({ push: { outcome: 'committed' } });
  });
});
