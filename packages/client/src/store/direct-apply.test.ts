import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import { checkIncomingRows } from '../rules/check-incoming.ts';
import type { IncomingRow } from '../rules/incoming-row.ts';
import { applyBundles } from './apply-bundles.ts';
import { stageBundleRows } from './bundle-stage.ts';
import type { PulledBundle } from './store-types.ts';
import { APPLY, openAttached, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';

const TABLES = `
CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, photo BLOB);
CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent_id TEXT REFERENCES parents(id) ON DELETE CASCADE, note TEXT, amount REAL)`;

/** What was run on the database, with statements as the driver got them. */
function watched(inner: SqliteDriver, seen: string[]): SqliteDriver {
  return {
    databaseId: () => inner.databaseId(),
    exec: (sql) => inner.exec(sql),
    run: (sql, params) => inner.run(sql, params),
    all: (sql, params) => inner.all(sql, params),
    transaction: (mode, fn) =>
      inner.transaction(mode, (tx) => {
        const own: SqliteTx = {
          exec: (sql) => (seen.push(sql), tx.exec(sql)),
          run: (sql, params) => (seen.push(sql), tx.run(sql, params)),
          all: (sql, params) => (seen.push(sql), tx.all(sql, params)),
          ...(tx.runMany === undefined
            ? {}
            : { runMany: (sql: string, rows) => (seen.push(sql), tx.runMany?.(sql, rows) ?? Promise.resolve()) }),
        };
        return fn(own);
      }),
  };
}

const usesPage = (seen: readonly string[]): boolean => seen.some((sql) => sql.includes('_oversync_page'));

/** Makes every row go through the page: an image of a key that never comes counts as pending. */
function addIdleBase({ driver }: Local): void {
  driver.database.exec(`INSERT INTO _oversync_row_bases(schema_name, table_name, key_json, base_row_version)
    VALUES ('main', 'parents', '{"id":"never"}', 0)`);
}

function contents(local: Local): unknown {
  return [
    query(local, 'SELECT id, name, hex(photo) AS photo FROM parents ORDER BY id'),
    query(local, 'SELECT * FROM children ORDER BY id'),
    query(local, 'SELECT table_name, key_json, row_version, deleted FROM _sync_row_state ORDER BY 1, 2'),
    query(local, 'SELECT count(*) AS dirty FROM _sync_dirty_rows'),
    query(local, 'SELECT table_name, key_json, code FROM _oversync_quarantine ORDER BY 1, 2'),
    query(local, 'SELECT last_bundle_seq_seen, rebuild_required FROM _sync_attachment_state'),
  ];
}

const key = fc.constantFrom('a', 'b', 'c', 'd');
const version = fc.bigInt(1n, 6n);
const aRow: fc.Arbitrary<IncomingRow> = fc.oneof(
  fc
    .record({ id: key, version, name: fc.constantFrom(null, 'x', 'y', 'ä"\\'), photo: fc.constantFrom(null, 'AQID', '') })
    .map(({ id, version: rowVersion, name, photo }) => serverRow('parents', id, rowVersion, { name, photo })),
  fc
    .record({
      id: key,
      version,
      parent_id: fc.option(key),
      note: fc.constantFrom(null, '', 'n'),
      amount: fc.constantFrom('0', '-1.5', '1e+300'),
    })
    .map(({ id, version: rowVersion, ...row }) => serverRow('children', id, rowVersion, row)),
  fc
    .record({ id: key, version, table: fc.constantFrom('parents', 'children') })
    .map((row) => serverRow(row.table, row.id, row.version, null)),
);
/** Mostly without deletes, so that both ways are taken often. */
const someBundles = fc.array(
  fc.record({ rows: fc.array(aRow, { maxLength: 5 }), keepsDeletes: fc.integer({ min: 0, max: 3 }), isStaged: fc.boolean() }),
  { minLength: 1, maxLength: 6 },
);
type Generated = typeof someBundles extends fc.Arbitrary<infer T> ? T : never;

async function bundlesOf(local: Local, generated: Generated): Promise<PulledBundle[]> {
  const bundles: PulledBundle[] = [];
  for (const [index, { rows, keepsDeletes, isStaged }] of generated.entries()) {
    const bundleSeq = BigInt(index + 1);
    const kept = rows.filter((row) => row.op !== 'DELETE' || keepsDeletes === 0);
    const checked = checkIncomingRows(local.schema, kept);
    bundles.push(isStaged ? { bundleSeq, staged: true } : { bundleSeq, rows: checked });
    if (isStaged) await local.driver.transaction('immediate', (tx) => stageBundleRows(tx, bundleSeq, 0, checked));
  }
  return bundles;
}

describe('pulled rows of which nothing is pending', () => {
  test('go straight to their tables', async () => {
    for (const isStaged of [false, true]) {
      const local = await openAttached(TABLES);
      const seen: string[] = [];
      const rows = checkIncomingRows(local.schema, [serverRow('children', 'c', 1n, { parent_id: null, note: 'n', amount: '2' })]);
      if (isStaged) await local.driver.transaction('immediate', (tx) => stageBundleRows(tx, 1n, 0, rows));
      const bundles: PulledBundle[] = isStaged ? [{ bundleSeq: 1n, staged: true }] : [{ bundleSeq: 1n, rows }];
      const result = await applyBundles(watched(local.driver, seen), local.schema, bundles, APPLY);
      expect(result).toMatchObject({ appliedBundleCount: 1, tables: ['children'], stopped: null });
      expect(usesPage(seen)).toBe(false);
      expect(query(local, 'SELECT id, note, amount FROM children')).toEqual([{ id: 'c', note: 'n', amount: 2 }]);
      const again = await applyBundles(local.driver, local.schema, bundles, APPLY);
      expect(again.tables).toEqual([]);
    }
  });

  test('end as they do by way of the page, whatever they are', async () => {
    let direct = 0;
    await fc.assert(
      fc.asyncProperty(someBundles, async (generated) => {
        const outcomes: unknown[] = [];
        for (const isPaged of [false, true]) {
          const local = await openAttached(TABLES);
          if (isPaged) addIdleBase(local);
          const seen: string[] = [];
          const bundles = await bundlesOf(local, generated);
          const result = await applyBundles(watched(local.driver, seen), local.schema, bundles, APPLY);
          if (!isPaged && !usesPage(seen)) direct += 1;
          outcomes.push([{ ...result, tables: [...result.tables].toSorted() }, contents(local)]);
          local.driver.close();
        }
        expect(outcomes[0]).toEqual(outcomes[1]);
      }),
      { numRuns: 150 },
    );
    expect(direct).toBeGreaterThan(1);
  });
});
