/** What a request does to others: which locks it holds, what it leaves behind, whose clock it goes by. */
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';

import { createSyncServer } from './create-sync-server.ts';
import type { PgTransaction, Postgres } from './ports/postgres.ts';
import { manyNotes, newScope, NOTES_TABLE, openTestServer, pushNotes, readAnswer, createRequest } from './test-server.ts';
import type { CallOptions, TestServer } from './test-server.ts';

/** Far beyond every time-out. */
const TEN_YEARS_MS = 315_000_000_000;
const NEVER_MS = 600_000;

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({ poolMax: 10 });
});
afterEach(() => vi.useRealTimers());
afterAll(() => target.close());

async function openScope(rowCount = 0): Promise<string> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  if (rowCount > 0) await pushNotes(target, 1, manyNotes(rowCount), { scope });
  return scope;
}

const lockScope = (scope: string, mode: string) =>
  target.query(`SELECT FROM sync.scope WHERE scope_id = $1 ${mode} NOWAIT`, [scope]);

test('[P7] a writer holds its scope against other writers only: a foreign key to the row could be checked meanwhile', async () => {
  const scope = await openScope();
  await target.server.scopes.execWrite(scope, { writerId: 'billing' }, async (tx) => {
    await tx.query(`INSERT INTO business.notes (id, title) VALUES ('a', 't')`);
    await expect(lockScope(scope, 'FOR KEY SHARE')).resolves.toMatchObject({ rowCount: 1 });
    await expect(lockScope(scope, 'FOR NO KEY UPDATE')).rejects.toMatchObject({ sqlState: '55P03' });
  });
});

test('[P7] a commit goes through while a snapshot of its scope is being built', async () => {
  const scope = await openScope(3);
  let building: ReturnType<TestServer['call']> | undefined;
  await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.script('LOCK TABLE sync.snapshot_session IN ACCESS EXCLUSIVE MODE');
    building = target.call('POST', '/sync/snapshot-sessions', { scope });
    await vi.waitFor(async () => expect(await countLockWaiters()).toBe(1));
    expect(await pushNotes(target, 2, [{ op: 'INSERT', id: 'meanwhile' }], { scope })).toMatchObject({ bundle_seq: 2 });
    await tx.query('SELECT 1');
  });
  expect((await building)?.json).toMatchObject({ snapshot_bundle_seq: 1, row_count: 3 });
});

async function countLockWaiters(): Promise<number> {
  const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  return Number((await target.query(waiting)).rows[0]?.[0]);
}

test('[P2] an image is built by the same number of round trips for ten rows and for three thousand', async () => {
  const build = async (rowCount: number): Promise<number> => {
    const scope = await openScope(rowCount);
    return target.counting.measure(async () => {
      expect((await target.call('POST', '/sync/snapshot-sessions', { scope })).json.row_count).toBe(rowCount);
    });
  };
  expect(await build(3000)).toBe(await build(10));
});

test('[P4] capture runs once per statement and keeps keys only, and no foreign key is checked in the metadata', async () => {
  const { rows: triggers } = await target.query(
    `SELECT tgname, tgtype & 1 FROM pg_trigger WHERE tgrelid = 'business.notes'::regclass AND tgname LIKE 'oversync_capture%' ORDER BY 1`,
  );
  expect(triggers).toStrictEqual([
    ['oversync_capture_delete', '0'],
    ['oversync_capture_insert', '0'],
    ['oversync_capture_update', '0'],
  ]);
  const { rows: columns } = await target.query(
    `SELECT attname FROM pg_attribute WHERE attrelid = 'sync.capture'::regclass AND attnum > 0 ORDER BY attnum`,
  );
  expect(columns.flat()).toStrictEqual(['scope_pk', 'token', 'ordinal', 'table_id', 'key_bytes', 'captured_at']);
  const keys = await target.query(
    `SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'sync'::regnamespace`,
  );
  expect(keys.rows).toStrictEqual([['0']]);
});

/** Notes down where statements run that notify. */
function watchNotifies(db: Postgres): { readonly db: Postgres; readonly seen: string[] } {
  const seen: string[] = [];
  const note = (place: string, sql: string): void => {
    if (/notify/i.test(sql)) seen.push(place);
  };
  const watch = (tx: PgTransaction): PgTransaction => ({
    query: (sql, params) => (note('transaction', sql), tx.query(sql, params)),
    script: (sql) => (note('transaction', sql), tx.script(sql)),
    ...(tx.run === undefined
      ? {}
      : {
          run: (statements, commits) => {
            for (const statement of statements) note('transaction', typeof statement === 'string' ? statement : statement.text);
            return tx.run?.(statements, commits) ?? Promise.reject(new Error('run was there a moment ago'));
          },
        }),
    copyFrom: (sql, chunks) => tx.copyFrom(sql, chunks),
    copyTo: (sql) => tx.copyTo(sql),
  });
  return {
    seen,
    db: {
      features: db.features,
      query: (sql, params) => (note('on its own', sql), db.query(sql, params)),
      transaction: (begin, fn) => (note('transaction', begin.settings ?? ''), db.transaction(begin, (tx) => fn(watch(tx)))),
    },
  };
}

test('[P10] a bundle transaction never notifies: the first commit of a quiet moment is told at once and alone, others wait and merge', async () => {
  const { db, seen } = watchNotifies(target.db);
  const server = createSyncServer({
    database: db,
    registeredTables: [NOTES_TABLE],
    resolveActor: (request) => ({ scopeId: request.headers.get('authorization') ?? '' }),
    maintenance: { enabled: false },
    watch: { enabled: true, notifyDebounceMs: NEVER_MS, pollIntervalMs: NEVER_MS },
  });
  try {
    await server.bootstrap();
    const call = async (method: string, path: string, options?: CallOptions) =>
      readAnswer(await server.fetch(createRequest(method, path, options)));
    const scope = await openScope();
    await pushNotes({ call }, 1, [{ op: 'INSERT', id: 'a' }], { scope });
    await vi.waitFor(() => expect(seen).toStrictEqual(['on its own']));
    for (let id = 2; id <= 4; id += 1) await pushNotes({ call }, id, [{ op: 'INSERT', id: String(id) }], { scope });
    await server.scopes.execWrite(scope, { writerId: 'billing' }, (tx) =>
      tx.query(`INSERT INTO business.notes (id, title) VALUES ('b', 't')`),
    );
    expect(seen).toStrictEqual(['on its own']);
  } finally {
    await server.close();
  }
});

test('[P12] what is asked again and again uses up no numbers', async () => {
  const scope = await openScope(1);
  const numbers = async () =>
    (await target.query('SELECT (SELECT last_value FROM sync.scope_pk_seq), (SELECT last_value FROM sync.table_id_seq)')).rows[0];
  const before = await numbers();
  for (let turn = 0; turn < 3; turn += 1) {
    await target.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: true } });
    await expect(pushNotes(target, 1, manyNotes(1), { scope })).rejects.toThrow('already_committed');
    await target.call('POST', '/sync/snapshot-sessions', { scope });
    await target.server.scopes.execWrite(scope, { writerId: 'billing' }, (tx) =>
      tx.query(`INSERT INTO business.notes (id, title) VALUES ($1, 't')`, [String(turn)]),
    );
  }
  await (await target.second()).close();
  expect(await numbers()).toStrictEqual(before);
});

test('[O6] the clock of the process decides nothing: ten years off, leases and sessions live as long as the database says', async () => {
  const [seeded, used] = [newScope(), await openScope(1)];
  await target.server.maintain();
  const lease = await target.call('POST', '/sync/connect', { scope: seeded, body: { has_local_pending_rows: true } });
  const snapshot = await target.call('POST', '/sync/snapshot-sessions', { scope: used });
  const push = { source_bundle_id: 2, planned_row_count: 1, canonical_request_hash: 'a'.repeat(64) };
  const created = await target.call('POST', '/sync/push-sessions', { scope: used, body: push });
  for (const offsetMs of [TEN_YEARS_MS, -TEN_YEARS_MS]) {
    vi.useFakeTimers({ toFake: ['Date'], now: performance.timeOrigin + performance.now() + offsetMs });
    const other = await target.call('POST', '/sync/connect', {
      scope: seeded,
      source: 'device-b',
      body: { has_local_pending_rows: true },
    });
    expect(other.json.resolution).toBe('retry_later');
    expect(other.json.retry_after_seconds).toBeLessThanOrEqual(900);
    expect(other.json.lease_expires_at).toBe(lease.json.lease_expires_at);
    expect((await target.call('GET', `/sync/snapshot-sessions/${snapshot.json.snapshot_id}`, { scope: used })).status).toBe(200);
    expect((await target.call('GET', `/sync/push-sessions/${created.json.push_id}`, { scope: used })).status).toBe(200);
    expect(await target.server.maintain()).toMatchObject({ push_sessions: 0, snapshot_sessions: 0, floors: 0 });
  }
});
