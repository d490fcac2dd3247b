import { describe, expect, it } from 'vitest';

import { createTestServer, openAttachedDevice } from './test-device.ts';
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
const users = (device: TestDevice): readonly string[] => device.list("SELECT id || '=' || name FROM users ORDER BY id");

describe('pull', () => {
  it('[T75] pulls several pages to a fixed ceiling, which is sent from the second request on', async () => {
    const { server, device } = await start({ options: { downloadLimit: 2 } });
    for (let id = 1; id <= 5; id += 1) server.write([user(`u${id}`)]);
    server.seen.length = 0;
    expect(await device.client.pullToStable()).toMatchObject({ outcome: 'applied_incremental' });
    expect(server.seen.filter(({ operation }) => operation === 'pull').map(({ query }) => query)).toEqual([
      { after_bundle_seq: '0', max_bundles: '2' },
      { after_bundle_seq: '2', max_bundles: '2', target_bundle_seq: '5' },
      { after_bundle_seq: '4', max_bundles: '2', target_bundle_seq: '5' },
    ]);
    expect(users(device)).toHaveLength(5);
    expect(await device.client.pullToStable()).toMatchObject({ outcome: 'already_at_target', contested: 0, quarantined: [] });
  });

  it('[T75] a ceiling that changes ends the call and keeps what was applied', async () => {
    const { server, device } = await start({ options: { downloadLimit: 1 } });
    server.write([user('u1')]);
    server.write([user('u2')]);
    server.override('pull', (_request, answer) => answer());
    server.override('pull', async (_request, answer) =>
      text(200, (await (await answer()).text()).replace('"stable_bundle_seq":2', '"stable_bundle_seq":3')),
    );
    await expect(device.client.pullToStable()).rejects.toMatchObject({
      code: 'protocol_violation',
      details: { reason: 'ceiling_changed' },
    });
    expect(users(device)).toEqual(['u1=u1']);
    expect(await device.client.lastBundleSeqSeen()).toBe(1n);
  });

  it.each<[string, (page: string) => string, readonly string[]]>([
    ['an early end', (page) => page.slice(0, page.lastIndexOf('{"schema"')), ['u1=u1']],
    ['a lost last bundle', (page) => page.replace(/,\{"bundle_seq":2.*$/, '],"has_more":false}'), ['u1=u1']],
    ['a wrong schema', (page) => page.replaceAll('"schema":"main"', '"schema":"other"'), []],
    ['a table that is not managed', (page) => page.replaceAll('"table":"users"', '"table":"martians"'), []],
    ['a sequence that goes down', (page) => page.replace('"bundle_seq":2', '"bundle_seq":1'), ['u1=u1']],
    ['a sequence above the ceiling', (page) => page.replace('"bundle_seq":2', '"bundle_seq":3'), ['u1=u1']],
  ])('[T76] %s is refused and keeps what was applied before', async (_name, spoil, left) => {
    const { server, device } = await start();
    server.write([user('u1')]);
    server.write([user('u2')]);
    server.override('pull', async (_request, answer) => text(200, spoil(await (await answer()).text())));
    await expect(device.client.pullToStable()).rejects.toMatchObject({
      code: expect.stringMatching(/^(protocol_violation|table_unknown)$/),
    });
    expect(users(device)).toEqual(left);
    expect((await device.client.pullToStable()).outcome).toBe('applied_incremental');
    expect(users(device)).toEqual(['u1=u1', 'u2=u2']);
  });

  it('[T76] an empty bundle moves the checkpoint', async () => {
    const { server, device } = await start();
    server.write([]);
    await device.client.pullToStable();
    expect(await device.client.lastBundleSeqSeen()).toBe(1n);
  });

  it('[I6] [T77] a failure in bundle 2 keeps the checkpoint of bundle 1', async () => {
    const { server, device } = await start();
    server.write([user('u1')]);
    server.write([user('u2')]);
    server.override('pull', async (_request, answer) =>
      text(200, (await (await answer()).text()).replace('"name":"u2"', '"name":5')),
    );
    await expect(device.client.pullToStable()).rejects.toMatchObject({ code: 'payload_value_invalid' });
    expect(await device.client.lastBundleSeqSeen()).toBe(1n);
    expect(users(device)).toEqual(['u1=u1']);
  });

  it('[T80] [K5] a local write made during the request survives and stays pending', async () => {
    const { server, device } = await start();
    server.write([user('u1')]);
    await device.client.pullToStable();
    server.write([user('u1', 'server')]);
    server.override('pull', (_request, answer) => {
      device.sql("UPDATE users SET name = 'mine'");
      return answer();
    });
    expect(await device.client.pullToStable()).toMatchObject({ outcome: 'applied_incremental', contested: 1 });
    expect(users(device)).toEqual(['u1=mine']);
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 1 });
  });

  it('[T81] a contested row is decided before the next push, without a refused one', async () => {
    const { server, device } = await start({ options: { resolver: () => ({ kind: 'keepLocal' }) } });
    server.write([user('u1')]);
    await device.client.pullToStable();
    device.sql("UPDATE users SET name = 'mine'");
    server.write([user('u1', 'server')]);
    await device.client.pullToStable();
    server.seen.length = 0;
    expect(await device.client.pushPending()).toMatchObject({ outcome: 'committed', conflicts: [{ resolution: 'keepLocal' }] });
    expect(server.count('push_session_commit')).toBe(1);
    expect(server.rowsOf('users')['u1']).toMatchObject({ name: 'mine' });
  });

  it('[T86] three devices that push without pulling converge', async () => {
    const server = createTestServer();
    const devices = [await openAttachedDevice(server), await openAttachedDevice(server), await openAttachedDevice(server)];
    for (const [round, device] of [...devices, ...devices].entries()) {
      device.sql(`INSERT INTO users(id, name) VALUES ('own${round}', 'n') ON CONFLICT DO NOTHING;
        INSERT INTO users(id, name) VALUES ('shared', 'by ${round}') ON CONFLICT(id) DO UPDATE SET name = excluded.name`);
      await device.client.pushPending();
    }
    for (const device of devices) await device.client.sync();
    for (const device of devices) await device.client.pullToStable();
    const [first, ...others] = devices.map(users);
    expect(first).toHaveLength(7);
    for (const other of others) expect(other).toEqual(first);
    expect(Object.keys(server.rowsOf('users'))).toHaveLength(7);
  });

  it('[T82] reject gives the July errors before any request', async () => {
    const { server, device } = await start({ options: { pullWithPending: 'reject', retryPolicy: { enabled: false } } });
    device.sql("INSERT INTO users(id, name) VALUES ('x', 'x')");
    server.seen.length = 0;
    await expect(device.client.pullToStable()).rejects.toMatchObject({
      code: 'dirty_state_rejected',
      details: { dirtyCount: 1 },
    });
    expect(server.count('pull')).toBe(0);
    server.override('push_session_create', () => Promise.reject(new TypeError('cut')));
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'transport_failed' });
    await expect(device.client.pullToStable()).rejects.toMatchObject({
      code: 'pending_push_replay',
      details: { outboundCount: 1 },
    });
    expect(server.count('pull')).toBe(0);
  });

  it('[T84] spills a large bundle to disk and applies it whole', async () => {
    const { server, device } = await start({ options: { applyBatchRows: 10 } });
    server.write(Array.from({ length: 95 }, (_value, index) => user(`u${String(index).padStart(3, '0')}`)));
    const stagedRows: number[] = [];
    const run = device.driver.transaction.bind(device.driver);
    device.driver.transaction = async (mode, fn) => {
      const result = await run(mode, fn);
      stagedRows.push(Number(device.list('SELECT count(*) FROM _oversync_bundle_stage')[0]));
      return result;
    };
    await device.client.pullToStable();
    expect(Math.max(...stagedRows)).toBe(95);
    expect(stagedRows.at(-1)).toBe(0);
    expect(users(device)).toHaveLength(95);
    expect(await device.client.lastBundleSeqSeen()).toBe(1n);
  });

  it('[T84] a stream cut in the middle of a bundle applies nothing of it, and the next attempt goes on behind the last whole one', async () => {
    const { server, device } = await start({ options: { applyBatchRows: 3 } });
    server.write([user('a1'), user('a2'), user('a3')]);
    server.write(Array.from({ length: 8 }, (_value, index) => user(`b${index}`)));
    server.override('pull', async (_request, answer) => {
      const page = new TextEncoder().encode(await (await answer()).text());
      const half = page.slice(0, page.length - 300);
      let isSent = false;
      return new Response(
        new ReadableStream<Uint8Array>({
          pull(controller) {
            if (isSent) controller.error(new TypeError('cut'));
            else controller.enqueue(half);
            isSent = true;
          },
        }),
      );
    });
    server.override('pull', (request, answer) => {
      expect(request.query['after_bundle_seq']).toBe('1');
      expect(device.list("SELECT count(*) FROM users WHERE id LIKE 'b%'")).toEqual(['0']);
      return answer();
    });
    await device.client.pullToStable();
    expect(users(device)).toHaveLength(11);
  });

  it.each(['history_pruned', 'checkpoint_ahead'])(
    '[T85] %s leads to a rebuild in the same call; the reason survives a crash',
    async (code) => {
      const { server, device } = await start();
      server.write([user('u1')]);
      server.override('pull', () => refuse(409, code), 2);
      server.override('snapshot_session_create', () => refuse(403, 'x'));
      await expect(device.client.pullToStable()).rejects.toMatchObject({ code: 'forbidden' });
      expect(device.list('SELECT rebuild_required FROM _sync_attachment_state')).toEqual(['1']);
      expect(device.list('SELECT reason FROM _sync_operation_state')).toEqual([code]);
      const client = await device.restart();
      await client.attach('user-1');
      await expect(client.pushPending()).rejects.toMatchObject({ code: 'rebuild_required', details: { reason: code } });
      expect(await client.pullToStable()).toMatchObject({
        outcome: 'applied_snapshot',
        restore: { bundleSeq: 1n, rowCount: 1n },
      });
      expect(users(device)).toEqual(['u1=u1']);
      expect(await client.sourceInfo()).toMatchObject({ rebuildRequired: false });
    },
  );

  it('[T111] announces the tables of the rows it applied, and nothing for a pull without rows', async () => {
    const { server, device } = await start();
    server.write([user('u1')]);
    await device.client.pullToStable();
    await device.client.pullToStable();
    expect(device.events.filter((event) => event.type === 'tablesChanged')).toEqual([
      { type: 'tablesChanged', tables: ['users'], origin: 'remote', operation: 'pullToStable' },
    ]);
  });
});

describe('[T103] gates of operations', () => {
  it('fetch the capabilities once per gate, and once more before a snapshot session', async () => {
    const { server, device } = await start();
    const counts: Record<string, number> = {};
    for (const name of ['pushPending', 'pullToStable', 'sync', 'rebuild'] as const) {
      server.seen.length = 0;
      await device.client[name]();
      counts[name] = server.count('capabilities');
    }
    expect(counts).toEqual({ pushPending: 1, pullToStable: 1, sync: 1, rebuild: 2 });
  });

  it('reuse a young result when asked to', async () => {
    const { server, device } = await start({ options: { capabilitiesMaxAgeMs: 60_000 } });
    server.seen.length = 0;
    await device.client.sync();
    await device.client.rebuild();
    expect(server.count('capabilities')).toBe(0);
  });

  it.each(['pushPending', 'pullToStable', 'sync', 'rebuild', 'syncThenDetach'] as const)(
    '%s stops at a mismatch without any change',
    async (name) => {
      const { server, device } = await start();
      device.sql("INSERT INTO users(id, name) VALUES ('x', 'x')");
      const dump = () =>
        device
          .list('SELECT group_concat(key_json) FROM _sync_dirty_rows')
          .concat(device.list('SELECT rebuild_required FROM _sync_attachment_state'));
      const before = dump();
      server.protocolVersion = 'v2';
      server.seen.length = 0;
      await expect(device.client[name]()).rejects.toMatchObject({ code: 'protocol_version_mismatch', operation: name });
      expect(server.operations()).toEqual(['capabilities']);
      expect(dump()).toEqual(before);
    },
  );
});

describe('[T102] sync', () => {
  it('pushes, then pulls, and reports both; an error of the push ends it', async () => {
    const { server, device } = await start();
    server.write([user('peer')]);
    device.sql("INSERT INTO users(id, name) VALUES ('mine', 'm')");
    server.seen.length = 0;
    expect(await device.client.sync()).toMatchObject({
      push: { outcome: 'committed' },
      remote: { outcome: 'applied_incremental' },
      status: { lastBundleSeqSeen: 2n },
    });
    expect(server.operations()).toEqual([
      'capabilities',
      'push_session_create',
      'push_session_chunk',
      'push_session_commit',
      'committed_rows',
      'pull',
    ]);
    device.sql("UPDATE users SET name = 'n'");
    server.seen.length = 0;
    server.override('push_session_create', () => refuse(403, 'x'));
    await expect(device.client.sync()).rejects.toMatchObject({ code: 'forbidden' });
    expect(server.count('pull')).toBe(0);
  });

  it('[I16] [T118] no error carries a key, a payload, a token or a text of the server', async () => {
    const { server, device } = await start({ options: { retryPolicy: { enabled: false } } });
    const canary = 'canary-4711';
    device.sql(`INSERT INTO users(id, name) VALUES ('${canary}', '${canary}')`);
    const spoilers = [
      () => new Response(canary, { status: 500 }),
      () => refuse(400, canary, { message: canary }),
      () => refuse(409, 'push_conflict', { conflict: { key: { id: canary } } }),
      () => text(200, `{"x":"${canary}"}`),
      () =>
        refuse(400, 'push_commit_invalid', {
          violation: { kind: 'check', schema: 'main', table: 'users', key: { id: 'other' }, constraint: 'c' },
        }),
    ];
    for (const spoil of spoilers) {
      server.override('push_session_commit', spoil);
      const error: unknown = await device.client.pushPending().then(
        () => null,
        (reason: unknown) => reason,
      );
      const shown = JSON.stringify(
        error,
        Object.getOwnPropertyNames(error ?? {}).filter((name) => name !== 'stack'),
        1,
      );
      expect(`${shown}${String(error)}`).not.toContain(canary);
      expect(shown).not.toContain('secret-token');
    }
  });
});
