import { describe, expect, test } from 'vitest';

import { checkIncomingRows } from '../rules/check-incoming.ts';
import type { IncomingRow } from '../rules/incoming-row.ts';
import { applyBundles } from './apply-bundles.ts';
import { loadClientState, loadSource, saveLifecycle } from './client-state.ts';
import { freezeOutbox } from './freeze.ts';
import { storeCommittedRemote } from './outbox.ts';
import { applySnapshot } from './snapshot-apply.ts';
import { stageSnapshotChunk } from './snapshot-stage.ts';
import type { SnapshotApplyInput, SnapshotApplyResult } from './store-types.ts';
import { APPLY, FREEZE, SOURCE_ID, dirty, openAttached, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';

const USERS = 'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, email TEXT UNIQUE)';
const TREE = `
CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent_id TEXT NOT NULL REFERENCES parents(id) ON DELETE CASCADE, note TEXT);
CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL, name TEXT)`;

async function input(
  local: Local,
  seq: bigint,
  rows: readonly IncomingRow[],
  extra: Partial<SnapshotApplyInput> = {},
): Promise<SnapshotApplyInput> {
  const pinned = await loadClientState(local.driver);
  const checked = checkIncomingRows(local.schema, rows);
  await local.driver.transaction('immediate', (tx) => stageSnapshotChunk(tx, 's1', 0n, checked));
  return {
    ...APPLY,
    pinned,
    session: { snapshotId: 's1', bundleSeq: seq, rowCount: BigInt(rows.length), byteCount: 0n, isComplete: true },
    target: { userId: 'user-1', sourceId: pinned.lifecycle.sourceId },
    ...extra,
  };
}

async function rebuild(
  local: Local,
  seq: bigint,
  rows: readonly IncomingRow[],
  extra: Partial<SnapshotApplyInput> = {},
): Promise<SnapshotApplyResult> {
  return applySnapshot(local.driver, local.schema, await input(local, seq, rows, extra));
}

async function pull(local: Local, seq: bigint, ...rows: IncomingRow[]): Promise<void> {
  const result = await applyBundles(
    local.driver,
    local.schema,
    [{ bundleSeq: seq, rows: checkIncomingRows(local.schema, rows) }],
    APPLY,
  );
  expect(result.stopped).toBeNull();
}

const user = (id: string, version: bigint, name: string, email: string | null = null): IncomingRow =>
  serverRow('users', id, version, { name, email });

describe('applying a snapshot', () => {
  test('[T88] rows are replaced as a whole, with versions and checkpoint', async () => {
    const local = await openAttached(USERS);
    await pull(local, 1n, user('gone', 1n, 'Gone'), user('kept', 1n, 'Old'));
    const result = await rebuild(local, 7n, [user('kept', 5n, 'New'), user('more', 7n, 'More')]);
    expect(result).toEqual({ bundleSeq: 7n, rowCount: 2n, quarantined: [], contestedRowCount: 0, tables: ['users'] });
    expect(query(local, 'SELECT id, name FROM users')).toEqual([
      { id: 'kept', name: 'New' },
      { id: 'more', name: 'More' },
    ]);
    expect(query(local, 'SELECT key_json, row_version, deleted FROM _sync_row_state')).toEqual([
      { key_json: '{"id":"kept"}', row_version: 5, deleted: 0 },
      { key_json: '{"id":"more"}', row_version: 7, deleted: 0 },
    ]);
    expect(await loadClientState(local.driver)).toMatchObject({
      applyMode: 0,
      lifecycle: { name: 'attached', lastBundleSeqSeen: 7n },
    });
    expect(query(local, 'SELECT count(*) AS n FROM _sync_snapshot_stage')).toEqual([{ n: 0 }]);
    expect(dirty(local)).toEqual([]);
  });

  test('[T88] foreign keys over pages, cycles, RESTRICT and BLOB columns', async () => {
    const ddl = `CREATE TABLE nodes (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES nodes(id) ON DELETE RESTRICT, data BLOB);
      CREATE TABLE teams (id TEXT PRIMARY KEY NOT NULL, captain TEXT REFERENCES members(id) ON DELETE RESTRICT);
      CREATE TABLE members (id TEXT PRIMARY KEY NOT NULL, team TEXT NOT NULL REFERENCES teams(id))`;
    const local = await openAttached(ddl);
    const rows = [
      serverRow('members', 'm', 1n, { team: 't' }),
      serverRow('nodes', 'b', 1n, { parent: 'a', data: 'AAE=' }),
      serverRow('nodes', 'a', 1n, { parent: null, data: '' }),
      serverRow('teams', 't', 1n, { captain: 'm' }),
    ];
    await rebuild(local, 1n, rows, { page: { rowsMax: 1, bytesMax: 1000 } });
    await rebuild(local, 2n, rows);
    expect(query(local, 'SELECT id, hex(data) AS data FROM nodes ORDER BY id')).toEqual([
      { id: 'a', data: '' },
      { id: 'b', data: '0001' },
    ]);
    expect(query(local, 'PRAGMA foreign_key_check')).toEqual([]);
  });

  test('the rows take over the space of the stage', async () => {
    const local = await openAttached(USERS);
    const rows = Array.from({ length: 3000 }, (_, index) => user(`id-${index}`, 1n, `name ${index} ${'x'.repeat(200)}`));
    const prepared = await input(local, 1n, rows);
    const pageCount = (): unknown => query(local, 'PRAGMA page_count')[0]?.['page_count'];
    const staged = Number(pageCount());
    await applySnapshot(local.driver, local.schema, prepared);
    const tables = query(local, "SELECT SUM(pgsize) / 4096 AS n FROM dbstat WHERE name IN ('users', '_sync_row_state')")[0]?.[
      'n'
    ];
    expect(query(local, 'SELECT count(*) AS n FROM users')).toEqual([{ n: 3000 }]);
    expect(Number(pageCount()) - staged).toBeLessThan(Number(tables) / 2);
  });

  test('[I14] [T94] [T97] [K6] pending insert, update and delete survive on top of the snapshot with base and place', async () => {
    const local = await openAttached(USERS);
    await pull(local, 1n, user('a', 1n, 'A'), user('b', 1n, 'B'), user('c', 1n, 'C'), user('d', 1n, 'D'));
    local.driver.database.exec(`UPDATE users SET name = 'mine' WHERE id = 'a'; DELETE FROM users WHERE id = 'b';
      INSERT INTO users VALUES ('new', 'New', NULL); UPDATE users SET name = 'same' WHERE id = 'c'; DELETE FROM users WHERE id = 'd'`);
    const before = dirty(local);
    const result = await rebuild(local, 9n, [user('a', 1n, 'A'), user('b', 8n, 'B8'), user('c', 9n, 'same')]);
    expect(result).toMatchObject({ contestedRowCount: 1, quarantined: [] });
    expect(dirty(local)).toEqual(before.filter((row) => !['{"id":"c"}', '{"id":"d"}'].includes(String(row[1]))));
    expect(query(local, 'SELECT id, name FROM users ORDER BY id')).toEqual([
      { id: 'a', name: 'mine' },
      { id: 'c', name: 'same' },
      { id: 'new', name: 'New' },
    ]);
    expect(query(local, 'SELECT key_json, server_row_version FROM _oversync_row_bases')).toEqual([
      { key_json: '{"id":"b"}', server_row_version: 8 },
    ]);
  });

  test('[T94] a prepared outbox is unfrozen and its rows stay pending', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users VALUES ('n', 'N', NULL)`);
    await freezeOutbox(local.driver, local.schema, FREEZE);
    await rebuild(local, 3n, [user('a', 1n, 'A')]);
    expect(dirty(local).map((row) => row.slice(1, 4))).toEqual([['{"id":"n"}', 'INSERT', 0]]);
    expect((await loadSource(local.driver, SOURCE_ID))?.nextSourceBundleId).toBe(1n);
    expect(await loadClientState(local.driver)).toMatchObject({ outbox: { state: 'none' } });
  });

  test('[T94] a committed outbox is retired by a snapshot that contains it, and only by such', async () => {
    const local = await openAttached(USERS);
    await pull(local, 1n, user('a', 1n, 'A'));
    local.driver.database.exec(`UPDATE users SET name = 'mine'`);
    const { outbox } = await freezeOutbox(local.driver, local.schema, FREEZE);
    if (outbox.state !== 'prepared') throw new Error('nothing was frozen');
    await storeCommittedRemote(local.driver, outbox, { bundleSeq: 5n, bundleHash: 'h' });
    local.driver.database.exec(`UPDATE users SET name = 'newer'`);
    await expect(rebuild(local, 4n, [user('a', 1n, 'A')])).rejects.toMatchObject({ code: 'snapshot_too_old' });
    await local.driver.exec('DELETE FROM _sync_snapshot_stage');
    await rebuild(local, 6n, [user('a', 5n, 'mine')]);
    expect(dirty(local).map((row) => row.slice(2, 4))).toEqual([['UPDATE', 5]]);
    expect(query(local, 'SELECT name FROM users')).toEqual([{ name: 'newer' }]);
    expect((await loadSource(local.driver, SOURCE_ID))?.nextSourceBundleId).toBe(2n);
  });

  test('[T95] rotating the source registers the new one and marks the old', async () => {
    const local = await openAttached(USERS);
    await rebuild(local, 3n, [], { target: { userId: 'user-1', sourceId: 'fresh' } });
    expect(await loadSource(local.driver, SOURCE_ID)).toMatchObject({ replacedBySourceId: 'fresh' });
    expect(await loadClientState(local.driver)).toMatchObject({ lifecycle: { sourceId: 'fresh' } });
    const used = { target: { userId: 'user-1', sourceId: SOURCE_ID } };
    await expect(rebuild(local, 4n, [], used)).rejects.toMatchObject({ code: 'source_replacement_not_fresh' });
  });

  test('[T97] a pending row that clashes with the snapshot goes to quarantine, the server is shown', async () => {
    const local = await openAttached(USERS);
    await pull(local, 1n, user('a', 1n, 'A', '1'));
    local.driver.database.exec(`UPDATE users SET email = 'taken' WHERE id = 'a'; INSERT INTO users VALUES ('n', 'N', 'other')`);
    const result = await rebuild(local, 5n, [user('a', 1n, 'A', '1'), user('peer', 5n, 'P', 'taken')]);
    expect(result.quarantined).toEqual([{ table: 'users', key: 'a', op: 'UPDATE', origin: 'rebuild', code: 'unique_local' }]);
    expect(query(local, 'SELECT id, email FROM users ORDER BY id')).toEqual([
      { id: 'a', email: '1' },
      { id: 'n', email: 'other' },
      { id: 'peer', email: 'taken' },
    ]);
    expect(query(local, 'SELECT shows FROM _oversync_quarantine')).toEqual([{ shows: 'server' }]);
  });

  test('[T97] a missing parent sends the child to quarantine; a pending delete captures its cascade', async () => {
    const local = await openAttached(TREE);
    await pull(local, 1n, serverRow('parents', 'p', 1n, { name: 'P' }), serverRow('parents', 'q', 1n, { name: 'Q' }));
    local.driver.database.exec(`INSERT INTO children VALUES ('c', 'p', 'mine'); DELETE FROM parents WHERE id = 'q'`);
    const rows = [
      serverRow('parents', 'q', 1n, { name: 'Q' }),
      serverRow('children', 'peer', 4n, { parent_id: 'q', note: null }),
    ];
    const result = await rebuild(local, 5n, rows);
    expect(result.quarantined).toEqual([{ table: 'children', key: 'c', op: 'INSERT', origin: 'rebuild', code: 'foreign_key' }]);
    expect(query(local, 'SELECT id FROM children')).toEqual([]);
    expect(dirty(local).map((row) => [row[0], row[1], row[2], row[3]])).toEqual([
      ['parents', '{"id":"q"}', 'DELETE', 1],
      ['children', '{"id":"peer"}', 'DELETE', 4],
    ]);
  });

  test('a quarantined local value is shown again and stays quarantined', async () => {
    const local = await openAttached('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n INTEGER)');
    local.driver.database.exec(`INSERT INTO t VALUES ('bad', 'word')`);
    await freezeOutbox(local.driver, local.schema, FREEZE);
    await rebuild(local, 2n, [serverRow('t', 'a', 1n, { n: '1' })]);
    expect(query(local, 'SELECT id, n FROM t ORDER BY id')).toEqual([
      { id: 'a', n: 1 },
      { id: 'bad', n: 'word' },
    ]);
    expect(dirty(local)).toEqual([]);
    expect(query(local, 'SELECT code, shows FROM _oversync_quarantine')).toEqual([{ code: 'integer_invalid', shows: 'local' }]);
  });

  test('[T91] a changed attachment, operation or outbox is refused before anything is deleted', async () => {
    const local = await openAttached(USERS);
    await pull(local, 1n, user('a', 1n, 'A'));
    const staged = await input(local, 3n, [user('b', 3n, 'B')]);
    const changes = [
      `UPDATE _sync_attachment_state SET last_bundle_seq_seen = 2`,
      `UPDATE _sync_attachment_state SET rebuild_required = 1`,
      `UPDATE _sync_outbox_bundle SET state = 'prepared', source_bundle_id = 1`,
      `DELETE FROM _sync_snapshot_stage`,
    ];
    for (const change of changes) {
      await local.driver.exec(`SAVEPOINT undo; ${change}`);
      await local.driver.exec('RELEASE undo');
      await expect(applySnapshot(local.driver, local.schema, staged), change).rejects.toMatchObject({
        code: 'snapshot_gate_failed',
      });
      await local.driver.exec(`UPDATE _sync_attachment_state SET last_bundle_seq_seen = 1, rebuild_required = 0;
        UPDATE _sync_outbox_bundle SET state = 'none', source_bundle_id = 0`);
    }
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'a' }]);
  });

  test('[T92] [T19] a failure in the middle leaves the old state and a working capture', async () => {
    const local = await openAttached('CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL)');
    await pull(local, 1n, serverRow('users', 'a', 1n, { name: 'A' }));
    const rows = [serverRow('users', 'b', 2n, { name: 'B' }), serverRow('users', 'c', 2n, { name: null })];
    await expect(rebuild(local, 3n, rows, { page: { rowsMax: 1, bytesMax: 1000 } })).rejects.toMatchObject({
      code: 'storage_failed',
    });
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'a' }]);
    expect(await loadClientState(local.driver)).toMatchObject({ applyMode: 0, lifecycle: { lastBundleSeqSeen: 1n } });
    local.driver.database.exec(`INSERT INTO users VALUES ('n', 'N')`);
    expect(dirty(local)).toHaveLength(1);
  });

  test('[T92] cancelling between pages leaves the old state', async () => {
    const local = await openAttached(USERS);
    await pull(local, 1n, user('a', 1n, 'A'));
    const abort = new AbortController();
    const rows = [user('b', 2n, 'B'), user('c', 2n, 'C')];
    const extra = { page: { rowsMax: 1, bytesMax: 1000 }, signal: abort.signal, onPage: () => abort.abort() };
    await expect(rebuild(local, 3n, rows, extra)).rejects.toMatchObject({ code: 'aborted' });
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'a' }]);
  });

  test('[T93] a row at the budget passes, one byte more fails before any delete', async () => {
    const local = await openAttached(USERS);
    await pull(local, 1n, user('a', 1n, 'A'));
    const row = user('b', 2n, 'é'.repeat(50));
    const size = new TextEncoder().encode(row.payload ?? '').length;
    const tight = { page: { rowsMax: 10, bytesMax: size - 1 } };
    await expect(rebuild(local, 2n, [row], tight)).rejects.toMatchObject({
      code: 'snapshot_row_too_large',
      details: { required: size, limit: size - 1 },
    });
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'a' }]);
    await local.driver.exec('DELETE FROM _sync_snapshot_stage');
    await rebuild(local, 2n, [row], { page: { rowsMax: 10, bytesMax: size } });
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'b' }]);
  });

  test('[T89] [T90] stages are kept apart by session, a key that comes twice is refused', async () => {
    const local = await openAttached(USERS);
    const rows = checkIncomingRows(local.schema, [user('a', 1n, 'A')]);
    await local.driver.transaction('immediate', (tx) => stageSnapshotChunk(tx, 'other', 0n, rows));
    const twice = checkIncomingRows(local.schema, [user('b', 1n, 'B'), user('b', 1n, 'B')]);
    const stage = local.driver.transaction('immediate', (tx) => stageSnapshotChunk(tx, 's2', 0n, twice));
    await expect(stage).rejects.toMatchObject({ code: 'protocol_violation', details: { reason: 'identity' } });
    await rebuild(local, 2n, [user('c', 1n, 'C')]);
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'c' }]);
  });

  test('[T12] an empty table list and an empty snapshot work', async () => {
    const local = await openAttached('');
    expect(local.schema.tables).toEqual([]);
    const result = await rebuild(local, 4n, []);
    expect(result).toMatchObject({ rowCount: 0n, tables: [] });
    await local.driver.transaction('immediate', (tx) => saveLifecycle(tx, 'main', { name: 'anonymous', sourceId: SOURCE_ID }));
  });
});
