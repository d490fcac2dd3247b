import { describe, expect, test } from 'vitest';

import { checkIncomingRows } from '../rules/check-incoming.ts';
import type { IncomingRow } from '../rules/incoming-row.ts';
import { applyBundles } from './apply-bundles.ts';
import { stageBundleRows } from './bundle-stage.ts';
import { loadClientState, loadSource } from './client-state.ts';
import { captureExistingRows } from './first-open.ts';
import { freezeOutbox } from './freeze.ts';
import { storeCommittedRemote } from './outbox.ts';
import { replayCommittedBundle } from './replay.ts';
import type { ReplayResult } from './store-types.ts';
import { APPLY, FREEZE, HeldRows, SOURCE_ID, dirty, openAttached, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';

const USERS = 'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, at TEXT)';

const seeded = async (): Promise<Local> => {
  const local = await openAttached(USERS);
  const rows = checkIncomingRows(
    local.schema,
    ['a', 'b', 'c'].map((id) => serverRow('users', id, 1n, { name: id, at: null })),
  );
  await applyBundles(local.driver, local.schema, [{ bundleSeq: 1n, rows }], APPLY);
  return local;
};

/** Freezes what is dirty, edits meanwhile, then replays `rows` as bundle `seq`. */
async function push(
  local: Local,
  seq: bigint,
  rows: readonly IncomingRow[],
  meanwhile = '',
  isStaged = false,
): Promise<ReplayResult> {
  const { outbox } = await freezeOutbox(local.driver, local.schema, FREEZE);
  if (outbox.state !== 'prepared') throw new Error('nothing was frozen');
  local.driver.database.exec(meanwhile);
  const committed = await storeCommittedRemote(local.driver, outbox, { bundleSeq: seq, bundleHash: 'h' });
  const checked = checkIncomingRows(local.schema, rows);
  if (isStaged) await local.driver.transaction('immediate', (tx) => stageBundleRows(tx, seq, 0, checked));
  const bundle = isStaged ? ({ staged: true } as const) : { rows: checked };
  return replayCommittedBundle(local.driver, local.schema, { ...APPLY, outbox: committed, bundle });
}

describe('replaying an own bundle', () => {
  test.each([false, true])('[T47] [T54] [T58] unedited rows are accepted (staged: %s)', async (isStaged) => {
    const local = await seeded();
    local.driver.database.exec(
      `UPDATE users SET name = 'A' WHERE id = 'a'; DELETE FROM users WHERE id = 'b'; INSERT INTO users VALUES ('n', 'N', NULL)`,
    );
    const rows = [
      serverRow('users', 'a', 2n, { name: 'A', at: null }),
      serverRow('users', 'n', 2n, { name: 'N', at: null }, 'INSERT'),
      serverRow('users', 'b', 2n, null),
    ];
    const result = await push(local, 2n, rows, '', isStaged);
    expect(result).toEqual({
      committedRowCount: 3,
      requeuedRowCount: 0,
      contestedRowCount: 0,
      quarantined: [],
      lastBundleSeqSeen: 2n,
      tables: ['users'],
    });
    expect(dirty(local)).toEqual([]);
    expect(query(local, 'SELECT id, name FROM users')).toEqual([
      { id: 'a', name: 'A' },
      { id: 'c', name: 'c' },
      { id: 'n', name: 'N' },
    ]);
    const state = await loadClientState(local.driver);
    expect(state).toMatchObject({
      outbox: { state: 'none' },
      applyMode: 0,
      lifecycle: { lastBundleSeqSeen: 2n, initializationId: null },
    });
    expect((await loadSource(local.driver, SOURCE_ID))?.nextSourceBundleId).toBe(2n);
    expect(query(local, 'SELECT count(*) AS n FROM _oversync_bundle_stage')).toEqual([{ n: 0 }]);
    expect(query(local, 'SELECT outcome, op FROM _oversync_outcomes ORDER BY seq').map((row) => row['outcome'])).toEqual([
      'accepted',
      'accepted',
      'accepted',
    ]);
  });

  test('[T55] [K4] [K14] values the server has changed are taken over and cause no second push', async () => {
    const local = await seeded();
    local.driver.database.exec(`UPDATE users SET name = 'A' WHERE id = 'a'`);
    await push(local, 2n, [serverRow('users', 'a', 2n, { name: 'A!', at: '2026-01-01T00:00:00+00:00' })]);
    expect(query(local, `SELECT name, at FROM users WHERE id = 'a'`)).toEqual([{ name: 'A!', at: '2026-01-01T00:00:00+00:00' }]);
    expect(dirty(local)).toEqual([]);
  });

  test.each([
    [
      'update, then update',
      `UPDATE users SET name = 'A' WHERE id = 'a'`,
      'UPDATE',
      `UPDATE users SET name = 'AA' WHERE id = 'a'`,
      'UPDATE',
      'AA',
    ],
    [
      'update, then delete',
      `UPDATE users SET name = 'A' WHERE id = 'a'`,
      'UPDATE',
      `DELETE FROM users WHERE id = 'a'`,
      'DELETE',
      null,
    ],
    [
      'delete, then recreate',
      `DELETE FROM users WHERE id = 'a'`,
      'DELETE',
      `INSERT INTO users VALUES ('a', 'AA', NULL)`,
      'INSERT',
      'AA',
    ],
  ] as const)(
    '[T54] [K10] %s keeps the newer edit, based on the committed version',
    async (_, before, op, meanwhile, queued, name) => {
      const local = await seeded();
      local.driver.database.exec(before);
      const row = serverRow('users', 'a', 2n, op === 'DELETE' ? null : { name: 'A', at: null });
      const result = await push(local, 2n, [row], meanwhile);
      expect(result.requeuedRowCount).toBe(1);
      expect(dirty(local).map((found) => found.slice(2, 4))).toEqual([[queued, 2]]);
      expect(query(local, `SELECT name FROM users WHERE id = 'a'`)).toEqual(name === null ? [] : [{ name }]);
      expect(query(local, `SELECT deleted, row_version FROM _sync_row_state WHERE key_json = '{"id":"a"}'`)).toEqual([
        { deleted: op === 'DELETE' ? 1 : 0, row_version: 2 },
      ]);
    },
  );

  test.each([
    ['insert, then update', `UPDATE users SET name = 'NN' WHERE id = 'n'`, 'UPDATE'],
    ['insert, then delete', `DELETE FROM users WHERE id = 'n'`, 'DELETE'],
  ])('[T54] %s', async (_, meanwhile, queued) => {
    const local = await seeded();
    local.driver.database.exec(`INSERT INTO users VALUES ('n', 'N', NULL)`);
    await push(local, 2n, [serverRow('users', 'n', 2n, { name: 'N', at: null }, 'INSERT')], meanwhile);
    expect(dirty(local).map((found) => found.slice(2, 4))).toEqual([[queued, 2]]);
  });

  test('[T54] an edit that was taken back is accepted', async () => {
    const local = await seeded();
    local.driver.database.exec(`UPDATE users SET name = 'A' WHERE id = 'a'`);
    const meanwhile = `UPDATE users SET name = 'x' WHERE id = 'a'; UPDATE users SET name = 'A' WHERE id = 'a'`;
    const result = await push(local, 2n, [serverRow('users', 'a', 2n, { name: 'A', at: null })], meanwhile);
    expect(result.requeuedRowCount).toBe(0);
    expect(dirty(local)).toEqual([]);
  });

  test('[T54] a live row that differs from the upload only in its spelling is accepted', async () => {
    const local = await openAttached('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, r REAL)');
    local.driver.database.exec(`INSERT INTO t VALUES ('a', 0.1)`);
    const meanwhile = `UPDATE _sync_outbox_rows SET local_payload = '{"r":"0.10000000000000001","id":"a"}'`;
    const result = await push(local, 1n, [serverRow('t', 'a', 1n, { r: '0.1' }, 'INSERT')], meanwhile);
    expect(result.requeuedRowCount).toBe(0);
  });

  test('[T56] [K35] rows the server added are applied, for pending keys they become images', async () => {
    const local = await seeded();
    local.driver.database.exec(`UPDATE users SET name = 'A' WHERE id = 'a'`);
    const rows = [
      serverRow('users', 'a', 2n, { name: 'A', at: null }),
      serverRow('users', 'b', 2n, { name: 'B by trigger', at: null }),
      serverRow('users', 'c', 2n, { name: 'C by trigger', at: null }),
    ];
    const result = await push(local, 2n, rows, `UPDATE users SET name = 'mine' WHERE id = 'c'`);
    expect(result).toMatchObject({ committedRowCount: 3, requeuedRowCount: 0, contestedRowCount: 1 });
    expect(query(local, 'SELECT id, name FROM users')).toEqual([
      { id: 'a', name: 'A' },
      { id: 'b', name: 'B by trigger' },
      { id: 'c', name: 'mine' },
    ]);
    expect(dirty(local).map((row) => [row[1], row[3]])).toEqual([['{"id":"c"}', 1]]);
    expect(query(local, 'SELECT key_json, server_row_version FROM _oversync_row_bases')).toEqual([
      { key_json: '{"id":"c"}', server_row_version: 2 },
    ]);
  });

  test('[T58] the checkpoint moves only over the next bundle', async () => {
    const local = await seeded();
    local.driver.database.exec(`UPDATE users SET name = 'A' WHERE id = 'a'`);
    const result = await push(local, 5n, [serverRow('users', 'a', 5n, { name: 'A', at: null })]);
    expect(result.lastBundleSeqSeen).toBe(1n);
    const later = checkIncomingRows(local.schema, [
      serverRow('users', 'a', 5n, { name: 'own', at: null }),
      serverRow('users', 'b', 5n, { name: 'peer', at: null }),
    ]);
    await applyBundles(local.driver, local.schema, [{ bundleSeq: 5n, rows: later }], APPLY);
    expect(query(local, `SELECT name FROM users WHERE id IN ('a', 'b')`)).toEqual([{ name: 'A' }, { name: 'peer' }]);
  });

  test('an image newer than the committed version is applied when its key is clean afterwards', async () => {
    const local = await seeded();
    local.driver.database.exec(`UPDATE users SET name = 'A' WHERE id = 'a'`);
    const { outbox } = await freezeOutbox(local.driver, local.schema, FREEZE);
    if (outbox.state !== 'prepared') throw new Error('nothing was frozen');
    const pulled = checkIncomingRows(local.schema, [serverRow('users', 'a', 3n, { name: 'peer', at: null })]);
    await applyBundles(local.driver, local.schema, [{ bundleSeq: 3n, rows: pulled }], APPLY);
    const committed = await storeCommittedRemote(local.driver, outbox, { bundleSeq: 2n, bundleHash: 'h' });
    const rows = checkIncomingRows(local.schema, [serverRow('users', 'a', 2n, { name: 'A', at: null })]);
    await replayCommittedBundle(local.driver, local.schema, { ...APPLY, outbox: committed, bundle: { rows } });
    expect(query(local, `SELECT name FROM users WHERE id = 'a'`)).toEqual([{ name: 'peer' }]);
    expect(query(local, `SELECT row_version FROM _sync_row_state WHERE key_json = '{"id":"a"}'`)).toEqual([{ row_version: 3 }]);
    expect(query(local, 'SELECT * FROM _oversync_row_bases')).toEqual([]);
  });

  test('[T57] rows that cannot be applied leave the committed outbox, request a rebuild, and capture works', async () => {
    const local = await openAttached('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n TEXT NOT NULL)');
    local.driver.database.exec(`INSERT INTO t VALUES ('a', 'x')`);
    await expect(push(local, 1n, [serverRow('t', 'a', 1n, { n: null }, 'INSERT')])).rejects.toMatchObject({
      code: 'rebuild_required',
      details: { reason: 'apply_failed' },
    });
    const state = await loadClientState(local.driver);
    expect(state).toMatchObject({
      outbox: { state: 'committed_remote' },
      applyMode: 0,
      lifecycle: { name: 'checkpoint_recovery', reason: 'apply_failed' },
    });
    local.driver.database.exec(`INSERT INTO t VALUES ('b', 'y')`);
    expect(dirty(local)).toHaveLength(1);
  });

  test('[T57] cycles and self-references are replayed in any order of rows', async () => {
    const ddl = `CREATE TABLE teams (id TEXT PRIMARY KEY NOT NULL, captain TEXT REFERENCES members(id));
      CREATE TABLE members (id TEXT PRIMARY KEY NOT NULL, team TEXT NOT NULL REFERENCES teams(id), boss TEXT REFERENCES members(id))`;
    const local = await openAttached(ddl);
    local.driver.database.exec(`BEGIN; PRAGMA defer_foreign_keys = ON; INSERT INTO teams VALUES ('t', 'm2');
      INSERT INTO members VALUES ('m1', 't', 'm2'), ('m2', 't', NULL); COMMIT`);
    const rows = [
      serverRow('members', 'm1', 1n, { team: 't', boss: 'm2' }, 'INSERT'),
      serverRow('members', 'm2', 1n, { team: 't', boss: null }, 'INSERT'),
      serverRow('teams', 't', 1n, { captain: 'm2' }, 'INSERT'),
    ];
    const result = await push(local, 1n, rows);
    expect(result).toMatchObject({ committedRowCount: 3, requeuedRowCount: 0 });
    expect(query(local, 'SELECT count(*) AS n FROM members')).toEqual([{ n: 2 }]);
  });

  test('[K38] 200,000 committed rows are replayed from the stage without holding them', async () => {
    const local = await openAttached(USERS);
    const { database } = local.driver;
    database.exec(`UPDATE _sync_apply_state SET apply_mode = 1;
      WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) INSERT INTO users SELECT printf('u%06d', i), 'name', NULL FROM n;
      UPDATE _sync_apply_state SET apply_mode = 0`);
    await local.driver.transaction('immediate', (tx) => captureExistingRows(tx, local.schema));
    const held = new HeldRows(local.driver);
    const { outbox } = await freezeOutbox(held.driver, local.schema, { ...FREEZE, rowsMax: 1_000_000, bytesMax: 1e9 });
    if (outbox.state !== 'prepared') throw new Error('nothing was frozen');
    const committed = await storeCommittedRemote(held.driver, outbox, { bundleSeq: 1n, bundleHash: 'h' });
    database.exec(`INSERT INTO _oversync_bundle_stage(bundle_seq, row_ordinal, schema_name, table_name, key_json, op, row_version, payload)
      SELECT 1, row_ordinal, schema_name, table_name, key_json, op, 1, wire_payload FROM _sync_outbox_rows`);
    const result = await replayCommittedBundle(held.driver, local.schema, {
      ...APPLY,
      outbox: committed,
      bundle: { staged: true },
    });
    expect(result).toMatchObject({ committedRowCount: 200_000, requeuedRowCount: 0, lastBundleSeqSeen: 1n });
    expect(query(local, 'SELECT count(*) AS n FROM _sync_row_state WHERE row_version = 1')).toEqual([{ n: 200_000 }]);
    expect(held.most).toBeLessThanOrEqual(FREEZE.page.rowsMax);
  });
});
