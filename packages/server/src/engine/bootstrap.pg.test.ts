import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { PgFault } from '../ports/postgres.ts';
import { MIGRATIONS } from '../store/migrations.ts';
import { BundleWriter } from '../test-bundles.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';

const SCHEMA = `
CREATE SCHEMA business;
CREATE TABLE business.users (
  _sync_scope_id text NOT NULL, id uuid NOT NULL, name text, age int4, PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE business.posts (
  _sync_scope_id text NOT NULL, id text NOT NULL, author_id uuid, body text NOT NULL, meta jsonb,
  PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT posts_author_fk FOREIGN KEY (_sync_scope_id, author_id) REFERENCES business.users (_sync_scope_id, id)
    ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ON business.posts (_sync_scope_id, author_id);
CREATE TABLE business.events (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id)) PARTITION BY HASH (id);
CREATE TABLE business.events_0 PARTITION OF business.events FOR VALUES WITH (MODULUS 2, REMAINDER 0);`;

const USERS = { schema: 'business', table: 'users', syncKeyColumn: 'id' };
const POSTS = { schema: 'business', table: 'posts', syncKeyColumn: 'id' };
const EVENTS = { schema: 'Business ', table: 'EVENTS', syncKeyColumn: 'Id' };
const TABLES = [USERS, POSTS, EVENTS];

describe('bootstrap', () => {
  let pg: PgFixture;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(SCHEMA);
  });
  afterAll(() => pg.close());

  it('with the policy check writes nothing and tells what is pending', async () => {
    const checked = pg.bootstrap(TABLES, { bootstrapPolicy: 'check' });
    await expect(checked).rejects.toMatchObject({
      code: 'schema_violation',
      details: { violations: [], pending: expect.arrayContaining(['migration 1: initial layout', 'register business.users']) },
    });
    const { rows } = await pg.query(`SELECT count(*) FROM pg_namespace WHERE nspname = 'sync'`);
    expect(rows).toEqual([['0']]);
  });

  it('in many processes at once installs everything once', async () => {
    const results = await Promise.all(Array.from({ length: 4 }, () => pg.bootstrap(TABLES)));
    expect(results.flatMap(({ appliedMigrations }) => appliedMigrations)).toEqual(MIGRATIONS.map(({ version }) => version));
    const secrets = new Set(results.map(({ catalog }) => catalog.tokenSecret.join(',')));
    expect(secrets.size).toBe(1);
    const [first] = results;
    expect([...(first?.catalog.tables.keys() ?? [])]).toEqual(['business.events', 'business.posts', 'business.users']);
    expect(first?.catalog.tables.get('business.posts')).toMatchObject({
      keyKind: 'text',
      hasNestedJson: true,
      deletesFirst: true,
    });
    expect(first?.catalog.tables.get('business.users')).toMatchObject({
      keyKind: 'uuid',
      hasNestedJson: false,
      deletesFirst: false,
    });
  });

  it('[O3] changes nothing the second time and locks no business table above ACCESS SHARE', async () => {
    const reader = pg.db.transaction({ isolation: 'read committed' }, async (tx) => {
      await tx.script('LOCK TABLE business.users, business.posts, business.events IN EXCLUSIVE MODE');
      return pg.bootstrap(TABLES, { lockTimeoutMs: 1000 });
    });
    await expect(reader).resolves.toMatchObject({ appliedMigrations: [], changedTables: [] });
    await expect(pg.bootstrap(TABLES, { bootstrapPolicy: 'check' })).resolves.toBeDefined();
  });

  it('[O3] repairs exactly what differs', async () => {
    await pg.run(`DROP TRIGGER oversync_capture_update ON business.users; ALTER TABLE business.posts ALTER COLUMN _sync_scope_id DROP DEFAULT;
      ALTER TABLE business.events_0 DISABLE TRIGGER oversync_refuse_truncate;
      CREATE OR REPLACE FUNCTION sync.refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`);
    const pending = await pg
      .bootstrap(TABLES, { bootstrapPolicy: 'check' })
      .catch((error: unknown) => (error as { details: { pending: readonly string[] } }).details.pending);
    expect(pending).toEqual([
      expect.stringContaining('CREATE OR REPLACE FUNCTION "sync".refuse_truncate()'),
      expect.stringContaining('CREATE TRIGGER oversync_capture_update AFTER UPDATE ON "business"."users"'),
      expect.stringContaining('ENABLE ALWAYS TRIGGER oversync_capture_update'),
      expect.stringContaining('ALTER TABLE "business"."posts" ALTER COLUMN "_sync_scope_id" SET DEFAULT'),
      expect.stringContaining('DROP TRIGGER "oversync_refuse_truncate" ON "business"."events_0"'),
      expect.stringContaining('CREATE TRIGGER oversync_refuse_truncate BEFORE TRUNCATE ON "business"."events_0"'),
      expect.stringContaining('ENABLE ALWAYS TRIGGER oversync_refuse_truncate'),
    ]);
    const { changedTables } = await pg.bootstrap(TABLES);
    expect(changedTables).toEqual(['business.events_0', 'business.posts', 'business.users']);
    await expect(pg.run('TRUNCATE business.events_0')).rejects.toMatchObject({ sqlState: 'OV001' });
  });

  it('gives partitions that were attached later their triggers', async () => {
    await pg.run(`CREATE TABLE business.events_1 PARTITION OF business.events FOR VALUES WITH (MODULUS 2, REMAINDER 1)`);
    expect((await pg.bootstrap(TABLES)).changedTables).toEqual(['business.events_1']);
    const { rows } = await pg.query(
      `SELECT count(*) FROM pg_trigger WHERE tgrelid = 'business.events_1'::regclass AND NOT tgisinternal AND tgenabled <> 'D'`,
    );
    expect(rows).toEqual([['5']]);
  });

  it('[O1] keeps table ids and records each shape with what rows from before a column show in it', async () => {
    const before = (await pg.bootstrap(TABLES)).catalog;
    const users = before.tables.get('business.users');
    expect(users?.shapeId).toBe(1);
    await pg.run(`ALTER TABLE business.users ADD COLUMN score float8 DEFAULT 1e21, ADD COLUMN note text, ADD COLUMN born timestamptz DEFAULT '2026-03-24 20:42:11+02',
      DROP COLUMN age`);
    const { catalog, changedTables } = await pg.bootstrap(TABLES);
    expect(changedTables).toEqual(['business.users']);
    expect(catalog.tables.get('business.users')).toMatchObject({ tableId: users?.tableId, shapeId: 2 });
    expect(catalog.shapeSet).not.toBe(before.shapeSet);
    expect(catalog.rowLayout).not.toBe(before.rowLayout);
    const shape = catalog.shapes.get(users?.tableId ?? 0)?.get(2);
    expect(shape?.columns.map(({ name, missingValue }) => [name, missingValue])).toEqual([
      ['born', '"2026-03-24T18:42:11+00:00"'],
      ['id', 'null'],
      ['name', 'null'],
      ['note', 'null'],
      ['score', '"1e+21"'],
    ]);
    expect(
      catalog.shapes
        .get(users?.tableId ?? 0)
        ?.get(1)
        ?.columns.map(({ name }) => name),
    ).toEqual(['age', 'id', 'name']);
  });

  it('takes the triggers off a table that is no longer registered, and gives it its id back', async () => {
    const before = (await pg.bootstrap(TABLES)).catalog.tables.get('business.users');
    const without = await pg.bootstrap([{ ...POSTS, table: 'events' }]);
    expect([...without.catalog.tables.keys()]).toEqual(['business.events']);
    await pg.run(`INSERT INTO business.users (_sync_scope_id, id) VALUES ('s', '00000000-0000-4000-8000-000000000001')`);
    await expect(pg.bootstrap(TABLES)).rejects.toMatchObject({
      details: { violations: [{ code: 'adoption_required', table: 'users' }] },
    });
    await pg.run('DELETE FROM business.users');
    const after = (await pg.bootstrap(TABLES)).catalog.tables.get('business.users');
    expect(after).toEqual(before);
  });

  it('refuses a table whose rows came in without metadata, and leaves the database unchanged', async () => {
    await pg.run(
      `CREATE TABLE business.late (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id)); INSERT INTO business.late VALUES ('s', 'k')`,
    );
    const late = { ...POSTS, table: 'late' };
    await expect(pg.bootstrap([...TABLES, late])).rejects.toMatchObject({
      details: { violations: [{ code: 'adoption_required' }] },
    });
    await pg.run(`DELETE FROM business.late`);
    const { catalog } = await pg.bootstrap([...TABLES, late]);
    const writer = new BundleWriter(pg, catalog);
    await writer.write({ scopeId: 's' }, (tx) => tx.script(`INSERT INTO business.late (id) VALUES ('k')`));
    await expect(pg.bootstrap([...TABLES, late])).resolves.toMatchObject({ changedTables: [] });
    await pg.bootstrap(TABLES);
    await expect(pg.bootstrap([...TABLES, late])).rejects.toMatchObject({
      details: { violations: [{ code: 'adoption_required' }] },
    });
  });

  it('works with a metadata schema whose name needs quoting, beside another one', async () => {
    await pg.run(`CREATE TABLE public.t (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id))`);
    const config = [{ table: 't', syncKeyColumn: 'id' }];
    await pg.bootstrap(config, { metadataSchema: 'Odd "name"' });
    await expect(pg.bootstrap(config, { metadataSchema: 'Odd "name"', bootstrapPolicy: 'check' })).resolves.toBeDefined();
    await expect(pg.run(`INSERT INTO public.t VALUES ('s', 'k')`)).rejects.toMatchObject({ sqlState: 'OV001' });
    expect((await pg.query(`SELECT last_value FROM "Odd ""name""".rejected_write_seq`)).rows).toEqual([['1']]);
  });

  it('tries again after a deadlock with a commit, and gives up on anything else', async () => {
    const faults = ['40P01', '55P03'];
    const failing: typeof pg.db = {
      ...pg.db,
      transaction: (begin, fn) => {
        const sqlState = faults.shift();
        if (sqlState !== undefined) return Promise.reject(new PgFault('injected', { sqlState }));
        return pg.db.transaction(begin, fn);
      },
    };
    await expect(pg.bootstrap(TABLES, { database: failing })).resolves.toBeDefined();
    faults.push('42501');
    await expect(pg.bootstrap(TABLES, { database: failing })).rejects.toMatchObject({ sqlState: '42501' });
    faults.push('40P01', '40P01', '40P01');
    await expect(pg.bootstrap(TABLES, { database: failing })).rejects.toMatchObject({ sqlState: '40P01' });
  });

  it('starts without any registered table', async () => {
    const { catalog } = await pg.bootstrap([], { metadataSchema: 'none' });
    expect(catalog).toMatchObject({ rowLayout: '', shapeSet: '' });
    await expect(pg.bootstrap([], { metadataSchema: 'none', bootstrapPolicy: 'check' })).resolves.toBeDefined();
  });
});
