import { describe, expect, it } from 'vitest';

import { createSyncClient } from '../client.ts';
import { isSyncError } from '@oversync/protocol';
import { eagerClock } from '../ports/test-clock.ts';
import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import { USER_TABLES, createTestServer, openDevice } from './test-device.ts';
import type { TestDevice } from './test-device.ts';
import type { TestServer } from './test-server.ts';

class Crash extends Error {}

/** Where in the life of a transaction the process dies. */
type CrashPoint = 'before' | 'inside' | 'after';

/** A driver that dies at its nth transaction and answers nothing from then on, as a killed process does. */
function dyingDriver(inner: SqliteDriver, at: number, point: CrashPoint): SqliteDriver & { readonly hasDied: () => boolean } {
  let count = 0;
  let isDead = false;
  const die = (): never => {
    isDead = true;
    throw new Crash();
  };
  const alive = async <T>(work: () => Promise<T>): Promise<T> => {
    if (isDead) throw new Crash();
    return work();
  };
  return {
    hasDied: () => isDead,
    databaseId: () => inner.databaseId(),
    exec: (sql) => alive(() => inner.exec(sql)),
    run: (sql, params) => alive(() => inner.run(sql, params)),
    all: (sql, params) => alive(() => inner.all(sql, params)),
    transaction: (mode, fn) =>
      alive(async () => {
        count += 1;
        const isLast = count === at;
        if (isLast && point === 'before') die();
        const result = await inner.transaction(mode, async (tx: SqliteTx) => {
          const value = await fn(tx);
          return isLast && point === 'inside' ? die() : value;
        });
        return isLast && point === 'after' ? die() : result;
      }),
  };
}

type Step = (client: ReturnType<typeof createSyncClient>, device: TestDevice, server: TestServer) => Promise<unknown>;

/** A life with everything in it: seed, edits, a conflict, a pull with pending rows, a lost checkpoint, a lost source. */
const LIFE: readonly Step[] = [
  (client) => client.open(),
  (client) => client.attach('user-1'),
  (client) => client.sync(),
  (client, device) => {
    write(device, "UPDATE users SET name = 'edited' WHERE id = 'u1'; INSERT INTO users(id, name) VALUES ('u3', 'c')");
    return client.pushPending();
  },
  (client, device, server) => {
    once(server, 'peer', () => server.write([user('u2', 'peer'), user('p1', 'peer')]));
    write(device, "UPDATE users SET name = 'mine' WHERE id = 'u2'");
    return client.pullToStable();
  },
  (client) => client.sync(),
  (client, device, server) => {
    once(server, 'pruned', () => {
      server.write([user('p2', 'peer')]);
      server.prune(server.head);
    });
    write(device, "INSERT INTO users(id, name) VALUES ('u4', 'late')");
    return client.pullToStable();
  },
  (client) => client.rebuild(),
  (client) => client.sync(),
];

const user = (id: string, name: string) => ({ table: 'users', id, payload: { id, name } });
const done = new WeakMap<TestServer, Set<string>>();

function once(server: TestServer, name: string, act: () => void): void {
  const names = done.get(server) ?? new Set();
  done.set(server, names);
  if (names.has(name)) return;
  names.add(name);
  act();
}

/** Writes of the application are repeatable, as a retried user action is. */
function write(device: TestDevice, sql: string): void {
  device.sql(sql.replaceAll('INSERT INTO', 'INSERT OR IGNORE INTO'));
}

function open(server: TestServer, driver: SqliteDriver) {
  return createSyncClient({
    driver,
    baseUrl: 'https://sync.test',
    headers: () => ({}),
    schema: 'main',
    tables: USER_TABLES.map(({ table, key }) => ({ tableName: table, syncKeyColumnName: key })),
    resolver: () => ({ kind: 'keepLocal' }),
    uploadLimit: 1,
    downloadLimit: 1,
    snapshotChunkRows: 2,
    maxRowsPerPush: 2,
    ports: { http: server.fetch, clock: eagerClock() },
  });
}

/** Runs the life on a driver that dies at transaction `at`; then a new client on the same database finishes it. */
async function liveThrough(
  at: number,
  point: CrashPoint,
): Promise<{ readonly hasDied: boolean; readonly device: TestDevice; readonly server: TestServer }> {
  const server = createTestServer();
  const device = await openDevice(server, { before: "INSERT INTO users(id, name) VALUES ('u1', 'a'), ('u2', 'b')" });
  await device.client.close();
  const dying = dyingDriver(device.driver, at, point);
  const first = open(server, dying);
  let step = 0;
  try {
    for (; step < LIFE.length; step += 1) await LIFE[step]?.(first, device, server);
  } catch (error) {
    if (!dying.hasDied()) throw error;
  }
  await first.close().catch(() => undefined);
  const second = open(server, device.driver);
  await second.open();
  await second.attach('user-1');
  for (; step < LIFE.length; step += 1) await recover(second, () => LIFE[step]?.(second, device, server) ?? Promise.resolve());
  await recover(second, () => second.sync());
  await second.close();
  return { hasDied: dying.hasDied(), device, server };
}

async function recover(client: ReturnType<typeof createSyncClient>, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isSyncError(error) || error.recovery !== 'rebuild') throw error;
    await client.rebuild();
    await work();
  }
}

const rows = (device: TestDevice): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    device.list("SELECT id || '=' || name FROM users ORDER BY id").map((row) => {
      const [id = '', name] = row.split('=');
      return [id, name];
    }),
  );

describe.each(['before', 'inside', 'after'] as const)('[T40] a process that dies %s a transaction', (point) => {
  it('[I14] leaves a state from which the next start loses nothing, at every transaction', async () => {
    let at = 1;
    for (let hasDied = true; hasDied; at += 1) {
      const life = await liveThrough(at, point);
      hasDied = life.hasDied;
      const expected = { p1: 'peer', p2: 'peer', u1: 'edited', u2: 'mine', u3: 'c', u4: 'late' };
      expect(rows(life.device), `transaction ${at}`).toEqual(expected);
      const server = Object.fromEntries(Object.entries(life.server.rowsOf('users')).map(([id, row]) => [id, row['name']]));
      expect(server, `transaction ${at}`).toEqual(expected);
      expect(
        life.device.list('SELECT (SELECT count(*) FROM _sync_dirty_rows) + (SELECT count(*) FROM _sync_outbox_rows)'),
      ).toEqual(['0']);
      expect(life.device.list('SELECT apply_mode FROM _sync_apply_state')).toEqual(['0']);
    }
    expect(at).toBeGreaterThan(40);
  });
});
