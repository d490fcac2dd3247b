import { ERROR_TABLE, isErrorCode } from '@oversync/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { newScope, openTestServer } from '../test-server.ts';
import type { CallOptions, TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({ reservedSourceIds: ['nightly-job'], maxScopeIdBytes: 64 });
});
afterAll(() => target.close());

const TOKEN = '6df0d8dd-a84b-43b6-bbca-8de70432922a';
const ENDPOINTS = [
  ['GET', '/sync/capabilities'],
  ['POST', '/sync/connect'],
  ['POST', '/sync/push-sessions'],
  ['GET', `/sync/push-sessions/${TOKEN}`],
  ['DELETE', `/sync/push-sessions/${TOKEN}`],
  ['POST', `/sync/push-sessions/${TOKEN}/chunks`],
  ['POST', `/sync/push-sessions/${TOKEN}/commit`],
  ['GET', '/sync/committed-bundles/1/rows'],
  ['GET', '/sync/pull'],
  ['GET', '/sync/watch'],
  ['POST', '/sync/snapshot-sessions'],
  ['GET', `/sync/snapshot-sessions/${TOKEN}`],
  ['DELETE', `/sync/snapshot-sessions/${TOKEN}`],
] as const;

async function expectError(method: string, path: string, options: CallOptions, status: number, code: string): Promise<void> {
  const answer = await target.call(method, path, options);
  expect([method, path, answer.status, answer.json.error]).toStrictEqual([method, path, status, code]);
  expect(answer.json.message).toBeTypeOf('string');
  expect(answer.headers.get('cache-control')).toBe('no-store');
  expect(isErrorCode(code) && ERROR_TABLE[code].status).toBe(status);
}

test('every endpoint refuses a request without credentials, whatever else is wrong with it', async () => {
  for (const [method, path] of ENDPOINTS)
    await expectError(method, path, { scope: '', source: '' }, 401, 'authentication_failed');
});

test('[S2] every endpoint refuses a missing, malformed, repeated or reserved source id in the same way', async () => {
  const sources = ['', 'a'.repeat(257), 'with space', 'a, a', 'oversync-adoption:x', 'nightly-job'];
  for (const [method, path] of ENDPOINTS) {
    for (const source of sources)
      await expectError(method, path, method === 'POST' ? { source, rawBody: '!' } : { source }, 400, 'invalid_request');
  }
});

test('[S2] a source id of 256 characters is accepted', async () => {
  expect((await target.call('GET', '/sync/capabilities', { source: '~'.repeat(256) })).status).toBe(200);
});

test('method and path are checked before credentials', async () => {
  for (const method of ['HEAD', 'PUT']) {
    const answer = await target.call(method, '/sync/pull', { scope: '' });
    expect([answer.status, answer.headers.get('allow')]).toStrictEqual([405, 'GET']);
  }
  await expectError('GET', '/sync/nothing', { scope: '' }, 404, 'not_found');
});

test('[E4] an invented or malformed token is not found, never a server error', async () => {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  for (const token of [TOKEN, 'x', '%20', '%zz', TOKEN.toUpperCase(), `${TOKEN}0`]) {
    for (const [method, path] of ENDPOINTS) {
      if (!path.includes(TOKEN)) continue;
      const code = path.includes('snapshot') ? 'snapshot_session_not_found' : 'push_session_not_found';
      const rawBody = path.endsWith('chunks') ? '{"start_row_ordinal":0,"rows":[]}' : undefined;
      const body = rawBody === undefined ? {} : { rawBody };
      const answer = await target.call(method, path.replace(TOKEN, token), { scope, ...body });
      // The body of a chunk is checked before the session is looked up, but after the form of its id.
      const expected = token === TOKEN && path.endsWith('chunks') ? [400, 'push_chunk_invalid'] : [404, code];
      expect([path, token, answer.status, answer.json.error]).toStrictEqual([path, token, ...expected]);
    }
  }
});

test('[E4] an unknown scope is uninitialized, not a fault', async () => {
  const scope = newScope();
  await expectError('GET', '/sync/pull', { scope }, 409, 'scope_uninitialized');
  await expectError('POST', '/sync/snapshot-sessions', { scope }, 409, 'scope_uninitialized');
  await expectError('GET', '/sync/committed-bundles/1/rows', { scope }, 404, 'committed_bundle_not_found');
});

test('query integers are checked with the code of the endpoint, before the database is asked', async () => {
  const scope = newScope();
  for (const bad of ['x', '1.0', '-1', '9223372036854775808', '%201']) {
    await expectError('GET', `/sync/pull?after_bundle_seq=${bad}`, { scope }, 400, 'invalid_request');
    await expectError('GET', `/sync/pull?target_bundle_seq=${bad}`, { scope }, 400, 'invalid_request');
    await expectError(
      'GET',
      `/sync/committed-bundles/1/rows?after_row_ordinal=${bad}`,
      { scope },
      400,
      'committed_bundle_chunk_invalid',
    );
    await expectError(
      'GET',
      `/sync/snapshot-sessions/${TOKEN}?after_row_ordinal=${bad}`,
      { scope },
      400,
      'snapshot_chunk_invalid',
    );
  }
  for (const bad of ['0', '-1', '5001'])
    await expectError('GET', `/sync/pull?max_bundles=${bad}`, { scope }, 400, 'invalid_request');
  for (const bad of ['0', '-5', 'x']) {
    await expectError('GET', `/sync/committed-bundles/1/rows?max_rows=${bad}`, { scope }, 400, 'committed_bundle_chunk_invalid');
    await expectError('GET', `/sync/snapshot-sessions/${TOKEN}?max_rows=${bad}`, { scope }, 400, 'snapshot_chunk_invalid');
    await expectError('GET', `/sync/snapshot-sessions/${TOKEN}?max_bytes=${bad}`, { scope }, 400, 'snapshot_chunk_invalid');
  }
  for (const seq of ['0', '-1', 'x', '%20']) {
    await expectError('GET', `/sync/committed-bundles/${seq}/rows`, { scope }, 400, 'committed_bundle_chunk_invalid');
  }
});

test('[S1] control bodies have a limit of their own, and the answer names it', async () => {
  const rawBody = `{"pad":"${'x'.repeat(70_000)}"}`;
  for (const path of ['/sync/connect', '/sync/push-sessions', '/sync/snapshot-sessions']) {
    const answer = await target.call('POST', path, { rawBody });
    expect([answer.status, answer.json.error, answer.json.limit_exceeded.name]).toStrictEqual([
      413,
      'request_too_large',
      'maxControlBodyBytes',
    ]);
  }
  await expectError(
    'POST',
    '/sync/connect',
    { rawBody: '{}', headers: { 'content-encoding': 'br' } },
    415,
    'unsupported_content_encoding',
  );
});

test('a scope id that cannot be stored is a fault of the host: 401 and an event', async () => {
  for (const [scope, reason] of [
    ['\t \t', 'blank_scope'],
    ['s'.repeat(65), 'scope_too_long'],
  ] as const) {
    const before = target.events.length;
    const other = await target.second({ resolveActor: () => ({ scopeId: scope }), maxScopeIdBytes: 64 });
    const response = await other.fetch(new Request('http://host.test/sync/pull', { headers: { 'Oversync-Source-ID': 'a' } }));
    expect(response.status).toBe(401);
    expect(target.events.slice(before)).toContainEqual({ name: 'actorRefused', reason });
  }
});

test('an authentication service that is out of order is a 503 with Retry-After', async () => {
  const other = await target.second({
    resolveActor: () => {
      throw new Error('secret detail');
    },
  });
  const response = await other.fetch(new Request('http://host.test/sync/pull'));
  expect([response.status, response.headers.get('retry-after')]).toStrictEqual([503, '1']);
  expect(await response.text()).not.toContain('secret');
});

test('the host sees no body, so that it cannot use it up', async () => {
  const seen: (ReadableStream | null)[] = [];
  const other = await target.second({
    resolveActor: (request) => {
      seen.push(request.body);
      return { scopeId: newScope() };
    },
  });
  const response = await other.fetch(
    new Request('http://host.test/sync/connect', { method: 'POST', body: '{}', headers: { 'Oversync-Source-ID': 'a' } }),
  );
  expect(response.status).toBe(200);
  expect(seen).toStrictEqual([null]);
});

test('an unexpected fault is the 500 of its operation, without any trace of the cause', async () => {
  const logged: unknown[] = [];
  const logger = { info: () => {}, warn: () => {}, error: (_: string, fields?: object) => logged.push(fields) };
  const other = await target.second({ logger });
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  await target.script('ALTER TABLE sync.bundle RENAME TO bundle_elsewhere');
  try {
    const headers = { authorization: scope, 'Oversync-Source-ID': 'a' };
    const response = await other.fetch(new Request('http://host.test/sync/pull', { headers }));
    expect(response.status).toBe(500);
    expect(await response.json()).toStrictEqual({ error: 'pull_failed', message: ERROR_TABLE.pull_failed.message });
    expect(logged).toMatchObject([{ code: 'pull_failed', correlationId: expect.any(String) }]);
  } finally {
    await target.script('ALTER TABLE sync.bundle_elsewhere RENAME TO bundle');
  }
});

test('capabilities are complete, sorted and touch no database', async () => {
  const trips = await target.counting.measure(async () => {
    const { json } = await target.call('GET', '/sync/capabilities');
    expect(json).toMatchObject({
      protocol_version: 'v1',
      schema_version: 1,
      registered_tables: ['business.notes'],
      registered_table_specs: [{ schema: 'business', table: 'notes', sync_key_columns: ['id'] }],
    });
    expect(json).not.toHaveProperty('app_name');
    expect(json.features).toMatchObject({
      connect_lifecycle: true,
      bundle_change_watch: false,
      server_checkpoint_tracking: false,
    });
    expect(json.features).not.toHaveProperty('push_sessions');
    expect(Object.values(json.features).every((value) => typeof value === 'boolean')).toBe(true);
    expect(json.bundle_limits).toStrictEqual({
      max_rows_per_bundle: 1000000,
      max_bytes_per_bundle: 268435456,
      max_bundles_per_pull: 5000,
      default_rows_per_push_chunk: 1000,
      max_rows_per_push_chunk: 5000,
      max_bytes_per_push_chunk: 67108864,
      push_session_ttl_seconds: 900,
      default_rows_per_committed_bundle_chunk: 1000,
      max_rows_per_committed_bundle_chunk: 5000,
      default_rows_per_snapshot_chunk: 1000,
      max_rows_per_snapshot_chunk: 5000,
      snapshot_session_ttl_seconds: 900,
      default_bytes_per_snapshot_chunk: 4194304,
      max_bytes_per_snapshot_chunk: 16777216,
      max_bytes_per_snapshot_row: 4194304,
      snapshot_materialization_batch_rows: 512,
      snapshot_materialization_batch_bytes: 4194304,
      max_concurrent_snapshot_builds: 8,
      max_concurrent_snapshot_chunk_requests: 4,
      initialization_lease_ttl_seconds: 900,
    });
  });
  expect(trips).toBe(0);
});
