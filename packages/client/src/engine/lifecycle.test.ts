import { DatabaseSync } from 'node:sqlite';

import { describe, expect, it } from 'vitest';

import { createSyncClient } from '../client.ts';
import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import { createTestServer, openAttachedDevice, openDevice } from './test-device.ts';
import { refuse } from './test-server.ts';

const ADA = "INSERT INTO users(id, name) VALUES ('u1', 'Ada')";

describe('construction', () => {
  const driver = createNodeSqliteDriver(':memory:');
  const good = { driver, baseUrl: 'https://h', headers: () => ({}), schema: 'main', tables: [] };

  it('[T1] touches neither the database nor the network', async () => {
    let requests = 0;
    const failing = {
      ...driver,
      transaction: () => Promise.reject(new Error('touched')),
      databaseId: () => Promise.reject(new Error('touched')),
    };
    createSyncClient({ ...good, driver: failing, ports: { http: () => Promise.reject(new Error(String((requests += 1)))) } });
    expect(requests).toBe(0);
    expect(await driver.all("SELECT name FROM sqlite_master WHERE name LIKE '\\_sync%' ESCAPE '\\'")).toEqual([]);
  });

  it.each<[string, object]>([
    ['uploadLimits', { uploadLimits: 5 }],
    ['uploadLimit', { uploadLimit: 0 }],
    ['uploadLimit', { uploadLimit: 1.5 }],
    ['downloadLimit', { downloadLimit: 5001 }],
    ['baseUrl', { baseUrl: 'ftp://h' }],
    ['baseUrl', { baseUrl: 'nonsense' }],
    ['headers', { headers: {} }],
    ['tables', { tables: 'users' }],
    ['tables.jsonColumn', { tables: [{ tableName: 'users', syncKeyColumnName: 'id', jsonColumn: ['a'] }] }],
    ['tables.tableName', { tables: [{ syncKeyColumnName: 'id' }] }],
    ['tables.syncKeyColumns', { tables: [{ tableName: 'users', syncKeyColumns: 'id' }] }],
    ['tables.captureBase', { tables: [{ tableName: 'users', syncKeyColumnName: 'id', captureBase: 1 }] }],
    ['tables.resolver', { tables: [{ tableName: 'users', syncKeyColumnName: 'id', resolver: 'clientWins' }] }],
    ['tables', { tables: [null] }],
    ['driver', { driver: {} }],
    ['pullWithPending', { pullWithPending: 'maybe' }],
    ['acceptEncoding', { acceptEncoding: 'br' }],
    ['retryPolicy.maxAttempts', { retryPolicy: { maxAttempts: 0 } }],
    ['retryPolicy.jitterRatio', { retryPolicy: { jitterRatio: 2 } }],
    ['retryPolicy.attempts', { retryPolicy: { attempts: 2 } }],
    ['snapshotCapacityRetryPolicy.maxWaitMs', { snapshotCapacityRetryPolicy: { maxWaitMs: -1 } }],
    ['ports.fetch', { ports: { fetch } }],
    ['ownership', { ownership: 'steal' }],
  ])('[T1] refuses a bad or unknown %s', (option, change) => {
    expect(() => createSyncClient(Object.assign({}, good, change))).toThrow(
      expect.objectContaining({ code: 'config_invalid', details: { option } }),
    );
  });
});

describe('what a developer sees', () => {
  it('[T1] options that are none at all are refused like any other', () => {
    const create: (...args: readonly never[]) => unknown = createSyncClient;
    expect(() => create()).toThrow(expect.objectContaining({ code: 'config_invalid', details: { option: 'options' } }));
  });

  it('an error names its operation and has one cause, not itself; its stack is where it was thrown', async () => {
    const { client } = await openDevice(createTestServer());
    const error: unknown = await client.sync().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'attach_required', operation: 'sync' });
    const { cause, stack } = error instanceof Error ? error : new Error('none');
    expect(cause).toBeUndefined();
    expect(stack).toContain('passGate');
  });
});

describe('order of calls', () => {
  it('[T13] every operation before open, before attach and after close gives its code and no request', async () => {
    const server = createTestServer();
    const device = await openDevice(server);
    const { client } = device;
    for (const call of [
      () => client.pushPending(),
      () => client.pullToStable(),
      () => client.sync(),
      () => client.rebuild(),
      () => client.syncStatus(),
      () => client.syncThenDetach(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'attach_required', recovery: 'stop' });
    }
    await client.close();
    const calls = [
      () => client.open(),
      () => client.attach('u'),
      () => client.pushPending(),
      () => client.pullToStable(),
      () => client.sync(),
      () => client.rebuild(),
      () => client.detach(),
      () => client.syncThenDetach(),
      () => client.uninstallSync(),
      () => client.pendingSyncStatus(),
      () => client.syncStatus(),
      () => client.sourceInfo(),
      () => client.lastBundleSeqSeen(),
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'client_closed' });
    expect(server.seen).toEqual([]);
  });

  it('[T13] nothing but open and close works before open', async () => {
    const client = createSyncClient({
      driver: createNodeSqliteDriver(':memory:'),
      baseUrl: 'https://h',
      headers: () => ({}),
      schema: 'main',
      tables: [],
    });
    for (const call of [
      () => client.attach('u'),
      () => client.sync(),
      () => client.detach(),
      () => client.pendingSyncStatus(),
      () => client.sourceInfo(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'open_required' });
    }
    await client.close();
    await client.close();
  });

  it('[T12] an empty list of tables works end to end', async () => {
    const server = new (await import('./test-server.ts')).TestServer([]);
    const client = createSyncClient({
      driver: createNodeSqliteDriver(':memory:'),
      baseUrl: 'https://h',
      headers: () => ({}),
      schema: 'main',
      tables: [],
      ports: { http: server.fetch },
    });
    await client.open();
    expect(await client.attach('u')).toMatchObject({ outcome: 'started_empty' });
    expect((await client.sync()).push.outcome).toBe('no_change');
    expect((await client.rebuild()).outcome).toBe('applied_snapshot');
    expect(await client.detach()).toEqual({ outcome: 'detached', changed: true });
    await client.close();
  });

  it('[T11] a second client on the same database is refused until the first has closed', async () => {
    const server = createTestServer();
    const device = await openDevice(server);
    const second = (ownership: 'reject' | 'wait') =>
      createSyncClient({
        driver: device.driver,
        baseUrl: 'https://h',
        headers: () => ({}),
        schema: 'main',
        tables: [
          { tableName: 'users', syncKeyColumnName: 'id' },
          { tableName: 'posts', syncKeyColumnName: 'id' },
        ],
        ownership,
      });
    await expect(second('reject').open()).rejects.toMatchObject({ code: 'database_owned' });
    const waiting = second('wait');
    const opening = waiting.open();
    await device.client.close();
    expect(await opening).toEqual({ binding: 'anonymous' });
    await waiting.close();
  });

  it('[T102] a second operation fails at once, or waits for its turn; reads go on', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    const gate = Promise.withResolvers<void>();
    server.override('pull', async (_request, answer) => {
      await gate.promise;
      return answer();
    });
    const first = device.client.pullToStable();
    await expect(device.client.sync()).rejects.toMatchObject({
      code: 'operation_in_progress',
      operation: 'sync',
      recovery: 'retry',
    });
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 0 });
    const second = device.client.pullToStable({ whenBusy: 'wait' });
    gate.resolve();
    expect((await first).outcome).toBe('already_at_target');
    expect((await second).outcome).toBe('already_at_target');
  });

  it('a call that was given up before its turn does not wait for it', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    const gate = Promise.withResolvers<void>();
    server.override('pull', async (_request, answer) => {
      await gate.promise;
      return answer();
    });
    const first = device.client.pullToStable();
    const signal = AbortSignal.abort();
    await expect(device.client.sync({ whenBusy: 'wait', signal })).rejects.toMatchObject({ code: 'aborted' });
    gate.resolve();
    expect((await first).outcome).toBe('already_at_target');
  });

  it('close in the middle of open ends it with client_closed, and the next client opens', async () => {
    const database = new DatabaseSync(':memory:');
    database.exec('CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL)');
    const options = {
      driver: createNodeSqliteDriver(database),
      baseUrl: 'https://sync.test',
      headers: () => ({}),
      schema: 'main',
      tables: [{ tableName: 'users', syncKeyColumnName: 'id' }],
    };
    const client = createSyncClient(options);
    const opening = client.open();
    const closing = [client.close(), client.close()];
    await expect(opening).rejects.toMatchObject({ code: 'client_closed', operation: 'open' });
    await Promise.race(closing);
    const next = createSyncClient(options);
    expect(await next.open()).toEqual({ binding: 'anonymous' });
    await next.close();
  });

  it('close ends a running request, and the running call fails with client_closed', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    server.override('pull', () => new Promise<Response>(() => undefined));
    const pulling = device.client.pullToStable();
    pulling.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await device.client.close();
    await expect(pulling).rejects.toMatchObject({ code: 'client_closed' });
  });
});

describe('attach', () => {
  it('[T25] starts empty, seeds from local rows, follows remote state, or is told to come back', async () => {
    const server = createTestServer();
    const seeder = await openDevice(server, { before: ADA });
    const waiting = await openDevice(server);
    expect(await seeder.client.attach('u')).toMatchObject({ status: 'connected', outcome: 'seeded_from_local' });
    expect(await waiting.client.attach('u')).toEqual({ status: 'retry_later', retryAfterSeconds: 7 });
    expect(await waiting.client.sourceInfo()).toMatchObject({ rebuildRequired: false });
    await seeder.client.sync();
    expect(await waiting.client.attach('u')).toMatchObject({
      outcome: 'used_remote_state',
      restore: { bundleSeq: 1n, rowCount: 1n },
      discardedRowCount: 0,
    });
    expect(waiting.list('SELECT name FROM users')).toEqual(['Ada']);

    const other = createTestServer();
    const empty = await openDevice(other);
    expect(await empty.client.attach('u')).toMatchObject({
      outcome: 'started_empty',
      syncStatus: { authority: 'authoritative_empty' },
    });
    const follower = await openDevice(other);
    expect(await follower.client.attach('u')).toMatchObject({
      outcome: 'used_remote_state',
      restore: { bundleSeq: 0n, rowCount: 0n },
    });
  });

  it('[T26] resumes the same user without any request, also with a pending recovery', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    server.seen.length = 0;
    const client = await device.restart();
    expect(await client.attach('user-1')).toMatchObject({ outcome: 'resumed_attached_state' });
    device.sql('UPDATE _sync_attachment_state SET rebuild_required = 1');
    const again = await device.restart();
    expect(await again.attach('user-1')).toMatchObject({ outcome: 'resumed_attached_state' });
    expect(server.seen).toEqual([]);
  });

  it('[T27] refuses another user while attached and while a replacement is going on', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    await expect(device.client.attach('user-2')).rejects.toMatchObject({ code: 'attach_binding_conflict' });
    server.write([{ table: 'users', id: 'u1', payload: { id: 'u1', name: 'Ada' } }]);
    const second = await openDevice(server);
    server.override('snapshot_chunk', () => refuse(404, 'snapshot_session_not_found'));
    await expect(second.client.attach('user-1')).rejects.toMatchObject({ code: 'snapshot_session_lost' });
    const requests = server.seen.length;
    await expect(second.client.attach('user-2')).rejects.toMatchObject({ code: 'attach_local_state_conflict' });
    expect(server.seen).toHaveLength(requests);
    await expect(second.client.attach(' ')).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('[T28] does not connect without connect_lifecycle; a transport fault leaves the database anonymous, and attach seeds later', async () => {
    const server = createTestServer();
    const device = await openDevice(server, { before: ADA, options: { retryPolicy: { enabled: false } } });
    server.features = { connect_lifecycle: false };
    await expect(device.client.attach('u')).rejects.toMatchObject({ code: 'attach_unsupported' });
    server.features = { connect_lifecycle: true };
    server.override('connect', () => Promise.reject(new TypeError('reset')));
    await expect(device.client.attach('u')).rejects.toMatchObject({ code: 'transport_failed' });
    expect(server.count('connect')).toBe(1);
    expect(device.list('SELECT binding_state FROM _sync_attachment_state')).toEqual(['anonymous']);
    expect(await device.client.attach('u')).toMatchObject({ outcome: 'seeded_from_local' });
  });

  it('[T29] the lease is sent until the first commit and cleared by the replay', async () => {
    const server = createTestServer();
    const device = await openDevice(server, { before: ADA });
    await device.client.attach('u');
    expect((await device.client.syncStatus()).authority).toBe('pending_local_seed');
    await device.client.pushPending();
    device.sql("INSERT INTO users(id, name) VALUES ('u2', 'Bob')");
    await device.client.pushPending();
    const creates = server.seen
      .filter((request) => request.operation === 'push_session_create')
      .map((request) => JSON.stringify(request.body));
    expect(creates[0]).toContain('initialization_id');
    expect(creates[1]).not.toContain('initialization_id');
    expect((await device.client.syncStatus()).authority).toBe('authoritative_materialized');
  });

  it.each([
    ['push_session_create', 410, 'initialization_expired'],
    ['push_session_chunk', 409, 'initialization_stale'],
    ['push_session_commit', 410, 'initialization_expired'],
  ])('[T30] a lease lost on %s makes the database anonymous and keeps every row', async (operation, status, code) => {
    const server = createTestServer();
    const device = await openDevice(server, { before: ADA });
    await device.client.attach('u');
    server.override(operation, () => {
      server.lease = null;
      return refuse(status, code);
    });
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'initialization_lost',
      details: { serverCode: code },
    });
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'attach_required' });
    expect(await device.client.attach('u')).toMatchObject({ outcome: 'seeded_from_local' });
    expect((await device.client.pushPending()).outcome).toBe('committed');
    expect(server.rowsOf('users')).toEqual({ u1: { id: 'u1', name: 'Ada' } });
  });

  it('[T31] [K34] of two first devices one seeds; a frozen push of the loser does not stop its attach', async () => {
    const server = createTestServer();
    const loser = await openDevice(server, { before: ADA });
    await loser.client.attach('u');
    server.override('push_session_commit', () => {
      server.lease = null;
      return refuse(410, 'initialization_expired');
    });
    await expect(loser.client.pushPending()).rejects.toMatchObject({ code: 'initialization_lost' });
    const winner = await openDevice(server, { before: "INSERT INTO users(id, name) VALUES ('w', 'Winner')" });
    await winner.client.attach('u');
    await winner.client.pushPending();
    expect(await loser.client.attach('u')).toMatchObject({ outcome: 'used_remote_state', discardedRowCount: 1 });
    expect(loser.list('SELECT id FROM users')).toEqual(['w']);
  });

  it('[T33] [K33] merge keeps local rows; replace sets them aside and gives them back when it is cancelled', async () => {
    const server = createTestServer();
    server.write([{ table: 'users', id: 'remote', payload: { id: 'remote', name: 'Remote' } }]);
    const merging = await openDevice(server, { before: ADA });
    await merging.client.attach('u', { localData: 'merge' });
    expect(merging.list('SELECT id FROM users ORDER BY id')).toEqual(['remote', 'u1']);
    expect(merging.dirtyKeys()).toEqual(['{"id":"u1"}']);
    await merging.client.sync();
    expect(Object.keys(server.rowsOf('users')).sort()).toEqual(['remote', 'u1']);

    const replacing = await openDevice(server, { before: "INSERT INTO users(id, name) VALUES ('mine', 'Mine')" });
    server.override('snapshot_chunk', () => refuse(404, 'snapshot_session_not_found'));
    await expect(replacing.client.attach('u')).rejects.toMatchObject({ code: 'snapshot_session_lost' });
    expect(replacing.list('SELECT id FROM users')).toEqual(['mine']);
    expect(replacing.dirtyKeys()).toEqual([]);
    const source = (await replacing.client.sourceInfo()).currentSourceId;
    expect(await replacing.client.detach()).toEqual({ outcome: 'detached', changed: false });
    expect(replacing.dirtyKeys()).toEqual(['{"id":"mine"}']);
    expect((await replacing.client.sourceInfo()).currentSourceId).toBe(source);
    expect(await replacing.client.attach('u')).toMatchObject({ outcome: 'used_remote_state', discardedRowCount: 1 });
    expect(replacing.list('SELECT id FROM users ORDER BY id')).toEqual(['remote', 'u1']);
  });

  it('[T32] a complete stage from before a restart is applied without any snapshot request', async () => {
    const server = createTestServer();
    server.write([{ table: 'users', id: 'remote', payload: { id: 'remote', name: 'Remote' } }]);
    const device = await openDevice(server);
    const caller = new AbortController();
    device.client.subscribe((event) => {
      if (event.type === 'progress' && event.phase === 'applying') caller.abort();
    });
    await expect(device.client.attach('u', { signal: caller.signal })).rejects.toMatchObject({ code: 'aborted' });
    expect(device.list('SELECT id FROM users')).toEqual([]);
    const client = await device.restart();
    server.seen.length = 0;
    expect(await client.attach('u')).toMatchObject({ outcome: 'used_remote_state' });
    expect(server.operations().filter((operation) => operation !== 'snapshot_session_delete')).toEqual(['capabilities']);
    expect(device.list('SELECT id FROM users')).toEqual(['remote']);
  });
});

describe('detach', () => {
  it('[T34] [K7] empties the database, rotates the source, and lets another user in', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    device.sql(ADA);
    await device.client.sync();
    const before = (await device.client.sourceInfo()).currentSourceId;
    expect(await device.client.detach()).toEqual({ outcome: 'detached', changed: true });
    expect(device.list('SELECT id FROM users')).toEqual([]);
    const after = (await device.client.sourceInfo()).currentSourceId;
    expect(after).not.toBe(before);
    await expect(device.client.sync()).rejects.toMatchObject({ code: 'attach_required' });
    expect(await device.client.attach('user-2')).toMatchObject({ outcome: 'used_remote_state' });
    expect(device.list('SELECT id FROM users')).toEqual(['u1']);
  });

  it('[T34] [K8] is blocked by unsent rows, also while anonymous, unless they are given up', async () => {
    const server = createTestServer();
    const device = await openDevice(server, { before: ADA });
    expect(await device.client.detach()).toEqual({
      outcome: 'blocked_unsynced_data',
      pendingRowCount: 1,
      quarantinedRowCount: 0,
    });
    expect(device.list('SELECT id FROM users')).toEqual(['u1']);
    expect(await device.client.detach({ discardPending: true })).toEqual({ outcome: 'detached', changed: true });
    expect(device.list('SELECT id FROM users')).toEqual([]);
    expect(await device.client.detach()).toEqual({ outcome: 'detached', changed: false });
  });

  it('[T35] works offline after a restart', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    const client = await device.restart({ ports: { http: () => Promise.reject(new TypeError('offline')) } });
    expect(await client.detach()).toEqual({ outcome: 'detached', changed: true });
  });

  it('[T36] writes after a detach are captured once, and not again when the client is opened', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    await device.client.detach();
    device.sql(ADA);
    await device.restart();
    expect(device.dirtyKeys()).toEqual(['{"id":"u1"}']);
    expect(device.list('SELECT dirty_ordinal FROM _sync_dirty_rows')).toEqual(['1']);
    await device.client.attach('user-2', { localData: 'merge' });
    expect((await device.client.sync()).push.bundles).toMatchObject([{ sourceBundleId: 1n, rowCount: 1 }]);
  });

  it('[T37] syncThenDetach sends what is unsent, needs the gate first, and stops when a round sends nothing', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    device.sql(ADA);
    expect(await device.client.syncThenDetach()).toMatchObject({
      syncRounds: 1,
      remainingPendingRowCount: 0,
      detach: { outcome: 'detached', changed: true },
    });
    expect(Object.keys(server.rowsOf('users'))).toEqual(['u1']);
    await device.client.attach('user-1');
    device.sql("UPDATE users SET name = 'Eve'");
    server.protocolVersion = 'v2';
    server.seen.length = 0;
    await expect(device.client.syncThenDetach()).rejects.toMatchObject({ code: 'protocol_version_mismatch' });
    expect(server.operations()).toEqual(['capabilities']);
    expect(device.list('SELECT name FROM users')).toEqual(['Eve']);
  });

  it.each([
    ['one late write takes a second round', 1, { syncRounds: 2, remainingPendingRowCount: 0, detach: { outcome: 'detached' } }],
    [
      'late writes without end stop it',
      9,
      { syncRounds: 2, remainingPendingRowCount: 1, detach: { outcome: 'blocked_unsynced_data' } },
    ],
  ])('[T37] syncThenDetach: %s', async (_name, lateWrites, expected) => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    device.sql(ADA);
    let late = 0;
    const writeLate = (_request: unknown, answer: () => Promise<Response>): Promise<Response> => {
      late += 1;
      device.sql(`INSERT INTO users(id, name) VALUES ('late-${late}', 'Late')`);
      return answer();
    };
    server.override('pull', writeLate, lateWrites);
    expect(await device.client.syncThenDetach()).toMatchObject(expected);
  });

  it('[T38] uninstall keeps the rows, removes every object, and a reinstall captures all of them', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    device.sql(ADA);
    expect(await device.client.uninstallSync()).toMatchObject({ outcome: 'blocked_unsynced_data', pendingRowCount: 1 });
    await device.client.sync();
    expect(await device.client.uninstallSync()).toEqual({ outcome: 'uninstalled' });
    expect(device.list("SELECT name FROM sqlite_master WHERE name LIKE '%sync%' OR type = 'trigger'")).toEqual([]);
    await device.restart();
    expect(device.list('SELECT name FROM users')).toEqual(['Ada']);
    expect(device.dirtyKeys()).toEqual(['{"id":"u1"}']);
  });

  it('[T39] an unknown stored recovery reason is reported and not changed', async () => {
    const server = createTestServer();
    const device = await openAttachedDevice(server);
    device.sql(`UPDATE _sync_attachment_state SET rebuild_required = 1;
      UPDATE _sync_operation_state SET kind = 'source_recovery', reason = 'martians', replacement_source_id = 'r'`);
    for (const call of [
      () => device.client.sourceInfo(),
      () => device.client.sync(),
      () => device.client.rebuild(),
      () => device.client.pushPending(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'source_recovery_reason_invalid' });
    }
    const client = await device.restart();
    expect(await client.attach('user-1')).toMatchObject({ outcome: 'resumed_attached_state' });
    await expect(client.sync()).rejects.toMatchObject({ code: 'source_recovery_reason_invalid' });
    expect(device.list('SELECT reason FROM _sync_operation_state')).toEqual(['martians']);
  });
});
