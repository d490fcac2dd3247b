import { isJsonObject } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { createTestServer, openAttachedDevice, openDevice } from './test-device.ts';
import type { TestDevice } from './test-device.ts';
import { refuse, text } from './test-server.ts';
import type { TestServer } from './test-server.ts';

async function start(
  options: Parameters<typeof openAttachedDevice>[1] = {},
): Promise<{ server: TestServer; device: TestDevice }> {
  const server = createTestServer();
  return { server, device: await openAttachedDevice(server, options) };
}

const user = (id: string, name = id) => ({ table: 'users', id, payload: { id, name } });
const manyUsers = (count: number) => Array.from({ length: count }, (_value, index) => user(`u${String(index).padStart(3, '0')}`));
const users = (device: TestDevice): readonly string[] => device.list("SELECT id || '=' || name FROM users ORDER BY id");

/** A write of one chunk answer, with the text changed. */
function spoilChunk(server: TestServer, spoil: (chunk: string) => string): void {
  server.override('snapshot_chunk', async (_request, answer) => text(200, spoil(await (await answer()).text())));
}

/** Waits until the background requests of the client have been sent. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('rebuild', () => {
  it('[T88] replaces the rows in one commit, through several chunks', async () => {
    const { server, device } = await start({ options: { snapshotChunkRows: 10 } });
    server.write([...manyUsers(25), { table: 'posts', id: 'p', payload: { id: 'p', user_id: 'u001', body: null } }]);
    device.sql(
      "INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version) VALUES ('main', 'users', '{\"id\":\"gone\"}', 1)",
    );
    const seen: string[] = [];
    server.override(
      'snapshot_chunk',
      (_request, answer) => {
        seen.push(device.list('SELECT count(*) FROM users')[0] ?? '');
        return answer();
      },
      3,
    );
    expect(await device.client.rebuild()).toMatchObject({
      outcome: 'applied_snapshot',
      restore: { bundleSeq: 1n, rowCount: 26n },
    });
    expect(seen).toEqual(['0', '0', '0']);
    expect(users(device)).toHaveLength(25);
    expect(device.list('SELECT count(*) FROM _sync_row_state')).toEqual(['26']);
    expect(device.list('SELECT count(*) FROM _sync_snapshot_stage')).toEqual(['0']);
    expect(await device.client.lastBundleSeqSeen()).toBe(1n);
    const queries = server.seen
      .filter(({ operation }) => operation === 'snapshot_chunk')
      .map(({ query }) => query['after_row_ordinal']);
    expect(queries).toEqual(['0', '10', '20']);
  });

  it('[T113] reports staging and applying with rows in total', async () => {
    const { server, device } = await start({ options: { snapshotChunkRows: 2, snapshotApplyBatchRows: 2 } });
    server.write(manyUsers(5));
    await device.client.rebuild();
    const progress = (phase: string) =>
      device.events.flatMap((event) =>
        event.type === 'progress' && event.phase === phase ? [[event.rowsDone, event.rowsTotal]] : [],
      );
    expect(progress('staging')).toEqual([
      [0, 5],
      [2, 5],
      [4, 5],
      [5, 5],
    ]);
    expect(progress('applying').at(-1)).toEqual([5, 5]);
  });

  it.each<[string, (chunk: string) => string, string]>([
    ['another session', (chunk) => chunk.replace(/"snapshot_id":"[^"]+"/, '"snapshot_id":"x"'), 'protocol_violation'],
    ['another sequence', (chunk) => chunk.replace('"snapshot_bundle_seq":1', '"snapshot_bundle_seq":2'), 'protocol_violation'],
    ['a wrong ordinal', (chunk) => chunk.replace('"next_row_ordinal":2', '"next_row_ordinal":3'), 'protocol_violation'],
    ['a wrong byte count', (chunk) => chunk.replace(/"byte_count":(\d+)/, '"byte_count":1'), 'protocol_violation'],
    ['a row that grew', (chunk) => chunk.replace('"name":"u000"', '"name":"u0000"'), 'protocol_violation'],
    ['a missing row', (chunk) => chunk.replace(/"rows":\[.*?\}\},/, '"rows":['), 'protocol_violation'],
    ['the hidden column', (chunk) => chunk.replace('"name":"u000"', '"_sync_scope_id":"u000"'), 'protocol_violation'],
    ['a missing column', (chunk) => chunk.replace('"name":"u000"', '"nick":"u000"'), 'payload_column_missing'],
    ['a value that does not fit', (chunk) => chunk.replace('"name":"u000"', '"name":12345 '), 'payload_value_invalid'],
    ['a key that differs', (chunk) => chunk.replace('"key":{"id":"u000"}', '"key":{"id":"u009"}'), 'payload_value_invalid'],
    ['a key twice', (chunk) => chunk.replaceAll('u001', 'u000'), 'protocol_violation'],
    ['has_more at the end', (chunk) => chunk.replace('"has_more":false', '"has_more":true'), 'protocol_violation'],
    ['a table that is not managed', (chunk) => chunk.replaceAll('"table":"users"', '"table":"uzers"'), 'table_unknown'],
  ])('[T87] [T89] [T90] a chunk with %s is refused; rows, checkpoint and source stay', async (_name, spoil, code) => {
    const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
    device.sql("INSERT INTO users(id, name) VALUES ('mine', 'mine')");
    server.write(manyUsers(2));
    const before = await device.client.sourceInfo();
    spoilChunk(server, spoil);
    await expect(device.client.rebuild()).rejects.toMatchObject({ code });
    expect(users(device)).toEqual(['mine=mine']);
    expect(await device.client.lastBundleSeqSeen()).toBe(0n);
    expect((await device.client.sourceInfo()).currentSourceId).toBe(before.currentSourceId);
    device.sql("UPDATE users SET name = 'captured'");
    expect(device.dirtyKeys()).toEqual(['{"id":"mine"}']);
    await settled();
    expect(server.count('snapshot_session_delete')).toBe(1);
    await device.client.rebuild();
    expect(users(device)).toEqual(['mine=captured', 'u000=u000', 'u001=u001']);
  });

  it.each([
    [403, 'snapshot_session_forbidden'],
    [404, 'snapshot_session_not_found'],
    [410, 'snapshot_session_expired'],
  ])('[T98] %d while staging loses the session, which is still deleted', async (status, code) => {
    const { server, device } = await start();
    server.write(manyUsers(2));
    server.override('snapshot_chunk', () => refuse(status, code));
    await expect(device.client.rebuild()).rejects.toMatchObject({
      code: 'snapshot_session_lost',
      recovery: 'retry',
      details: { reason: code },
    });
    await settled();
    expect(server.count('snapshot_session_delete')).toBe(1);
    expect((await device.client.rebuild()).outcome).toBe('applied_snapshot');
  });

  it('[T98] [K26] a delete that hangs delays neither success nor failure', async () => {
    const { server, device } = await start();
    server.write(manyUsers(2));
    server.override('snapshot_session_delete', () => new Promise<Response>(() => undefined), 10);
    expect((await device.client.rebuild()).outcome).toBe('applied_snapshot');
    server.override('snapshot_chunk', () => refuse(404, 'snapshot_session_not_found'));
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'snapshot_session_lost' });
  });

  it('a limit of the server is reported with its numbers', async () => {
    const { server, device } = await start();
    server.write(manyUsers(2));
    server.override('snapshot_session_create', () =>
      refuse(409, 'snapshot_session_limit_exceeded', { dimension: 'row_count', actual: 1200, limit: 1000 }),
    );
    await expect(device.client.rebuild()).rejects.toMatchObject({
      code: 'snapshot_session_limit_exceeded',
      details: { dimension: 'row_count', actual: 1200n, limit: 1000n },
    });
    server.override('snapshot_chunk', () => refuse(400, 'snapshot_chunk_too_small', { required_byte_count: 5_000_000 }));
    await expect(device.client.rebuild()).rejects.toMatchObject({
      code: 'snapshot_chunk_too_small',
      details: { limit: 4194304, required: 5_000_000n },
    });
  });

  it('[T99] waits for a busy server', async () => {
    const { server, device } = await start();
    server.write(manyUsers(2));
    server.override('snapshot_session_create', () => refuse(429, 'snapshot_build_capacity', {}, { 'Retry-After': '2' }));
    server.override('snapshot_chunk', () => refuse(429, 'snapshot_chunk_capacity'));
    expect((await device.client.rebuild()).outcome).toBe('applied_snapshot');
  });

  it.each([
    ['the checkpoint', 'UPDATE _sync_attachment_state SET last_bundle_seq_seen = 7'],
    [
      'the source',
      "INSERT INTO _sync_source_state(source_id) VALUES ('other'); UPDATE _sync_attachment_state SET current_source_id = 'other'",
    ],
    ['the recovery', "UPDATE _sync_operation_state SET reason = 'apply_failed'"],
    ['the outbox', "UPDATE _sync_outbox_bundle SET state = 'prepared', source_id = 's', source_bundle_id = 1, row_count = 1"],
  ])('[T91] a change of %s while staging is refused before anything is deleted', async (_name, change) => {
    const { server, device } = await start();
    server.write(manyUsers(2));
    device.sql("INSERT INTO users(id, name) VALUES ('mine', 'mine')");
    server.override('snapshot_chunk', (_request, answer) => {
      device.sql(change);
      return answer();
    });
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'snapshot_gate_failed', recovery: 'retry' });
    expect(users(device)).toEqual(['mine=mine']);
  });

  it('[T91] a remote replacement that was cancelled behind its back is refused as well', async () => {
    const server = createTestServer();
    server.write(manyUsers(2));
    const device = await openDevice(server, { before: "INSERT INTO users(id, name) VALUES ('mine', 'mine')" });
    server.override('snapshot_chunk', (_request, answer) => {
      device.sql("UPDATE _sync_operation_state SET target_user_id = 'somebody else'");
      return answer();
    });
    await expect(device.client.attach('user-1')).rejects.toMatchObject({ code: 'snapshot_gate_failed' });
    expect(users(device)).toEqual(['mine=mine']);
  });

  it('[T92] cancelling while staging or applying leaves the old state, and the next rebuild works', async () => {
    for (const phase of ['staging', 'applying'] as const) {
      const { server, device } = await start({ options: { snapshotChunkRows: 2, snapshotApplyBatchRows: 1 } });
      server.write(manyUsers(6));
      device.sql("INSERT INTO users(id, name) VALUES ('mine', 'mine')");
      const caller = new AbortController();
      device.client.subscribe((event) => {
        if (event.type === 'progress' && event.phase === phase && (event.rowsDone ?? 0) >= 2) caller.abort();
      });
      await expect(device.client.rebuild({ signal: caller.signal })).rejects.toMatchObject({ code: 'aborted' });
      expect(users(device)).toEqual(['mine=mine']);
      await device.client.rebuild();
      expect(users(device)).toHaveLength(7);
    }
  });

  it.each([
    ['goes on where it stopped', (_server: TestServer) => undefined, ['4']],
    ['starts again when its session has expired', (server: TestServer) => void (server.snapshotTtlMs = 0), ['0', '2', '4']],
    [
      'starts again when the server has lost its session',
      (server: TestServer) => server.override('snapshot_chunk', () => refuse(404, 'snapshot_session_not_found')),
      ['4', '0', '2', '4'],
    ],
  ])('[T101] [K41] a download that was killed %s', async (_name, prepare, expected) => {
    const { server, device } = await start({ options: { snapshotChunkRows: 2 } });
    server.write(manyUsers(6));
    server.override('snapshot_chunk', (_request, answer) => answer(), 2);
    server.override('snapshot_chunk', () => new Promise<Response>(() => undefined));
    server.override('snapshot_session_delete', () => new Response(null, { status: 204 }));
    prepare(server);
    const image = Promise.withResolvers<Uint8Array>();
    device.client.subscribe((event) => {
      if (event.type === 'progress' && event.phase === 'staging' && event.rowsDone === 4)
        image.resolve(device.driver.database.serialize());
    });
    device.client.rebuild().catch(() => undefined);
    const killed = await openDevice(server, { options: { snapshotChunkRows: 2 }, image: await image.promise });
    await device.client.close();
    await killed.client.attach('user-1');
    server.seen.length = 0;
    expect((await killed.client.rebuild()).outcome).toBe('applied_snapshot');
    expect(killed.list('SELECT count(*) FROM users')).toEqual(['6']);
    const chunks = server.seen
      .filter(({ operation }) => operation === 'snapshot_chunk')
      .map(({ query }) => query['after_row_ordinal']);
    expect(chunks).toEqual(expected);
  });
});

describe('[T94] [K6] rebuild that keeps the source', () => {
  it.each(['dirty', 'prepared', 'committed unknowingly', 'committed_remote'])(
    'keeps a local change that is %s',
    async (situation) => {
      const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
      server.write(manyUsers(2));
      await device.client.pullToStable();
      device.sql(
        "UPDATE users SET name = 'mine' WHERE id = 'u000'; INSERT INTO users(id, name) VALUES ('new', 'new'); DELETE FROM users WHERE id = 'u001'",
      );
      if (situation === 'prepared') server.override('push_session_create', () => Promise.reject(new TypeError('cut')));
      if (situation === 'committed unknowingly') {
        server.override('push_session_commit', async (_request, answer) => {
          await answer();
          throw new TypeError('cut');
        });
      }
      if (situation === 'committed_remote') server.override('committed_rows', () => Promise.reject(new TypeError('cut')));
      if (situation !== 'dirty') await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'transport_failed' });
      await device.client.rebuild();
      expect(users(device)).toEqual(['new=new', 'u000=mine']);
      expect(device.list('SELECT state FROM _sync_outbox_bundle')).toEqual(['none']);
      await device.client.sync();
      expect(server.rowsOf('users')).toEqual({ u000: { id: 'u000', name: 'mine' }, new: { id: 'new', name: 'new' } });
      expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 0, quarantinedRowCount: 0 });
    },
  );

  it.each<[string, () => Response | Promise<Response>, string]>([
    ['is busy', () => refuse(503, 'service_unavailable', {}, { 'Retry-After': '5' }), 'http_error'],
    ['cannot be reached', () => Promise.reject(new TypeError('cut')), 'transport_failed'],
    ['does not know the user', () => refuse(403, 'source_forbidden'), 'forbidden'],
  ])(
    'a frozen push whose fate is unknown because the server %s stops it before anything is staged',
    async (_name, answer, code) => {
      const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
      device.sql("INSERT INTO users(id, name) VALUES ('new', 'new')");
      server.override('push_session_create', () => Promise.reject(new TypeError('cut')));
      await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'transport_failed' });
      server.override('push_session_create', answer);
      await expect(device.client.rebuild()).rejects.toMatchObject({ code });
      expect(server.count('snapshot_session_create')).toBe(0);
      expect(device.list('SELECT state FROM _sync_outbox_bundle')).toEqual(['prepared']);
    },
  );

  it('refuses a snapshot that is older than the own commit', async () => {
    const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
    server.write(manyUsers(1));
    device.sql("INSERT INTO users(id, name) VALUES ('new', 'new')");
    server.override('committed_rows', () => Promise.reject(new TypeError('cut')));
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'transport_failed' });
    server.override('snapshot_session_create', async (_request, answer) =>
      text(200, (await (await answer()).text()).replace('"snapshot_bundle_seq":2', '"snapshot_bundle_seq":1')),
    );
    server.override('snapshot_chunk', async (_request, answer) =>
      text(200, (await (await answer()).text()).replace('"snapshot_bundle_seq":2', '"snapshot_bundle_seq":1')),
    );
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'snapshot_too_old', recovery: 'retry' });
    await device.client.rebuild();
    expect(users(device)).toEqual(['new=new', 'u000=u000']);
  });
});

describe('[T95] [T96] rebuild that rotates the source', () => {
  async function lostSource(options: Parameters<typeof openAttachedDevice>[1] = {}) {
    const { server, device } = await start(options);
    server.write(manyUsers(1));
    await device.client.pullToStable();
    device.sql("INSERT INTO users(id, name) VALUES ('new', 'new')");
    server.override('push_session_create', () => refuse(409, 'source_sequence_out_of_order'));
    await expect(device.client.sync()).rejects.toMatchObject({ code: 'source_recovery_required', recovery: 'rebuild' });
    const old = (await device.client.sourceInfo()).currentSourceId;
    const reserved = device.list('SELECT replacement_source_id FROM _sync_operation_state')[0] ?? '';
    return { server, device, old, reserved };
  }

  it('sends the reserved successor, marks the old source, and pushes pending rows as bundle 1 of the new one', async () => {
    const { server, device, old, reserved } = await lostSource();
    server.override('snapshot_chunk', () => refuse(404, 'snapshot_session_not_found'));
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'snapshot_session_lost' });
    const client = await device.restart();
    await client.attach('user-1');
    expect(await client.rebuild()).toMatchObject({ outcome: 'applied_snapshot' });
    const bodies = server.seen
      .filter(({ operation }) => operation === 'snapshot_session_create')
      .map(({ body }) => (isJsonObject(body) ? body['source_replacement'] : null));
    const replacement = { previous_source_id: old, new_source_id: reserved, reason: 'source_sequence_out_of_order' };
    expect(bodies).toEqual([replacement, replacement]);
    expect(await client.sourceInfo()).toEqual({
      currentSourceId: reserved,
      rebuildRequired: false,
      sourceRecoveryRequired: false,
    });
    expect(device.list(`SELECT replaced_by_source_id FROM _sync_source_state WHERE source_id = '${old}'`)).toEqual([reserved]);
    expect((await client.pushPending()).bundles).toMatchObject([{ sourceBundleId: 1n }]);
    expect(server.rowsOf('users')).toHaveProperty('new');
  });

  it('fails closed when the server names another successor; adopting it is a way out', async () => {
    const { server, device, old, reserved } = await lostSource();
    server.retired.set(old, 'chosen-by-server');
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'source_replacement_diverged', recovery: 'resolve' });
    expect(device.list('SELECT replacement_source_id FROM _sync_operation_state')).toEqual([reserved]);
    expect(await device.client.sourceInfo()).toMatchObject({ currentSourceId: old, sourceRecoveryRequired: true });
    await device.client.rebuild({ replacement: 'adopt_server' });
    expect((await device.client.sourceInfo()).currentSourceId).toBe('chosen-by-server');
    await device.client.sync();
    expect(server.rowsOf('users')).toHaveProperty('new');
  });

  it('[K40] a fresh successor is a way out of that too: the old source reads the snapshot, the new one is unknown to the server', async () => {
    const { server, device, old, reserved } = await lostSource();
    server.retired.set(old, 'chosen-by-server');
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'source_replacement_diverged' });
    await device.client.rebuild({ replacement: 'fresh' });
    const { currentSourceId, sourceRecoveryRequired } = await device.client.sourceInfo();
    expect(['chosen-by-server', old, reserved]).not.toContain(currentSourceId);
    expect(sourceRecoveryRequired).toBe(false);
    expect((await device.client.sync()).push.bundles).toMatchObject([{ sourceBundleId: 1n, rowCount: 1 }]);
    expect(server.rowsOf('users')).toHaveProperty('new');
  });

  it('[K40] fails closed when the server refuses the pair; a fresh successor is a way out', async () => {
    const { server, device, reserved } = await lostSource();
    server.override('snapshot_session_create', () => refuse(409, 'source_replacement_invalid'));
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'source_replacement_invalid', recovery: 'resolve' });
    await device.client.rebuild({ replacement: 'fresh' });
    const { currentSourceId } = await device.client.sourceInfo();
    expect(currentSourceId).not.toBe(reserved);
    await device.client.sync();
    expect(server.rowsOf('users')).toHaveProperty('new');
  });

  it('fails closed when the reserved successor was used before', async () => {
    const { device, reserved } = await lostSource();
    device.sql(`UPDATE _sync_source_state SET next_source_bundle_id = 2 WHERE source_id = '${reserved}'`);
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'source_replacement_not_fresh', recovery: 'resolve' });
    expect(users(device)).toEqual(['new=new', 'u000=u000']);
    await device.client.rebuild({ replacement: 'fresh' });
    expect((await device.client.sourceInfo()).sourceRecoveryRequired).toBe(false);
  });

  it('detach is a way out as well', async () => {
    const { device, old } = await lostSource();
    expect(await device.client.detach()).toMatchObject({ outcome: 'blocked_unsynced_data' });
    expect(await device.client.detach({ discardPending: true })).toEqual({ outcome: 'detached', changed: true });
    expect((await device.client.sourceInfo()).currentSourceId).not.toBe(old);
  });

  it('[K44] a cloned database rotates its source, and both copies converge without losing a row', async () => {
    const { server, device } = await start();
    const clone = await openDevice(server, { image: device.driver.database.serialize() });
    const cloned = clone.client;
    await cloned.attach('user-1');
    device.sql("INSERT INTO users(id, name) VALUES ('a', 'a')");
    clone.sql("INSERT INTO users(id, name) VALUES ('b', 'b')");
    await device.client.sync();
    await expect(cloned.sync()).rejects.toMatchObject({ code: 'source_sequence_mismatch', recovery: 'rebuild' });
    await cloned.rebuild();
    await cloned.sync();
    await device.client.sync();
    expect(users(device)).toEqual(['a=a', 'b=b']);
    expect(users(clone)).toEqual(['a=a', 'b=b']);
    expect((await cloned.sourceInfo()).currentSourceId).not.toBe((await device.client.sourceInfo()).currentSourceId);
  });
});

describe('[T100] checkpoint recovery', () => {
  async function lostCheckpoint(pending = true) {
    const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
    server.write(manyUsers(2));
    await device.client.pullToStable();
    device.sql(
      "UPDATE _sync_attachment_state SET rebuild_required = 1; UPDATE _sync_operation_state SET reason = 'history_pruned'",
    );
    if (pending) device.sql("INSERT INTO users(id, name) VALUES ('new', 'new')");
    return { server, device };
  }

  it.each(['sync', 'pullToStable'] as const)('%s pushes what is unsent, then takes a snapshot', async (name) => {
    const { server, device } = await lostCheckpoint();
    const report = await device.client[name]();
    expect('remote' in report ? report.remote.outcome : report.outcome).toBe('applied_snapshot');
    expect(server.rowsOf('users')).toHaveProperty('new');
    expect(await device.client.sourceInfo()).toMatchObject({ rebuildRequired: false });
  });

  it('reports the push truthfully', async () => {
    const { device } = await lostCheckpoint();
    expect(await device.client.sync()).toMatchObject({
      push: { outcome: 'committed', bundles: [{ sourceBundleId: 1n }] },
      restore: { rowCount: 3n },
    });
    const clean = await lostCheckpoint(false);
    expect(await clean.device.client.sync()).toMatchObject({ push: { outcome: 'no_change', bundles: [] } });
  });

  it('[K39] a push that fails blocks it without losing anything; an explicit rebuild goes on', async () => {
    const { server, device } = await lostCheckpoint();
    server.override('push_session_create', () => refuse(400, 'invalid_request'));
    await expect(device.client.sync()).rejects.toMatchObject({
      code: 'checkpoint_recovery_blocked',
      recovery: 'rebuild',
      details: { reason: 'push_failed', dirtyCount: 0, outboundCount: 1, replayState: 'prepared', cause: 'http_error' },
    });
    await device.client.rebuild();
    expect(users(device)).toEqual(['new=new', 'u000=u000', 'u001=u001']);
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 1 });
  });

  it('rows that are still unsent after a push block it', async () => {
    const { server, device } = await lostCheckpoint();
    server.override('push_session_commit', (_request, answer) => {
      device.sql("UPDATE users SET name = 'edited' WHERE id = 'new'");
      return answer();
    });
    await expect(device.client.sync()).rejects.toMatchObject({
      code: 'checkpoint_recovery_blocked',
      details: { reason: 'pending_work', dirtyCount: 1 },
    });
  });

  it.each<[string, () => Response | Promise<Response>, string]>([
    ['401', () => refuse(401, 'authentication_failed'), 'authentication_failed'],
    ['503', () => refuse(503, 'service_unavailable', {}, { 'Retry-After': '3' }), 'http_error'],
    ['a transport fault', () => Promise.reject(new TypeError('cut')), 'transport_failed'],
    ['a lost source', () => refuse(409, 'source_sequence_out_of_order'), 'source_recovery_required'],
  ])('%s passes through', async (_name, answer, code) => {
    const { server, device } = await lostCheckpoint();
    server.override('push_session_create', answer, 2);
    await expect(device.client.sync()).rejects.toMatchObject({ code });
  });

  it('a replay that was pruned leads to the rebuild', async () => {
    const { server, device } = await lostCheckpoint();
    server.override('committed_rows', () => refuse(409, 'history_pruned'));
    expect(await device.client.sync()).toMatchObject({ remote: { outcome: 'applied_snapshot' } });
    expect(users(device)).toEqual(['new=new', 'u000=u000', 'u001=u001']);
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 0 });
  });
});
