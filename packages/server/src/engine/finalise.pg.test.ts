import { committedRowText, isJsonObject, parseJson, RowHasher } from '@oversync/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { BundleWriter } from '../test-bundles.ts';
import { isPostgresJs } from '../test-driver.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';

const SCHEMA = `
CREATE SCHEMA business;
CREATE TABLE business.users (
  _sync_scope_id text NOT NULL, id uuid NOT NULL, name text, age int4, PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE business.posts (
  _sync_scope_id text NOT NULL, id text NOT NULL, author_id uuid, body text NOT NULL,
  PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT posts_author_fk FOREIGN KEY (_sync_scope_id, author_id) REFERENCES business.users (_sync_scope_id, id)
    ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ON business.posts (_sync_scope_id, author_id);
CREATE TABLE business.docs (_sync_scope_id text NOT NULL, id text NOT NULL, j jsonb, n numeric, f float8, PRIMARY KEY (_sync_scope_id, id));`;

const TABLES = [
  { schema: 'business', table: 'users', syncKeyColumn: 'id' },
  { schema: 'business', table: 'posts', syncKeyColumn: 'id' },
  { schema: 'business', table: 'docs', syncKeyColumn: 'id' },
];

const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

/** The hash as a client recomputes it from the rows that it received. */
function hashOf(rows: readonly Record<string, unknown>[], bundleSeq: bigint): { hash: string; bytes: bigint } {
  const hasher = new RowHasher();
  rows.forEach((row, ordinal) => {
    const parsed = parseJson(JSON.stringify(row), { depthMax: 50 });
    if (!isJsonObject(parsed)) throw new TypeError('not a row');
    const { schema, table, key, op, payload } = parsed;
    if (typeof schema !== 'string' || typeof table !== 'string' || !isJsonObject(key)) throw new TypeError('not a row');
    const content = payload !== undefined && isJsonObject(payload) ? payload : null;
    hasher.addRow(
      committedRowText({ schema, table, key, op: op as 'INSERT', row_version: bundleSeq, payload: content }, ordinal),
    );
  });
  return { hash: hasher.digestHex(), bytes: hasher.byteCount };
}

describe('finaliseBundle', () => {
  let pg: PgFixture;
  let writer: BundleWriter;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(SCHEMA);
    writer = new BundleWriter(pg, (await pg.bootstrap(TABLES)).catalog);
  });
  afterAll(() => pg.close());

  it('turns captured keys into INSERT, UPDATE and DELETE by what was live before and exists now', async () => {
    const scopeId = 'fold';
    const first = await writer.write({ scopeId }, (tx) =>
      tx.script(`INSERT INTO business.users (id, name) VALUES ('${uuid(1)}', 'a'), ('${uuid(2)}', 'b'), ('${uuid(3)}', 'c')`),
    );
    expect(first).toMatchObject({ bundleSeq: 1n, rowCount: 3, retainedBundleFloor: 0n });
    const second = await writer.write({ scopeId }, (tx) =>
      tx.script(`
        UPDATE business.users SET name = name WHERE id = '${uuid(1)}';
        DELETE FROM business.users WHERE id = '${uuid(2)}';
        INSERT INTO business.users (id, name) VALUES ('${uuid(4)}', 'd'), ('${uuid(5)}', 'gone');
        DELETE FROM business.users WHERE id = '${uuid(5)}';
        UPDATE business.users SET id = '${uuid(6)}' WHERE id = '${uuid(3)}'`),
    );
    const rows = await writer.rows(scopeId, 2n);
    expect(rows.map((row) => [(row['key'] as { id: string }).id, row['op']])).toEqual([
      [uuid(1), 'UPDATE'],
      [uuid(2), 'DELETE'],
      [uuid(4), 'INSERT'],
      expect.arrayContaining([uuid(3), 'DELETE']),
      expect.arrayContaining([uuid(6), 'INSERT']),
    ]);
    expect(hashOf(rows, 2n)).toEqual({ hash: second.bundleHash, bytes: second.canonicalBytes });
    expect(await writer.states(scopeId)).toEqual([
      `users ${uuid(1)} 2 false`,
      `users ${uuid(2)} 2 true`,
      `users ${uuid(3)} 2 true`,
      `users ${uuid(4)} 2 false`,
      `users ${uuid(6)} 2 false`,
    ]);
  });

  it('[C11] lists pushed rows by upload ordinal and everything they caused after them', async () => {
    const scopeId = 'order';
    await writer.write({ scopeId }, (tx) =>
      tx.script(`INSERT INTO business.users (id) VALUES ('${uuid(1)}'), ('${uuid(2)}');
        INSERT INTO business.posts (id, author_id, body) VALUES ('p2', '${uuid(1)}', 'x'), ('p1', '${uuid(1)}', 'y')`),
    );
    const push = [
      { table: 'business.posts', op: 'INSERT', key: 'p9' },
      { table: 'business.users', op: 'DELETE', key: uuid(1) },
      { table: 'business.users', op: 'UPDATE', key: uuid(2) },
    ] as const;
    const bundle = await writer.write({ scopeId, push }, async (tx) => {
      await writer.apply(tx, 'business.users', `UPDATE business.users SET name = 'n' WHERE id = '${uuid(2)}'`);
      await writer.apply(tx, 'business.users', `DELETE FROM business.users WHERE id = '${uuid(1)}'`);
      await writer.apply(tx, 'business.posts', `INSERT INTO business.posts (id, body) VALUES ('p9', '"q" <é>')`);
      const captured = await tx.query(`SELECT count(*) FROM sync.capture`);
      expect(captured.rows).toEqual([['2']]);
    });
    const rows = await writer.rows(scopeId, 2n);
    expect(rows.map((row) => [(row['key'] as { id: string }).id, row['op']])).toEqual([
      ['p9', 'INSERT'],
      [uuid(1), 'DELETE'],
      [uuid(2), 'UPDATE'],
      ['p2', 'DELETE'],
      ['p1', 'DELETE'],
    ]);
    expect(bundle.lostRowCount).toBe(0);
    expect(hashOf(rows, 2n)).toEqual({ hash: bundle.bundleHash, bytes: bundle.canonicalBytes });
  });

  it('hashes nested json by its canonical form and sends the digits of the database', async () => {
    const scopeId = 'json';
    const bundle = await writer.write({ scopeId }, (tx) =>
      tx.script(`INSERT INTO business.docs (id, j, n, f) VALUES ('d', '{"b":[1,2.0,1e21,-0],"a":{}}', 1.50, 1e21)`),
    );
    const rows = await writer.rows(scopeId, 1n);
    expect(rows[0]?.['payload']).toEqual({ f: '1e+21', id: 'd', j: { a: {}, b: [1, 2, 1e21, 0] }, n: '1.50' });
    const { rows: texts } = await pg.query(`SELECT row_texts FROM sync.bundle_block WHERE row_texts LIKE '%docs%'`);
    expect(texts[0]?.[0]).toContain('2.0');
    expect(hashOf(rows, 1n)).toEqual({ hash: bundle.bundleHash, bytes: bundle.canonicalBytes });
  });

  it.skipIf(isPostgresJs)(
    '[I15] [P3] [P5] needs the same round trips for ten rows and for ten thousand, without or with nested json',
    async () => {
      const count = async (table: string, rows: number): Promise<number> => {
        let calls = 0;
        await writer.write({ scopeId: `trips ${table} ${String(rows)}` }, async (tx) => {
          await tx.script(`INSERT INTO business.${table} (id${table === 'posts' ? ', body' : ''}) SELECT i::text${table === 'posts' ? ", 'b'" : ''}
          FROM generate_series(1, ${String(rows)}) AS i`);
          const counted = { query: tx.query.bind(tx), run: tx.run?.bind(tx), copyTo: tx.copyTo.bind(tx) };
          tx.query = (...args) => ((calls += 1), counted.query(...args));
          tx.run = (...args) => ((calls += 1), counted.run?.(...args) ?? Promise.reject(new Error('the driver has no run')));
          tx.copyTo = (...args) => ((calls += 1), counted.copyTo(...args));
        });
        return calls;
      };
      const [plain, nested] = [await count('posts', 10), await count('docs', 10)];
      expect([plain, nested]).toEqual([3, 4]);
      expect([await count('posts', 10_000), await count('docs', 10_000)]).toEqual([plain, nested]);
    },
  );
});
