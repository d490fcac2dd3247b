import { randomUUID } from 'node:crypto';

import { requestRowText, RowHasher } from '@oversync/protocol';
import type { SyncServer, SyncServerOptions } from '@oversync/server';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { manyNotes, newScope, openTestServer, pushNotes } from '../../packages/server/src/test-server.ts';
import type { TestServer } from '../../packages/server/src/test-server.ts';
import { listOperations, loadDocument } from './document.ts';
import { FaultyPostgres } from './faulty-postgres.ts';
import { createValidatedCaller, expectRefusal } from './validated-caller.ts';
import type { Ledger, ValidatedCaller } from './validated-caller.ts';

const HASH = 'a'.repeat(64);
const NOTE_HASH = hashOfNote();
const TOKEN = randomUUID();
const ledger: Ledger = new Set();
let target: TestServer;
let api: ValidatedCaller;

beforeAll(async () => {
  target = await openTestServer({ watch: { enabled: true }, appName: 'notes', compression: { minBytes: 64 } });
  api = createValidatedCaller(target.server, ledger);
});
afterAll(() => target.close());

/** A server with other options on the same database. */
async function withServer(options: Partial<SyncServerOptions>): Promise<ValidatedCaller & { readonly server: SyncServer }> {
  const server = await target.second(options);
  return { server, ...createValidatedCaller(server, ledger) };
}

async function connectedScope(): Promise<string> {
  const scope = newScope();
  await api.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: false } });
  return scope;
}

function note(id: string) {
  return { schema: 'business', table: 'notes', key: { id }, op: 'INSERT', base_row_version: 0, payload: { id, title: 't' } };
}

function createPush(scope: string, body: object = {}, caller: ValidatedCaller = api, source = 'device-a') {
  const request = { source_bundle_id: 1, planned_row_count: 1, canonical_request_hash: HASH, ...body };
  return caller.call('POST', '/sync/push-sessions', { scope, source, body: request });
}

async function openPush(scope: string, body: object = {}, source = 'device-a'): Promise<string> {
  const { json } = await createPush(scope, body, api, source);
  return `/sync/push-sessions/${json.push_id}`;
}

/** Opens a seed push and returns its path. */
async function openSeedPush(scope: string): Promise<string> {
  const { json } = await api.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: true } });
  return openPush(scope, { initialization_id: json.initialization_id });
}

function retire(scope: string, caller: ValidatedCaller = api, next = 'device-next') {
  const source_replacement = { previous_source_id: 'device-a', new_source_id: next, reason: 'history_pruned' };
  return caller.call('POST', '/sync/snapshot-sessions', { scope, body: { source_replacement } });
}

describe('[D1] every answer of the handlers is as the document says', () => {
  test('a whole round trip', async () => {
    const scope = newScope();
    await api.call('GET', '/api/v1/sync/capabilities', { scope, headers: { 'accept-encoding': 'gzip' } });
    for (const pending of [true, false, true])
      await api.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: pending } });
    await pushNotes(api, 1, manyNotes(3), { scope });
    await pushNotes(
      api,
      2,
      [
        { op: 'UPDATE', id: 'n-000000', base: 1, title: 'é 😀' },
        { op: 'DELETE', id: 'n-000001', base: 1 },
      ],
      { scope },
    );
    const session = await openPush(scope, { source_bundle_id: 3, planned_row_count: 2 });
    await api.call('POST', `${session}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [note('x')] } });
    await api.call('GET', session, { scope });
    expect((await api.call('DELETE', session, { scope })).status).toBe(204);
    const rows = await api.call('GET', '/sync/committed-bundles/1/rows?max_rows=2', { scope });
    await api.call('GET', `/sync/committed-bundles/1/rows?after_row_ordinal=${rows.json.next_row_ordinal}`, { scope });
    await api.call('GET', '/sync/committed-bundles/1/rows?after_row_ordinal=9', { scope });
    await api.call('GET', '/sync/pull?after_bundle_seq=0&max_bundles=1', { scope, headers: { 'accept-encoding': 'gzip' } });
    await api.call('GET', '/sync/pull?after_bundle_seq=1&max_bundles=5&target_bundle_seq=2', { scope });
    await api.call('GET', '/sync/pull?after_bundle_seq=2', { scope });
    const image = await api.call('POST', '/sync/snapshot-sessions', { scope });
    const path = `/sync/snapshot-sessions/${image.json.snapshot_id}`;
    await api.call('GET', `${path}?after_row_ordinal=0&max_rows=1&max_bytes=4096`, { scope });
    await api.call('GET', `${path}?after_row_ordinal=1`, { scope, headers: { 'accept-encoding': 'gzip' } });
    await api.call('GET', `${path}?after_row_ordinal=2`, { scope });
    expect((await api.call('DELETE', path, { scope })).status).toBe(204);
    await expectRefusal(api, 'snapshot_session_expired', 'GET', path, { scope });
    await api.call('POST', '/sync/snapshot-sessions', { scope: await connectedScope(), body: {} });
  });

  test('a push that was committed before', async () => {
    const scope = await connectedScope();
    const session = await openPush(scope, { canonical_request_hash: NOTE_HASH });
    await api.call('POST', `${session}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [note('x')] } });
    await api.call('POST', `${session}/commit`, { scope });
    const again = await createPush(scope, { canonical_request_hash: NOTE_HASH });
    expect(again.json.status).toBe('already_committed');
    await expectRefusal(api, 'push_session_invalid', 'POST', '/sync/push-sessions', {
      scope,
      body: { source_bundle_id: 1, planned_row_count: 1, canonical_request_hash: HASH },
    });
  });

  test('a watch stream with hints', async () => {
    const scope = await connectedScope();
    await pushNotes(api, 1, manyNotes(1), { scope });
    const short = await withServer({ watch: { enabled: true, maxStreamMs: 300, heartbeatIntervalMs: 50 } });
    const stream = short.call('GET', '/sync/watch?after_bundle_seq=0', { scope });
    await pushNotes(short, 2, [{ op: 'INSERT', id: 'second' }], { scope });
    const { text } = await stream;
    expect(text).toMatch(/"bundle_seq":[12]\b/);
    expect(text).toContain(': ');
  });

  test('health and status before, during and after the life of a server', async () => {
    await api.call('GET', '/syncx/health');
    await target.server.maintain();
    expect((await api.call('GET', '/ops/syncx/status')).json).toHaveProperty('stats_as_of');
    const closing = await withServer({ ops: { detail: 'minimal' } });
    await closing.server.close();
    expect((await closing.call('GET', '/syncx/health')).status).toBe(503);
    expect((await closing.call('GET', '/syncx/status')).status).toBe(200);
    const guarded = await withServer({
      ops: { authorize: () => false, metrics: () => ({ contentType: 'text/plain', text: '' }) },
    });
    for (const name of ['health', 'status', 'metrics'])
      await expectRefusal(guarded, 'authentication_failed', 'GET', `/syncx/${name}`);
    await expectRefusal(api, 'not_found', 'GET', '/syncx/metrics');
    const measured = await withServer({ ops: { metrics: () => ({ contentType: 'text/plain; version=0.0.4', text: 'up 1\n' }) } });
    for (const name of ['health', 'status', 'metrics'])
      await expectRefusal(measured, 'method_not_allowed', 'POST', `/syncx/${name}`);
    expect((await measured.call('GET', '/syncx/metrics')).text).toBe('up 1\n');
    const faulty = await withServer({ ops: { metrics: () => Promise.reject(new Error('out of order')) } });
    await expectRefusal(faulty, 'status_failed', 'GET', '/syncx/metrics');
  });
});

describe('[D1] every code is answered as the document says', () => {
  const endpoints = listOperations(loadDocument())
    .filter(({ path }) => path.startsWith('/sync/'))
    .map(({ method, path }) => [method, path.replace('{bundle_seq}', '1').replace(/\{\w+\}/, TOKEN)] as const);

  test.each(endpoints)('%s %s: gates that all endpoints have', async (method, path) => {
    await expectRefusal(api, 'authentication_failed', method, path, { scope: '' });
    await expectRefusal(api, 'invalid_request', method, path, { source: 'not valid' });
    await expectRefusal(api, 'method_not_allowed', 'PUT', path);
    await expectRefusal(api, 'not_found', method, `${path}/nothing/at/all`);
    const withoutHost = await withServer({
      resolveActor: () => {
        throw new Error('out of order');
      },
    });
    await expectRefusal(withoutHost, 'service_unavailable', method, path);
  });

  test.each(endpoints.filter(([, path]) => path !== '/sync/capabilities'))(
    '%s %s: a source of another user',
    async (method, path) => {
      const bound = await withServer({ bindSourcesToUser: true, watch: { enabled: true } });
      const scope = newScope();
      await bound.call('POST', '/sync/connect', { scope, user: 'anna', body: {} });
      await pushNotes(bound, 1, manyNotes(1), { scope, user: 'anna' });
      const body = bodyFor(method, path);
      await expectRefusal(bound, 'source_forbidden', method, path, {
        scope,
        user: 'ben',
        ...(body === undefined ? {} : { body }),
      });
    },
  );

  test('bodies that are too large or in another encoding', async () => {
    const small = await withServer({
      maxRequestBodyBytes: 1024,
      maxDecodedBodyBytes: 1024,
      maxControlBodyBytes: 1024,
      maxBytesPerSnapshotRow: 1024,
    });
    for (const path of [
      '/sync/connect',
      '/sync/push-sessions',
      `${await openPush(await connectedScope())}/chunks`,
      '/sync/snapshot-sessions',
      '/sync/verify',
      '/sync/verify/rows',
    ]) {
      await expectRefusal(small, 'request_too_large', 'POST', path, { rawBody: 'x'.repeat(2000) });
      await expectRefusal(api, 'unsupported_content_encoding', 'POST', path, {
        rawBody: '{}',
        headers: { 'content-encoding': 'br' },
      });
    }
  });

  test('scopes that are not initialized, or being initialized by another source', async () => {
    const scope = newScope();
    const reads = [
      ['GET', '/sync/pull'],
      ['GET', '/sync/watch'],
      ['POST', '/sync/snapshot-sessions'],
      ['POST', '/sync/verify'],
      ['POST', '/sync/verify/rows'],
    ] as const;
    const bodyOf = (method: string, path: string) => (path.includes('verify') ? { body: bodyFor(method, path) } : {});
    for (const [method, path] of reads)
      await expectRefusal(api, 'scope_uninitialized', method, path, { scope, ...bodyOf(method, path) });
    expect((await createPush(scope)).json.error).toBe('scope_uninitialized');
    expect((await createPush(scope, { initialization_id: TOKEN })).json.error).toBe('initialization_expired');
    const session = await openSeedPush(scope);
    for (const [method, path] of reads)
      await expectRefusal(api, 'scope_initializing', method, path, { scope, source: 'device-b', ...bodyOf(method, path) });
    const waits = await api.call('POST', '/sync/connect', { scope, source: 'device-b', body: { has_local_pending_rows: true } });
    expect(waits.json.resolution).toBe('retry_later');
    expect((await createPush(scope, { initialization_id: TOKEN }, api, 'device-b')).json.error).toBe('initialization_stale');
    await api.call('POST', `${session}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [note('x')] } });
    await api.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: false } });
    await expectRefusal(api, 'initialization_stale', 'POST', `${session}/chunks`, {
      scope,
      body: { start_row_ordinal: 0, rows: [note('x')] },
    });
  });

  test('a lease that ran out, or is no longer current, at chunk and commit', async () => {
    for (const [code, statement] of [
      ['initialization_expired', "UPDATE sync.scope SET lease_expires_at = now() - interval '1 hour' WHERE scope_id = $1"],
      [
        'initialization_stale',
        "UPDATE sync.scope SET state = 'initialized', lease_source_id = NULL, initialization_id = NULL, lease_expires_at = NULL WHERE scope_id = $1",
      ],
    ] as const) {
      const scope = newScope();
      const { json } = await api.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: true } });
      const session = await openPush(scope, { initialization_id: json.initialization_id, canonical_request_hash: NOTE_HASH });
      await api.call('POST', `${session}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [note('x')] } });
      await target.query(statement, [scope]);
      await expectRefusal(api, code, 'POST', `${session}/commit`, { scope });
      await expectRefusal(api, code, 'POST', `${session}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [note('x')] } });
    }
  });

  test('push sessions that are unknown, of another source, or expired', async () => {
    const scope = await connectedScope();
    const session = await openPush(scope);
    const body = { start_row_ordinal: 0, rows: [note('x')] };
    const calls = [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/chunks'],
      ['POST', '/commit'],
    ] as const;
    for (const [method, suffix] of calls) {
      const options = suffix === '/chunks' ? { scope, body } : { scope };
      await expectRefusal(api, 'push_session_not_found', method, `/sync/push-sessions/${TOKEN}${suffix}`, options);
      await expectRefusal(api, 'push_session_forbidden', method, `${session}${suffix}`, { ...options, source: 'device-b' });
    }
    await target.query(
      "UPDATE sync.push_session SET expires_at = now() - interval '1 hour' WHERE scope_pk = (SELECT scope_pk FROM sync.scope WHERE scope_id = $1)",
      [scope],
    );
    for (const [method, suffix] of calls) {
      await expectRefusal(
        api,
        'push_session_expired',
        method,
        `${session}${suffix}`,
        suffix === '/chunks' ? { scope, body } : { scope },
      );
    }
  });

  test('pushes that break a rule', async () => {
    const scope = await connectedScope();
    expect((await createPush(scope, { source_bundle_id: 0 })).json.error).toBe('push_session_invalid');
    expect((await createPush(scope, { planned_row_count: 1_000_001 })).json.limit_exceeded).toMatchObject({ actual: 1_000_001 });
    expect((await createPush(scope, { source_bundle_id: 9 })).json.error).toBe('source_sequence_out_of_order');
    const session = await openPush(scope, { planned_row_count: 2 });
    const chunk = (rows: readonly unknown[], start = 0) => ({ scope, body: { start_row_ordinal: start, rows } });
    const refused = [
      [],
      [{ ...note('x'), table: 'nothing' }],
      [{ ...note('x'), op: 'MERGE' }],
      [{ ...note('x'), payload: { id: 'x', title: 't', amount: 5 } }],
      [{ ...note('x'), payload: { id: 'x', title: 't', amount: '1.5' } }],
      [{ ...note('x'), payload: { id: 'x', title: 'a\0' } }],
      [note('x'), note('x')],
      [note('x'), note('y'), note('z')],
    ];
    for (const rows of refused) await expectRefusal(api, 'push_chunk_invalid', 'POST', `${session}/chunks`, chunk(rows));
    await expectRefusal(api, 'push_chunk_out_of_order', 'POST', `${session}/chunks`, chunk([note('x')], 1));
    await expectRefusal(api, 'push_commit_invalid', 'POST', `${session}/commit`, { scope });
    const few = await withServer({ maxPushSessionsPerScope: 1 });
    expect((await createPush(scope, {}, few, 'device-b')).json.error).toBe('push_session_capacity');
  });

  test('rows that violate the schema, and rows in conflict', async () => {
    const scope = await connectedScope();
    await pushNotes(api, 1, [{ op: 'INSERT', id: 'x' }], { scope });
    await target.script("ALTER TABLE business.notes ADD CONSTRAINT no_lies CHECK (title <> 'lie')");
    const lie = await pushNotes(api, 2, [{ op: 'INSERT', id: 'y', title: 'lie' }], { scope }).catch(String);
    expect(lie).toContain('"kind":"check"');
    const conflict = await pushNotes(
      api,
      2,
      [
        { op: 'INSERT', id: 'x' },
        { op: 'UPDATE', id: 'none', base: 4 },
      ],
      { scope },
    ).catch(String);
    expect(conflict).toContain('push_conflict');
  });

  test('sources that were replaced', async () => {
    const scope = await connectedScope();
    const session = await openPush(scope, { canonical_request_hash: NOTE_HASH });
    await api.call('POST', `${session}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [note('x')] } });
    await retire(scope);
    await expectRefusal(api, 'source_retired', 'POST', `${session}/commit`, { scope });
    expect((await createPush(scope)).json).toMatchObject({ replaced_by_source_id: 'device-next' });
    expect((await retire(scope, api, 'device-other')).json.error).toBe('source_retired');
    const known = await connectedScope();
    await pushNotes(api, 1, manyNotes(1), { scope: known, source: 'device-b' });
    expect((await retire(known, api, 'device-b')).json.error).toBe('source_replacement_invalid');
    await target.query(
      "UPDATE sync.source SET replaced_by_source_id = 'not valid' WHERE source_id = 'device-a' AND state = 'retired'",
    );
    expect((await createPush(scope)).json.error).toBe('source_retired_invalid');
    expect((await retire(scope)).json.error).toBe('source_retired_invalid');
    await expectRefusal(api, 'source_retired_invalid', 'POST', `${session}/commit`, { scope });
  });

  test('a source that committed meanwhile', async () => {
    const scope = await connectedScope();
    await pushNotes(api, 1, manyNotes(1), { scope });
    const session = await openPush(scope, { source_bundle_id: 2, canonical_request_hash: NOTE_HASH });
    await api.call('POST', `${session}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [note('x')] } });
    await target.query(
      'UPDATE sync.source SET watermark = 2 WHERE scope_pk = (SELECT scope_pk FROM sync.scope WHERE scope_id = $1)',
      [scope],
    );
    await expectRefusal(api, 'source_sequence_changed', 'POST', `${session}/commit`, { scope });
  });

  test('history that is pruned, or not there yet', async () => {
    const short = await withServer({ retainedBundlesPerScope: 1 });
    const scope = await connectedScope();
    for (const number of [1, 2, 3]) await pushNotes(short, number, [{ op: 'INSERT', id: `n${String(number)}` }], { scope });
    expect((await createPush(scope)).json.error).toBe('history_pruned');
    await expectRefusal(api, 'history_pruned', 'GET', '/sync/pull', { scope });
    await expectRefusal(api, 'history_pruned', 'GET', '/sync/committed-bundles/1/rows', { scope });
    await expectRefusal(api, 'checkpoint_ahead', 'GET', '/sync/pull?after_bundle_seq=9', { scope });
    await expectRefusal(api, 'committed_bundle_not_found', 'GET', '/sync/committed-bundles/9/rows', { scope });
    await expectRefusal(api, 'committed_bundle_chunk_invalid', 'GET', '/sync/committed-bundles/0/rows', { scope });
    await expectRefusal(api, 'invalid_request', 'GET', '/sync/pull?max_bundles=0', { scope });
  });

  test('verifications, and those that are refused', async () => {
    const scope = await connectedScope();
    await pushNotes(api, 1, manyNotes(3), { scope });
    for (const path of ['/sync/verify', '/sync/verify/rows']) {
      const body = { ...bodyFor('POST', path), bundle_seq: 1 };
      expect((await api.call('POST', path, { scope, body })).status).toBe(200);
      await expectRefusal(api, 'verify_invalid', 'POST', path, { scope, rawBody: '{' });
      await expectRefusal(api, 'verify_out_of_date', 'POST', path, { scope, body: { ...body, bundle_seq: 0 } });
      await expectRefusal(api, 'checkpoint_ahead', 'POST', path, { scope, body: { ...body, bundle_seq: 2 } });
    }
    const parts = { scope, body: { ...bodyFor('POST', '/sync/verify'), parts: 1_000_000 } };
    expect((await expectRefusal(api, 'verify_invalid', 'POST', '/sync/verify', parts)).json.limit_exceeded.name).toBe('parts');
    const slow = new FaultyPostgres(target.db);
    const busy = await withServer({ database: slow, maxConcurrentSnapshotBuilds: 1, snapshotQueueWaitMs: 0 });
    slow.mood = 'slow';
    const body = { ...bodyFor('POST', '/sync/verify'), bundle_seq: 1 };
    const first = busy.call('POST', '/sync/verify', { scope, body });
    await expectRefusal(busy, 'snapshot_build_capacity', 'POST', '/sync/verify', { scope, body });
    slow.release();
    await first;
  });

  test('watch streams that are refused', async () => {
    const scope = await connectedScope();
    const off = await withServer({ watch: { enabled: false } });
    await expectRefusal(off, 'bundle_change_watch_disabled', 'GET', '/sync/watch', { scope });
    const strict = await withServer({ watch: { enabled: true, authorize: () => false } });
    await expectRefusal(strict, 'bundle_change_watch_forbidden', 'GET', '/sync/watch', { scope });
    const few = await withServer({ watch: { enabled: true, maxStreamsPerScope: 1 } });
    const stop = new AbortController();
    const headers = { authorization: scope, 'Oversync-Source-ID': 'device-a' };
    const open = await few.server.fetch(new Request('http://host.test/sync/watch', { headers, signal: stop.signal }));
    await expectRefusal(few, 'bundle_change_watch_capacity', 'GET', '/sync/watch', { scope });
    await open.body?.cancel();
  });

  test('snapshots that are refused', async () => {
    const scope = await connectedScope();
    await pushNotes(api, 1, manyNotes(3), { scope });
    await expectRefusal(api, 'snapshot_session_invalid', 'POST', '/sync/snapshot-sessions', { scope, body: { unknown: 1 } });
    const tight = await withServer({ maxRowsPerSnapshotSession: 1 });
    await expectRefusal(tight, 'snapshot_session_limit_exceeded', 'POST', '/sync/snapshot-sessions', { scope });
    const few = await withServer({ maxSnapshotSessionsPerScope: 1, maxSnapshotSessionsPerSource: 1 });
    const image = await few.call('POST', '/sync/snapshot-sessions', { scope });
    await expectRefusal(few, 'snapshot_build_capacity', 'POST', '/sync/snapshot-sessions', { scope, source: 'device-b' });
    const path = `/sync/snapshot-sessions/${image.json.snapshot_id}`;
    await expectRefusal(api, 'snapshot_chunk_invalid', 'GET', `${path}?max_rows=0`, { scope });
    await expectRefusal(api, 'snapshot_chunk_too_small', 'GET', `${path}?max_bytes=1`, { scope });
    const other = await connectedScope();
    for (const method of ['GET', 'DELETE']) {
      await expectRefusal(api, 'snapshot_session_forbidden', method, path, { scope: other });
      await expectRefusal(api, 'snapshot_session_not_found', method, `/sync/snapshot-sessions/${TOKEN}`, { scope });
    }
    const slow = new FaultyPostgres(target.db);
    const busy = await withServer({ database: slow, maxConcurrentSnapshotChunkRequests: 1, snapshotQueueWaitMs: 0 });
    slow.mood = 'slow';
    const first = busy.call('GET', path, { scope });
    await expectRefusal(busy, 'snapshot_chunk_capacity', 'GET', path, { scope });
    slow.release();
    await first;
  });

  test.each(endpoints)('%s %s: a fault that nobody expects', async (method, path) => {
    const scope = await connectedScope();
    const database = new FaultyPostgres(target.db);
    const authorize = () => {
      throw new Error('out of order');
    };
    const broken = await withServer({
      database,
      watch: { enabled: true, ...(path === '/sync/capabilities' ? { authorize } : {}) },
    });
    const token = path.includes('snapshot') ? await snapshotToken(scope) : (await openPush(scope)).split('/').at(-1);
    database.mood = 'broken';
    const body = bodyFor(method, path);
    const answer = await broken.call(method, path.replace(TOKEN, token ?? ''), {
      scope,
      ...(body === undefined ? {} : { body }),
    });
    expect(answer.status).toBe(500);
  });

  test('a commit whose outcome nobody can find out', async () => {
    const scope = await connectedScope();
    const database = new FaultyPostgres(target.db);
    const cut = await withServer({ database });
    const session = await openPush(scope, { canonical_request_hash: NOTE_HASH });
    await api.call('POST', `${session}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [note('x')] } });
    database.mood = 'cut';
    const answer = await expectRefusal(cut, 'commit_outcome_unknown', 'POST', `${session}/commit`, { scope });
    expect(answer.status).toBe(503);
  });

  test('nothing else is declared than what was answered here or is reserved', () => {
    const declared = listOperations(loadDocument()).flatMap(({ operationId, responses }) =>
      Object.values(responses)
        .flatMap(({ content }) => Object.values(content ?? {}))
        .flatMap(({ schema }) =>
          schema.discriminator?.propertyName === 'error' ? Object.keys(schema.discriminator.mapping) : [],
        )
        .map((code) => `${operationId} ${code}`),
    );
    expect(declared.filter((pair) => !ledger.has(pair)).sort()).toStrictEqual(RESERVED);
  });
});

/** Codes that the contract declares and that this server does not send there, or only when its own code is wrong. */
const RESERVED: readonly string[] = [
  'connect connect_invalid',
  'health health_failed',
  'push_chunk commit_outcome_unknown',
  'push_session_create commit_outcome_unknown',
  'push_session_create scope_initializing',
  'push_session_delete push_chunk_invalid',
  'snapshot_session_delete snapshot_chunk_invalid',
  'status status_failed',
];

async function snapshotToken(scope: string): Promise<string> {
  const { json } = await api.call('POST', '/sync/snapshot-sessions', { scope });
  return json.snapshot_id;
}

/** The request hash of a push of `note('x')` alone. */
function hashOfNote(): string {
  const hasher = new RowHasher();
  const { payload, ...row } = note('x');
  hasher.addRow(requestRowText({ ...row, op: 'INSERT', base_row_version: 0n, payload }, 0));
  return hasher.digestHex();
}

/** What a verification of an empty scope names. */
const VERIFIED = { bundle_seq: 0, schema: 'business', table: 'notes' } as const;

function bodyFor(method: string, path: string): object | undefined {
  if (method !== 'POST' || path.endsWith('/commit')) return undefined;
  if (path.endsWith('/chunks')) return { start_row_ordinal: 0, rows: [note('x')] };
  if (path === '/sync/verify') return { ...VERIFIED, columns: ['id', 'title'], parts: 1, ranges: [{}] };
  if (path === '/sync/verify/rows') return VERIFIED;
  if (path === '/sync/push-sessions') return { source_bundle_id: 2, planned_row_count: 1, canonical_request_hash: HASH };
  return {};
}
