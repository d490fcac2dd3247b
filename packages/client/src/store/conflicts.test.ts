import { describe, expect, test } from 'vitest';

import { checkIncomingRows } from '../rules/check-incoming.ts';
import type { ConflictContext, Resolution, Resolver, RowOp } from '../rules/conflict-types.ts';
import { clientWins, latestBy, mergeColumns, serverWins } from '../rules/resolvers.ts';
import { applyBundles } from './apply-bundles.ts';
import { loadClientState } from './client-state.ts';
import { resolveConflicts, resolveContested } from './conflicts.ts';
import { freezeOutbox } from './freeze.ts';
import type { ResolveResult, ServerConflict } from './store-types.ts';
import { APPLY, FREEZE, dirty, openAttached, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';

const ITEMS = 'CREATE TABLE items (id TEXT PRIMARY KEY NOT NULL, name TEXT, qty INTEGER, data BLOB)';

type Server = 'live' | 'tombstone' | 'none';

const SERVER_ROW = { name: 'server', qty: '9007199254740993', data: 'AAE=' };

/** An attached database in which `a` is pending with the given op; INSERT rows were never synced. */
async function pending(op: RowOp, extra: { readonly resolver?: Resolver } = {}): Promise<Local> {
  const local = await openAttached(ITEMS, extra);
  if (op !== 'INSERT') {
    const rows = checkIncomingRows(local.schema, [serverRow('items', 'a', 3n, { name: 'base', qty: '1', data: null })]);
    await applyBundles(local.driver, local.schema, [{ bundleSeq: 3n, rows }], APPLY);
  }
  const sql = {
    INSERT: `INSERT INTO items VALUES ('a', 'local', 2, x'ff')`,
    UPDATE: `UPDATE items SET name = 'local', data = x'ff'`,
    DELETE: 'DELETE FROM items',
  };
  local.driver.database.exec(sql[op]);
  await freezeOutbox(local.driver, local.schema, FREEZE);
  return local;
}

function conflict(op: RowOp, server: Server, version = 7n): ServerConflict {
  return {
    table: 'items',
    keyJson: '{"id":"a"}',
    op,
    baseRowVersion: op === 'INSERT' ? 0n : 3n,
    serverRowVersion: server === 'none' ? 0n : version,
    serverRowDeleted: server === 'tombstone',
    serverPayload: server === 'live' ? JSON.stringify({ id: 'a', ...SERVER_ROW }) : null,
  };
}

function resolve(local: Local, conflicts: readonly ServerConflict[], resolver: Resolver): Promise<ResolveResult> {
  return resolveConflicts(local.driver, local.schema, conflicts, {
    ...APPLY,
    resolverFor: () => resolver,
    origin: 'push',
    attemptOf: () => 1,
  });
}

const rowOf = (local: Local): unknown =>
  query(local, `SELECT name, CAST(qty AS TEXT) AS qty, hex(data) AS data FROM items WHERE id = 'a'`)[0] ?? null;
const stateOf = (local: Local): unknown =>
  query(local, `SELECT row_version AS v, deleted AS d FROM _sync_row_state WHERE key_json = '{"id":"a"}'`)[0] ?? null;
const queued = (local: Local): unknown => dirty(local)[0]?.slice(2, 4) ?? null;

const SERVER = { name: 'server', qty: '9007199254740993', data: '0001' };
const MERGED = { name: 'merged', qty: '5', data: '' };
const mergedRow = { id: 'a', NAME: 'merged', qty: 5n, data: new Uint8Array() };
const keepMerged: Resolution = { kind: 'keepMerged', row: mergedRow };

/** [local op, server, resolution] → [row shown, row state, queued op and base] or `invalid`. */
const LIVE = { v: 7, d: 0 };
const GONE = { v: 7, d: 1 };
const TABLE: readonly (readonly [RowOp, Server, Resolution, 'invalid' | readonly [unknown, unknown, unknown]])[] = [
  ['INSERT', 'live', { kind: 'acceptServer' }, [SERVER, LIVE, null]],
  ['INSERT', 'live', { kind: 'keepLocal' }, ['local', LIVE, ['UPDATE', 7]]],
  ['INSERT', 'live', keepMerged, [MERGED, LIVE, ['UPDATE', 7]]],
  ['INSERT', 'live', { kind: 'recreate' }, ['local', LIVE, ['UPDATE', 7]]],
  ['INSERT', 'tombstone', { kind: 'acceptServer' }, [null, GONE, null]],
  ['INSERT', 'tombstone', { kind: 'keepLocal' }, ['local', GONE, ['INSERT', 7]]],
  ['INSERT', 'tombstone', keepMerged, [MERGED, GONE, ['INSERT', 7]]],
  ['INSERT', 'none', { kind: 'acceptServer' }, [null, null, null]],
  ['INSERT', 'none', { kind: 'keepLocal' }, ['local', null, ['INSERT', 0]]],
  ['INSERT', 'none', keepMerged, [MERGED, null, ['INSERT', 0]]],
  ['UPDATE', 'live', { kind: 'acceptServer' }, [SERVER, LIVE, null]],
  ['UPDATE', 'live', { kind: 'keepLocal' }, ['local', LIVE, ['UPDATE', 7]]],
  ['UPDATE', 'live', keepMerged, [MERGED, LIVE, ['UPDATE', 7]]],
  ['UPDATE', 'live', { kind: 'recreate' }, ['local', LIVE, ['UPDATE', 7]]],
  ['UPDATE', 'tombstone', { kind: 'acceptServer' }, [null, GONE, null]],
  ['UPDATE', 'tombstone', { kind: 'keepLocal' }, 'invalid'],
  ['UPDATE', 'tombstone', keepMerged, 'invalid'],
  ['UPDATE', 'tombstone', { kind: 'recreate' }, ['local', GONE, ['INSERT', 7]]],
  ['UPDATE', 'none', { kind: 'acceptServer' }, [null, null, null]],
  ['UPDATE', 'none', { kind: 'keepLocal' }, 'invalid'],
  ['UPDATE', 'none', { kind: 'recreate' }, ['local', null, ['INSERT', 0]]],
  ['DELETE', 'live', { kind: 'acceptServer' }, [SERVER, LIVE, null]],
  ['DELETE', 'live', { kind: 'keepLocal' }, [null, LIVE, ['DELETE', 7]]],
  ['DELETE', 'live', keepMerged, 'invalid'],
  ['DELETE', 'live', { kind: 'recreate' }, 'invalid'],
];

describe('resolving conflicts of a push', () => {
  test.each(TABLE)('[T64] [K36] local %s, server %s, %o', async (op, server, resolution, expected) => {
    const local = await pending(op);
    const run = resolve(local, [conflict(op, server)], () => resolution);
    if (expected === 'invalid') {
      await expect(run).rejects.toMatchObject({
        code: 'conflict_resolution_invalid',
        details: { table: 'items', localOp: op, resolution: resolution.kind },
      });
      expect(dirty(local)).toHaveLength(1);
    } else {
      const before = { name: 'local', qty: op === 'INSERT' ? '2' : '1', data: 'FF' };
      await run;
      expect([rowOf(local), stateOf(local), queued(local)]).toEqual([
        expected[0] === 'local' ? before : expected[0],
        expected[1],
        expected[2],
      ]);
    }
    expect(await loadClientState(local.driver)).toMatchObject({ outbox: { state: 'none' }, applyMode: 0 });
  });

  test.each(['tombstone', 'none'] as const)('[T69] both sides deleted (%s) is settled without asking', async (server) => {
    const local = await pending('DELETE');
    await resolve(local, [conflict('DELETE', server)], () => {
      throw new Error('must not be asked');
    });
    expect([dirty(local), stateOf(local)]).toEqual([[], server === 'none' ? null : GONE]);
  });

  test('[T69] a live row equal to that of the server is settled without asking', async () => {
    const local = await pending('UPDATE');
    local.driver.database.exec(`UPDATE items SET name = 'server', qty = 9007199254740993, data = x'0001'`);
    const result = await resolve(local, [conflict('UPDATE', 'live')], () => {
      throw new Error('must not be asked');
    });
    expect(result.conflicts).toMatchObject([{ key: 'a', resolution: 'acceptServer', serverRowVersion: 7n }]);
    expect([dirty(local), stateOf(local)]).toEqual([[], LIVE]);
  });

  test('[T63] the context is complete and typed; the resolver may be asynchronous and runs outside a transaction', async () => {
    const seen: ConflictContext[] = [];
    const local = await pending('UPDATE', { resolver: mergeColumns({ prefer: 'local' }) });
    await resolve(local, [conflict('UPDATE', 'live')], async (context) => {
      seen.push(context);
      await local.driver.all('SELECT 1');
      return { kind: 'keepLocal' };
    });
    expect(seen).toEqual([
      {
        schema: 'main',
        table: 'items',
        key: 'a',
        localOp: 'UPDATE',
        local: { id: 'a', name: 'local', qty: 1n, data: new Uint8Array([255]) },
        base: { id: 'a', name: 'base', qty: 1n, data: null },
        server: { id: 'a', name: 'server', qty: 9007199254740993n, data: new Uint8Array([0, 1]) },
        baseRowVersion: 3n,
        serverRowVersion: 7n,
        serverRowDeleted: false,
        origin: 'push',
        attempt: 1,
      },
    ]);
  });

  test('[T63] a resolver that throws leaves the rows dirty and the outbox empty', async () => {
    const local = await pending('UPDATE');
    const run = resolve(local, [conflict('UPDATE', 'live')], () => Promise.reject(new Error('no')));
    await expect(run).rejects.toMatchObject({ code: 'resolver_failed' });
    expect(dirty(local)).toHaveLength(1);
    expect(await loadClientState(local.driver)).toMatchObject({ outbox: { state: 'none' } });
  });

  test('[T66] an edit made while the resolver thinks is not lost: it is asked again', async () => {
    const local = await pending('UPDATE');
    const seen: unknown[] = [];
    await resolve(local, [conflict('UPDATE', 'live')], (context) => {
      seen.push(context.local?.['name']);
      if (seen.length === 1) local.driver.database.exec(`UPDATE items SET name = 'newer'`);
      return { kind: 'keepLocal' };
    });
    expect(seen).toEqual(['local', 'newer']);
    expect(rowOf(local)).toMatchObject({ name: 'newer' });
    expect(String(dirty(local)[0]?.[4])).toContain('newer');
  });

  test('[T66] siblings of the rejected bundle are dirty again, unchanged', async () => {
    const local = await openAttached(ITEMS);
    local.driver.database.exec(`INSERT INTO items VALUES ('a', 'A', 1, NULL), ('b', 'B', 2, NULL)`);
    await freezeOutbox(local.driver, local.schema, FREEZE);
    await resolve(local, [conflict('INSERT', 'live')], serverWins);
    expect(dirty(local).map((row) => row.slice(1, 4))).toEqual([['{"id":"b"}', 'INSERT', 0]]);
  });

  test.each([
    ['another key', { ...mergedRow, id: 'b' }],
    ['a missing column', { id: 'a', name: 'x', qty: 1n }],
    ['an extra column', { ...mergedRow, other: 1n }],
    ['a name twice in other case', { ...mergedRow, name: 'x' }],
    ['a value of another type', { ...mergedRow, qty: 'x' }],
  ])('[K18] a merged row with %s is invalid and nothing stays frozen', async (_, row) => {
    const local = await pending('UPDATE');
    const run = resolve(local, [conflict('UPDATE', 'live')], () => ({ kind: 'keepMerged', row }));
    await expect(run).rejects.toMatchObject({ code: 'conflict_resolution_invalid' });
    expect(dirty(local)).toHaveLength(1);
    expect(rowOf(local)).toMatchObject({ name: 'local' });
  });

  test('[K36] the same invalid answer for the same version on a later call sends the row to quarantine', async () => {
    const local = await pending('UPDATE');
    const invalid: Resolver = () => ({ kind: 'keepLocal' });
    await expect(resolve(local, [conflict('UPDATE', 'tombstone')], invalid)).rejects.toMatchObject({
      code: 'conflict_resolution_invalid',
    });
    const result = await resolve(local, [conflict('UPDATE', 'tombstone')], invalid);
    expect(result.quarantined).toEqual([
      { table: 'items', key: 'a', op: 'UPDATE', origin: 'resolver', code: 'resolver_invalid' },
    ]);
    expect(dirty(local)).toEqual([]);
  });

  test('`defer` keeps the row for the user', async () => {
    const local = await pending('UPDATE');
    const result = await resolve(local, [conflict('UPDATE', 'live')], () => ({ kind: 'defer' }));
    expect(result.quarantined).toMatchObject([{ code: 'conflict_deferred' }]);
    expect(rowOf(local)).toMatchObject({ name: 'local' });
    expect(query(local, 'SELECT server_row_version FROM _oversync_row_bases')).toEqual([{ server_row_version: 7 }]);
  });

  test.each([
    ['no table of ours', { table: 'nope' }, 'protocol_violation'],
    ['a missing column', { serverPayload: '{"id":"a"}' }, 'payload_column_missing'],
    ['a bad value', { serverPayload: JSON.stringify({ id: 'a', ...SERVER_ROW, qty: 'x' }) }, 'payload_value_invalid'],
  ])('[T68] a conflict with %s changes nothing', async (_, change, code) => {
    const local = await pending('UPDATE');
    await expect(resolve(local, [{ ...conflict('UPDATE', 'live'), ...change }], serverWins)).rejects.toMatchObject({ code });
    expect(await loadClientState(local.driver)).toMatchObject({ outbox: { state: 'prepared' } });
  });

  test('a restored child whose parent is deleted here stays deleted, based on the version of the server', async () => {
    const ddl = `CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL);
      CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES parents(id) ON DELETE CASCADE, note TEXT)`;
    const local = await openAttached(ddl);
    const rows = checkIncomingRows(local.schema, [
      serverRow('parents', 'p', 1n, {}),
      serverRow('children', 'c', 1n, { parent: 'p', note: null }),
    ]);
    await applyBundles(local.driver, local.schema, [{ bundleSeq: 1n, rows }], APPLY);
    local.driver.database.exec('DELETE FROM parents');
    await freezeOutbox(local.driver, local.schema, FREEZE);
    const answer: ServerConflict = {
      ...conflict('DELETE', 'live'),
      table: 'children',
      keyJson: '{"id":"c"}',
      serverPayload: '{"id":"c","parent":"p","note":"edited"}',
    };
    await resolve(local, [answer], serverWins);
    expect(dirty(local).map((row) => row.slice(0, 4))).toContainEqual(['children', '{"id":"c"}', 'DELETE', 7]);
    expect(query(local, 'SELECT * FROM children')).toEqual([]);
  });
});

describe('contested rows', () => {
  test('[T81] [T64] are resolved from the stored image', async () => {
    const local = await openAttached(ITEMS);
    const pull = async (version: bigint, ...rows: ReturnType<typeof serverRow>[]): Promise<void> => {
      await applyBundles(
        local.driver,
        local.schema,
        [{ bundleSeq: version, rows: checkIncomingRows(local.schema, rows) }],
        APPLY,
      );
    };
    await pull(1n, ...['a', 'b', 'c'].map((id) => serverRow('items', id, 1n, { name: id, qty: null, data: null })));
    local.driver.database.exec(`UPDATE items SET name = 'mine'; DELETE FROM items WHERE id = 'c'`);
    await pull(
      2n,
      serverRow('items', 'a', 2n, SERVER_ROW),
      serverRow('items', 'b', 2n, null),
      serverRow('items', 'c', 2n, SERVER_ROW),
    );
    const resolver: Resolver = ({ key, origin }) => {
      expect(origin).toBe('pull');
      return { kind: key === 'a' ? 'keepLocal' : 'acceptServer' };
    };
    const result = await resolveContested(local.driver, local.schema, {
      ...APPLY,
      resolverFor: () => resolver,
      origin: 'pull',
      attemptOf: () => 1,
    });
    expect(result.conflicts.map(({ key, localOp, resolution }) => [key, localOp, resolution])).toEqual([
      ['a', 'UPDATE', 'keepLocal'],
      ['b', 'UPDATE', 'acceptServer'],
      ['c', 'DELETE', 'acceptServer'],
    ]);
    expect(query(local, 'SELECT id, name FROM items')).toEqual([
      { id: 'a', name: 'mine' },
      { id: 'c', name: 'server' },
    ]);
    expect(dirty(local).map((row) => row.slice(1, 4))).toEqual([['{"id":"a"}', 'UPDATE', 2]]);
    expect(query(local, 'SELECT * FROM _oversync_row_bases')).toEqual([]);
  });
});

describe('built-in resolvers', () => {
  const context = (extra: Partial<ConflictContext>): ConflictContext => ({
    schema: 'main',
    table: 't',
    key: 'a',
    localOp: 'UPDATE',
    local: { id: 'a', x: 'l', y: 'b', z: 1n },
    base: { id: 'a', x: 'b', y: 'b', z: 1n },
    server: { id: 'a', x: 's', y: 's', z: 1n },
    baseRowVersion: 1n,
    serverRowVersion: 2n,
    serverRowDeleted: false,
    origin: 'push',
    attempt: 1,
    ...extra,
  });

  test('[T65] mergeColumns merges column by column and falls back without a base', () => {
    expect(mergeColumns({ prefer: 'local' })(context({}))).toEqual({
      kind: 'keepMerged',
      row: { id: 'a', x: 'l', y: 's', z: 1n },
    });
    expect(mergeColumns({ prefer: 'server' })(context({}))).toEqual({
      kind: 'keepMerged',
      row: { id: 'a', x: 's', y: 's', z: 1n },
    });
    expect(mergeColumns({ prefer: 'server' })(context({ base: null }))).toEqual({ kind: 'acceptServer' });
    expect(mergeColumns({ prefer: 'local' })(context({ base: null }))).toEqual({ kind: 'keepLocal' });
    expect(mergeColumns({ prefer: 'local' })(context({ server: null }))).toEqual({ kind: 'recreate' });
  });

  test('[T65] a function decides about a column that both sides have changed, and about no other', () => {
    const seen: unknown[] = [];
    const resolver = mergeColumns({
      prefer: 'server',
      columns: {
        X: (values) => {
          seen.push(values);
          return JSON.stringify([values.local, values.server]);
        },
        y: () => 'never asked',
      },
    });
    expect(resolver(context({}))).toEqual({ kind: 'keepMerged', row: { id: 'a', x: '["l","s"]', y: 's', z: 1n } });
    expect(seen).toEqual([{ base: 'b', local: 'l', server: 's' }]);
  });

  test('[T65] clientWins makes a row again that the server has deleted', () => {
    expect(clientWins(context({ server: null }))).toEqual({ kind: 'recreate' });
    expect(clientWins(context({ server: null, localOp: 'INSERT' }))).toEqual({ kind: 'keepLocal' });
    expect(clientWins(context({}))).toEqual({ kind: 'keepLocal' });
  });

  test.each([
    ['2026-01-01T00:00:00.1234567Z', '2026-01-01T00:00:00.1234566Z', 'keepLocal'],
    ['2026-01-01T01:00:00+01:00', '2026-01-01 00:00:00', 'acceptServer'],
    ['2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z', 'acceptServer'],
    ['no instant', '2026-01-01T00:00:00Z', 'acceptServer'],
    [2n, 1n, 'keepLocal'],
    [1.5, 1.25, 'keepLocal'],
  ])('[T65] latestBy: %s against %s', (here, there, kind) => {
    expect(latestBy('At')(context({ local: { at: here }, server: { at: there } }))).toEqual({ kind });
  });
});
