import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { BundleWriter } from '../test-bundles.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';
import { MIGRATIONS } from './migrations.ts';
import type { Migration } from './migrations.ts';

const TABLES = [{ schema: 'business', table: 'notes', syncKeyColumn: 'id' }];

/** What a next release would add: a column that the one before does not know. */
const ADD_NOTE: Migration = {
  version: MIGRATIONS.length + 1,
  readableBy: MIGRATIONS.length,
  name: 'a note on each scope',
  sql: (m) => `ALTER TABLE ${m.scope} ADD COLUMN note text NOT NULL DEFAULT ''`,
};
const NEXT = [...MIGRATIONS, ADD_NOTE];

/** What the one before cannot work with. */
const CONTRACT: Migration = {
  version: NEXT.length + 1,
  readableBy: NEXT.length,
  name: 'the end of something old',
  sql: () => '',
};
const AFTER: Migration = { ...CONTRACT, version: NEXT.length + 2, readableBy: 1, name: 'something harmless' };

/** Applies half of what it should. */
const BROKEN: Migration = {
  version: NEXT.length + 1,
  readableBy: 1,
  name: 'broken',
  sql: (m) => `ALTER TABLE ${m.scope} ADD COLUMN other text; SELECT 1 / 0`,
};

const STORED = `SELECT (SELECT version FROM sync.meta), (SELECT encode(token_secret, 'hex') FROM sync.meta),
  (SELECT string_agg(version || name || checksum, ',' ORDER BY version) FROM sync.migration),
  (SELECT string_agg(t::text, ',' ORDER BY table_id) FROM sync.registered_table t),
  (SELECT string_agg(b::text, ',' ORDER BY bundle_seq) FROM sync.bundle b),
  (SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'sync.scope'::regclass AND attnum > 0)`;

describe('migrations of the metadata schema', () => {
  let pg: PgFixture;
  let writer: BundleWriter;
  const stored = async () => (await pg.query(STORED)).rows[0] ?? [];
  const write = (id: string) =>
    writer.write({ scopeId: 's' }, (tx) => tx.script(`INSERT INTO business.notes (id) VALUES ('${id}')`));
  const expectRefused = (migrations: readonly Migration[], code: string) =>
    expect(pg.bootstrap(TABLES, { migrations })).rejects.toMatchObject({ details: { violations: [{ code }] } });

  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(`CREATE SCHEMA business; CREATE TABLE business.notes (_sync_scope_id text NOT NULL, id text NOT NULL,
      PRIMARY KEY (_sync_scope_id, id))`);
    writer = new BundleWriter(pg, (await pg.bootstrap(TABLES)).catalog);
    await write('from before');
  });
  afterAll(() => pg.close());

  it('are told and not applied by the policy check', async () => {
    const unchanged = await stored();
    await expect(pg.bootstrap(TABLES, { migrations: NEXT, bootstrapPolicy: 'check' })).rejects.toMatchObject({
      details: { violations: [], pending: [`migration ${String(ADD_NOTE.version)}: a note on each scope`] },
    });
    expect(await stored()).toStrictEqual(unchanged);
  });

  it('of a next release are applied once by many processes, and keep ids, secret and history', async () => {
    const [, secret, , tables, bundles] = await stored();
    const results = await Promise.all(Array.from({ length: 4 }, () => pg.bootstrap(TABLES, { migrations: NEXT })));
    expect(results.flatMap(({ appliedMigrations }) => appliedMigrations)).toStrictEqual([ADD_NOTE.version]);
    const after = await stored();
    expect(after.toSpliced(2, 1)).toStrictEqual([
      String(ADD_NOTE.version),
      secret,
      tables,
      bundles,
      expect.stringMatching(/,note$/),
    ]);
    expect(after[2]?.split(',')).toHaveLength(NEXT.length);
    expect((await pg.bootstrap(TABLES, { migrations: NEXT })).appliedMigrations).toStrictEqual([]);
  });

  it('leave a process of the previous release working, and let one of it start that writes nothing', async () => {
    await expect(write('from the old process')).resolves.toMatchObject({ bundleSeq: 2n });
    const unchanged = await stored();
    await expect(pg.bootstrap(TABLES)).resolves.toMatchObject({ follows: true, appliedMigrations: [], changedTables: [] });
    expect(await stored()).toStrictEqual(unchanged);
  });

  it('that fail leave nothing behind', async () => {
    const unchanged = await stored();
    await expect(pg.bootstrap(TABLES, { migrations: [...NEXT, BROKEN] })).rejects.toMatchObject({ sqlState: '22012' });
    expect(await stored()).toStrictEqual(unchanged);
  });

  it('that were changed after their release are noticed', async () => {
    const changed = { ...ADD_NOTE, sql: () => 'SELECT 1' };
    await expectRefused([...MIGRATIONS, changed], 'metadata_schema_foreign');
  });

  it('say who can still read the schema, whatever harmless ones come after', async () => {
    await pg.bootstrap(TABLES, { migrations: [...NEXT, CONTRACT, AFTER] });
    const unchanged = await stored();
    await expectRefused(MIGRATIONS, 'metadata_schema_newer');
    expect(await stored()).toStrictEqual(unchanged);
    expect(await pg.bootstrap(TABLES, { migrations: NEXT })).toMatchObject({ follows: true });
  });
});

describe('the first release', () => {
  let pg: PgFixture;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(`CREATE SCHEMA business; CREATE TABLE business.notes (_sync_scope_id text NOT NULL, id text NOT NULL,
      PRIMARY KEY (_sync_scope_id, id))`);
  });
  afterAll(() => pg.close());

  it('is migrated to the present one with its history', async () => {
    const { catalog } = await pg.bootstrap(TABLES, { migrations: MIGRATIONS.slice(0, 1) });
    await new BundleWriter(pg, catalog).write({ scopeId: 's' }, (tx) =>
      tx.script(`INSERT INTO business.notes (id) VALUES ('a')`),
    );
    const before = (await pg.query(STORED)).rows[0]?.slice(3);
    const versions = MIGRATIONS.slice(1).map(({ version }) => version);
    expect(await pg.bootstrap(TABLES)).toMatchObject({ appliedMigrations: versions, follows: false });
    expect((await pg.query(STORED)).rows[0]?.slice(3)).toStrictEqual(before);
    const checks = `SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid IN ('sync.scope'::regclass, 'sync.source'::regclass)`;
    expect((await pg.query(checks)).rows).toStrictEqual([['0']]);
    expect((await pg.query('SELECT version, readable_by FROM sync.meta')).rows).toStrictEqual([[String(MIGRATIONS.length), '1']]);
  });
});
