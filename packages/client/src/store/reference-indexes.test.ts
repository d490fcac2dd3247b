import { expect, test } from 'vitest';

import { INDEXED_ROWS_MIN, withReferenceIndexes } from './reference-indexes.ts';
import { openLocal, query } from './test-local.ts';
import type { Local } from './test-local.ts';

const DDL = `CREATE TABLE nodes (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES nodes(id), twin TEXT REFERENCES nodes(id));
  CREATE INDEX nodes_twin ON nodes(twin);
  CREATE TABLE leaves (id TEXT PRIMARY KEY NOT NULL, node TEXT REFERENCES nodes(id))`;

const indexes = (local: Local): unknown[] =>
  query(local, `SELECT name FROM sqlite_schema WHERE type = 'index' AND name LIKE '\\_oversync%' ESCAPE '\\'`).map(
    (row) => row['name'],
  );

async function during(rowCount: number): Promise<unknown[]> {
  const local = await openLocal(DDL);
  const seen = await local.driver.transaction('immediate', (tx) =>
    withReferenceIndexes(tx, local.schema, rowCount, () => Promise.resolve(indexes(local))),
  );
  expect(indexes(local)).toEqual([]);
  return seen;
}

test('self-references without an index get one while many rows are replaced, and only then', async () => {
  expect(await during(INDEXED_ROWS_MIN)).toEqual(['_oversync_reference_nodes_parent']);
  expect(await during(INDEXED_ROWS_MIN - 1)).toEqual([]);
});

test('a failure takes the index along', async () => {
  const local = await openLocal(DDL);
  const failing = local.driver.transaction('immediate', (tx) =>
    withReferenceIndexes(tx, local.schema, INDEXED_ROWS_MIN, () => Promise.reject(new Error('no'))),
  );
  await expect(failing).rejects.toThrow('no');
  expect(indexes(local)).toEqual([]);
});
