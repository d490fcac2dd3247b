import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { BLOCK_BYTES, BLOCK_ROWS_MAX } from '../store/finalise.sql.ts';
import { BundleWriter } from '../test-bundles.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';

const SCHEMA = `
CREATE SCHEMA business;
CREATE TABLE business.items (_sync_scope_id text NOT NULL, id text NOT NULL, body text, f float8, n numeric, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.docs (_sync_scope_id text NOT NULL, id uuid NOT NULL, j json, PRIMARY KEY (_sync_scope_id, id));`;

const TABLES = ['items', 'docs'].map((table) => ({ schema: 'business', table, syncKeyColumn: 'id' }));

const insertItems = (from: number, to: number, body = `'b'`): string =>
  `INSERT INTO business.items (id, body) SELECT lpad(i::text, 6, '0'), ${body} FROM generate_series(${String(from)}, ${String(to)}) AS i`;

describe('finaliseBundle at its bounds', () => {
  let pg: PgFixture;
  let writer: BundleWriter;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(SCHEMA);
    writer = new BundleWriter(pg, (await pg.bootstrap(TABLES)).catalog);
  });
  afterAll(() => pg.close());

  async function blocks(scopeId: string): Promise<readonly { first: number; rows: number; bytes: number }[]> {
    const { rows } = await pg.query(
      `SELECT b.first_row_ordinal, b.row_count, octet_length(b.row_texts),
         b.row_count = cardinality(b.row_lengths) AND octet_length(b.row_texts) = (SELECT sum(l) + count(*) - 1 FROM unnest(b.row_lengths) l)
       FROM sync.bundle_block b JOIN sync.scope s USING (scope_pk) WHERE s.scope_id = $1 ORDER BY b.bundle_seq, b.first_row_ordinal`,
      [scopeId],
    );
    expect(rows.every((row) => row[3] === 't')).toBe(true);
    return rows.map((row) => ({ first: Number(row[0]), rows: Number(row[1]), bytes: Number(row[2]) }));
  }

  it('cuts blocks by rows, in order and without a gap', async () => {
    const bundle = await writer.write({ scopeId: 'rows' }, (tx) => tx.script(insertItems(1, 1000)));
    const found = await blocks('rows');
    expect(found.map(({ first, rows }) => [first, rows])).toEqual([
      [0, BLOCK_ROWS_MAX],
      [BLOCK_ROWS_MAX, BLOCK_ROWS_MAX],
      [2 * BLOCK_ROWS_MAX, 1000 - 2 * BLOCK_ROWS_MAX],
    ]);
    expect(BigInt(found.reduce((sum, block) => sum + block.bytes, 0) + found.length - 1)).toBe(bundle.wireBytes);
  });

  it('cuts blocks by bytes, so that none grows by more than a row beyond its size', async () => {
    await writer.write({ scopeId: 'bytes' }, (tx) => tx.script(insertItems(1, 20, `repeat('é', 100000)`)));
    const found = await blocks('bytes');
    expect(found.length).toBeGreaterThan(2);
    expect(Math.max(...found.map(({ bytes }) => bytes))).toBeLessThan(BLOCK_BYTES + 210_000);
    expect(found.map(({ first }) => first)).toEqual(
      [...found.keys()].map((index) => found.slice(0, index).reduce((sum, { rows }) => sum + rows, 0)),
    );
  });

  it('computes the same hash and length in the process as in PostgreSQL', async () => {
    const fill = insertItems(1, 900, `repeat('a"\\é', i % 50)`);
    const inSql = await writer.write({ scopeId: 'sql' }, (tx) => tx.script(fill));
    const inProcess = await writer.write({ scopeId: 'process', sqlHashBytesMax: 1000 }, (tx) => tx.script(fill));
    expect(inProcess.bundleHash).toBe(inSql.bundleHash);
    expect(inProcess.canonicalBytes).toBe(inSql.canonicalBytes);
    const removed = `DELETE FROM business.items WHERE id = '000007' AND _sync_scope_id = `;
    const deletedSql = await writer.write({ scopeId: 'sql' }, (tx) => tx.script(`${removed}'sql'`));
    const deletedProcess = await writer.write({ scopeId: 'process', sqlHashBytesMax: 1 }, (tx) =>
      tx.script(`${removed}'process'`),
    );
    expect([deletedProcess.bundleHash, deletedProcess.canonicalBytes]).toEqual([
      deletedSql.bundleHash,
      deletedSql.canonicalBytes,
    ]);
  });

  it.each([
    ['maxRowsPerBundle', { maxRowsPerBundle: 9 }, { name: 'maxRowsPerBundle', limit: 9, actual: 10 }],
    ['maxBytesPerBundle', { maxBytesPerBundle: 500 }, { name: 'maxBytesPerBundle', limit: 500, actual: expect.any(Number) }],
    [
      'maxBytesPerSnapshotRow',
      { maxBytesPerSnapshotRow: 100 },
      { name: 'maxBytesPerSnapshotRow', limit: 100, actual: expect.any(Number) },
    ],
  ])('[S3] refuses a bundle above %s and keeps nothing of it', async (_name, options, limit_exceeded) => {
    const write = writer.write({ scopeId: 'limited', options }, (tx) => tx.script(insertItems(1, 10)));
    await expect(write).rejects.toMatchObject({ code: 'push_commit_invalid', details: { limit_exceeded } });
    expect((await pg.query(`SELECT count(*) FROM sync.scope WHERE scope_id = 'limited'`)).rows).toEqual([['0']]);
    expect((await pg.query(`SELECT count(*) FROM business.items WHERE _sync_scope_id = 'limited'`)).rows).toEqual([['0']]);
  });

  it('[S3] measures a row as the snapshot sends it', async () => {
    const bundle = { scopeId: 'measure' };
    await writer.write(bundle, (tx) => tx.script(insertItems(1, 1, `'é'`)));
    const rows = await writer.rows('measure', 1n);
    const { op: _op, ...snapshotRow } = rows[0] ?? {};
    const bytes = new TextEncoder().encode(JSON.stringify(snapshotRow)).length;
    const update = (limit: number): Promise<unknown> =>
      writer.write({ ...bundle, options: { maxBytesPerSnapshotRow: limit } }, (tx) =>
        tx.script(`UPDATE business.items SET f = NULL WHERE _sync_scope_id = 'measure'`),
      );
    await expect(update(bytes - 1)).rejects.toMatchObject({ details: { limit_exceeded: { actual: bytes } } });
    await expect(update(bytes)).resolves.toBeDefined();
  });

  it.each([
    ['NaN', `INSERT INTO business.items (id, f) VALUES ('bad', 'NaN')`, 'f', ':bad'],
    ['an infinite numeric', `INSERT INTO business.items (id, n) VALUES ('bad', '-Infinity')`, 'n', ':bad'],
    ['a blank key', `INSERT INTO business.items (id) VALUES (E' \\u00a0\\t')`, 'id', ': \u00a0\t'],
  ])('refuses %s with the names of table and column', async (_name, sql, column, detail) => {
    const write = writer.write({ scopeId: 'bad' }, (tx) => tx.script(sql));
    await expect(write).rejects.toMatchObject({ sqlState: 'OV002', schema: 'business', table: 'items', column, detail });
  });

  it('names the ordinal of a pushed row that cannot be represented', async () => {
    const push = [
      { table: 'business.items', op: 'INSERT', key: 'fine' },
      { table: 'business.items', op: 'INSERT', key: 'bad' },
    ] as const;
    const write = writer.write({ scopeId: 'bad', push }, (tx) =>
      writer.apply(tx, 'business.items', `INSERT INTO business.items (id, f) VALUES ('fine', 1), ('bad', 'Infinity')`),
    );
    await expect(write).rejects.toMatchObject({ sqlState: 'OV002', column: 'f', detail: '1:bad' });
  });

  it('refuses a json number outside binary64', async () => {
    const key = '00000000-0000-4000-8000-000000000001';
    const push = [{ table: 'business.docs', op: 'INSERT', key }] as const;
    const write = writer.write({ scopeId: 'bad', push }, (tx) =>
      writer.apply(tx, 'business.docs', `INSERT INTO business.docs (id, j) VALUES ('${key}', '{"a":[1e400]}')`),
    );
    await expect(write).rejects.toMatchObject({
      code: 'push_commit_invalid',
      details: {
        violation: {
          kind: 'not_representable',
          category: 'non_finite',
          schema: 'business',
          table: 'docs',
          column: 'j',
          row_ordinal: 0,
          key: { id: key },
        },
      },
    });
  });

  describe('retention', () => {
    async function commit(scopeId: string, count: number, options = {}): Promise<readonly bigint[]> {
      const floors: bigint[] = [];
      for (let index = 0; index < count; index += 1) {
        const bundle = await writer.write({ scopeId, options }, (tx) =>
          tx.query(`INSERT INTO business.items (id) VALUES (gen_random_uuid()::text)`),
        );
        floors.push(bundle.retainedBundleFloor);
      }
      return floors;
    }

    it('[P11] moves the floor with the head and deletes nothing', async () => {
      expect(await commit('count', 5, { retainedBundlesPerScope: 2 })).toEqual([0n, 0n, 1n, 2n, 3n]);
      const { rows } = await pg.query(
        `SELECT count(*) FROM sync.bundle b JOIN sync.scope s USING (scope_pk) WHERE s.scope_id = 'count'`,
      );
      expect(rows).toEqual([['5']]);
    });

    it('[O8] moves it by at most one batch, and not at all when retention is off', async () => {
      expect(await commit('off', 4, { retainedBundlesPerScope: null })).toEqual([0n, 0n, 0n, 0n]);
      expect(await commit('off', 2, { retainedBundlesPerScope: 1, retentionPruneBatchSize: 2 })).toEqual([2n, 4n]);
    });

    it('[O8] moves it by bytes and by age, never onto the new bundle', async () => {
      const one = (
        await writer.write({ scopeId: 'size' }, (tx) =>
          tx.query(`INSERT INTO business.items (id) VALUES (gen_random_uuid()::text)`),
        )
      ).wireBytes;
      const limit = Number(one) * 2 + 10;
      expect(await commit('size', 3, { retainedBundleBytesPerScope: limit })).toEqual([0n, 1n, 2n]);
      expect(await commit('size', 1, { retainedBundleBytesPerScope: 0 })).toEqual([4n]);
      expect(await commit('age', 3, { retainedBundleAgeMs: 3_600_000 })).toEqual([0n, 0n, 0n]);
      await pg.run(
        `UPDATE sync.bundle b SET committed_at = now() - interval '2 hours' FROM sync.scope s WHERE s.scope_pk = b.scope_pk AND s.scope_id = 'age' AND bundle_seq < 3`,
      );
      expect(await commit('age', 1, { retainedBundleAgeMs: 3_600_000 })).toEqual([2n]);
      expect(await commit('none', 1, { retainedBundlesPerScope: 0 })).toEqual([0n]);
    });
  });
});
