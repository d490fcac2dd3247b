import type { LoopStatus } from '@oversync/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openWorld } from './world.ts';
import type { Device, World } from './world.ts';

const WATCH = {
  bundleChangeWatchMode: 'auto',
  uploadDebounceMs: 0,
  bundleChangeWatchReconnectMinMs: 10,
  backoffMinMs: 10,
} as const;
const USERS = 'SELECT id, name FROM users ORDER BY id';

let world: World;
let userCount = 0;
let streams = 0;
const streamListeners = new Set<() => void>();

beforeAll(async () => {
  world = await openWorld({
    watch: { enabled: true, pollIntervalMs: 100 },
    onEvent: (event) => {
      if (event.name !== 'watchOpened' && event.name !== 'watchClosed') return;
      streams = event.streams;
      for (const listener of streamListeners) listener();
    },
  });
});
afterAll(() => world.close());

const newUser = (): string => `watcher-${(userCount += 1)}`;

async function attached(user: string, options: Parameters<World['openDevice']>[1] = {}): Promise<Device> {
  const device = await world.openDevice(user, options);
  expect((await device.client.attach(user)).status).toBe('connected');
  return device;
}

/** Resolves as soon as the server holds this many streams. */
function streamCount(count: number): Promise<void> {
  return waitFor(
    () => streams === count,
    (check) => {
      streamListeners.add(check);
      return () => streamListeners.delete(check);
    },
  );
}

/** Resolves as soon as the rows of a device are these. */
function users(device: Device, names: readonly string[]): Promise<void> {
  return waitFor(
    () =>
      device
        .rows(USERS)
        .map((row) => row['name'])
        .join() === names.join(),
    (check) => device.client.onTableChange(check),
  );
}

function waitFor(isThere: () => boolean, subscribe: (check: () => void) => () => unknown): Promise<void> {
  return new Promise((resolve) => {
    const end = subscribe(() => check());
    const check = (): void => {
      if (!isThere()) return;
      end();
      resolve();
    };
    check();
  });
}

const addUser = (device: Device, id: string, name: string): Promise<void> =>
  device.client.write((tx) => tx.exec(`INSERT INTO users(id, name) VALUES ('${id}', '${name}')`));

async function closeAll(devices: readonly Device[]): Promise<void> {
  await Promise.all(devices.map((device) => device.client.close()));
  await streamCount(0);
}

describe('devices that watch', () => {
  it('[T105] see what a peer has pushed, without a call and without a timer', async () => {
    const user = newUser();
    const [first, second] = [await attached(user), await attached(user)];
    first.client.start(WATCH);
    second.client.start(WATCH);
    await streamCount(2);
    await addUser(first, 'u1', 'Ada');
    await users(second, ['Ada']);
    await addUser(second, 'u2', 'Bob');
    await users(first, ['Ada', 'Bob']);
    expect(await world.query(`SELECT name FROM business.users WHERE _sync_scope_id = '${user}' ORDER BY id`)).toEqual([
      { name: 'Ada' },
      { name: 'Bob' },
    ]);
    await closeAll([first, second]);
  });

  it('[T106] catch up with what happened while their loop was stopped', async () => {
    const user = newUser();
    const [first, second] = [await attached(user), await attached(user)];
    const loop = first.client.start(WATCH);
    await streamCount(1);
    await loop.stop();
    await streamCount(0);
    await addUser(second, 'u1', 'Ada');
    await second.client.sync();
    first.client.start(WATCH);
    await users(first, ['Ada']);
    expect(await first.client.lastBundleSeqSeen()).toBe(1n);
    await closeAll([first, second]);
  });

  it('[T106] converge, many at once, and leave no stream behind', async () => {
    const user = newUser();
    const writer = await attached(user);
    const watchers = await Promise.all(Array.from({ length: 8 }, () => attached(user)));
    for (const watcher of watchers) watcher.client.start(WATCH);
    await streamCount(8);
    await addUser(writer, 'u1', 'Ada');
    await writer.client.pushPending();
    await Promise.all(watchers.map((watcher) => users(watcher, ['Ada'])));
    expect(watchers.map((watcher) => watcher.rows(USERS))).toEqual(watchers.map(() => writer.rows(USERS)));
    await closeAll([writer, ...watchers]);
  });

  it('[T112] live queries follow a peer', async () => {
    const user = newUser();
    const [first, second] = [await attached(user), await attached(user)];
    first.client.start(WATCH);
    second.client.start(WATCH);
    await streamCount(2);
    const seen: string[] = [];
    for await (const rows of second.client.liveQuery('SELECT name FROM users ORDER BY id')) {
      seen.push(rows.join());
      if (seen.length === 1) await addUser(first, 'u1', 'Ada');
      if (seen.length === 2) await first.client.write((tx) => tx.exec("UPDATE users SET name = 'Eve'"));
      if (seen.length === 3) break;
    }
    expect(seen).toEqual(['', 'Ada', 'Eve']);
    await closeAll([first, second]);
  });

  it('[T107] work through what was written offline as soon as the network is back', async () => {
    const user = newUser();
    let isOnline = true;
    const listeners = new Set<() => void>();
    const connectivity = {
      isOnline: () => isOnline,
      subscribe: (listener: () => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
    const setOnline = (value: boolean): void => {
      isOnline = value;
      for (const listener of listeners) listener();
    };
    let requests = 0;
    const http = (request: Request): Promise<Response> => {
      requests += 1;
      return isOnline ? fetch(request) : Promise.reject(new TypeError('no network'));
    };
    const [phone, desk] = [await attached(user, { ports: { connectivity, http } }), await attached(user)];
    const loop = phone.client.start(WATCH);
    desk.client.start(WATCH);
    await streamCount(2);
    for (let cycle = 1; cycle <= 3; cycle += 1) {
      setOnline(false);
      await streamCount(1);
      const before = requests;
      await addUser(phone, `p${cycle}`, `phone ${cycle}`);
      await addUser(desk, `d${cycle}`, `desk ${cycle}`);
      expect(loop.status.state).toBe('offline');
      expect((await phone.client.pendingSyncStatus()).pendingRowCount).toBe(1);
      expect(requests).toBe(before);
      const online = waitFor(
        () => loop.status.pendingRowCount === 0 && loop.status.state === 'idle',
        (check) => loop.subscribe((_status: LoopStatus) => check()),
      );
      setOnline(true);
      const names = [...desk.rows(USERS).map((row) => String(row['name'])), `phone ${cycle}`].sort();
      await Promise.all([online, users(phone, names), users(desk, names)]);
      await streamCount(2);
    }
    await closeAll([phone, desk]);
  });
});
