import { afterAll, beforeAll, expect, test } from 'vitest';

import { newScope, openTestServer } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer();
});
afterAll(() => target.close());

const connect = (scope: string, hasRows: boolean | undefined, source = 'device-a') =>
  target.call('POST', '/sync/connect', { scope, source, body: hasRows === undefined ? {} : { has_local_pending_rows: hasRows } });

const expireLease = (scope: string) =>
  target.query(`UPDATE sync.scope SET lease_expires_at = now() - interval '1 second' WHERE scope_id = $1`, [scope]);

test('a source without rows initializes an empty scope, everybody after it is told to read', async () => {
  const scope = newScope();
  expect((await connect(scope, undefined)).json).toStrictEqual({ resolution: 'initialize_empty' });
  expect((await connect(scope, true, 'device-b')).json).toStrictEqual({ resolution: 'remote_authoritative' });
});

test('a source with rows holds a lease, renews it, and others wait', async () => {
  const scope = newScope();
  const first = await connect(scope, true);
  expect(first.json).toMatchObject({ resolution: 'initialize_local' });
  expect(first.json.lease_expires_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/);
  await target.query(`UPDATE sync.scope SET lease_expires_at = now() + interval '5 seconds' WHERE scope_id = $1`, [scope]);
  const other = await connect(scope, false, 'device-b');
  expect(other.status).toBe(200);
  expect(other.json).toMatchObject({ resolution: 'retry_later' });
  expect(other.json.retry_after_seconds).toBeGreaterThanOrEqual(1);
  expect(other.json.retry_after_seconds).toBeLessThanOrEqual(5);
  const renewed = await connect(scope, true);
  expect(renewed.json.initialization_id).toBe(first.json.initialization_id);
  expect(Date.parse(renewed.json.lease_expires_at)).toBeGreaterThan(Date.parse(other.json.lease_expires_at));
});

test('[E7] [O6] an expired lease counts without anything being written, and another source takes over', async () => {
  const scope = newScope();
  const first = await connect(scope, true);
  await expireLease(scope);
  const pull = await target.call('GET', '/sync/pull', { scope });
  expect([pull.status, pull.json.error]).toStrictEqual([409, 'scope_uninitialized']);
  const second = await connect(scope, true, 'device-b');
  expect(second.json).toMatchObject({ resolution: 'initialize_local' });
  expect(second.json.initialization_id).not.toBe(first.json.initialization_id);
});

test('the lease owner that has no rows any more initializes the scope empty', async () => {
  const scope = newScope();
  await connect(scope, true);
  expect((await connect(scope, false)).json).toStrictEqual({ resolution: 'initialize_empty' });
});

test('an initialized scope is answered without lock and without write', async () => {
  const scope = newScope();
  await connect(scope, false);
  const before = await target.query('SELECT xmin, ctid FROM sync.scope WHERE scope_id = $1', [scope]);
  await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('SELECT FROM sync.scope WHERE scope_id = $1 FOR UPDATE', [scope]);
    expect((await connect(scope, true)).json).toStrictEqual({ resolution: 'remote_authoritative' });
  });
  expect((await target.query('SELECT xmin, ctid FROM sync.scope WHERE scope_id = $1', [scope])).rows).toStrictEqual(before.rows);
});

test('many first connects of one scope make one scope and one lease', async () => {
  const scope = newScope();
  const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => connect(scope, true, `device-${String(index)}`)));
  const resolutions = answers.map((answer) => answer.json.resolution).sort();
  expect(resolutions).toStrictEqual(['initialize_local', ...Array.from({ length: 11 }, () => 'retry_later')]);
  expect((await target.query('SELECT count(*) FROM sync.scope WHERE scope_id = $1', [scope])).rows).toStrictEqual([['1']]);
});

test.each([
  ['no body', ''],
  ['an array', '[]'],
  ['null', 'null'],
  ['text after the value', '{} x'],
  ['a duplicate member', '{"a":1,"a":1}'],
  ['a duplicate member written with escapes', '{"a":1,"\\u0061":1}'],
  ['a string for the boolean', '{"has_local_pending_rows":"true"}'],
  ['a number for the boolean', '{"has_local_pending_rows":1}'],
  ['an unpaired surrogate', '{"a":"\\ud800"}'],
  ['a byte order mark', '\uFEFF{}'],
  ['too much depth', `{"a":${'['.repeat(101)}${']'.repeat(101)}}`],
])('connect with %s is an invalid request', async (_, rawBody) => {
  const answer = await target.call('POST', '/sync/connect', { scope: newScope(), rawBody });
  expect([answer.status, answer.json.error]).toStrictEqual([400, 'invalid_request']);
});

test('null for the boolean counts as absent, and unknown members are ignored', async () => {
  const rawBody = '{"has_local_pending_rows":null,"future":[1]}';
  expect((await target.call('POST', '/sync/connect', { scope: newScope(), rawBody })).json).toStrictEqual({
    resolution: 'initialize_empty',
  });
});
