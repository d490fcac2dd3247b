/** Servers of the release before beside one of the next, whose migrations they do not know. */
import { afterEach, describe, expect, it } from 'vitest';

import type { SyncServer } from './create-sync-server.ts';
import { bootstrap } from './engine/bootstrap.ts';
import type { BootstrapOptions, BootstrapResult } from './engine/bootstrap.ts';
import { OPTION_DEFAULTS } from './limits.ts';
import type { PgRow } from './ports/postgres.ts';
import { MIGRATIONS } from './store/migrations.ts';
import type { Migration } from './store/migrations.ts';
import { TEST_FINALISE_OPTIONS } from './test-pg.ts';
import {
  createRequest,
  manyNotes,
  newScope,
  NOTES_DDL,
  NOTES_TABLE,
  openTestServer,
  pushNotes,
  pushRows,
  readAnswer,
} from './test-server.ts';
import type { TestServer } from './test-server.ts';

const OTHER_TABLE = { schema: 'business', table: 'other', syncKeyColumn: 'id' } as const;
const DDL = `${NOTES_DDL} CREATE TABLE business.other (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id));`;

/** A column more in every table. */
const EXPAND: Migration = {
  version: MIGRATIONS.length + 1,
  name: 'a column more everywhere',
  readableBy: MIGRATIONS.length,
  sql: (m) => `DO $$ DECLARE t record; BEGIN
    FOR t IN SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relnamespace = '${m.schema}'::regnamespace AND c.relkind = 'r' LOOP
      EXECUTE format('ALTER TABLE %s ADD COLUMN future text NOT NULL DEFAULT ''x''', t.name);
    END LOOP; END $$`,
};
const NEXT = [...MIGRATIONS, EXPAND];
const CONTRACT: Migration = { version: NEXT.length + 1, name: 'the end of the old', readableBy: NEXT.length, sql: () => '' };

/** Everything that bootstrap writes. */
const INSTALLED = `SELECT (SELECT version || '/' || readable_by FROM sync.meta),
  (SELECT string_agg(version || name || checksum, ',' ORDER BY version) FROM sync.migration),
  (SELECT string_agg(t::text, ',' ORDER BY table_id) FROM sync.registered_table t),
  (SELECT string_agg(s::text, ',' ORDER BY table_id, shape_id) FROM sync.table_shape s),
  (SELECT string_agg(p.oid || p.proname || p.prosrc, ',' ORDER BY p.oid) FROM pg_proc p WHERE p.pronamespace = 'sync'::regnamespace),
  (SELECT string_agg(tgrelid || tgname || tgfoid, ',' ORDER BY tgrelid, tgname) FROM pg_trigger WHERE NOT tgisinternal)`;

describe('a server of the release before', () => {
  let target: TestServer;
  afterEach(() => target.close());

  const open = async (): Promise<void> => {
    target = await openTestServer({ ddl: DDL, registeredTables: [NOTES_TABLE, OTHER_TABLE] });
  };
  const installed = async (): Promise<PgRow> => (await target.query(INSTALLED)).rows[0] ?? [];

  /** The next release as it starts, or as it looks at the catalog again. */
  const next = (overrides: Partial<BootstrapOptions> = {}): Promise<BootstrapResult> =>
    bootstrap({
      ...TEST_FINALISE_OPTIONS,
      database: target.db,
      registeredTables: [NOTES_TABLE, OTHER_TABLE],
      migrations: NEXT,
      bootstrapPolicy: 'apply',
      adoption: 'auto',
      lockTimeoutMs: 10_000,
      bulkStatementTimeoutMs: 60_000,
      retry: { attempts: 3, baseMs: 1 },
      maxScopeIdBytes: OPTION_DEFAULTS.maxScopeIdBytes,
      ...overrides,
    });
  const peerOf = (server: SyncServer): Pick<TestServer, 'call'> => ({
    call: async (method, path, options) => readAnswer(await server.fetch(createRequest(method, path, options))),
  });
  const coloured = (peer: Pick<TestServer, 'call'>, turn: number, id: string, scope: string) => {
    const row = { schema: 'business', table: 'notes', key: { id }, op: 'INSERT', base_row_version: 0 } as const;
    return pushRows(peer, turn, [{ ...row, payload: { id, title: 't', amount: null, colour: 'red' } }], { scope });
  };

  it('does all its work in a schema with a column more in every table, whether it ran already or starts then', async () => {
    await open();
    await target.call('POST', '/sync/connect', { scope: newScope(), body: {} });
    expect(await next()).toMatchObject({ appliedMigrations: [EXPAND.version] });
    const unchanged = await installed();
    for (const server of [target.server, await target.second()]) {
      const { call } = peerOf(server);
      const scope = newScope();
      await call('POST', '/sync/connect', { scope, body: {} });
      await pushNotes({ call }, 1, manyNotes(3), { scope });
      await pushNotes({ call }, 2, [{ op: 'INSERT', id: 'small' }], { scope });
      await pushNotes({ call }, 3, manyNotes(1500, 'large'), { scope });
      await pushNotes(
        { call },
        4,
        [
          { op: 'DELETE', id: 'small', base: 2 },
          { op: 'UPDATE', id: 'n-000001', base: 1 },
        ],
        { scope },
      );
      await expect(pushNotes({ call }, 5, [{ op: 'UPDATE', id: 'n-000000', base: 9 }], { scope })).rejects.toThrow(
        'push_conflict',
      );
      await server.scopes.execWrite(scope, { writerId: 'host', operationId: crypto.randomUUID(), operationHash: 'h' }, (tx) =>
        tx.query(`INSERT INTO business.other (id) VALUES ('o')`),
      );
      expect((await call('GET', '/sync/pull', { scope })).json.bundles.map(({ row_count: rows }) => rows)).toStrictEqual([
        3, 1, 1500, 2, 1,
      ]);
      expect((await call('GET', '/sync/committed-bundles/3/rows?max_rows=2000', { scope })).json.rows).toHaveLength(1500);
      const created = await call('POST', '/sync/snapshot-sessions', { scope, body: {} });
      expect(created.json.row_count).toBe(1504);
      const chunk = await call('GET', `/sync/snapshot-sessions/${created.json.snapshot_id}?max_rows=5000`, { scope });
      expect(chunk.json.rows).toHaveLength(1504);
      expect(await server.admin.checkScope(scope)).toMatchObject({ isConsistent: true });
      await server.maintain();
    }
    expect(await installed()).toStrictEqual(unchanged);
    expect(target.events.filter(({ name }) => name === 'retry' || name === 'transientFailure')).toStrictEqual([]);
  });

  it('[O1] follows a table as soon as the next release has recorded its columns, and puts nothing back', async () => {
    await open();
    const scope = newScope();
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes(target, 1, manyNotes(1), { scope });
    await next();
    await target.script(`ALTER TABLE business.notes ADD COLUMN colour text;
      CREATE OR REPLACE FUNCTION sync.refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''of the next release''; END'`);
    const unseen = await installed();
    await expect(coloured(target, 2, 'early', scope)).rejects.toThrow('service_unavailable');
    await pushNotes(target, 2, [{ op: 'INSERT', id: 'meanwhile' }], { scope });
    expect(await installed()).toStrictEqual(unseen);

    await next({ keepsRegistrations: true });
    const recorded = await installed();
    expect(recorded).not.toStrictEqual(unseen);
    await coloured(target, 3, 'late', scope);
    const { text } = await target.call('GET', '/sync/pull?after_bundle_seq=2', { scope });
    expect(text).toContain('"colour":"red"');
    expect(await installed()).toStrictEqual(recorded);
  });

  it('blames no client for a column that is gone before the next release has noticed', async () => {
    await open();
    const scope = newScope();
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await next();
    await target.script('ALTER TABLE business.notes DROP COLUMN amount');
    await expect(pushNotes(target, 1, manyNotes(1), { scope })).rejects.toThrow('push_chunk_failed');
    await expect(pushNotes(target, 1, manyNotes(300), { scope })).rejects.toThrow('push_chunk_failed');
    await next({ keepsRegistrations: true });
    await expect(pushNotes(target, 1, manyNotes(1), { scope })).rejects.toThrow('unknown_column');
  });

  it('[O1] that may write nothing works on with the columns that are recorded, too', async () => {
    await open();
    const careful = peerOf(await target.second({ bootstrapPolicy: 'check' }));
    const scope = newScope();
    await careful.call('POST', '/sync/connect', { scope, body: {} });
    await target.script('ALTER TABLE business.notes ADD COLUMN colour text');
    await pushNotes(careful, 1, manyNotes(2), { scope });
    await expect(coloured(careful, 2, 'early', scope)).rejects.toThrow('service_unavailable');
    await target.second();
    await coloured(careful, 2, 'late', scope);
  });

  it('leaves out a table that the next release has unregistered, and waits for one that nobody has registered', async () => {
    await open();
    await next({ registeredTables: [NOTES_TABLE] });
    const unchanged = await installed();
    const again = await target.second();
    expect((await readAnswer(await again.fetch(createRequest('GET', '/sync/capabilities')))).status).toBe(200);
    const scope = newScope();
    const { call } = peerOf(again);
    await call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes({ call }, 1, manyNotes(1), { scope });
    const row = {
      schema: 'business',
      table: 'other',
      key: { id: 'o' },
      op: 'INSERT',
      base_row_version: 0,
      payload: { id: 'o' },
    } as const;
    await expect(pushRows({ call }, 2, [row], { scope })).rejects.toThrow('push_chunk_invalid');
    await target.script(
      'CREATE TABLE business.third (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id))',
    );
    const third = { schema: 'business', table: 'third', syncKeyColumn: 'id' };
    await expect(target.second({ registeredTables: [NOTES_TABLE, third] })).rejects.toMatchObject({
      details: { violations: [], pending: ['register business.third'] },
    });
    expect(await installed()).toStrictEqual(unchanged);
  });

  it('stops serving when it finds metadata that it cannot read, and is not let start', async () => {
    await open();
    const scope = newScope();
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await next({ migrations: [...NEXT, CONTRACT] });
    await expect(target.second()).rejects.toMatchObject({ details: { violations: [{ code: 'metadata_schema_newer' }] } });
    await target.call('GET', '/sync/pull', { scope });
    // A column that is not known makes the running server look at the catalog.
    await expect(coloured(target, 1, 'late', scope)).rejects.toThrow('unknown_column');
    expect(await target.call('GET', '/sync/pull', { scope })).toMatchObject({
      status: 503,
      json: { error: 'service_unavailable' },
    });
    expect(() => target.server.maintain()).toThrow('older than its database');
    const health = await readAnswer(await target.server.ops.fetch(createRequest('GET', '/health')));
    expect(health).toMatchObject({ status: 503, json: { status: 'unhealthy', accepting_operations: false } });
  });
});
