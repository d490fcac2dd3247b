import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { PgFault } from './ports/postgres.ts';
import type { Postgres } from './ports/postgres.ts';
import { newScope, openTestServer, pushNotes } from './test-server.ts';
import type { TestServer } from './test-server.ts';
import type { WriteTransaction } from './engine/write-transaction.ts';
import { createSyncServer } from './create-sync-server.ts';

const DDL = `
CREATE SCHEMA business;
CREATE TABLE business.notes (
  _sync_scope_id text NOT NULL, id text NOT NULL, title text NOT NULL, amount int8 CHECK (amount < 1000),
  PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE business.items (
  _sync_scope_id text NOT NULL, id text NOT NULL, note_id text NOT NULL, at timestamptz, f float8, PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT items_note_fk FOREIGN KEY (_sync_scope_id, note_id) REFERENCES business.notes (_sync_scope_id, id) DEFERRABLE
);
CREATE TABLE business.private (n int);
CREATE FUNCTION business.shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.title = 'forbidden' THEN RAISE EXCEPTION 'not this title'; END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER shout AFTER INSERT ON business.notes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION business.shout();`;

const TABLES = [
  { schema: 'business', table: 'notes', syncKeyColumn: 'id' },
  { schema: 'business', table: 'items', syncKeyColumn: 'id' },
];
const BILLING = { writerId: 'billing' };

const insertNote =
  (id: string, title = 'a title') =>
  (tx: WriteTransaction) =>
    tx.query('INSERT INTO business.notes (id, title) VALUES ($1, $2)', [id, title]);

describe('execWrite', () => {
  let target: TestServer;
  let scope: string;
  beforeAll(async () => {
    target = await openTestServer({ ddl: DDL, registeredTables: TABLES, reservedSourceIds: ['billing'] });
  });
  afterAll(() => target.close());
  beforeEach(() => {
    scope = newScope();
    target.events.length = 0;
  });

  const exec = (fn: (tx: WriteTransaction) => unknown, options: { operationId?: string; operationHash?: string } = {}) =>
    target.server.scopes.execWrite(scope, { ...BILLING, ...options }, fn);

  async function pull(after = 0) {
    return (await target.call('GET', `/sync/pull?after_bundle_seq=${String(after)}`, { scope })).json;
  }

  async function countNotes(): Promise<unknown> {
    return (await target.query('SELECT count(*) FROM business.notes WHERE _sync_scope_id = $1', [scope])).rows[0]?.[0];
  }

  it('initializes a scope that nobody has used, numbers its bundles, and clients pull them', async () => {
    const first = await exec(insertNote('n1'));
    expect(first).toEqual({
      autoInitialized: true,
      replayed: false,
      bundle: {
        bundleSeq: 1n,
        sourceId: 'billing',
        sourceBundleId: 1n,
        rowCount: 1,
        bundleHash: expect.stringMatching(/^[0-9a-f]{64}$/),
        canonicalRequestHash: '',
      },
    });
    const second = await exec((tx) =>
      tx.query(`UPDATE business.notes SET title = 'changed' WHERE id = 'n1' AND _sync_scope_id = $1`, [scope]),
    );
    expect(second).toMatchObject({ autoInitialized: false, bundle: { bundleSeq: 2n, sourceBundleId: 2n } });
    expect((await pull()).bundles).toMatchObject([
      { bundle_seq: 1, source_id: 'billing', row_count: 1, bundle_hash: first.bundle.bundleHash, rows: [{ op: 'INSERT' }] },
      { bundle_seq: 2, rows: [{ op: 'UPDATE', key: { id: 'n1' }, row_version: 2, payload: { title: 'changed' } }] },
    ]);
    const written = target.events.filter(({ name }) => name === 'pushCommitted' || name === 'scopeInitialized');
    expect(written.map(({ name }) => name)).toEqual(['pushCommitted', 'scopeInitialized', 'pushCommitted']);
    expect(target.events[0]).toMatchObject({ name: 'pushCommitted', scopeId: scope, rows: 0, effects: 1, attempts: 1 });
  });

  it('works beside clients of the same scope', async () => {
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes(target, 1, [{ op: 'INSERT', id: 'c' }], { scope });
    expect(await exec(insertNote('w'))).toMatchObject({ autoInitialized: false, bundle: { bundleSeq: 2n, sourceBundleId: 1n } });
    await pushNotes(target, 2, [{ op: 'UPDATE', id: 'w', base: 2 }], { scope });
    expect((await pull()).bundles.map(({ bundle_seq: seq }) => seq)).toEqual([1, 2, 3]);
  });

  it('[C9] rolls everything back when no registered row was touched', async () => {
    await expect(exec((tx) => tx.query('INSERT INTO business.private VALUES (1)'))).rejects.toMatchObject({
      code: 'no_captured_changes',
    });
    await expect(exec(() => undefined)).rejects.toMatchObject({ code: 'no_captured_changes' });
    await expect(
      exec((tx) =>
        tx.script(`INSERT INTO business.notes (id, title) VALUES ('x', 'x'); DELETE FROM business.notes WHERE id = 'x'`),
      ),
    ).rejects.toMatchObject({ code: 'no_captured_changes' });
    expect((await target.query('SELECT count(*) FROM business.private')).rows).toEqual([['0']]);
    expect((await target.query('SELECT count(*) FROM sync.scope WHERE scope_id = $1', [scope])).rows).toEqual([['0']]);
  });

  it('passes on what the callback throws, and commits unregistered tables with the bundle', async () => {
    const own = new Error('changed my mind');
    await expect(
      exec(async (tx) => {
        await insertNote('n')(tx);
        throw own;
      }),
    ).rejects.toBe(own);
    expect(await countNotes()).toBe('0');
    await exec((tx) =>
      tx.script(`INSERT INTO business.private VALUES (2); INSERT INTO business.notes (id, title) VALUES ('n', 't')`),
    );
    expect((await target.query('SELECT n FROM business.private')).rows).toEqual([['2']]);
  });

  it('waits for nobody who seeds the scope', async () => {
    await target.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: true } });
    await expect(exec(insertNote('n'))).rejects.toMatchObject({ code: 'scope_initializing' });
    await target.query(`UPDATE sync.scope SET lease_expires_at = now() - interval '1 second' WHERE scope_id = $1`, [scope]);
    await expect(exec(insertNote('n'))).resolves.toMatchObject({ autoInitialized: true });
  });

  it.each([
    ['COMMIT', (tx: WriteTransaction) => tx.query('COMMIT')],
    ['ROLLBACK', (tx: WriteTransaction) => tx.script(`INSERT INTO business.private VALUES (3); ROLLBACK`)],
    ['SAVEPOINT', (tx: WriteTransaction) => tx.query('SAVEPOINT s')],
    ['SET', (tx: WriteTransaction) => tx.query(`SET LOCAL TimeZone = 'Europe/Berlin'`)],
    ['SET CONSTRAINTS', (tx: WriteTransaction) => tx.query('/* now */ set constraints all immediate')],
    ['COMMIT in a DO block', (tx: WriteTransaction) => tx.query('DO $$ BEGIN COMMIT; END $$')],
    ['COPY in query', (tx: WriteTransaction) => tx.query('COPY business.notes FROM STDIN')],
    ['several statements in query', (tx: WriteTransaction) => tx.query('SELECT 1; SELECT 2')],
    ['something else than COPY in copyFrom', (tx: WriteTransaction) => tx.copyFrom('SELECT 1', [])],
    ['a changed context', (tx: WriteTransaction) => tx.query(`SELECT set_config('oversync.scope_id', 'other', true)`)],
    ['a nested write', () => target.server.scopes.execWrite(newScope(), BILLING, insertNote('n'))],
    ['a nested repair', () => target.server.admin.repairScope(newScope(), BILLING)],
  ])('refuses %s in the callback, even when the callback hides it', async (name, offend) => {
    const write = async (tx: WriteTransaction): Promise<void> => {
      await insertNote('n')(tx);
      await offend(tx);
    };
    await expect(exec(write)).rejects.toMatchObject({ code: 'callback_violation' });
    if (!name.startsWith('a nested')) {
      const hidden = (tx: WriteTransaction) => write(tx).catch(() => undefined);
      await expect(exec(hidden)).rejects.toMatchObject({ code: 'callback_violation' });
    }
    expect(await countNotes()).toBe('0');
  });

  it('refuses calls after the callback, waits for calls that it did not wait for, and frees what it left behind', async () => {
    let kept: WriteTransaction | undefined;
    let later: Promise<unknown> | undefined;
    await exec((tx) => {
      kept = tx;
      void insertNote('not awaited')(tx);
      const other = newScope();
      later = new Promise((resolve) => setTimeout(resolve, 50)).then(() =>
        target.server.scopes.execWrite(other, BILLING, insertNote('n')),
      );
      later.catch(() => undefined);
    });
    expect(await countNotes()).toBe('1');
    await expect(kept?.query('SELECT 1')).rejects.toMatchObject({ code: 'callback_violation' });
    await expect(later).resolves.toMatchObject({ autoInitialized: true });
  });

  it('does not let a failed statement pass as success', async () => {
    const write = async (tx: WriteTransaction): Promise<void> => {
      await insertNote('n')(tx);
      await insertNote('n')(tx).catch(() => undefined);
    };
    await expect(exec(write)).rejects.toMatchObject({ code: 'push_commit_invalid', details: { violation: { kind: 'unique' } } });
    expect(await countNotes()).toBe('0');
  });

  it.each([
    [
      'unique',
      `INSERT INTO business.notes (id, title) VALUES ('a', ''), ('a', '')`,
      { table: 'notes', constraint: 'notes_pkey' },
    ],
    ['not_null', `INSERT INTO business.notes (id) VALUES ('a')`, { table: 'notes', column: 'title' }],
    ['check', `INSERT INTO business.notes (id, title, amount) VALUES ('a', '', 1000)`, { table: 'notes' }],
    ['foreign_key', `INSERT INTO business.items (id, note_id) VALUES ('a', 'missing')`, { constraint: 'items_note_fk' }],
    ['rejected_by_trigger', `INSERT INTO business.notes (id, title) VALUES ('a', 'forbidden')`, {}],
    [
      'rejected_by_trigger',
      `INSERT INTO business.notes (_sync_scope_id, id, title) VALUES ('foreign', 'a', '')`,
      { table: 'notes' },
    ],
    ['out_of_range', `INSERT INTO business.notes (id, title, amount) VALUES ('a', '', 9223372036854775808)`, {}],
    [
      'not_representable',
      `INSERT INTO business.notes (id, title) VALUES ('a', ''); INSERT INTO business.items (id, note_id, f) VALUES ('i', 'a', 'NaN')`,
      { table: 'items', column: 'f' },
    ],
    ['not_representable', `INSERT INTO business.notes (id, title) VALUES (' ', '')`, { table: 'notes', column: 'id' }],
  ])('throws a violation %s as a typed error with its cause', async (kind, sql, place) => {
    const failure = exec((tx) => tx.script(sql));
    await expect(failure).rejects.toMatchObject({ code: 'push_commit_invalid', details: { violation: { kind, ...place } } });
    await expect(failure).rejects.toHaveProperty('cause', expect.any(PgFault));
  });

  it('checks deferrable constraints at the end, so children may come before their parent', async () => {
    const { bundle } = await exec((tx) =>
      tx.script(
        `INSERT INTO business.items (id, note_id) VALUES ('i', 'n'); INSERT INTO business.notes (id, title) VALUES ('n', '')`,
      ),
    );
    expect(bundle.rowCount).toBe(2);
  });

  it('passes on a fault that is neither data nor transient', async () => {
    await expect(exec((tx) => tx.query('SELECT * FROM business.nowhere'))).rejects.toMatchObject({ sqlState: '42P01' });
    await expect(exec((tx) => tx.query('UPDATE business.notes SET no_such_column = 1'))).rejects.toMatchObject({
      sqlState: '42703',
    });
  });

  it('[S3] bounds server writes like pushes', async () => {
    const small = await target.second({ maxRowsPerBundle: 2, maxBytesPerSnapshotRow: 500 });
    const write = (sql: string) => small.scopes.execWrite(scope, BILLING, (tx) => tx.script(sql));
    await expect(
      write(`INSERT INTO business.notes (id, title) SELECT i::text, '' FROM generate_series(1, 3) i`),
    ).rejects.toMatchObject({
      details: { limit_exceeded: { name: 'maxRowsPerBundle', limit: 2, actual: 3 } },
    });
    await expect(write(`INSERT INTO business.notes (id, title) VALUES ('a', repeat('x', 600))`)).rejects.toMatchObject({
      details: { limit_exceeded: { name: 'maxBytesPerSnapshotRow', limit: 500 } },
    });
  });

  it('[C8] renders under the pinned settings whatever the callback has set by function', async () => {
    await exec((tx) =>
      tx.script(`SELECT set_config('TimeZone', 'Europe/Berlin', true), set_config('DateStyle', 'German', true), set_config('extra_float_digits', '0', true);
        INSERT INTO business.notes (id, title) VALUES ('n', '');
        INSERT INTO business.items (id, note_id, at, f) VALUES ('i', 'n', '2026-01-02T03:04:05Z', 0.1::float8 + 0.2)`),
    );
    expect(JSON.stringify(await pull())).toContain('"at":"2026-01-02T03:04:05+00:00","f":"0.30000000000000004"');
  });

  it('[P5] makes the same number of round trips for one row and for ten thousand', async () => {
    const insert = (count: number) =>
      target.counting.measure(() =>
        target.server.scopes.execWrite(newScope(), BILLING, (tx) =>
          tx.query(`INSERT INTO business.notes (id, title) SELECT i::text, '' FROM generate_series(1, $1::int) i`, [
            String(count),
          ]),
        ),
      );
    expect(await insert(10_000)).toBe(await insert(1));
  });

  it('seeds a scope with COPY', async () => {
    const lines = Array.from({ length: 2500 }, (_, index) => `${scope}\tn-${String(index)}\ttitle\t\\N\n`).join('');
    const { bundle } = await exec((tx) => tx.copyFrom('COPY business.notes FROM STDIN', [new TextEncoder().encode(lines)]));
    expect(bundle.rowCount).toBe(2500);
  });

  describe('receipts', () => {
    it('answer a repeated operation without running it again', async () => {
      const operation = { operationId: randomUUID(), operationHash: 'invoice 7' };
      const first = await exec(insertNote('n'), operation);
      let runs = 0;
      const again = await exec(() => void (runs += 1), operation);
      expect(again).toEqual({ ...first, replayed: true });
      expect(runs).toBe(0);
      expect((await pull()).bundles).toHaveLength(1);
    });

    it('refuse an operation id that comes with another hash', async () => {
      const operationId = randomUUID();
      await exec(insertNote('n'), { operationId, operationHash: 'a' });
      await expect(exec(insertNote('m'), { operationId, operationHash: 'b' })).rejects.toMatchObject({
        code: 'operation_replay_changed',
      });
      await expect(exec(insertNote('m'), { operationId })).rejects.toMatchObject({ code: 'operation_replay_changed' });
    });

    it('make calls at the same time write once', async () => {
      const other = await target.second();
      const operation = { operationId: randomUUID() };
      const calls = Array.from({ length: 6 }, (_, index) =>
        (index % 2 === 0 ? target.server : other).scopes.execWrite(scope, { ...BILLING, ...operation }, insertNote('once')),
      );
      const results = await Promise.all(calls);
      expect(results.filter(({ replayed }) => !replayed)).toHaveLength(1);
      expect(new Set(results.map(({ bundle }) => bundle.bundleSeq))).toEqual(new Set([1n]));
    });

    it('are forgotten after their time, then the operation runs again', async () => {
      const operation = { operationId: randomUUID() };
      await exec(insertNote('n'), operation);
      await target.query(`UPDATE sync.write_receipt SET created_at = now() - interval '25 hours'`);
      await target.server.maintain();
      await expect(exec(insertNote('m'), operation)).resolves.toMatchObject({ replayed: false, bundle: { bundleSeq: 2n } });
    });

    it('belong to their scope', async () => {
      const operation = { ...BILLING, operationId: randomUUID() };
      await target.server.scopes.execWrite(scope, operation, insertNote('n'));
      await expect(target.server.scopes.execWrite(newScope(), operation, insertNote('n'))).resolves.toMatchObject({
        replayed: false,
      });
    });
  });

  it.each([
    ['a malformed writer id', { writerId: 'a b' }],
    ['a reserved writer id', { writerId: 'oversync-adoption:1' }],
    ['an operation id that is no UUID', { ...BILLING, operationId: 'seven' }],
    ['an operation hash without an id', { ...BILLING, operationHash: 'x' }],
    ['an operation hash that is too long', { ...BILLING, operationId: randomUUID(), operationHash: 'x'.repeat(257) }],
  ])('refuses %s', async (_name, options) => {
    await expect(target.server.scopes.execWrite(scope, options, insertNote('n'))).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    await expect(target.server.scopes.execWrite('', BILLING, insertNote('n'))).rejects.toMatchObject({
      code: 'invalid_argument',
    });
  });

  it('keeps ids of clients and of writers apart', async () => {
    await target.call('POST', '/sync/connect', { scope, source: 'device-x', body: {} });
    await pushNotes(target, 1, [{ op: 'INSERT', id: 'c' }], { scope, source: 'device-x' });
    await expect(target.server.scopes.execWrite(scope, { writerId: 'device-x' }, insertNote('n'))).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    await expect(
      target.server.withinSyncBundle({ scopeId: scope }, { sourceId: 'device-x', sourceBundleId: 2n }, insertNote('n')),
    ).rejects.toMatchObject({ code: 'invalid_argument' });
    await target.server.scopes.execWrite(scope, { writerId: 'worker' }, insertNote('n'));
    for (const source of ['worker', 'billing']) {
      const answer = await target.call('GET', '/sync/pull', { scope, source });
      expect([source, answer.status, answer.json.error]).toEqual([source, 400, 'invalid_request']);
    }
  });

  it('tells watching clients', async () => {
    const watching = await target.second({ watch: { enabled: true } });
    await watching.scopes.execWrite(scope, BILLING, insertNote('n'));
    const response = await watching.fetch(
      new Request('http://host.test/sync/watch?after_bundle_seq=1', {
        headers: { authorization: scope, 'Oversync-Source-ID': 'device-a' },
      }),
    );
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    await watching.scopes.execWrite(scope, BILLING, insertNote('m'));
    let text = '';
    while (!text.includes('"bundle_seq":2')) {
      const { value, done } = (await reader?.read()) ?? { done: true };
      if (done) throw new Error(`the stream ended: ${text}`);
      text += value ?? '';
    }
    expect(text).toContain('"source_id":"billing"');
    await reader?.cancel();
  });

  it('ends with the server when its callback waits for something that never comes', async () => {
    const closing = await target.second();
    let hasStarted: () => void = () => undefined;
    const started = new Promise<void>((resolve) => {
      hasStarted = resolve;
    });
    const hanging = closing.scopes.execWrite(scope, BILLING, async (tx) => {
      await insertNote('n')(tx);
      hasStarted();
      await new Promise(() => undefined);
    });
    hanging.catch(() => undefined);
    await started;
    await closing.close({ timeoutMs: 20 });
    await expect(hanging).rejects.toMatchObject({ code: 'service_unavailable' });
    expect(await countNotes()).toBe('0');
    await expect(exec(insertNote('n'))).resolves.toMatchObject({ autoInitialized: true });
  });

  it('is refused before bootstrap and after close', async () => {
    const server = createSyncServer({ database: target.db, registeredTables: TABLES, resolveActor: () => null });
    await expect(server.scopes.execWrite(scope, BILLING, insertNote('n'))).rejects.toMatchObject({ code: 'service_unavailable' });
    await server.close();
    await expect(server.scopes.execWrite(scope, BILLING, insertNote('n'))).rejects.toMatchObject({ code: 'service_unavailable' });
  });
});

describe('withinSyncBundle', () => {
  let target: TestServer;
  let scopeId: string;
  beforeAll(async () => {
    target = await openTestServer({ ddl: DDL, registeredTables: TABLES, retentionPruneBatchSize: 100 });
  });
  afterAll(() => target.close());
  beforeEach(async () => {
    scopeId = newScope();
    await target.call('POST', '/sync/connect', { scope: scopeId, body: {} });
  });

  const within = (
    sourceBundleId: bigint,
    fn: (tx: WriteTransaction) => unknown,
    more: { operationHash?: string; canonicalRequestHash?: string } = {},
  ) => target.server.withinSyncBundle({ scopeId, userId: 'user-1' }, { sourceId: 'importer', sourceBundleId, ...more }, fn);

  it('commits the tuple that the caller owns, with its hashes', async () => {
    const canonicalRequestHash = 'ab'.repeat(32);
    const result = await within(1n, insertNote('n'), { canonicalRequestHash, operationHash: 'file 1' });
    expect(result).toMatchObject({ replayed: false, bundle: { bundleSeq: 1n, sourceBundleId: 1n, canonicalRequestHash } });
    expect(result).not.toHaveProperty('autoInitialized');
    expect(target.events.at(-1)).toMatchObject({ name: 'pushCommitted', scopeId, userId: 'user-1', effects: 1 });
  });

  it('answers a committed tuple with the result of the first call, and does not run it', async () => {
    const first = await within(1n, insertNote('n'), { operationHash: 'file 1' });
    await within(2n, insertNote('m'));
    let runs = 0;
    expect(await within(1n, () => void (runs += 1), { operationHash: 'file 1' })).toEqual({ ...first, replayed: true });
    expect(await within(2n, () => void (runs += 1))).toMatchObject({ replayed: true });
    expect(runs).toBe(0);
    await expect(within(1n, insertNote('x'), { operationHash: 'file 2' })).rejects.toMatchObject({
      code: 'operation_history_unavailable',
    });
    await expect(within(1n, insertNote('x'))).rejects.toMatchObject({ code: 'operation_history_unavailable' });
  });

  it('refuses ids above the next one, pruned ones, and numbers that are none', async () => {
    await within(1n, insertNote('n'));
    await expect(within(3n, insertNote('m'))).rejects.toMatchObject({ code: 'source_sequence_out_of_order' });
    await target.server.admin.invalidateHistory(scopeId);
    await expect(within(1n, insertNote('m'))).rejects.toMatchObject({ code: 'operation_history_unavailable' });
    for (const id of [0n, -1n, 2n ** 63n])
      await expect(within(id, insertNote('m'))).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(within(2n, insertNote('m'), { canonicalRequestHash: 'x' })).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(within(2n, insertNote('m'))).resolves.toMatchObject({ replayed: false });
  });

  it('needs an initialized scope, and something to commit', async () => {
    const write = { sourceId: 'importer', sourceBundleId: 1n };
    await expect(target.server.withinSyncBundle({ scopeId: newScope() }, write, insertNote('n'))).rejects.toMatchObject({
      code: 'scope_uninitialized',
    });
    const seeding = newScope();
    await target.call('POST', '/sync/connect', { scope: seeding, body: { has_local_pending_rows: true } });
    await expect(target.server.withinSyncBundle({ scopeId: seeding }, write, insertNote('n'))).rejects.toMatchObject({
      code: 'scope_initializing',
    });
    await expect(within(1n, () => undefined)).rejects.toMatchObject({ code: 'no_captured_changes' });
  });

  it('refuses a retired source', async () => {
    await within(1n, insertNote('n'));
    await target.query(
      `UPDATE sync.source SET state = 'retired', replaced_by_source_id = 'importer-2' WHERE source_id = 'importer'`,
    );
    await expect(within(1n, insertNote('m'))).rejects.toMatchObject({
      code: 'source_retired',
      details: { source_id: 'importer', replaced_by_source_id: 'importer-2' },
    });
    await target.query(`DELETE FROM sync.source WHERE source_id = 'importer' AND state = 'retired'`);
  });
});

describe('a server write whose transaction fails', () => {
  type Weather =
    | 'calm'
    | 'reply of COMMIT lost'
    | 'COMMIT lost'
    | 'COMMIT lost, database unreachable'
    | 'serialization failure'
    | 'deadlock in the callback';
  let target: TestServer;
  let weather: Weather = 'calm';
  let scope: string;

  function breakConnections(db: Postgres): Postgres {
    const rollBack = new Error('rolled back');
    return {
      features: db.features,
      query: async (sql, params) => {
        if (weather === 'COMMIT lost, database unreachable') throw new PgFault('unreachable', { sqlState: '08006' });
        return db.query(sql, params);
      },
      transaction: async (begin, fn) => {
        if (weather === 'calm' || begin.readOnly === true) return db.transaction(begin, fn);
        const fault = new PgFault('connection lost', { sqlState: '08006', commitSent: true });
        if (weather === 'reply of COMMIT lost') {
          await db.transaction(begin, fn);
          weather = 'calm';
          throw fault;
        }
        const isSerialization = weather === 'serialization failure';
        await db
          .transaction(begin, async (tx) => {
            await fn(tx);
            throw rollBack;
          })
          .catch((error: unknown) => {
            if (error !== rollBack) throw error;
          });
        if (weather !== 'COMMIT lost, database unreachable') weather = 'calm';
        throw isSerialization ? new PgFault('could not serialize', { sqlState: '40001' }) : fault;
      },
    };
  }

  beforeAll(async () => {
    target = await openTestServer({ ddl: DDL, registeredTables: TABLES, retry: { attempts: 3, baseMs: 1 } });
  });
  afterAll(() => target.close());
  beforeEach(() => {
    weather = 'calm';
    scope = newScope();
  });

  async function openBroken() {
    const server = await target.second({ database: breakConnections(target.db) });
    target.events.length = 0;
    return server;
  }

  it.each(['reply of COMMIT lost', 'COMMIT lost', 'serialization failure'] as const)(
    '%s: is committed once in the end',
    async (what) => {
      const server = await openBroken();
      weather = what;
      let runs = 0;
      const result = await server.scopes.execWrite(scope, BILLING, (tx) => {
        runs += 1;
        return insertNote('n')(tx);
      });
      expect(result).toMatchObject({ autoInitialized: true, bundle: { bundleSeq: 1n, sourceBundleId: 1n } });
      expect(runs).toBe(what === 'reply of COMMIT lost' ? 1 : 2);
      expect((await target.call('GET', '/sync/pull', { scope })).json.bundles).toHaveLength(1);
    },
  );

  it('says that the outcome is unknown where nobody can tell, and the receipt tells it later', async () => {
    const server = await openBroken();
    const operation = { ...BILLING, operationId: randomUUID() };
    weather = 'COMMIT lost, database unreachable';
    await expect(server.scopes.execWrite(scope, operation, insertNote('n'))).rejects.toMatchObject({
      code: 'commit_outcome_unknown',
    });
    expect(target.events).toContainEqual(expect.objectContaining({ name: 'commitOutcomeUnknown', operation: 'exec_write' }));
    weather = 'calm';
    await expect(server.scopes.execWrite(scope, operation, insertNote('n'))).resolves.toMatchObject({ replayed: false });
    await expect(server.scopes.execWrite(scope, operation, insertNote('n'))).resolves.toMatchObject({ replayed: true });
  });

  it('is retried after a transient fault inside the callback, however the callback wraps it', async () => {
    let runs = 0;
    const result = await target.server.scopes.execWrite(scope, BILLING, async (tx) => {
      runs += 1;
      await insertNote('n')(tx);
      if (runs > 1) return;
      const fail = tx.query(`DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$`);
      await fail.catch((cause: unknown) => {
        throw new Error('the worker failed', { cause });
      });
    });
    expect(result.bundle.bundleSeq).toBe(1n);
    expect(runs).toBe(2);
  });

  it('gives up after the configured attempts', async () => {
    let runs = 0;
    const write = target.server.scopes.execWrite(scope, BILLING, (tx) => {
      runs += 1;
      return tx.query(`DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$`);
    });
    await expect(write).rejects.toMatchObject({ code: 'service_unavailable' });
    expect(runs).toBe(3);
  });
});
