import { describe, expect, test } from 'vitest';

import { checkIncomingRows } from '../rules/check-incoming.ts';
import { applyBundles } from './apply-bundles.ts';
import { stageBundleRows } from './bundle-stage.ts';
import { loadClientState } from './client-state.ts';
import { freezeOutbox } from './freeze.ts';
import type { PulledBundle } from './store-types.ts';
import { APPLY, FREEZE, HeldRows, dirty, openAttached, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';
import type { IncomingRow } from '../rules/incoming-row.ts';

const USERS = 'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, email TEXT UNIQUE)';
const TREE = `
CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL, name TEXT);
CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent_id TEXT REFERENCES parents(id) ON DELETE CASCADE, note TEXT)`;

function bundle(local: Local, bundleSeq: bigint, ...rows: IncomingRow[]): PulledBundle {
  return { bundleSeq, rows: checkIncomingRows(local.schema, rows) };
}

async function checkpoint(local: Local): Promise<bigint> {
  const { lifecycle, applyMode } = await loadClientState(local.driver);
  expect(applyMode).toBe(0);
  return 'lastBundleSeqSeen' in lifecycle ? lifecycle.lastBundleSeqSeen : -1n;
}

describe('applying pulled bundles', () => {
  test('rows are written, versions recorded, nothing is captured', async () => {
    const local = await openAttached(USERS);
    const result = await applyBundles(
      local.driver,
      local.schema,
      [
        bundle(
          local,
          1n,
          serverRow('users', 'a', 1n, { name: 'Ada', email: null }),
          serverRow('users', 'b', 1n, { name: 'Bob', email: 'b@x' }),
        ),
        bundle(local, 2n, serverRow('users', 'b', 2n, null)),
        bundle(local, 3n),
      ],
      APPLY,
    );
    expect(result).toMatchObject({
      lastBundleSeqSeen: 3n,
      appliedBundleCount: 3,
      contestedRowCount: 0,
      stopped: null,
      tables: ['users'],
    });
    expect(query(local, 'SELECT id, name FROM users')).toEqual([{ id: 'a', name: 'Ada' }]);
    expect(query(local, 'SELECT key_json, row_version, deleted FROM _sync_row_state ORDER BY key_json')).toEqual([
      { key_json: '{"id":"a"}', row_version: 1, deleted: 0 },
      { key_json: '{"id":"b"}', row_version: 2, deleted: 1 },
    ]);
    expect(dirty(local)).toEqual([]);
    expect(await checkpoint(local)).toBe(3n);
  });

  test('[T78] rows that are not newer are skipped; a deleted row may come back', async () => {
    const local = await openAttached(USERS);
    const steps = [
      bundle(local, 5n, serverRow('users', 'a', 5n, { name: 'new', email: null })),
      bundle(local, 6n, serverRow('users', 'a', 4n, { name: 'old', email: null })),
      bundle(local, 7n, serverRow('users', 'a', 7n, null)),
      bundle(local, 8n, serverRow('users', 'a', 6n, { name: 'old', email: null })),
    ];
    await applyBundles(local.driver, local.schema, steps.slice(0, 2), APPLY);
    expect(query(local, 'SELECT name FROM users')).toEqual([{ name: 'new' }]);
    await applyBundles(local.driver, local.schema, steps.slice(2), APPLY);
    expect(query(local, 'SELECT name FROM users')).toEqual([]);
    await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 9n, serverRow('users', 'a', 9n, { name: 'again', email: null }))],
      APPLY,
    );
    expect(query(local, 'SELECT name FROM users')).toEqual([{ name: 'again' }]);
  });

  test('[T79] an update of a parent does not fire the cascades of its key', async () => {
    const local = await openAttached(TREE);
    const seed = bundle(
      local,
      1n,
      serverRow('parents', 'p', 1n, { name: 'P' }),
      serverRow('children', 'c', 1n, { parent_id: 'p', note: 'n' }),
    );
    await applyBundles(local.driver, local.schema, [seed], APPLY);
    await applyBundles(local.driver, local.schema, [bundle(local, 2n, serverRow('parents', 'p', 2n, { name: 'P2' }))], APPLY);
    expect(query(local, 'SELECT id FROM children')).toEqual([{ id: 'c' }]);
  });

  test('[I7] [T80] [K5] a pending key keeps its local row, its base, and gets the image of the server', async () => {
    const local = await openAttached(USERS);
    await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 1n, serverRow('users', 'a', 1n, { name: 'Ada', email: null }))],
      APPLY,
    );
    local.driver.database.exec(`UPDATE users SET name = 'mine' WHERE id = 'a'`);
    const result = await applyBundles(
      local.driver,
      local.schema,
      [
        bundle(local, 2n, serverRow('users', 'a', 2n, { name: 'theirs', email: null })),
        bundle(local, 3n, serverRow('users', 'a', 3n, { name: 'theirs 3', email: null })),
      ],
      APPLY,
    );
    expect(result.contestedRowCount).toBe(2);
    expect(query(local, 'SELECT name FROM users')).toEqual([{ name: 'mine' }]);
    expect(dirty(local)[0]?.slice(2, 4)).toEqual(['UPDATE', 1]);
    expect(query(local, 'SELECT server_row_version, server_payload FROM _oversync_row_bases')).toEqual([
      { server_row_version: 3, server_payload: '{"id":"a","name":"theirs 3","email":null}' },
    ]);
    expect(query(local, 'SELECT row_version FROM _sync_row_state')).toEqual([{ row_version: 1 }]);
    expect(await checkpoint(local)).toBe(3n);
  });

  test('[T80] an intent equal to the image is settled by it, on both sides deleted too', async () => {
    const local = await openAttached(USERS);
    const seed = bundle(
      local,
      1n,
      serverRow('users', 'a', 1n, { name: 'A', email: null }),
      serverRow('users', 'b', 1n, { name: 'B', email: null }),
    );
    await applyBundles(local.driver, local.schema, [seed], APPLY);
    local.driver.database.exec(`UPDATE users SET name = 'same' WHERE id = 'a'; DELETE FROM users WHERE id = 'b'`);
    const same = bundle(local, 2n, serverRow('users', 'a', 2n, { name: 'same', email: null }), serverRow('users', 'b', 2n, null));
    const result = await applyBundles(local.driver, local.schema, [same], APPLY);
    expect(result.contestedRowCount).toBe(0);
    expect(dirty(local)).toEqual([]);
    expect(query(local, 'SELECT * FROM _oversync_row_bases')).toEqual([]);
  });

  test('[I6] [T77] a bundle that cannot be applied keeps the checkpoint of the one before it', async () => {
    const local = await openAttached('CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL)');
    const good = bundle(local, 1n, serverRow('users', 'a', 1n, { name: 'A' }));
    const bad = bundle(local, 2n, serverRow('users', 'b', 2n, { name: null }));
    const result = await applyBundles(local.driver, local.schema, [good, bad, bundle(local, 3n)], APPLY);
    expect(result).toMatchObject({
      lastBundleSeqSeen: 1n,
      appliedBundleCount: 1,
      stopped: { reason: 'apply_failed', bundleSeq: 2n },
    });
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'a' }]);
    expect(await checkpoint(local)).toBe(1n);
    local.driver.database.exec(`INSERT INTO users VALUES ('c', 'C')`);
    expect(dirty(local)).toHaveLength(1);
  });

  test('[T83] [K23] unique values that are swapped between two rows are applied', async () => {
    const local = await openAttached(
      'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, email TEXT UNIQUE, code TEXT NOT NULL UNIQUE)',
    );
    const seed = bundle(
      local,
      1n,
      serverRow('users', 'a', 1n, { email: '1', code: 'x' }),
      serverRow('users', 'b', 1n, { email: '2', code: 'y' }),
    );
    const swap = bundle(
      local,
      2n,
      serverRow('users', 'a', 2n, { email: '2', code: 'y' }),
      serverRow('users', 'b', 2n, { email: '1', code: 'x' }),
    );
    const result = await applyBundles(local.driver, local.schema, [seed, swap], APPLY);
    expect(result.stopped).toBeNull();
    expect(query(local, 'SELECT id, email, code FROM users ORDER BY id')).toEqual([
      { id: 'a', email: '2', code: 'y' },
      { id: 'b', email: '1', code: 'x' },
    ]);
  });

  test('[T83] a never synced row that holds a unique value of the server goes to quarantine', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users VALUES ('mine', 'Mine', 'e@x')`);
    const result = await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 1n, serverRow('users', 'a', 1n, { name: 'A', email: 'e@x' }))],
      APPLY,
    );
    expect(result.quarantined).toEqual([{ table: 'users', key: 'mine', op: 'INSERT', origin: 'pull', code: 'unique_local' }]);
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'a' }]);
    expect(query(local, 'SELECT shows, payload FROM _oversync_quarantine')).toEqual([
      { shows: 'server', payload: '{"id":"mine","name":"Mine","email":"e@x"}' },
    ]);
    expect(dirty(local)).toEqual([]);
  });

  test('[T83] a pending child whose parent the server deletes goes to quarantine', async () => {
    const local = await openAttached(TREE);
    const seed = bundle(
      local,
      1n,
      serverRow('parents', 'p', 1n, { name: 'P' }),
      serverRow('children', 'c', 1n, { parent_id: 'p', note: 'n' }),
    );
    await applyBundles(local.driver, local.schema, [seed], APPLY);
    local.driver.database.exec(`UPDATE children SET note = 'edited'; INSERT INTO children VALUES ('new', 'p', 'x')`);
    const drop = bundle(local, 2n, serverRow('parents', 'p', 2n, null), serverRow('children', 'c', 2n, null));
    const result = await applyBundles(local.driver, local.schema, [drop], APPLY);
    expect(result.quarantined.map(({ key, code, op }) => [key, code, op])).toEqual([
      ['c', 'parent_deleted', 'UPDATE'],
      ['new', 'parent_deleted', 'INSERT'],
    ]);
    expect(dirty(local)).toEqual([]);
    expect(query(local, `SELECT row_version, deleted FROM _sync_row_state WHERE table_name = 'children'`)).toEqual([
      { row_version: 2, deleted: 1 },
    ]);
  });

  test('[T83] a bundle that needs a parent deleted here waits for the next push', async () => {
    const local = await openAttached(TREE);
    await applyBundles(local.driver, local.schema, [bundle(local, 1n, serverRow('parents', 'p', 1n, { name: 'P' }))], APPLY);
    local.driver.database.exec(`DELETE FROM parents`);
    const child = bundle(local, 2n, serverRow('children', 'c', 2n, { parent_id: 'p', note: null }));
    const result = await applyBundles(local.driver, local.schema, [child], APPLY);
    expect(result.stopped).toEqual({ reason: 'pending_local_delete', bundleSeq: 2n });
    expect(await checkpoint(local)).toBe(1n);
  });

  test('[T83] a unique value held by a frozen row waits for its push instead of asking for a rebuild', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users VALUES ('mine', 'M', 'x')`);
    await freezeOutbox(local.driver, local.schema, FREEZE);
    const theirs = bundle(local, 2n, serverRow('users', 'theirs', 2n, { name: 'T', email: 'x' }));
    const result = await applyBundles(local.driver, local.schema, [bundle(local, 1n), theirs], APPLY);
    expect(result).toMatchObject({ stopped: { reason: 'pending_push', bundleSeq: 2n }, quarantined: [] });
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'mine' }]);
    expect(await checkpoint(local)).toBe(1n);
  });

  test('[T82] `reject` refuses inside the transaction', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users VALUES ('a', 'A', NULL)`);
    const apply = applyBundles(local.driver, local.schema, [bundle(local, 1n)], { ...APPLY, pullWithPending: 'reject' });
    await expect(apply).rejects.toMatchObject({ code: 'dirty_state_rejected', details: { dirtyCount: 1 } });
    expect(await checkpoint(local)).toBe(0n);
  });

  test('[T83] a pending row whose parent the server deletes without a cascade gives way to the server', async () => {
    const local = await openAttached(`CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL);
      CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent_id TEXT REFERENCES parents(id))`);
    await applyBundles(local.driver, local.schema, [bundle(local, 1n, serverRow('parents', 'p', 1n, {}))], APPLY);
    local.driver.database.exec(`INSERT INTO children VALUES ('c', 'p')`);
    const result = await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 2n, serverRow('parents', 'p', 2n, null))],
      APPLY,
    );
    expect(result).toMatchObject({ stopped: null, lastBundleSeqSeen: 2n });
    expect(result.quarantined).toEqual([{ table: 'children', key: 'c', op: 'INSERT', origin: 'pull', code: 'foreign_key' }]);
    expect(query(local, 'SELECT id FROM children UNION ALL SELECT id FROM parents')).toEqual([]);
  });

  test('[T83] RESTRICT: pending children give way to the deletion of their parent', async () => {
    const local = await openAttached(`CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL);
      CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent_id TEXT REFERENCES parents(id) ON DELETE RESTRICT)`);
    await applyBundles(local.driver, local.schema, [bundle(local, 1n, serverRow('parents', 'p', 1n, {}))], APPLY);
    local.driver.database.exec(`INSERT INTO children VALUES ('c', 'p')`);
    const result = await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 2n, serverRow('parents', 'p', 2n, null))],
      APPLY,
    );
    expect(result.quarantined.map(({ key, code }) => [key, code])).toEqual([['c', 'foreign_key']]);
    expect(query(local, 'SELECT id FROM parents')).toEqual([]);
  });

  test('[T83] a synced row that was edited into a clash goes back to what the server has', async () => {
    const local = await openAttached(USERS, { tables: [{ tableName: 'users', syncKeyColumnName: 'id', captureBase: true }] });
    await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 1n, serverRow('users', 'a', 1n, { name: 'A', email: '1' }))],
      APPLY,
    );
    local.driver.database.exec(`UPDATE users SET email = '2'`);
    const result = await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 2n, serverRow('users', 'b', 2n, { name: 'B', email: '2' }))],
      APPLY,
    );
    expect(result.quarantined.map(({ key, code, op }) => [key, code, op])).toEqual([['a', 'unique_local', 'UPDATE']]);
    expect(query(local, 'SELECT id, email FROM users ORDER BY id')).toEqual([
      { id: 'a', email: '1' },
      { id: 'b', email: '2' },
    ]);
  });

  test('[T83] a clash with a synced row whose server state is not known needs a rebuild', async () => {
    const local = await openAttached(USERS);
    await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 1n, serverRow('users', 'a', 1n, { name: 'A', email: '1' }))],
      APPLY,
    );
    local.driver.database.exec(`UPDATE users SET email = '2'`);
    const result = await applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 2n, serverRow('users', 'b', 2n, { name: 'B', email: '2' }))],
      APPLY,
    );
    expect(result).toMatchObject({ stopped: { reason: 'apply_failed', bundleSeq: 2n }, quarantined: [] });
    expect(query(local, 'SELECT id, email FROM users')).toEqual([{ id: 'a', email: '2' }]);
    expect(dirty(local)).toHaveLength(1);
  });

  test('[T83] too many rows in the way fail the call and keep the checkpoint', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users VALUES ('mine', 'Mine', 'e@x')`);
    const apply = applyBundles(
      local.driver,
      local.schema,
      [bundle(local, 1n, serverRow('users', 'a', 1n, { name: 'A', email: 'e@x' }))],
      {
        ...APPLY,
        quarantineMax: 0,
      },
    );
    await expect(apply).rejects.toMatchObject({ code: 'quarantine_limit_reached' });
    expect(query(local, 'SELECT id FROM users')).toEqual([{ id: 'mine' }]);
    expect(await checkpoint(local)).toBe(0n);
  });

  test('[T84] [K38] a large bundle comes from the stage, BLOBs included, and only as a whole', async () => {
    const local = await openAttached('CREATE TABLE files (id TEXT PRIMARY KEY NOT NULL, data BLOB)');
    const rows = checkIncomingRows(
      local.schema,
      Array.from({ length: 300 }, (_, index) => serverRow('files', `f${index}`, 5n, { data: index % 2 === 0 ? null : '/w==' })),
    );
    for (let start = 0; start < rows.length; start += 100) {
      await local.driver.transaction('immediate', (tx) => stageBundleRows(tx, 5n, start, rows.slice(start, start + 100)));
    }
    const staged: PulledBundle = { bundleSeq: 5n, staged: true };
    const result = await applyBundles(local.driver, local.schema, [bundle(local, 4n), staged, bundle(local, 6n)], APPLY);
    expect(result).toMatchObject({ lastBundleSeqSeen: 6n, appliedBundleCount: 3, tables: ['files'] });
    expect(query(local, `SELECT count(*) AS n, count(data) AS blobs, max(hex(data)) AS hex FROM files`)).toEqual([
      { n: 300, blobs: 150, hex: 'FF' },
    ]);
    expect(query(local, 'SELECT count(*) AS n FROM _oversync_work._oversync_page')).toEqual([{ n: 0 }]);
  });

  test('[T84] [K38] 200,000 rows that refer to each other without an index are applied without holding them', async () => {
    const local = await openAttached('CREATE TABLE nodes (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES nodes(id))');
    local.driver.database.exec(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199999)
      INSERT INTO _oversync_bundle_stage(bundle_seq, row_ordinal, schema_name, table_name, key_json, op, row_version, payload)
      SELECT 5, i, 'main', 'nodes', json_object('id', 'n' || i), 'INSERT', 5, json_object('id', 'n' || i, 'parent', 'n' || ((i + 1) % 200000)) FROM n`);
    const held = new HeldRows(local.driver);
    const result = await applyBundles(held.driver, local.schema, [{ bundleSeq: 5n, staged: true }], APPLY);
    expect(result).toMatchObject({ lastBundleSeqSeen: 5n, appliedBundleCount: 1, stopped: null });
    expect(query(local, 'SELECT count(*) AS n, (SELECT count(*) FROM _sync_row_state) AS s FROM nodes')).toEqual([
      { n: 200_000, s: 200_000 },
    ]);
    expect(held.most).toBeLessThanOrEqual(APPLY.page.rowsMax);
    expect(query(local, "SELECT name FROM sqlite_schema WHERE name LIKE '%oversync_reference%'")).toEqual([]);
  });

  test('a key that comes back in a later bundle of the same transaction ends with the later row', async () => {
    const local = await openAttached(USERS);
    const bundles = [
      bundle(local, 1n, serverRow('users', 'a', 1n, { name: '1', email: 'x' })),
      bundle(local, 2n, serverRow('users', 'a', 2n, { name: '2', email: 'y' })),
      bundle(local, 3n, serverRow('users', 'a', 3n, null)),
      bundle(local, 4n, serverRow('users', 'b', 4n, { name: '4', email: 'y' })),
      bundle(local, 5n, serverRow('users', 'a', 5n, { name: '5', email: 'x' })),
    ];
    const result = await applyBundles(local.driver, local.schema, bundles, APPLY);
    expect(result).toMatchObject({ lastBundleSeqSeen: 5n, appliedBundleCount: 5, stopped: null });
    expect(query(local, 'SELECT id, name FROM users ORDER BY id')).toEqual([
      { id: 'a', name: '5' },
      { id: 'b', name: '4' },
    ]);
  });

  test('[T19] capture works again after an error inside an apply', async () => {
    const local = await openAttached(USERS);
    const failing = local.driver.transaction('immediate', async (tx) => {
      await tx.run('UPDATE _sync_apply_state SET apply_mode = 1');
      await tx.run(`INSERT INTO users(id) VALUES ('quiet')`);
      throw new Error('cancelled');
    });
    await expect(failing).rejects.toThrow('cancelled');
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('loud')`);
    expect(dirty(local).map((row) => row[1])).toEqual(['{"id":"loud"}']);
  });
});
