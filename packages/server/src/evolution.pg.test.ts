import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { SyncServer } from './create-sync-server.ts';
import { createRequest, newScope, NOTES_TABLE, openTestServer, pushRows, readAnswer } from './test-server.ts';
import type { CallOptions, TestServer, TestServerOptions, WireRow } from './test-server.ts';

const DDL = `
CREATE SCHEMA business;
CREATE TABLE business.notes (_sync_scope_id text NOT NULL, id text NOT NULL, title text NOT NULL, amount int4, old text, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.extra (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id));`;
const EXTRA_TABLE = { schema: 'business', table: 'extra', syncKeyColumn: 'id' } as const;

/** What a client can do, at one of several servers. */
interface Peer {
  call(method: string, path: string, options?: CallOptions): ReturnType<TestServer['call']>;
}

const peerOf = (server: SyncServer): Peer => ({
  call: async (method, path, options) => readAnswer(await server.fetch(createRequest(method, path, options))),
});

const note = (id: string, payload: Readonly<Record<string, string | null>>): WireRow => ({
  schema: 'business',
  table: 'notes',
  key: { id },
  op: 'INSERT',
  base_row_version: 0,
  payload: { id, ...payload },
});

interface PulledRow {
  readonly table: string;
  readonly key: { readonly id: string };
  readonly payload: Readonly<Record<string, string | null>>;
}

describe('schema evolution', () => {
  let target: TestServer;
  let scope: string;
  async function open(options: TestServerOptions = {}): Promise<void> {
    target = await openTestServer({ ddl: DDL, poolMax: 10, ...options });
    scope = newScope();
    await target.call('POST', '/sync/connect', { scope, body: {} });
  }
  beforeEach(() => {
    scope = '';
  });
  afterEach(() => target.close());

  async function pull(peer: Peer): Promise<readonly PulledRow[]> {
    const answer = await peer.call('GET', '/sync/pull', { scope, source: 'reader' });
    if (answer.status !== 200) throw new Error(answer.text);
    return answer.json.bundles.flatMap((bundle) => bundle.rows as unknown as readonly PulledRow[]);
  }

  async function snapshot(peer: Peer): Promise<readonly PulledRow[]> {
    const created = await peer.call('POST', '/sync/snapshot-sessions', { scope, source: 'reader', body: {} });
    if (created.status !== 200) throw new Error(created.text);
    const chunk = await peer.call('GET', `/sync/snapshot-sessions/${created.json.snapshot_id}?max_rows=5000`, {
      scope,
      source: 'reader',
    });
    return chunk.json.rows as unknown as readonly PulledRow[];
  }

  /** Pushes one row after the other until told to stop; resolves to the ids. */
  function startClient(
    peer: Peer,
    source: string,
    payload: (turn: number) => Readonly<Record<string, string | null>>,
    inScope = scope,
  ) {
    let isStopped = false;
    const ids: string[] = [];
    const push = async (): Promise<readonly string[]> => {
      for (let turn = 1; !isStopped; turn += 1) {
        const id = `${source}-${String(turn)}`;
        await pushRows(peer, turn, [note(id, payload(turn))], { scope: inScope, source });
        ids.push(id);
      }
      return ids;
    };
    const running = push();
    running.catch(() => undefined);
    return {
      pushedAnother: () => vi.waitFor(() => expect(ids.length).toBeGreaterThan(0), { timeout: 20_000, interval: 5 }),
      stop: () => {
        isStopped = true;
        return running;
      },
    };
  }

  it('[O1] columns come, widen and go while clients of both shapes push and pull through two servers', async () => {
    await open();
    const second = peerOf(await target.second());
    const peers = [target, second];
    const oldShape = (turn: number) => ({ title: `old ${String(turn)}`, amount: String(turn) });
    const oldClients = peers.map((peer, index) => startClient(peer, `old-${String(index)}`, oldShape));
    await Promise.all(oldClients.map((client) => client.pushedAnother()));
    const firstRows = await target.call('GET', '/sync/committed-bundles/1/rows', { scope, source: 'reader' });

    await target.script(`ALTER TABLE business.notes ADD COLUMN colour text DEFAULT 'blue'`);
    const newShape = (turn: number) => ({ title: `new ${String(turn)}`, amount: null, colour: 'red' });
    const newClients = peers.map((peer, index) => startClient(peer, `new-${String(index)}`, newShape));
    await Promise.all(newClients.map((client) => client.pushedAnother()));
    await target.script('ALTER TABLE business.notes ALTER COLUMN amount TYPE int8');
    const wideShape = () => ({ title: 'wide', amount: '9007199254740993', colour: null });
    const wideClients = peers.map((peer, index) => startClient(peer, `wide-${String(index)}`, wideShape));
    await Promise.all(wideClients.map((client) => client.pushedAnother()));
    await target.script('ALTER TABLE business.notes DROP COLUMN old');
    for (const peer of peers) await pull(peer);
    const pushed = await Promise.all([...oldClients, ...newClients, ...wideClients].map((client) => client.stop()));

    const expected = new Map(
      pushed.flat().map((id) => [id, id.startsWith('old') ? 'blue' : id.startsWith('new') ? 'red' : null] as const),
    );
    for (const peer of peers) {
      const rows = await pull(peer);
      expect(new Map(rows.map(({ key, payload }) => [key.id, payload['colour']]))).toEqual(expected);
      expect(rows.every(({ payload }) => Object.keys(payload).join(',') === 'amount,colour,id,title')).toBe(true);
      const held = await snapshot(peer);
      expect(new Map(held.map(({ key, payload }) => [key.id, JSON.stringify(payload)]))).toEqual(
        new Map(rows.map(({ key, payload }) => [key.id, JSON.stringify(payload)])),
      );
    }
    const again = await second.call('GET', '/sync/committed-bundles/1/rows', { scope, source: 'reader' });
    expect(again.text).toBe(firstRows.text);
    expect(await target.server.admin.checkScope(scope)).toMatchObject({ isConsistent: true });
    expect((await target.query('SELECT table_id FROM sync.registered_table')).rows).toHaveLength(1);
  });

  it('[O1] a column that a client still sends after it went is a violation that names it, not a fault', async () => {
    await open();
    await target.script('ALTER TABLE business.notes DROP COLUMN old');
    await expect(pushRows(target, 1, [note('a', { title: '', old: 'x' })], { scope })).rejects.toThrow(
      /"kind":"unknown_column".*"column":"old"/,
    );
    await pushRows(target, 1, [note('a', { title: '' })], { scope });
  });

  it('[O1] a server reads rows of a shape that another one has recorded a moment ago', async () => {
    await open();
    const second = peerOf(await target.second());
    await target.script('ALTER TABLE business.notes ADD COLUMN colour text');
    await pushRows(target, 1, [note('a', { title: '', colour: 'red' })], { scope });
    expect(await pull(second)).toMatchObject([{ payload: { colour: 'red' } }]);
  });

  it('[O1] also in a bundle that is larger than what a response may hold in memory', async () => {
    await open();
    const second = peerOf(await target.second({ maxBytesPerPullPage: 65_536 }));
    await target.script('ALTER TABLE business.notes ADD COLUMN colour text');
    await pushRows(
      target,
      1,
      [note('a', { title: 'x'.repeat(200_000), colour: 'red' }), note('b', { title: '', colour: 'blue' })],
      { scope },
    );
    expect((await pull(second)).map(({ payload }) => payload['colour'])).toEqual(['red', 'blue']);
  });

  it('[O1] a server that may write nothing at its start follows what another one has recorded', async () => {
    await open();
    const careful = peerOf(await target.second({ bootstrapPolicy: 'check' }));
    await target.script('ALTER TABLE business.notes ADD COLUMN colour text');
    const coloured = [note('a', { title: '', colour: 'red' })];
    await expect(pushRows(careful, 1, coloured, { scope, source: 'device-b' })).rejects.toThrow('service_unavailable');
    await pushRows(target, 1, coloured, { scope });
    await pushRows(careful, 1, [note('b', { title: '', colour: 'blue' })], { scope, source: 'device-b' });
    expect((await pull(careful)).map(({ payload }) => payload['colour'])).toEqual(['red', 'blue']);
  });

  it('looks at the catalog from time to time, and tells what changed', async () => {
    await open({ catalogRefreshIntervalMs: 20 });
    await pushRows(target, 1, [note('a', { title: '' })], { scope });
    await target.script(`ALTER TABLE business.notes ADD COLUMN colour text DEFAULT 'blue'`);
    await vi.waitFor(() => expect(target.events).toContainEqual({ name: 'catalogChanged', table: 'business.notes' }), {
      timeout: 20_000,
    });
    expect(await pull(target)).toMatchObject([{ payload: { colour: 'blue' } }]);
  });

  /** Every server looks at the catalog once more: a column that it does not know makes it do so. */
  async function refresh(peers: readonly Peer[], source: string): Promise<void> {
    for (const peer of peers) {
      await expect(pushRows(peer, 1, [note('x', { title: '', unheard_of: 'x' })], { scope, source })).rejects.toThrow(
        'unknown_column',
      );
    }
  }

  it('[O1] a table is added by a newer server while an older one runs on, and taken away again', async () => {
    await open();
    await pushRows(target, 1, [note('n1', { title: '' })], { scope });
    const busyScope = newScope();
    await target.call('POST', '/sync/connect', { scope: busyScope, body: {} });
    const busy = startClient(target, 'busy', () => ({ title: 'all the time' }), busyScope);
    const newer = peerOf(await target.second({ registeredTables: [NOTES_TABLE, EXTRA_TABLE] }));
    const extra = (id: string): WireRow => ({ ...note(id, {}), table: 'extra' });
    await pushRows(newer, 1, [extra('x1'), note('n2', { title: '' })], { scope, source: 'device-b' });
    await refresh([target, newer], 'device-c');

    const outside = () => target.script(`INSERT INTO business.extra (_sync_scope_id, id) VALUES ('${scope}', 'outside')`);
    await expect(outside()).rejects.toMatchObject({ sqlState: 'OV001' });
    expect((await pull(target)).map(({ table, key }) => `${table} ${key.id}`)).toEqual(['notes n1', 'notes n2']);
    expect((await pull(newer)).map(({ table, key }) => `${table} ${key.id}`)).toEqual(['notes n1', 'extra x1', 'notes n2']);
    expect(await snapshot(target)).toHaveLength(2);
    expect(await snapshot(newer)).toHaveLength(3);
    await pushRows(target, 2, [note('n3', { title: '' })], { scope });

    const without = peerOf(await target.second());
    await refresh([newer, without], 'device-d');
    for (const peer of [newer, without]) {
      expect((await pull(peer)).map(({ table }) => table)).toEqual(['notes', 'notes', 'notes']);
      expect(await snapshot(peer)).toHaveLength(3);
    }
    await expect(pushRows(newer, 2, [extra('x2')], { scope, source: 'device-b' })).rejects.toThrow('"kind":"table"');
    await outside();
    expect((await target.query(`SELECT is_active FROM sync.registered_table WHERE table_name = 'extra'`)).rows).toEqual([['f']]);

    const back = peerOf(await target.second({ registeredTables: [NOTES_TABLE, EXTRA_TABLE] }));
    expect((await pull(back)).map(({ table, key }) => `${table} ${key.id}`)).toContain('extra outside');
    expect(await snapshot(back)).toHaveLength(5);
    expect((await target.query(`SELECT count(*) FROM sync.registered_table`)).rows).toEqual([['2']]);
    const pushed = await busy.stop();
    const held = await target.query('SELECT count(*) FROM business.notes WHERE _sync_scope_id = $1', [busyScope]);
    expect(held.rows).toEqual([[String(pushed.length)]]);
    expect(pushed.length).toBeGreaterThan(3);
  });

  it('[O1] servers that publish different columns for a while keep to their own shapes and lose no value', async () => {
    await open({ registeredTables: [{ ...NOTES_TABLE, excludeColumns: ['old'] }] });
    const newer = peerOf(await target.second({ registeredTables: [NOTES_TABLE] }));
    await pushRows(newer, 1, [note('a', { title: '', old: 'kept' })], { scope, source: 'device-b' });
    await pushRows(target, 1, [note('b', { title: '' })], { scope });
    for (let round = 0; round < 3; round += 1) await refresh([target, newer], 'device-c');
    expect((await target.query('SELECT count(*) FROM sync.table_shape')).rows).toEqual([['2']]);
    expect((await pull(newer)).map(({ payload }) => payload['old'])).toEqual(['kept', null]);
    expect((await pull(target)).map(({ payload }) => 'old' in payload)).toEqual([false, false]);

    await target.script(`ALTER TABLE business.notes ADD COLUMN colour text DEFAULT 'blue'`);
    for (let round = 0; round < 2; round += 1) await refresh([target, newer], 'device-c');
    expect((await pull(newer)).map(({ payload }) => [payload['old'], payload['colour']])).toEqual([
      ['kept', 'blue'],
      [null, 'blue'],
    ]);
    expect((await pull(target)).map(({ payload }) => [payload['old'], payload['colour']])).toEqual([
      [undefined, 'blue'],
      [undefined, 'blue'],
    ]);
  });

  it('[O1] a write callback that selects all columns goes on after the table changed, on connections that have prepared it', async () => {
    await open({ preparedStatements: true, poolMax: 3 });
    const write = (turn: number) =>
      target.server.scopes.execWrite(scope, { writerId: 'worker' }, async (tx) => {
        await tx.query('SELECT * FROM business.notes WHERE id = $1', [String(turn)]);
        await tx.query('INSERT INTO business.notes (id, title) VALUES ($1, $2)', [String(turn), 'x']);
      });
    await Promise.all([1, 2, 3].map(write));
    await target.script('ALTER TABLE business.notes ADD COLUMN colour text');
    for (let turn = 4; turn <= 9; turn += 1) await write(turn);
    await Promise.all([10, 11, 12].map(write));
    expect(await snapshot(target)).toHaveLength(12);
  });

  it('[O1] a renamed column takes its values along, in old bundles too', async () => {
    await open();
    await pushRows(target, 1, [note('a', { title: 'kept', old: 'x' })], { scope });
    await target.script('ALTER TABLE business.notes RENAME COLUMN title TO heading');
    expect(await snapshot(target)).toMatchObject([{ payload: { heading: 'kept' } }]);
    expect(await pull(target)).toMatchObject([{ payload: { heading: 'kept', old: 'x' } }]);
  });

  it('[O1] a column that is dropped and added again between two looks does not give old rows their old value back', async () => {
    await open();
    await pushRows(target, 1, [note('a', { title: '', old: 'before' })], { scope });
    await target.script(
      `ALTER TABLE business.notes DROP COLUMN old; ALTER TABLE business.notes ADD COLUMN old text DEFAULT 'fresh'`,
    );
    await refresh([target], 'device-c');
    expect(await pull(target)).toMatchObject([{ payload: { old: 'fresh' } }]);
    expect(await snapshot(target)).toMatchObject([{ payload: { old: 'fresh' } }]);
  });
});
