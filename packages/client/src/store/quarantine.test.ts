import { describe, expect, test } from 'vitest';

import { checkIncomingRows } from '../rules/check-incoming.ts';
import { applyBundles } from './apply-bundles.ts';
import { loadClientState } from './client-state.ts';
import { countPending } from './counts.ts';
import { freezeOutbox } from './freeze.ts';
import { listOutcomes } from './outcomes.ts';
import { discardQuarantined, listQuarantined, loadQuarantined, retryQuarantined } from './quarantine-review.ts';
import { quarantineDirtyRow } from './quarantine.ts';
import type { IncomingRow } from '../rules/incoming-row.ts';
import { APPLY, FREEZE, dirty, openAttached, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';

const ITEMS = 'CREATE TABLE items (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, n INTEGER)';

async function pull(local: Local, seq: bigint, ...rows: IncomingRow[]): Promise<void> {
  await applyBundles(local.driver, local.schema, [{ bundleSeq: seq, rows: checkIncomingRows(local.schema, rows) }], APPLY);
}

function refuse(local: Local, id: string, code = 'check', table = 'items'): Promise<unknown> {
  const row = { table, keyJson: `{"id":"${id}"}`, origin: 'push', code, detail: 'n' } as const;
  return local.driver.transaction('immediate', (tx) => quarantineDirtyRow(tx, local.schema, row));
}

const ref = (key: string, table = 'items'): { table: string; key: string } => ({ table, key });

describe('quarantine', () => {
  test('[T74] a refused row is set aside with its value, listed in pages, and counted', async () => {
    const local = await openAttached(ITEMS);
    local.driver.database.exec(`INSERT INTO items VALUES ('a', 'A', 9007199254740993), ('b', 'B', 2)`);
    expect(await refuse(local, 'a')).toEqual({ table: 'items', key: 'a', op: 'INSERT', origin: 'push', code: 'check' });
    await refuse(local, 'b');
    expect(await refuse(local, 'nobody')).toBeNull();
    const [first] = await listQuarantined(local.driver, local.schema, { limit: 1 });
    expect(first).toMatchObject({
      key: 'a',
      payload: { id: 'a', name: 'A', n: 9007199254740993n },
      shows: 'local',
      attempts: 1,
      detail: 'n',
    });
    const rest = await listQuarantined(local.driver, local.schema, { limit: 10, after: { table: 'items', key: 'a' } });
    expect(rest.map((entry) => entry.key)).toEqual(['b']);
    expect(await loadQuarantined(local.driver, local.schema, ref('zzz'))).toBeNull();
    expect(await countPending(local.driver)).toEqual({ dirty: 0, outbox: 0, quarantined: 2 });
  });

  test('[T73] retry queues the row again with its base', async () => {
    const local = await openAttached(ITEMS);
    await pull(local, 4n, serverRow('items', 'a', 4n, { name: 'A', n: null }));
    local.driver.database.exec(`UPDATE items SET n = 1`);
    await refuse(local, 'a');
    const result = await local.driver.transaction('immediate', (tx) => retryQuarantined(tx, local.schema, ref('a')));
    expect(result).toEqual({ released: 1, quarantined: [], tables: [] });
    expect(dirty(local).map((row) => row.slice(2, 5))).toEqual([['UPDATE', 4, '{"id":"a","name":"A","n":"1"}']]);
  });

  test('[T73] retry writes the local value back where the server is shown; a clash keeps it', async () => {
    const local = await openAttached(ITEMS);
    local.driver.database.exec(`INSERT INTO items VALUES ('mine', 'X', 1)`);
    await pull(local, 1n, serverRow('items', 'peer', 1n, { name: 'X', n: null }));
    const retry = (): Promise<{ readonly released: number }> =>
      local.driver.transaction('immediate', (tx) => retryQuarantined(tx, local.schema, ref('mine')));
    expect((await retry()).released).toBe(0);
    expect(await loadQuarantined(local.driver, local.schema, ref('mine'))).toMatchObject({ attempts: 2, shows: 'server' });
    await pull(local, 2n, serverRow('items', 'peer', 2n, { name: 'Y', n: null }));
    expect((await retry()).released).toBe(1);
    expect(query(local, 'SELECT id FROM items ORDER BY id')).toEqual([{ id: 'mine' }, { id: 'peer' }]);
    expect(dirty(local).map((row) => row.slice(1, 4))).toEqual([['{"id":"mine"}', 'INSERT', 0]]);
  });

  test('[T73] discarding shows the row of the server: deleted, from an image, or by a rebuild', async () => {
    const local = await openAttached(ITEMS);
    await pull(
      local,
      1n,
      serverRow('items', 'image', 1n, { name: 'I', n: null }),
      serverRow('items', 'lost', 1n, { name: 'L', n: null }),
    );
    local.driver.database.exec(`INSERT INTO items VALUES ('new', 'N', 1); UPDATE items SET n = 5 WHERE id <> 'new'`);
    for (const id of ['new', 'image', 'lost']) await refuse(local, id);
    await pull(local, 2n, serverRow('items', 'image', 2n, { name: 'I2', n: null }));
    const discard = (id: string): Promise<unknown> =>
      local.driver.transaction('immediate', (tx) => discardQuarantined(tx, local.schema, ref(id), APPLY));
    await discard('new');
    await discard('image');
    expect(query(local, 'SELECT id, name, n FROM items ORDER BY id')).toEqual([
      { id: 'image', name: 'I2', n: null },
      { id: 'lost', name: 'L', n: 5 },
    ]);
    expect(await loadClientState(local.driver)).toMatchObject({ lifecycle: { name: 'attached' } });
    await discard('lost');
    expect(await loadClientState(local.driver)).toMatchObject({
      lifecycle: { name: 'checkpoint_recovery', reason: 'restore_row' },
      applyMode: 0,
    });
    expect(await countPending(local.driver)).toEqual({ dirty: 0, outbox: 0, quarantined: 0 });
    expect((await listOutcomes(local.driver, local.schema, { limit: 10 })).map(({ key: id, outcome }) => [id, outcome])).toEqual([
      ['new', 'rejected'],
      ['image', 'rejected'],
      ['lost', 'rejected'],
      ['new', 'discarded'],
      ['image', 'discarded'],
      ['lost', 'discarded'],
    ]);
  });

  test('[T73] children that waited for a parent are queued when it leaves', async () => {
    const local = await openAttached(`CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL);
      CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES parents(id))`);
    local.driver.database.exec(`INSERT INTO parents VALUES ('p'); INSERT INTO children VALUES ('c', 'p'), ('d', NULL)`);
    await refuse(local, 'p', 'check', 'parents');
    await refuse(local, 'c', 'foreign_key', 'children');
    await refuse(local, 'd', 'check', 'children');
    const result = await local.driver.transaction('immediate', (tx) => retryQuarantined(tx, local.schema, ref('p', 'parents')));
    expect(result.released).toBe(2);
    expect(dirty(local).map((row) => row[0])).toEqual(['parents', 'children']);
    await refuse(local, 'p', 'check', 'parents');
    await refuse(local, 'c', 'foreign_key', 'children');
    local.driver.database.exec(`UPDATE parents SET id = id`);
    await freezeOutbox(local.driver, local.schema, FREEZE);
    expect(query(local, 'SELECT table_name FROM _sync_outbox_rows')).toEqual([
      { table_name: 'parents' },
      { table_name: 'children' },
    ]);
  });

  test('[T71] a quarantined deletion puts the row of the server back, or asks for a rebuild', async () => {
    const local = await openAttached(ITEMS);
    await pull(
      local,
      1n,
      serverRow('items', 'a', 1n, { name: 'A', n: null }),
      serverRow('items', 'b', 1n, { name: 'B', n: null }),
    );
    local.driver.database.exec('DELETE FROM items');
    await pull(local, 2n, serverRow('items', 'a', 2n, { name: 'A2', n: null }));
    await refuse(local, 'a');
    expect(query(local, 'SELECT id, name FROM items')).toEqual([{ id: 'a', name: 'A2' }]);
    expect(await loadClientState(local.driver)).toMatchObject({ lifecycle: { name: 'attached' }, applyMode: 0 });
    await refuse(local, 'b');
    expect(await loadClientState(local.driver)).toMatchObject({
      lifecycle: { name: 'checkpoint_recovery', reason: 'restore_row' },
    });
  });

  test('[K37] a quarantined value stays out of the next freeze', async () => {
    const local = await openAttached(ITEMS);
    local.driver.database.exec(`INSERT INTO items VALUES ('a', 'A', 'word')`);
    await freezeOutbox(local.driver, local.schema, FREEZE);
    expect(await freezeOutbox(local.driver, local.schema, FREEZE)).toMatchObject({ outbox: { state: 'none' }, quarantined: [] });
    expect(await loadQuarantined(local.driver, local.schema, ref('a'))).toMatchObject({
      code: 'integer_invalid',
      detail: 'n',
    });
  });
});
