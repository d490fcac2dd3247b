import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { describeColumn, describeTable } from '../rules/test-table.ts';
import { adoptionFaultsSql } from '../store/adoption-check.sql.ts';
import { BundleWriter } from '../test-bundles.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';

const SCHEMA = `
CREATE TABLE notes (_sync_scope_id text NOT NULL, id text NOT NULL, body text, f float8, j jsonb, raw json, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE tags (_sync_scope_id text NOT NULL, id uuid NOT NULL, PRIMARY KEY (_sync_scope_id, id));`;

const NOTES = { table: 'notes', syncKeyColumn: 'id' };
const TAGS = { table: 'tags', syncKeyColumn: 'id' };
const TABLES = [NOTES, TAGS];
const AUTO = { adoption: 'auto' } as const;

describe('[C6] adoption of populated tables', () => {
  let pg: PgFixture;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(SCHEMA);
  });
  afterAll(() => pg.close());

  async function bundles(scopeId: string): Promise<readonly (readonly (string | null)[])[]> {
    const { rows } = await pg.query(
      `SELECT b.bundle_seq, b.source_bundle_id, b.row_count, left(b.source_id, 18), length(b.canonical_request_hash), s.state, s.floor
       FROM sync.bundle b JOIN sync.scope s USING (scope_pk) WHERE s.scope_id = $1 ORDER BY b.bundle_seq`,
      [scopeId],
    );
    return rows;
  }

  it('reports rows that clients could never receive, with examples, before anything is written', async () => {
    await pg.run(`INSERT INTO notes (_sync_scope_id, id, body, f, j) VALUES
      ('', 'a', '', 1, NULL), (repeat('é', 200), 'b', '', 1, NULL), ('s', E'\\u00a0', '', 1, NULL), ('s', 'nan', '', 'NaN', NULL),
      ('s', 'big', repeat('x', 3000), 1, NULL), ('s', 'json', '', 1, '{"a":[1, 1e400]}'), ('s', 'max', '', 1, '[1.7976931348623157e308]')`);
    const failure = pg.bootstrap(TABLES, { ...AUTO, maxBytesPerSnapshotRow: 1000 });
    await expect(failure).rejects.toMatchObject({
      details: {
        violations: [
          { code: 'adoption_key_blank', column: 'id', examples: [{ scopeId: 's', key: '\u00a0' }] },
          { code: 'adoption_row_too_large', examples: [{ scopeId: 's', key: 'big' }] },
          { code: 'adoption_scope_invalid', examples: [{ scopeId: '', key: 'a' }, { key: 'b' }] },
          { code: 'adoption_value_unrepresentable', column: 'f', examples: [{ scopeId: 's', key: 'nan' }] },
          { code: 'adoption_value_unrepresentable', column: 'j', examples: [{ scopeId: 's', key: 'json' }] },
        ],
      },
    });
    expect((await pg.query(`SELECT count(*) FROM pg_namespace WHERE nspname = 'sync'`)).rows).toEqual([['0']]);
    await pg.run('DELETE FROM notes');
  });

  it('reports json text that stands for no value, and takes everything that only looks like it', async () => {
    await pg.run(String.raw`INSERT INTO notes (_sync_scope_id, id, raw) VALUES
      ('s', 'nul', '{"a":"x\u0000y"}'), ('s', 'nul after backslash', '"\\\u0000"'), ('s', 'half', '["\ud83d"]'), ('s', 'other half', '"\ude00\ud83d"'),
      ('s', 'fine', '{"a":"\\u0000","b":"\ud83d\ude00","c":"\\\\u0000","d":1}')`);
    const keys = ['half', 'nul', 'nul after backslash', 'other half'].map((key) => ({ scopeId: 's', key }));
    await expect(pg.bootstrap(TABLES, AUTO)).rejects.toMatchObject({
      details: { violations: [{ code: 'adoption_value_unrepresentable', column: 'raw', examples: keys }] },
    });
    const table = describeTable('notes', [describeColumn('raw', 'json', { baseType: 'json' })], { schema: 'public' });
    const { rows } = await pg.query(
      adoptionFaultsSql(table, { versionNumber: 140_000, maxScopeIdBytes: 255, maxBytesPerSnapshotRow: 1000 }),
    );
    expect(rows.map((row) => row[3])).toEqual(keys.map(({ key }) => key));
    await pg.run('DELETE FROM notes');
  });

  it('writes one baseline per scope in the order of a snapshot, and only once', async () => {
    await pg.run(`INSERT INTO notes (_sync_scope_id, id, body) VALUES ('a', 'n2', 'x'), ('a', 'n1', 'y'), ('b', 'n1', 'z'), ('é', 'n', 'q');
      INSERT INTO tags SELECT 'a', '00000000-0000-4000-8000-000000000001'`);
    const results = await Promise.all([pg.bootstrap(TABLES, AUTO), pg.bootstrap(TABLES, AUTO)]);
    expect(results.map(({ adopted }) => adopted.scopes).reduce((sum, count) => sum + count)).toBe(3);
    expect(results.map(({ adopted }) => adopted.rows).reduce((sum, count) => sum + count)).toBe(5);
    expect(await bundles('a')).toEqual([['1', '1', '3', 'oversync-adoption:', '64', 'initialized', '0']]);
    const writer = new BundleWriter(pg, results[0].catalog);
    expect((await writer.rows('a', 1n)).map((row) => [row['table'], row['key'], row['op'], row['row_version']])).toEqual([
      ['notes', { id: 'n1' }, 'INSERT', 1],
      ['notes', { id: 'n2' }, 'INSERT', 1],
      ['tags', { id: '00000000-0000-4000-8000-000000000001' }, 'INSERT', 1],
    ]);
    await expect(pg.bootstrap(TABLES, { ...AUTO, bootstrapPolicy: 'check' })).resolves.toMatchObject({
      adopted: { scopes: 0, rows: 0 },
    });
  });

  it('continues where an interrupted adoption stopped', async () => {
    await pg.run(`CREATE TABLE more (_sync_scope_id text NOT NULL, id text NOT NULL, f float8, PRIMARY KEY (_sync_scope_id, id));
      INSERT INTO more SELECT 'more-' || i, 'k', 1 FROM generate_series(1, 5) AS i`);
    const tables = [...TABLES, { ...NOTES, table: 'more' }];
    const stopAt = 3;
    let scopes = 0;
    const breaking: typeof pg.db = {
      ...pg.db,
      transaction: (begin, fn) => {
        if (begin.settings?.includes(`'more-`) === true && ++scopes > stopAt) throw new Error('power cut');
        return pg.db.transaction(begin, fn);
      },
    };
    await expect(pg.bootstrap(tables, { ...AUTO, database: breaking })).rejects.toThrow('power cut');
    await expect(pg.run(`INSERT INTO more VALUES ('more-1', 'foreign', 1)`)).rejects.toMatchObject({ sqlState: 'OV001' });
    let scans = 0;
    const watched: typeof pg.db = {
      ...pg.db,
      transaction: (begin, fn) =>
        pg.db.transaction(begin, (tx) => {
          const query: typeof tx.query = (sql, params) => {
            scans += sql.includes('adoption_scope_invalid') ? 1 : 0;
            return tx.query(sql, params);
          };
          return fn({
            query,
            script: (sql) => tx.script(sql),
            copyFrom: (sql, chunks) => tx.copyFrom(sql, chunks),
            copyTo: (sql) => tx.copyTo(sql),
          });
        }),
    };
    await expect(pg.bootstrap(tables, { ...AUTO, database: watched })).resolves.toMatchObject({
      adopted: { scopes: 2, rows: 2 },
    });
    expect(scans).toBe(0);
    for (let index = 1; index <= 5; index += 1) expect(await bundles(`more-${String(index)}`)).toHaveLength(1);
  });

  it('makes the baseline of a table that returns complete: known rows as UPDATE, lost ones as DELETE', async () => {
    await pg.bootstrap([TAGS], AUTO);
    await pg.run(`DELETE FROM notes WHERE _sync_scope_id = 'a' AND id = 'n1'; UPDATE notes SET body = 'changed' WHERE _sync_scope_id = 'a';
      INSERT INTO notes (_sync_scope_id, id) VALUES ('a', 'n3'); DELETE FROM notes WHERE _sync_scope_id = 'b'`);
    const { adopted, catalog } = await pg.bootstrap(TABLES, AUTO);
    expect(adopted.scopes).toBe(3);
    const writer = new BundleWriter(pg, catalog);
    expect((await writer.rows('a', 2n)).map((row) => [row['key'], row['op']])).toEqual([
      [{ id: 'n1' }, 'DELETE'],
      [{ id: 'n2' }, 'UPDATE'],
      [{ id: 'n3' }, 'INSERT'],
    ]);
    expect((await writer.rows('b', 2n)).map((row) => [row['key'], row['op']])).toEqual([[{ id: 'n1' }, 'DELETE']]);
  });

  it('keeps only header and versions of a baseline above the bundle limits, and sets the floor onto it', async () => {
    await pg.run(`CREATE TABLE many (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id));
      INSERT INTO many SELECT 'large', i::text FROM generate_series(1, 20) AS i`);
    const { catalog } = await pg.bootstrap([...TABLES, { ...NOTES, table: 'many' }], { ...AUTO, maxRowsPerBundle: 10 });
    expect(await bundles('large')).toEqual([['1', '1', '20', 'oversync-adoption:', '64', 'initialized', '1']]);
    const writer = new BundleWriter(pg, catalog);
    expect(await writer.rows('large', 1n)).toEqual([]);
    expect(await writer.states('large')).toHaveLength(20);
  });

  it('initializes a scope that a client was just seeding: its lease ends', async () => {
    await pg.run(`CREATE TABLE seeded (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id)); INSERT INTO seeded VALUES ('lease', 'k');
      INSERT INTO sync.scope (scope_pk, scope_id, state, lease_source_id, initialization_id, lease_expires_at)
      VALUES (nextval('sync.scope_pk_seq'), 'lease', 'initializing', 'device', gen_random_uuid(), now() + interval '1 hour')`);
    await pg.bootstrap([...TABLES, { ...NOTES, table: 'seeded' }], AUTO);
    const { rows } = await pg.query(`SELECT state, lease_source_id, head FROM sync.scope WHERE scope_id = 'lease'`);
    expect(rows).toEqual([['initialized', null, '1']]);
  });
});
