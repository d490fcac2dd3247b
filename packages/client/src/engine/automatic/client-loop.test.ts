import { DatabaseSync } from 'node:sqlite';

import { describe, expect, test } from 'vitest';

import { createVirtualClock } from '../../testing/virtual-clock.ts';
import type { VirtualClock } from '../../testing/virtual-clock.ts';
import type { SyncClientOptions } from '../options.ts';
import type { TableChange } from '../table-changes.ts';
import { createChannels } from '../test-change-world.ts';
import { createTestServer, openAttachedDevice, openDevice } from '../test-device.ts';
import type { TestDevice } from '../test-device.ts';
import { refuse } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';
import type { AutomaticOptions } from './resolve-loop-options.ts';
import { WatchServer } from './test-watch-server.ts';

const AUTO = { bundleChangeWatchMode: 'auto', backoffJitterRatio: 0 } as const;

interface Scene {
  readonly server: TestServer;
  readonly streams: WatchServer;
  readonly clock: VirtualClock;
  readonly device: TestDevice;
  /** Requests since the loop could begin. */
  readonly requests: () => readonly string[];
}

async function scene(options: Partial<SyncClientOptions> = {}, attach = true): Promise<Scene> {
  const server = createTestServer();
  const streams = new WatchServer(server);
  const clock = createVirtualClock();
  const setup = { options: { ...options, ports: { http: streams.fetch, clock, ...options.ports } } };
  const device = attach ? await openAttachedDevice(server, setup) : await openDevice(server, setup);
  const before = server.seen.length;
  const requests = (): readonly string[] => server.operations().slice(before);
  return { server, streams, clock, device, requests };
}

const insertUser = (device: TestDevice, id: string): Promise<unknown> =>
  device.driver.run('INSERT INTO users VALUES (?, ?)', [id, `name of ${id}`]);
const user = (id: string, name = id) => ({ table: 'users', id, payload: { id, name } });
const userIds = (device: TestDevice): readonly string[] => device.list('SELECT id FROM users ORDER BY id');

/** A write that the driver cannot see, as another connection makes it. */
const behindTheDriver = (device: TestDevice, sql: string): void => DatabaseSync.prototype.exec.call(device.driver.database, sql);

describe('background loop of a client', () => {
  test('[T108] a write through the driver is uploaded after the quiet time, as one bundle for a burst', async () => {
    const { server, clock, device } = await scene();
    const loop = device.client.start(AUTO);
    await clock.settle();
    for (const id of ['a', 'b', 'c']) await insertUser(device, id);
    await device.client.write((tx) => tx.run("INSERT INTO users VALUES ('d', 'd')"));
    await clock.advance(249);
    expect(server.head).toBe(0n);
    await clock.advance(1);
    expect(server.head).toBe(1n);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['a', 'b', 'c', 'd']);
    expect(loop.status).toMatchObject({ state: 'idle', pendingRowCount: 0, lastError: null });
    await device.client.close();
  });

  test('[T108] its own replay and pulls cause no upload', async () => {
    const { server, streams, clock, device, requests } = await scene();
    device.client.start(AUTO);
    await clock.settle();
    server.write([user('peer')]);
    streams.announce();
    await insertUser(device, 'mine');
    await clock.advance(60_000);
    expect(requests().filter((operation) => operation === 'push_session_create')).toHaveLength(1);
    expect(userIds(device)).toEqual(['mine', 'peer']);
    await device.client.close();
  });

  test('[T105] an event of the stream leads to one pull', async () => {
    const { server, streams, clock, device, requests } = await scene();
    device.client.start(AUTO);
    await clock.settle();
    expect(requests()).toEqual(['capabilities']);
    server.write([user('peer')]);
    streams.announce();
    await clock.settle();
    expect(requests()).toEqual(['capabilities', 'capabilities', 'pull']);
    expect(userIds(device)).toEqual(['peer']);
    await device.client.close();
  });

  test('[T106] a reconnect uses the newest checkpoint, source and capabilities', async () => {
    const { server, streams, clock, device } = await scene();
    device.client.start(AUTO);
    await clock.settle();
    const [first] = streams.attempts;
    server.write([user('peer')]);
    first?.end();
    await clock.advance(1000);
    expect(streams.attempts.map((attempt) => attempt.afterBundleSeq)).toEqual([0n, 1n]);

    server.retired.set(first?.sourceId ?? '', null);
    await insertUser(device, 'mine');
    await clock.advance(250);
    await clock.advance(10_000);
    const { currentSourceId } = await device.client.sourceInfo();
    expect(currentSourceId).not.toBe(first?.sourceId);
    expect(streams.attempts.at(-1)?.sourceId).toBe(currentSourceId);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['peer', 'mine']);

    server.features = { connect_lifecycle: true };
    const attempts = streams.attempts.length;
    for (const stream of streams.openStreams) stream.end();
    await clock.advance(120_000);
    expect(streams.attempts).toHaveLength(attempts);
    await device.client.close();
  });

  test('[K29] start twice is one loop; a loop that was stopped makes way for a new one', async () => {
    const { streams, clock, device } = await scene();
    const loop = device.client.start(AUTO);
    expect(device.client.start()).toBe(loop);
    await clock.settle();
    expect(streams.attempts).toHaveLength(1);
    await loop.stop();
    const second = device.client.start(AUTO);
    expect(second).not.toBe(loop);
    await clock.settle();
    expect(streams.attempts).toHaveLength(2);
    await device.client.close();
    await second.done;
    expect(second.state).toBe('stopped');
    expect(streams.openStreams).toEqual([]);
    expect(clock.timerCount).toBe(0);
  });

  test('start needs an open client and valid options', async () => {
    const { device } = await scene();
    expect(() => device.client.start({ backoffMinMs: 0 })).toThrow(expect.objectContaining({ code: 'config_invalid' }));
    await device.client.close();
    expect(() => device.client.start()).toThrow(expect.objectContaining({ code: 'client_closed' }));
  });

  test('[T107] [K12] while both directions are paused there is no request and no timer; explicit calls run', async () => {
    const { clock, device, requests } = await scene();
    const loop = device.client.start({ backoffJitterRatio: 0 });
    await clock.settle();
    device.client.pauseUploads();
    device.client.pauseDownloads();
    const before = requests().length;
    await insertUser(device, 'a');
    await clock.advance(3_600_000);
    expect(loop.status).toMatchObject({ state: 'paused', pendingRowCount: 1 });
    expect(requests().length).toBe(before);
    expect(clock.timerCount).toBe(0);
    expect(await device.client.pushPending()).toMatchObject({ outcome: 'committed' });
    device.client.resumeUploads();
    device.client.resumeDownloads();
    await clock.settle();
    expect(loop.status).toMatchObject({ state: 'idle', pendingRowCount: 0 });
    await device.client.close();
  });

  test.each([
    ['replace', ['peer'], ['mine']],
    ['merge', ['mine', 'peer'], []],
  ] as const)('[T25] the loop attaches its user with localData %s', async (localData, expected, setAside) => {
    const { server, clock, device } = await scene({}, false);
    server.write([user('peer')]);
    await insertUser(device, 'mine');
    device.client.start({ userId: 'user-1', localData, backoffJitterRatio: 0 });
    await clock.advance(1000);
    expect(userIds(device)).toEqual(expected);
    expect(Object.keys(server.rowsOf('users')).toSorted()).toEqual(expected);
    expect((await device.client.discardedRows()).map(({ key }) => key)).toEqual(setAside);
    const wrong: AutomaticOptions = JSON.parse('{"localData": "ask"}');
    expect(() => device.client.start(wrong)).toThrow(expect.objectContaining({ details: { option: 'localData' } }));
    await device.client.close();
  });

  test('[T107] an explicit call that respects the pause does nothing', async () => {
    const { server, device, requests } = await scene();
    await insertUser(device, 'a');
    server.write([user('peer')]);
    device.client.pauseUploads();
    device.client.pauseDownloads();
    expect(await device.client.pushPending({ respectPause: true })).toMatchObject({ outcome: 'skipped_paused', bundles: [] });
    expect(await device.client.pullToStable({ respectPause: true })).toMatchObject({ outcome: 'skipped_paused' });
    expect(requests()).toEqual([]);
    device.client.resumeUploads();
    expect(await device.client.pushPending({ respectPause: true })).toMatchObject({ outcome: 'committed' });
    expect(await device.client.pullToStable({ respectPause: true })).toMatchObject({ outcome: 'skipped_paused' });
    device.client.resumeDownloads();
    expect(await device.client.pullToStable({ respectPause: true })).toMatchObject({ outcome: 'applied_incremental' });
    await device.client.close();
  });

  test('[T113] the status tells how far a transfer is, whoever began it, and forgets it when it has ended', async () => {
    const { server, clock, device } = await scene({ uploadLimit: 1, snapshotChunkRows: 1 });
    const loop = device.client.start({ ...AUTO, bundleChangeWatchMode: 'off' });
    await clock.settle();
    const seen: string[] = [];
    loop.subscribe(({ progress }) => {
      const line = progress === null ? 'none' : `${progress.phase} ${progress.rowsDone ?? '?'} of ${progress.rowsTotal ?? '?'}`;
      if (seen.at(-1) !== line) seen.push(line);
    });
    await device.client.write((tx) => tx.run("INSERT INTO users VALUES ('a', 'a'), ('b', 'b')"));
    await clock.advance(250);
    // An upload of several chunks lets the event loop turn, which no simulated clock waits for.
    await expect.poll(() => seen).toEqual(expect.arrayContaining(['pushing 1 of 2', 'pushing 2 of 2', 'none']));
    await expect.poll(() => loop.status.progress).toBeNull();
    seen.length = 0;
    server.write([user('c')]);
    await device.client.rebuild();
    expect(seen).toEqual(expect.arrayContaining(['staging 2 of 3', 'staging 3 of 3', 'applying 3 of 3']));
    await clock.settle();
    expect(loop.status.progress).toBeNull();
    await device.client.close();
  });

  test('close() resolves for every caller at the end, not before', async () => {
    const { server, clock, device } = await scene();
    await insertUser(device, 'a');
    const answering = Promise.withResolvers<void>();
    server.override('pull', async (_request, answer) => {
      await answering.promise;
      return answer();
    });
    const pull = device.client.pullToStable().catch((error: unknown) => error);
    await clock.settle();
    const ended: string[] = [];
    const closes = [1, 2].map((at) => device.client.close().then(() => ended.push(`close ${at}`)));
    await pull.then(() => ended.push('pull'));
    answering.resolve();
    await Promise.all(closes);
    expect(ended).toEqual(['pull', 'close 1', 'close 2']);
    expect(await pull).toMatchObject({ code: 'client_closed' });
  });

  test('[K13] a stream lives on while pulls fail, and the rows arrive when they succeed again', async () => {
    const { server, streams, clock, device } = await scene({ retryPolicy: { enabled: false } });
    const loop = device.client.start(AUTO);
    await clock.settle();
    server.write([user('peer')]);
    server.override('pull', () => refuse(500, 'pull_failed'), 3);
    streams.announce();
    for (let beat = 0; beat < 10; beat += 1) {
      for (const stream of streams.openStreams) stream.send(': heartbeat\n\n');
      await clock.advance(1000);
    }
    expect(streams.attempts).toHaveLength(1);
    expect(userIds(device)).toEqual(['peer']);
    expect(loop.status).toMatchObject({ state: 'idle', lastError: null });
    await device.client.close();
  });

  test('[K13] a proxy that cuts the stream every 15 s costs one reconnect delay each time, and the delay never grows', async () => {
    const { server, streams, clock, device } = await scene();
    device.client.start(AUTO);
    await clock.settle();
    let longestGap = 0;
    for (let second = 1; second <= 120; second += 1) {
      if (second % 5 === 0) {
        server.write([user(`u${String(second).padStart(3, '0')}`)]);
        streams.announce();
      }
      if (second % 15 === 0) for (const stream of streams.openStreams) stream.end();
      await clock.advance(1000);
      const missing = Number(server.head) - userIds(device).length;
      longestGap = missing === 0 ? 0 : longestGap + 1;
      expect(longestGap).toBeLessThanOrEqual(1);
    }
    expect(userIds(device)).toHaveLength(24);
    expect(streams.attempts).toHaveLength(9);
    await device.client.close();
  });

  test('[T105] by default nothing watches, also where the server offers it', async () => {
    const { server, streams, clock, device } = await scene();
    device.client.start();
    await clock.settle();
    server.write([user('peer')]);
    await clock.advance(60_000);
    expect(userIds(device)).toEqual(['peer']);
    expect(streams.attempts).toEqual([]);
    await device.client.close();
  });

  test('[T106] a silent stream is given up after the idle time-out, followed by one pull', async () => {
    const { streams, clock, device, requests } = await scene({ watchIdleTimeoutMs: 60_000 });
    device.client.start(AUTO);
    await clock.advance(59_999);
    expect(requests()).toEqual(['capabilities']);
    await clock.advance(1);
    expect(streams.attempts[0]?.isReleased).toBe(true);
    expect(requests()).toEqual(['capabilities', 'capabilities', 'pull']);
    await device.client.close();
  });

  test('with a user it attaches, waits as long as the server says, and then seeds', async () => {
    const { server, clock, device } = await scene({}, false);
    server.lease = { id: crypto.randomUUID(), sourceId: 'another' };
    await insertUser(device, 'a');
    const loop = device.client.start({ ...AUTO, userId: 'user-1' });
    await clock.advance(6999);
    expect(server.operations()).toEqual(['capabilities', 'connect']);
    server.lease = null;
    await clock.advance(1);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['a']);
    expect(loop.status).toMatchObject({ state: 'idle', pendingRowCount: 0 });
    await device.client.close();
  });

  test('[T109] a lost seed lease is answered by attaching again, and nothing is lost', async () => {
    const { server, clock, device } = await scene({}, false);
    await insertUser(device, 'a');
    device.client.start({ ...AUTO, userId: 'user-1' });
    server.override('push_session_create', () => refuse(410, 'initialization_expired'));
    await clock.advance(10_000);
    expect(server.count('connect')).toBe(2);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['a']);
    await device.client.close();
  });

  test('[T109] history that was pruned is answered by a rebuild that keeps unsent rows', async () => {
    const { server, streams, clock, device } = await scene();
    server.write([user('one')]);
    server.write([user('two')]);
    await insertUser(device, 'mine');
    server.prune(2n);
    device.client.start(AUTO);
    await clock.advance(10_000);
    expect(userIds(device)).toEqual(['mine', 'one', 'two']);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['one', 'two', 'mine']);
    expect(streams.openStreams).toHaveLength(1);
    await device.client.close();
  });

  test('[T107] refused credentials stop the requests until a kick', async () => {
    const { server, clock, device, requests } = await scene();
    server.override('capabilities', () => refuse(401, 'authentication_failed'), Number.POSITIVE_INFINITY);
    const loop = device.client.start({ backoffJitterRatio: 0 });
    await clock.settle();
    expect(loop.state).toBe('needs_authentication');
    const before = requests().length;
    await insertUser(device, 'a');
    await clock.advance(3_600_000);
    expect(requests().length).toBe(before);
    loop.kick();
    await clock.settle();
    expect(requests().length).toBeGreaterThan(before);
    await device.client.close();
  });

  test('[T109] a server of another contract ends the loop', async () => {
    const { server, device } = await scene();
    server.protocolVersion = 'v2';
    const loop = device.client.start();
    await expect(loop.done).rejects.toMatchObject({ code: 'protocol_version_mismatch' });
    expect(loop.state).toBe('failed');
    await device.client.close();
  });

  test('[T37] syncThenDetach pauses the loop, which afterwards waits for the next attach', async () => {
    const { server, streams, clock, device } = await scene();
    const loop = device.client.start({ ...AUTO, userId: 'user-1' });
    await clock.settle();
    await insertUser(device, 'a');
    expect(await device.client.syncThenDetach()).toMatchObject({ detach: { outcome: 'detached' } });
    expect(streams.openStreams).toEqual([]);
    const before = server.seen.length;
    await clock.advance(3_600_000);
    expect(server.seen.length).toBe(before);
    expect(loop.state).toBe('idle');
    await device.client.attach('user-1');
    await clock.settle();
    expect(streams.openStreams).toHaveLength(1);
    await device.client.close();
  });
});

describe('syncOnce', () => {
  test('syncs both ways within its time', async () => {
    const { server, clock, device } = await scene();
    server.write([user('peer')]);
    await insertUser(device, 'mine');
    expect(await device.client.syncOnce()).toMatchObject({ outcome: 'synced', report: { push: { outcome: 'committed' } } });
    expect(userIds(device)).toEqual(['mine', 'peer']);
    expect(clock.timerCount).toBe(0);
    await device.client.close();
  });

  test('out of time is a result; the next call goes on', async () => {
    const { server, clock, device } = await scene();
    server.write([user('peer')]);
    server.override('pull', () => new Promise<Response>(() => undefined));
    const synced = device.client.syncOnce({ deadlineMs: 5000 });
    await clock.advance(5000);
    expect(await synced).toEqual({ outcome: 'out_of_time' });
    expect(await device.client.syncOnce()).toMatchObject({ outcome: 'synced' });
    expect(userIds(device)).toEqual(['peer']);
    await device.client.close();
  });

  test('recovers on the way; other errors and the caller’s own signal pass through', async () => {
    const { server, clock, device } = await scene({ retryPolicy: { enabled: false } });
    server.retired.set((await device.client.sourceInfo()).currentSourceId, null);
    await insertUser(device, 'mine');
    server.isInitialized = true;
    expect(await device.client.syncOnce()).toMatchObject({ outcome: 'synced' });
    expect(Object.keys(server.rowsOf('users'))).toEqual(['mine']);
    server.override('pull', () => refuse(500, 'pull_failed'));
    await expect(device.client.syncOnce()).rejects.toMatchObject({ code: 'http_error' });
    await expect(device.client.syncOnce({ deadlineMs: 0 })).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(device.client.syncOnce({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
    expect(clock.timerCount).toBe(0);
    await device.client.close();
  });
});

describe('changes and live queries of a client', () => {
  test('[T111] every operation announces its tables once per transaction, with its origin', async () => {
    const { server, device } = await scene();
    const seen: TableChange[] = [];
    device.client.onTableChange((change) => seen.push(change));
    await insertUser(device, 'mine');
    await device.client.pushPending();
    server.write([user('peer')]);
    await device.client.pullToStable();
    await device.client.rebuild();
    await device.client.detach();
    expect(seen).toEqual([
      { tables: ['users'], origin: 'local' },
      { tables: ['users'], origin: 'remote', operation: 'pushPending' },
      { tables: ['users'], origin: 'remote', operation: 'pullToStable' },
      { tables: expect.arrayContaining(['posts', 'users']), origin: 'remote', operation: 'rebuild' },
      { tables: expect.arrayContaining(['posts', 'users']), origin: 'remote', operation: 'detach' },
    ]);
    await device.client.close();
  });

  test('[T111] commits that the driver does not see are announced by hand, and uploaded by the loop', async () => {
    const { server, clock, device } = await scene();
    device.client.start(AUTO);
    await clock.settle();
    device.sql("INSERT INTO users VALUES ('direct', 'direct')");
    await clock.advance(250);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['direct']);
    behindTheDriver(device, "INSERT INTO users VALUES ('unseen', 'unseen')");
    await clock.advance(30_000);
    expect(server.head).toBe(1n);
    device.client.notifyTablesChanged(['users']);
    await clock.advance(250);
    expect(Object.keys(server.rowsOf('users'))).toEqual(['direct', 'unseen']);
    await device.client.close();
  });

  test('[T111] changes reach the queries and the loop of another tab', async () => {
    const [here, there] = createChannels(2);
    if (here === undefined || there === undefined) throw new Error('two channels were made');
    const owner = await scene({ ports: { channel: here } });
    owner.device.client.start(AUTO);
    await owner.clock.settle();
    const seen: TableChange[] = [];
    const other = await scene({ ports: { channel: there } }, false);
    other.device.client.onTableChange((change) => seen.push(change));
    owner.server.write([user('peer')]);
    owner.streams.announce();
    await owner.clock.settle();
    expect(seen).toEqual([{ tables: ['users'], origin: 'remote' }]);

    behindTheDriver(owner.device, "INSERT INTO users VALUES ('mine', 'mine')");
    other.device.client.notifyTablesChanged(['users']);
    await owner.clock.advance(250);
    expect(Object.keys(owner.server.rowsOf('users'))).toEqual(['peer', 'mine']);
    await owner.device.client.close();
    await other.device.client.close();
  });

  test('[T112] a live query follows local writes and pulls, and sees a rebuild as one step', async () => {
    const { server, clock, device } = await scene();
    const results: string[] = [];
    const end = device.client.liveQuery('SELECT id FROM users ORDER BY id').subscribe((rows) => results.push(rows.join()));
    await clock.settle();
    await insertUser(device, 'a');
    await clock.settle();
    await device.client.pushPending();
    server.write([user('b')]);
    await device.client.pullToStable();
    await clock.settle();
    server.write([user('c')]);
    await device.client.rebuild();
    await clock.settle();
    expect(results).toEqual(['', 'a', 'a,b', 'a,b,c']);
    end();
    await device.client.close();
  });
});
