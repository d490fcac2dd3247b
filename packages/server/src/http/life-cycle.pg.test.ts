import { afterEach, expect, test } from 'vitest';

import { CLOSE_COMMIT_GRACE_MS } from '../limits.ts';
import { createRequest, newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

let target: TestServer | undefined;
afterEach(async () => {
  await target?.close();
  target = undefined;
});

async function open(...args: Parameters<typeof openTestServer>): Promise<TestServer> {
  target = await openTestServer(...args);
  return target;
}

test('before bootstrap operations answer 503, capabilities and health answer at once', async () => {
  const { call, server } = await open({ skipsBootstrap: true });
  const pull = await call('GET', '/sync/pull');
  expect([pull.status, pull.json.error, pull.headers.get('retry-after')]).toStrictEqual([503, 'service_unavailable', '1']);
  expect((await call('GET', '/sync/capabilities')).status).toBe(200);
  const health = await server.ops.fetch(new Request('http://host.test/syncx/health'));
  expect(health.status).toBe(503);
  expect(await health.json()).toMatchObject({ status: 'unhealthy', lifecycle: 'running', accepting_operations: false });
  await server.bootstrap();
  expect((await call('GET', '/sync/pull')).status).toBe(409);
});

test('[E3] a closed server answers 503, still tells its state, and closing again does nothing', async () => {
  const { call, server } = await open();
  await Promise.all([server.close(), server.close()]);
  const pull = await call('GET', '/sync/pull');
  expect([pull.status, pull.json.error]).toStrictEqual([503, 'service_unavailable']);
  const status = await server.ops.fetch(new Request('http://host.test/syncx/status'));
  expect(status.status).toBe(200);
  expect(await status.json()).toMatchObject({ status: 'unhealthy', lifecycle: 'closed', accepting_operations: false });
});

test('close waits for a running operation and the host keeps its pool', async () => {
  const { call, db, server, query } = await open();
  const scope = newScope();
  await call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: true } });
  let blocked: Promise<{ status: number }> | undefined;
  let closing: Promise<void> | undefined;
  await db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('SELECT FROM sync.scope WHERE scope_id = $1 FOR UPDATE', [scope]);
    blocked = call('POST', '/sync/connect', { scope, body: {} });
    await waitFor(async () => Number((await query(LOCK_WAITERS)).rows[0]?.[0]) > 0);
    closing = server.close();
    expect((await call('GET', '/sync/pull', { scope })).status).toBe(503);
  });
  expect((await blocked)?.status).toBe(200);
  await closing;
  expect((await query('SELECT 1')).rows).toStrictEqual([['1']]);
});

test('[O4] close under load: streams end, whatever was accepted is committed, everybody else is told to come again', async () => {
  const { call, raw, server, query } = await open({ watch: { enabled: true } });
  const scopes = Array.from({ length: 5 }, () => newScope());
  for (const scope of scopes) await call('POST', '/sync/connect', { scope, body: {} });
  const streams = await Promise.all(scopes.map((scope) => raw('GET', '/sync/watch', { scope })));
  const answers = new Set<string>();
  const told: TestServer['call'] = async (...request) => {
    const answer = await call(...request);
    answers.add(`${String(answer.status)} ${answer.status === 200 ? '' : answer.json.error}`);
    return answer;
  };
  let acknowledged = 0;
  const runClient = async (scope: string): Promise<void> => {
    for (let id = 1; ; id += 1) {
      await pushNotes({ call: told }, id, [{ op: 'INSERT', id: String(id) }], { scope });
      acknowledged += 1;
    }
  };
  const clients = Promise.allSettled(scopes.map(runClient));
  await waitFor(async () => acknowledged > 10);
  await server.close();
  await clients;
  const ends = await Promise.all(streams.map((stream) => stream.text()));
  expect(ends.every((text) => text.startsWith(': connected\n\n') && text.endsWith('\n\n'))).toBe(true);
  expect([...answers].sort()).toStrictEqual(['200 ', '503 service_unavailable']);
  expect((await query('SELECT count(*) FROM sync.bundle')).rows).toStrictEqual([[String(acknowledged)]]);
});

test('close aborts what does not end in time', async () => {
  const { call, db, server, query } = await open();
  const scope = newScope();
  await call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: true } });
  await db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('SELECT FROM sync.scope WHERE scope_id = $1 FOR UPDATE', [scope]);
    const blocked = call('POST', '/sync/connect', { scope, body: {} });
    await waitFor(async () => Number((await query(LOCK_WAITERS)).rows[0]?.[0]) > 0);
    await server.close({ timeoutMs: 20 });
    const answer = await blocked;
    expect([answer.status, answer.json.error]).toStrictEqual([503, 'service_unavailable']);
  });
});

test('close does not wait for a body that never ends longer than for anything else', async () => {
  const { raw, server } = await open();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({ pull: () => new Promise<never>(() => {}) });
  const sending = raw('POST', '/sync/connect', { scope: newScope(), rawBody: body });
  const status = async () => (await server.ops.fetch(new Request('http://host.test/status'))).text();
  await waitFor(async () => (await status()).includes('"inflight_operations":1'));
  const startedAt = performance.now();
  await server.close({ timeoutMs: 20 });
  expect(performance.now() - startedAt).toBeLessThan(CLOSE_COMMIT_GRACE_MS);
  expect((await sending).status).toBe(503);
});

test('a client that goes away cancels its read in PostgreSQL', async () => {
  const { db, query, server } = await open();
  const gone = new AbortController();
  await db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('LOCK TABLE sync.scope IN ACCESS EXCLUSIVE MODE');
    const reading = server.fetch(createRequest('GET', '/sync/pull', { signal: gone.signal }));
    await waitFor(async () => Number((await query(LOCK_WAITERS)).rows[0]?.[0]) > 0);
    gone.abort();
    expect((await reading).status).toBe(503);
    await waitFor(async () => Number((await query(LOCK_WAITERS)).rows[0]?.[0]) === 0);
  });
});

test('[P9] status takes its figures from maintenance, and minimal detail reveals nothing', async () => {
  const { server, second, call } = await open();
  const scope = newScope();
  await call('POST', '/sync/connect', { scope, body: {} });
  await call('GET', '/sync/pull?after_bundle_seq=7', { scope });
  await server.maintain();
  const read = async (one: typeof server): Promise<unknown> =>
    (await one.ops.fetch(new Request('http://host.test/ops/status'))).json();
  expect(await read(server)).toMatchObject({
    status: 'healthy',
    version: 'v1',
    app_name: '',
    registered_tables: ['business.notes'],
    latest_bundle_seq_max: 0,
    committed_bundle_count: 0,
    stats_as_of: expect.stringMatching(/Z$/),
  });
  const minimal = await second({ ops: { detail: 'minimal' } });
  expect(await read(minimal)).toMatchObject({ status: 'healthy', registered_tables: [], committed_bundle_bytes: 0 });
});

test('[S4] health and status can be guarded, and only answer GET', async () => {
  const { second } = await open();
  const guarded = await second({ ops: { authorize: (request) => request.headers.get('x-ops') === 'yes' } });
  const fetch = (init: RequestInit = {}) => guarded.ops.fetch(new Request('http://host.test/syncx/status', init));
  expect((await fetch()).status).toBe(401);
  expect((await fetch({ headers: { 'x-ops': 'yes' } })).status).toBe(200);
  const post = await fetch({ method: 'POST' });
  expect([post.status, post.headers.get('allow')]).toStrictEqual([405, 'GET']);
  expect((await guarded.ops.fetch(new Request('http://host.test/syncx/other'))).status).toBe(404);
});

const LOCK_WAITERS = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;

/** Polls a fact of the database; the test's own time-out bounds it. */
async function waitFor(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) {
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
}
