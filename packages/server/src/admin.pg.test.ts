import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { newScope, NOTES_DDL, openTestServer, pushNotes } from './test-server.ts';
import type { TestServer } from './test-server.ts';

const OPERATOR = { writerId: 'operator' };

describe('admin', () => {
  let target: TestServer;
  let scope: string;
  beforeAll(async () => {
    target = await openTestServer();
  });
  afterAll(() => target.close());
  beforeEach(() => {
    scope = newScope();
    target.events.length = 0;
  });

  /** What nobody should be able to do: the triggers are off for these statements. */
  async function writeBehindTheBack(sql: string): Promise<void> {
    await target.script(`ALTER TABLE business.notes DISABLE TRIGGER USER; ${sql};
      ALTER TABLE business.notes ENABLE ALWAYS TRIGGER oversync_capture_insert; ALTER TABLE business.notes ENABLE ALWAYS TRIGGER oversync_capture_update;
      ALTER TABLE business.notes ENABLE ALWAYS TRIGGER oversync_capture_delete; ALTER TABLE business.notes ENABLE ALWAYS TRIGGER oversync_refuse_truncate;
      ALTER TABLE business.notes ENABLE REPLICA TRIGGER oversync_refuse_replica`);
  }

  async function seed(): Promise<void> {
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes(
      target,
      1,
      ['a', 'b', 'c'].map((id) => ({ op: 'INSERT', id })),
      { scope },
    );
  }

  const pull = (after: number) => target.call('GET', `/sync/pull?after_bundle_seq=${String(after)}`, { scope });

  it('[C5] finds nothing in a scope whose rows and versions agree, nor in one that nobody has used', async () => {
    await seed();
    const { admin } = target.server;
    expect(await admin.checkScope(scope)).toEqual({ scopeId: scope, headBundleSeq: 1n, isConsistent: true, differences: [] });
    expect(await admin.checkScope('nobody')).toMatchObject({ headBundleSeq: 0n, isConsistent: true });
    expect(await admin.repairScope(scope, OPERATOR)).toEqual({ bundle: undefined });
    expect(await admin.repairScope('nobody', OPERATOR)).toEqual({ bundle: undefined });
    expect((await target.query(`SELECT count(*) FROM sync.scope WHERE scope_id = 'nobody'`)).rows).toEqual([['0']]);
  });

  it('[C5] tells what was written behind its back, and repairs it so that clients and snapshots see what the table holds', async () => {
    await seed();
    await writeBehindTheBack(`DELETE FROM business.notes WHERE _sync_scope_id = '${scope}' AND id IN ('a', 'b');
      INSERT INTO business.notes VALUES ('${scope}', 'z', 'unversioned', 1)`);
    expect(await target.server.admin.checkScope(scope)).toMatchObject({
      isConsistent: false,
      differences: [
        {
          schema: 'business',
          table: 'notes',
          unversionedRows: { count: 1, exampleKeys: ['z'] },
          lostRows: { count: 2, exampleKeys: ['a', 'b'] },
        },
      ],
    });
    expect(target.events).toContainEqual({
      name: 'integrityMismatch',
      schema: 'business',
      table: 'notes',
      scopeId: scope,
      correlationId: expect.any(String),
    });
    expect((await target.call('POST', '/sync/snapshot-sessions', { scope, body: {} })).status).toBe(500);
    const { bundle } = await target.server.admin.repairScope(scope, OPERATOR);
    expect(bundle).toMatchObject({ bundleSeq: 2n, rowCount: 3, sourceId: 'operator' });
    expect(target.events).toContainEqual(expect.objectContaining({ name: 'driftRepaired', schema: 'business', table: 'notes' }));
    expect((await pull(1)).json.bundles).toMatchObject([
      {
        rows: [
          { key: { id: 'a' }, op: 'DELETE' },
          { key: { id: 'b' }, op: 'DELETE' },
          { key: { id: 'z' }, op: 'INSERT' },
        ],
      },
    ]);
    expect(await target.server.admin.checkScope(scope)).toMatchObject({ isConsistent: true });
    const snapshot = await target.call('POST', '/sync/snapshot-sessions', { scope, body: {} });
    expect(snapshot.json).toMatchObject({ row_count: 2 });
  });

  it('[C5] repairs a scope of which only rows exist', async () => {
    await writeBehindTheBack(`INSERT INTO business.notes VALUES ('${scope}', 'z', 'unversioned', 1)`);
    expect(await target.server.admin.checkScope(scope)).toMatchObject({ headBundleSeq: 0n, isConsistent: false });
    await target.server.admin.repairScope(scope, OPERATOR);
    expect((await pull(0)).json.bundles).toMatchObject([{ rows: [{ key: { id: 'z' }, op: 'INSERT' }] }]);
  });

  it('names a bounded number of keys', async () => {
    await writeBehindTheBack(
      `INSERT INTO business.notes SELECT '${scope}', 'k' || lpad(i::text, 3, '0'), '', 1 FROM generate_series(1, 50) i`,
    );
    const { differences } = await target.server.admin.checkScope(scope);
    expect(differences[0]?.unversionedRows).toMatchObject({
      count: 50,
      exampleKeys: expect.objectContaining({ length: 20, 0: 'k001' }),
    });
  });

  it('[C4] after a restore makes every checkpoint of the lost history answer history_pruned, and goes on from there', async () => {
    await seed();
    for (let id = 2; id <= 4; id += 1) await pushNotes(target, id, [{ op: 'INSERT', id: `n${String(id)}` }], { scope });
    const { headBundleSeq } = await target.server.admin.invalidateHistory(scope);
    expect(headBundleSeq).toBe(1_000_004n);
    for (const after of [0, 1, 4, 40, 1_000_003])
      expect([after, (await pull(after)).json.error]).toEqual([after, 'history_pruned']);
    expect((await pull(1_000_005)).json.error).toBe('checkpoint_ahead');
    expect((await pull(1_000_004)).json).toMatchObject({ bundles: [], has_more: false, stable_bundle_seq: 1_000_004 });
    const snapshot = await target.call('POST', '/sync/snapshot-sessions', { scope, body: {} });
    expect(snapshot.json).toMatchObject({ snapshot_bundle_seq: 1_000_004, row_count: 6 });
    const committed = await pushNotes(target, 5, [{ op: 'UPDATE', id: 'a', base: 1 }], { scope });
    expect(committed).toMatchObject({ bundle_seq: 1_000_005 });
    await pushNotes(target, 6, [{ op: 'DELETE', id: 'b', base: 1 }], { scope });
    expect((await pull(1_000_004)).json.bundles.map(({ bundle_seq: seq }) => seq)).toEqual([1_000_005, 1_000_006]);
    await target.server.maintain();
    expect((await pull(1_000_005)).json.bundles).toHaveLength(1);
    expect(
      (await target.query('SELECT count(*) FROM sync.bundle b JOIN sync.scope s USING (scope_pk) WHERE s.scope_id = $1', [scope]))
        .rows,
    ).toEqual([['2']]);
  });

  it('needs a scope with history to invalidate, and a usable scope id', async () => {
    await expect(target.server.admin.invalidateHistory(scope)).rejects.toMatchObject({ code: 'scope_uninitialized' });
    await expect(target.server.admin.invalidateHistory(' ')).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(target.server.admin.checkScope('a\0')).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(target.server.admin.repairScope(scope, { writerId: '' })).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

describe('admin.adopt', () => {
  it('[C6] adopts before bootstrap what the options refuse to adopt by themselves', async () => {
    const populated = `${NOTES_DDL} INSERT INTO business.notes SELECT 's' || i % 3, i::text, 'old', i FROM generate_series(1, 30) i`;
    const target = await openTestServer({ ddl: populated, adoption: 'refuse', skipsBootstrap: true });
    try {
      await expect(target.server.bootstrap()).rejects.toMatchObject({ details: { violations: [{ code: 'adoption_required' }] } });
      expect(await target.server.admin.adopt()).toEqual({ scopes: 3, rows: 30 });
      expect(target.events).toContainEqual({ name: 'adoptionProgress', scopes: 3, rows: 30 });
      await target.server.bootstrap();
      expect(await target.server.admin.adopt()).toEqual({ scopes: 0, rows: 0 });
      const { json } = await target.call('GET', '/sync/pull', { scope: 's1' });
      expect(json.bundles).toMatchObject([{ bundle_seq: 1, row_count: 10 }]);
      expect(await target.server.admin.checkScope('s1')).toMatchObject({ isConsistent: true });
      await pushNotes(target, 1, [{ op: 'UPDATE', id: '1', base: 1 }], { scope: 's1' });
    } finally {
      await target.close();
    }
  });
});
