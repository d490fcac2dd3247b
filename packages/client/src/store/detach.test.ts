import { describe, expect, test } from 'vitest';

import { checkIncomingRows } from '../rules/check-incoming.ts';
import { applyBundles } from './apply-bundles.ts';
import { loadClientState, saveLifecycle } from './client-state.ts';
import type { LifecycleState, StagedSession } from './client-state.ts';
import { countContested, countPending, hasLiveRowState } from './counts.ts';
import { clearForDetach, moveDirtyToDiscarded, reseedLocalRows, restoreDiscarded, uninstall } from './detach.ts';
import { dropNoOpRecords, freezeOutbox } from './freeze.ts';
import { loadMeta, saveMeta } from './meta.ts';
import { openLocalSchema } from './open-local-schema.ts';
import { APPLY, FREEZE, SOURCE_ID, countingRandom, dirty, openAttached, openLocal, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';

const NODES = `CREATE TABLE nodes (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES nodes(id) ON DELETE RESTRICT);
  CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, node TEXT NOT NULL REFERENCES nodes(id) ON DELETE RESTRICT)`;

async function filled(): Promise<Local> {
  const local = await openAttached(NODES);
  const rows = [
    serverRow('notes', 'n', 1n, { node: 'b' }),
    serverRow('nodes', 'b', 1n, { parent: 'a' }),
    serverRow('nodes', 'a', 1n, { parent: null }),
  ];
  await applyBundles(local.driver, local.schema, [{ bundleSeq: 1n, rows: checkIncomingRows(local.schema, rows) }], APPLY);
  return local;
}

describe('leaving', () => {
  test('[T34] all rows and all state of the user go, also against RESTRICT; sources and registry stay', async () => {
    const local = await filled();
    local.driver.database.exec(`INSERT INTO nodes VALUES ('mine', 'b')`);
    await local.driver.transaction('immediate', (tx) => saveMeta(tx, 'push_session', 'x'));
    const tables = await local.driver.transaction('immediate', (tx) => clearForDetach(tx, local.schema));
    expect([...tables].sort()).toEqual(['nodes', 'notes']);
    for (const table of ['nodes', 'notes', '_sync_row_state', '_sync_dirty_rows', '_oversync_row_bases']) {
      expect(query(local, `SELECT count(*) AS n FROM ${table}`), table).toEqual([{ n: 0 }]);
    }
    expect(await loadMeta(local.driver, 'push_session')).toBeNull();
    expect(query(local, 'SELECT source_id FROM _sync_source_state')).toEqual([{ source_id: SOURCE_ID }]);
    local.driver.database.exec(`INSERT INTO nodes VALUES ('later', NULL)`);
    expect(dirty(local)).toHaveLength(1);
  });

  test('[T34] tables that left the configuration are emptied too', async () => {
    const local = await filled();
    const config = { schema: 'main', tables: [{ tableName: 'nodes', syncKeyColumnName: 'id' }] };
    const { schema } = await openLocalSchema(local.driver, config, countingRandom());
    await local.driver.transaction('immediate', (tx) => clearForDetach(tx, schema));
    expect(query(local, 'SELECT count(*) AS n FROM notes')).toEqual([{ n: 0 }]);
  });

  test('[T38] [T5] uninstalling keeps the rows, removes our objects and nothing else; a later open captures all', async () => {
    const local = await openLocal(`CREATE TABLE _sync_audit (id TEXT PRIMARY KEY NOT NULL); ${NODES}`, {
      tables: [
        { tableName: 'nodes', syncKeyColumnName: 'id' },
        { tableName: 'notes', syncKeyColumnName: 'id' },
      ],
      transitionWrites: 'reject',
    });
    local.driver.database.exec(`INSERT INTO nodes VALUES ('a', NULL)`);
    await local.driver.transaction('immediate', (tx) => uninstall(tx, local.schema));
    expect(query(local, `SELECT name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name`)).toEqual([
      { name: '_sync_audit' },
      { name: 'nodes' },
      { name: 'notes' },
    ]);
    await openLocalSchema(local.driver, local.config, countingRandom());
    expect(dirty(local).map((row) => row.slice(0, 4))).toEqual([['nodes', '{"id":"a"}', 'INSERT', 0]]);
  });

  test('[T33] [K33] changes that are set aside come back unless their key was edited since', async () => {
    const local = await openLocal(NODES);
    local.driver.database.exec(`INSERT INTO nodes VALUES ('a', NULL), ('b', NULL)`);
    const before = dirty(local);
    expect(await local.driver.transaction('immediate', (tx) => moveDirtyToDiscarded(tx))).toBe(2);
    expect(dirty(local)).toEqual([]);
    local.driver.database.exec(`UPDATE nodes SET parent = 'b' WHERE id = 'a'`);
    expect(await local.driver.transaction('immediate', (tx) => restoreDiscarded(tx))).toBe(1);
    expect(dirty(local).find((row) => row[1] === '{"id":"b"}')).toEqual(before[1]);
    expect(dirty(local).find((row) => row[1] === '{"id":"a"}')?.[4]).toBe('{"id":"a","parent":"b"}');
    expect(query(local, 'SELECT count(*) AS n FROM _oversync_discarded')).toEqual([{ n: 0 }]);
  });

  test('[T110] reseeding queues every live row as new', async () => {
    const local = await filled();
    local.driver.database.exec(`DELETE FROM notes`);
    await local.driver.transaction('immediate', (tx) => reseedLocalRows(tx, local.schema));
    expect(dirty(local).map((row) => row.slice(1, 4))).toEqual([
      ['{"id":"a"}', 'INSERT', 0],
      ['{"id":"b"}', 'INSERT', 0],
    ]);
    expect(await hasLiveRowState(local.driver)).toBe(false);
  });

  test('[T34] a delete whose insert is frozen is no no-op: the insert may have arrived', async () => {
    const local = await openAttached(NODES);
    local.driver.database.exec(`INSERT INTO nodes VALUES ('a', NULL)`);
    await freezeOutbox(local.driver, local.schema, FREEZE);
    local.driver.database.exec(`DELETE FROM nodes`);
    await local.driver.transaction('immediate', (tx) => dropNoOpRecords(tx, local.schema));
    expect(await countPending(local.driver)).toEqual({ dirty: 1, outbox: 1, quarantined: 0 });
  });

  test('an image that waits for a row made and deleted here is applied when the record is forgotten', async () => {
    const local = await openAttached(NODES);
    local.driver.database.exec(`INSERT INTO nodes VALUES ('a', NULL); DELETE FROM nodes`);
    const rows = checkIncomingRows(local.schema, [serverRow('nodes', 'a', 2n, { parent: null })]);
    await applyBundles(local.driver, local.schema, [{ bundleSeq: 2n, rows }], APPLY);
    expect(await countContested(local.driver)).toBe(1);
    expect(await local.driver.transaction('immediate', (tx) => dropNoOpRecords(tx, local.schema))).toEqual(['nodes']);
    expect(query(local, 'SELECT id FROM nodes')).toEqual([{ id: 'a' }]);
    expect(await countContested(local.driver)).toBe(0);
    expect(await hasLiveRowState(local.driver)).toBe(true);
    expect(dirty(local)).toEqual([]);
  });
});

describe('the lifecycle state', () => {
  const staged: StagedSession = { snapshotId: 's', bundleSeq: 2n ** 60n + 1n, rowCount: 5n, byteCount: 9n, isComplete: true };
  const attached = { sourceId: SOURCE_ID, userId: 'u', lastBundleSeqSeen: 2n ** 60n + 1n, initializationId: null, staged: null };
  const states: LifecycleState[] = [
    { name: 'anonymous', sourceId: SOURCE_ID },
    { name: 'replacing', sourceId: SOURCE_ID, targetUserId: 'v', staged: null },
    { name: 'replacing', sourceId: SOURCE_ID, targetUserId: 'v', staged },
    { name: 'attached', ...attached },
    { name: 'attached', ...attached, initializationId: 'lease' },
    { name: 'checkpoint_recovery', reason: 'apply_failed', ...attached },
    { name: 'source_recovery', reason: 'source_retired', replacementSourceId: 'r', ...attached, staged },
    { name: 'source_recovery_unknown', storedReason: 'later', replacementSourceId: 'r', ...attached },
  ];

  test.each(states)('[T39] $name is read back as it was stored', async (state) => {
    const local = await openLocal(NODES);
    await local.driver.transaction('immediate', (tx) => saveLifecycle(tx, 'main', state));
    expect((await loadClientState(local.driver)).lifecycle).toEqual(state);
  });

  test('an unknown checkpoint reason reads as `resume`', async () => {
    const local = await openLocal(NODES);
    await local.driver.transaction('immediate', (tx) =>
      saveLifecycle(tx, 'main', { name: 'checkpoint_recovery', reason: 'resume', ...attached }),
    );
    local.driver.database.exec(`UPDATE _sync_operation_state SET reason = 'from the future'`);
    expect((await loadClientState(local.driver)).lifecycle).toMatchObject({ reason: 'resume' });
  });

  test.each([
    [`binding_state = 'attached'`, 'none'],
    [`binding_state = 'attached', attached_user_id = ' '`, 'none'],
    [
      `binding_state = 'attached', attached_user_id = 'u', schema_name = 'main', last_bundle_seq_seen = 4, rebuild_required = 1`,
      'remote_replace',
    ],
  ])('[T7] open normalises %s with operation %s', async (columns, kind) => {
    const local = await openLocal(NODES);
    local.driver.database.exec(`UPDATE _sync_attachment_state SET ${columns}, pending_initialization_id = 'x';
      UPDATE _sync_operation_state SET kind = '${kind}', target_user_id = 'u'`);
    await openLocalSchema(local.driver, local.config, countingRandom());
    expect(query(local, 'SELECT * FROM _sync_attachment_state')).toEqual([
      {
        singleton_key: 1,
        current_source_id: SOURCE_ID,
        binding_state: 'anonymous',
        attached_user_id: '',
        schema_name: '',
        last_bundle_seq_seen: 0,
        rebuild_required: 0,
        pending_initialization_id: '',
      },
    ]);
  });
});
