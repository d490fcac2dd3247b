import { afterAll, beforeAll, expect, test } from 'vitest';

import { manyNotes, newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({ retainedBundlesPerScope: 2 });
});
afterAll(() => target.close());

const count = async (table: string): Promise<number> =>
  Number((await target.query(`SELECT count(*) FROM sync.${table}`)).rows[0]?.[0]);

async function openScope(): Promise<string> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  return scope;
}

test('[P8] expired snapshot sessions go, then images that no session uses, then their rows', async () => {
  const scope = await openScope();
  await pushNotes(target, 1, manyNotes(3), { scope });
  await target.call('POST', '/sync/snapshot-sessions', { scope });
  await pushNotes(target, 2, [{ op: 'INSERT', id: 'x' }], { scope });
  await target.call('POST', '/sync/snapshot-sessions', { scope });
  expect([await count('snapshot_session'), await count('snapshot_image'), await count('snapshot_block')]).toStrictEqual([
    2, 2, 2,
  ]);
  await target.query(`UPDATE sync.snapshot_session SET expires_at = now() WHERE bundle_seq = 1`);
  const report = await target.server.maintain();
  expect(report).toMatchObject({ snapshot_sessions: 1, snapshot_images: 1, snapshot_blocks: 1 });
  expect([await count('snapshot_session'), await count('snapshot_image'), await count('snapshot_block')]).toStrictEqual([
    1, 1, 1,
  ]);
});

test('[P8] expired push sessions and their rows go', async () => {
  const scope = await openScope();
  const body = { source_bundle_id: 1, planned_row_count: 2, canonical_request_hash: 'a'.repeat(64) };
  const created = await target.call('POST', '/sync/push-sessions', { scope, body });
  const row = {
    schema: 'business',
    table: 'notes',
    key: { id: 'p' },
    op: 'INSERT',
    base_row_version: 0,
    payload: { id: 'p', title: 't' },
  };
  const path = `/sync/push-sessions/${created.json.push_id}`;
  expect((await target.call('POST', `${path}/chunks`, { scope, body: { start_row_ordinal: 0, rows: [row] } })).status).toBe(200);
  await target.query(`UPDATE sync.push_session SET expires_at = now()`);
  expect((await target.call('GET', path, { scope })).json.error).toBe('push_session_expired');
  expect(await target.server.maintain()).toMatchObject({ push_sessions: 1, push_rows: 1 });
  expect((await target.call('GET', path, { scope })).json.error).toBe('push_session_not_found');
});

test('[P11] [P12] bundles and tombstones at or below the floor go, live versions stay', async () => {
  const scope = await openScope();
  await pushNotes(
    target,
    1,
    [
      { op: 'INSERT', id: 'gone' },
      { op: 'INSERT', id: 'kept' },
      { op: 'INSERT', id: 'back' },
    ],
    { scope },
  );
  await pushNotes(
    target,
    2,
    [
      { op: 'DELETE', id: 'gone', base: 1 },
      { op: 'DELETE', id: 'back', base: 1 },
    ],
    { scope },
  );
  await pushNotes(target, 3, [{ op: 'INSERT', id: 'back', base: 2 }], { scope });
  for (let id = 4; id <= 6; id += 1) await pushNotes(target, id, [{ op: 'INSERT', id: `n${String(id)}` }], { scope });
  await target.server.maintain();
  const ofScope = async (sql: string) =>
    (await target.query(`${sql} JOIN sync.scope s USING (scope_pk) WHERE s.scope_id = $1 ORDER BY 1`, [scope])).rows.flat();
  expect(await ofScope('SELECT b.bundle_seq FROM sync.bundle b')).toStrictEqual(['5', '6']);
  expect(await ofScope('SELECT k.bundle_seq FROM sync.bundle_block k')).toStrictEqual(['5', '6']);
  expect(await ofScope('SELECT t.version FROM sync.tombstone t')).toStrictEqual([]);
  expect(await ofScope(`SELECT convert_from(r.key_bytes, 'UTF8') FROM sync.row_state r`)).toStrictEqual([
    'back',
    'kept',
    'n4',
    'n5',
    'n6',
  ]);
  expect(await ofScope('SELECT s.pruned_to::text || s.floor::text FROM sync.source c')).toStrictEqual(['44']);
  expect((await target.call('POST', '/sync/snapshot-sessions', { scope })).json).toMatchObject({ row_count: 5 });
});

test('[O8] the floor of an idle scope is moved when the retention gets shorter, step by step and never past the head', async () => {
  const scope = await openScope();
  const keeping = await openTestServer({ retainedBundlesPerScope: null });
  try {
    await keeping.call('POST', '/sync/connect', { scope, body: {} });
    for (let id = 1; id <= 5; id += 1) await pushNotes(keeping, id, [{ op: 'INSERT', id: String(id) }], { scope });
    const floor = async () => (await keeping.query('SELECT floor FROM sync.scope')).rows[0]?.[0];
    expect(await floor()).toBe('0');
    const stepping = await keeping.second({ retainedBundlesPerScope: 1, retentionPruneBatchSize: 3 });
    await stepping.maintain();
    expect(await floor()).toBe('3');
    await stepping.maintain();
    expect(await floor()).toBe('4');
    await stepping.maintain();
    expect(await floor()).toBe('4');
    const aging = await keeping.second({ retainedBundlesPerScope: null, retainedBundleAgeMs: 1 });
    await keeping.query(`UPDATE sync.bundle SET committed_at = now() - interval '1 hour'`);
    await aging.maintain();
    expect(await floor()).toBe('5');
  } finally {
    await keeping.close();
  }
});

test('[P8] two runs at once do the work once and wait for nobody', async () => {
  const other = await target.second();
  const scope = await openScope();
  for (let index = 0; index < 3; index += 1)
    await target.call('POST', '/sync/snapshot-sessions', { scope, source: `s${String(index)}` });
  await target.query(`UPDATE sync.snapshot_session SET expires_at = now()`);
  await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('SELECT FROM sync.scope WHERE scope_id = $1 FOR UPDATE', [scope]);
    const reports = await Promise.all([target.server.maintain(), other.maintain()]);
    const total = reports.reduce((sum, report) => sum + (report['snapshot_sessions'] ?? 0), 0);
    expect(total).toBeGreaterThanOrEqual(3);
  });
  expect(await count('snapshot_session')).toBe(0);
});

test('[O7] replays and pruned pulls of all processes are counted', async () => {
  const scope = await openScope();
  await pushNotes(target, 1, [{ op: 'INSERT', id: 'x' }], { scope });
  await target.query('UPDATE sync.scope SET floor = 1 WHERE scope_id = $1', [scope]);
  const status = async () =>
    (await (await target.server.ops.fetch(new Request('http://host.test/status'))).json()) as {
      history_pruned_error_count: number;
    };
  const before = await status();
  await target.call('GET', '/sync/pull', { scope });
  expect((await status()).history_pruned_error_count).toBe(before.history_pruned_error_count + 1);
  await target.server.maintain();
  expect((await status()).history_pruned_error_count).toBe(before.history_pruned_error_count + 1);
});

test('[P12] scopes that are written to all the time, and one with much history, keep no other scope from being pruned', async () => {
  const busy = await openTestServer({
    retainedBundlesPerScope: 1,
    maintenance: { enabled: false, batchRows: 2, maxBatchesPerRun: 2, scopesPerRun: 3 },
  });
  try {
    const scopes = Array.from({ length: 5 }, () => newScope());
    const pushed = new Map<string, number>();
    const push = async (scope: string, times: number) => {
      for (let turn = 0; turn < times; turn += 1) {
        const id = (pushed.get(scope) ?? 0) + 1;
        pushed.set(scope, id);
        await pushNotes(busy, id, [{ op: 'INSERT', id: `n${String(id)}` }], { scope });
      }
    };
    for (const scope of scopes) {
      await busy.call('POST', '/sync/connect', { scope, body: {} });
      await push(scope, 3);
    }
    await push(scopes[0] ?? '', 20);
    for (let run = 0; run < 12; run += 1) {
      for (const scope of scopes.slice(0, 3)) await push(scope, 1);
      await busy.server.maintain();
    }
    const left = await busy.query(
      `SELECT s.scope_id, count(b.bundle_seq) FROM sync.scope s LEFT JOIN sync.bundle b USING (scope_pk) GROUP BY s.scope_id`,
    );
    const counts = new Map(left.rows.map(([scope, count]) => [scope, Number(count)]));
    expect(scopes.slice(3).map((scope) => counts.get(scope))).toStrictEqual([1, 1]);
    expect(scopes.slice(1, 3).every((scope) => (counts.get(scope) ?? 99) < 12)).toBe(true);
  } finally {
    await busy.close();
  }
});

test('[P8] a table of the metadata that somebody has locked holds maintenance, health and status up for a moment only', async () => {
  const other = await target.second({ maintenance: { enabled: false, batchTimeoutMs: 200 } });
  await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.script('LOCK TABLE sync.scope, sync.stat, sync.bundle IN ACCESS EXCLUSIVE MODE');
    expect(await other.maintain()).toMatchObject({ floors: 0, pruned_history: 0 });
    const status = await other.ops.fetch(new Request('http://host.test/status'));
    expect(await status.json()).toMatchObject({ status: 'healthy', committed_bundle_count: 0 });
  });
});
