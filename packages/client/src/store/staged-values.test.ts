import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import * as fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';

import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { NodeSqliteDriver } from '../drivers/node-sqlite.ts';
import { readSnapshotChunk } from '../http/snapshot-chunk.ts';
import { bodyInPieces } from '../http/test-bodies.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { applyBundles } from './apply-bundles.ts';
import { loadClientState, saveLifecycle } from './client-state.ts';
import { openLocalSchema } from './open-local-schema.ts';
import { applySnapshot } from './snapshot-apply.ts';
import { StageFileWriter } from './stage-file-writer.ts';
import { createStageFile, removeStageFile } from './stage-file.ts';
import { APPLY, countingRandom } from './test-local.ts';

const folder = mkdtempSync(join(tmpdir(), 'oversync-values-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TABLES = `
CREATE TABLE folders (id BLOB NOT NULL PRIMARY KEY, parent_id BLOB REFERENCES folders(id), title TEXT);
CREATE TABLE notes (size INTEGER, Name TEXT, id TEXT NOT NULL PRIMARY KEY, weight REAL, done BOOLEAN, tag VARCHAR(20));
CREATE TABLE files (id TEXT NOT NULL PRIMARY KEY, body BLOB, meta TEXT)`;
const CONFIG = [
  { tableName: 'folders', syncKeyColumnName: 'id' },
  { tableName: 'notes', syncKeyColumnName: 'id' },
  { tableName: 'files', syncKeyColumnName: 'id', jsonColumns: ['meta'] },
];

let count = 0;

async function openDevice(): Promise<{ readonly driver: NodeSqliteDriver; readonly schema: LocalSchema }> {
  const driver = createNodeSqliteDriver(join(folder, `${(count += 1)}.db`));
  driver.database.exec(`PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; ${TABLES}`);
  const config = { schema: 'main', tables: CONFIG, pragmas: { journalMode: 'unchanged' } } as const;
  const { schema } = await openLocalSchema(driver, config, countingRandom());
  const { sourceId } = (await loadClientState(driver)).lifecycle;
  await driver.transaction('immediate', (tx) =>
    saveLifecycle(tx, 'main', {
      name: 'attached',
      sourceId,
      userId: 'user-1',
      lastBundleSeqSeen: 0n,
      initializationId: null,
      staged: null,
    }),
  );
  return { driver, schema };
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 8 }).filter((value) => !value.includes('\u0000')),
  fc.constantFrom('', 'true', 'null', '7', "'; --", '"', '\\', '\n\t', '\u007f', 'é日本'),
);
const integer = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String), fc.constantFrom('0', '1'));
const real = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? '0' : String(value)));
const orNull = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { freq: 6 });
const note = fc
  .record({
    id: fc.integer({ min: 0, max: 99 }).map((value) => `n${value}`),
    name: orNull(text),
    size: orNull(integer),
    weight: orNull(real),
    done: orNull(fc.oneof(fc.boolean(), fc.constantFrom('0', '1'))),
    tag: orNull(text),
  })
  .map((payload) => ({ table: 'notes', payload }));
const aFolder = fc
  .record({ id: fc.uuid(), parent_id: fc.constant(null), title: orNull(text) })
  .map((payload) => ({ table: 'folders', payload }));
const aFile = fc
  .record({
    id: text.filter((value) => /^[!-~]+$/.test(value)),
    body: orNull(fc.constantFrom('', 'AQID')),
    meta: orNull(fc.json().map((value): unknown => JSON.parse(value))),
  })
  .filter(({ meta }) => !JSON.stringify(meta).includes('\\u0000'))
  .map((payload) => ({ table: 'files', payload }));
/** A member that no column takes makes the server's row more than its values. */
const anOddNote = note.map(({ table, payload }) => ({ table, payload: { ...payload, extra: '1' } }));
const someRows = fc.uniqueArray(fc.oneof({ weight: 6, arbitrary: note }, { weight: 2, arbitrary: aFolder }, aFile, anOddNote), {
  selector: ({ table, payload }) => `${table} ${payload.id}`,
  minLength: 3,
  maxLength: 14,
});
type Generated = typeof someRows extends fc.Arbitrary<infer T> ? T : never;

/** As they are when they have been read; most of them with values. */
async function readRows(schema: LocalSchema, generated: Generated): Promise<readonly CheckedRow[]> {
  const texts = generated.map(({ table, payload }, index) =>
    JSON.stringify({ schema: 'main', table, key: { id: payload.id }, row_version: index < 4 ? 3 : index, payload }),
  );
  const chunk = `{"snapshot_id":"s","snapshot_bundle_seq":9,"rows":[${texts.join(',')}],"next_row_ordinal":${texts.length},"has_more":false,"byte_count":9}`;
  return (await readSnapshotChunk(bodyInPieces(chunk, 100_000), schema, 1_000_000)).rows;
}

const withoutValues = (rows: readonly CheckedRow[]): readonly CheckedRow[] => rows.map((row) => ({ ...row, values: undefined }));

function contents(driver: NodeSqliteDriver): unknown {
  const all = (sql: string): unknown[] => {
    const statement = driver.database.prepare(sql);
    statement.setReadBigInts(true);
    return statement.all().map((row) => ({ ...row }));
  };
  const images = all('SELECT table_name, key_json, server_row_version, server_payload FROM _oversync_row_bases ORDER BY 1, 2');
  return [
    all('SELECT *, typeof(size), typeof(weight), typeof(done) FROM notes ORDER BY id'),
    all('SELECT hex(id), hex(parent_id), title FROM folders ORDER BY 1'),
    all('SELECT id, hex(body), meta FROM files ORDER BY id'),
    all('SELECT table_name, key_json, row_version, deleted FROM _sync_row_state ORDER BY 1, 2'),
    all('SELECT table_name, key_json, op, base_row_version, payload FROM _sync_dirty_rows ORDER BY dirty_ordinal'),
    images.map((image) => withParsed(image)),
  ];
}

/** The members of an image may be in another order. */
function withParsed(image: unknown): unknown {
  if (typeof image !== 'object' || image === null || !('server_payload' in image)) return image;
  return { ...image, server_payload: JSON.parse(String(image.server_payload)) };
}

async function rebuildFrom(driver: NodeSqliteDriver, schema: LocalSchema, rows: readonly CheckedRow[]): Promise<unknown> {
  const file = driver.platform?.stageFile;
  if (file === undefined || !(await createStageFile(driver, file, schema))) throw new Error('no stage');
  const facts = { snapshotId: 's', rowCount: BigInt(rows.length) };
  const writer = new StageFileWriter(driver, schema);
  await writer.begin();
  await writer.endChunk(rows);
  await writer.complete(facts);
  const pinned = await loadClientState(driver);
  const session = { ...facts, bundleSeq: 20n, byteCount: 0n, isComplete: true };
  const target = { userId: 'user-1', sourceId: pinned.lifecycle.sourceId };
  const result = await applySnapshot(
    driver,
    schema,
    { ...APPLY, pinned, session, target, page: { rowsMax: 3, bytesMax: 1e6 } },
    'file',
  );
  await removeStageFile(driver, file);
  return result;
}

describe('rows whose values are at hand', () => {
  test('are rebuilt, with unsent edits of some of them, as those that are kept as payloads', async () => {
    let valued = 0;
    const property = fc.asyncProperty(someRows, fc.integer({ min: 0, max: 14 }), async (generated, edited) => {
      const outcomes: unknown[] = [];
      for (const hasValues of [true, false]) {
        const { driver, schema } = await openDevice();
        const rows = await readRows(schema, generated);
        const insert = driver.database.prepare('INSERT INTO notes (id, name) VALUES (?, ?) ON CONFLICT DO NOTHING');
        for (const { table, payload } of generated.slice(0, edited)) if (table === 'notes') insert.run(payload.id, 'mine');
        valued += rows.filter((row) => row.values !== undefined && hasValues).length;
        const result = await rebuildFrom(driver, schema, hasValues ? rows : withoutValues(rows));
        outcomes.push([result, contents(driver)]);
        driver.close();
      }
      expect(outcomes[0]).toEqual(outcomes[1]);
    });
    await fc.assert(property, { numRuns: 60 });
    expect(valued).toBeGreaterThan(50);
  });

  test('are pulled as those that come as payloads', async () => {
    const property = fc.asyncProperty(someRows, async (generated) => {
      const outcomes: unknown[] = [];
      for (const hasValues of [true, false]) {
        const { driver, schema } = await openDevice();
        const rows = await readRows(schema, generated);
        const result = await applyBundles(
          driver,
          schema,
          [{ bundleSeq: 1n, rows: hasValues ? rows : withoutValues(rows) }],
          APPLY,
        );
        outcomes.push([result, contents(driver)]);
        driver.close();
      }
      expect(outcomes[0]).toEqual(outcomes[1]);
    });
    await fc.assert(property, { numRuns: 60 });
  });

  test('[T89] a key that comes once as values and once as a payload is refused', async () => {
    const { driver, schema } = await openDevice();
    const [first, ...others] = await readRows(
      schema,
      ['a', 'b', 'c'].map((id) => ({
        table: 'notes',
        payload: { id, name: '', size: null, weight: null, done: true, tag: null },
      })),
    );
    expect([first?.values, others.every((row) => row.values !== undefined)]).toEqual([undefined, true]);
    const again = withoutValues(others.slice(0, 1));
    await expect(
      rebuildFrom(driver, schema, [...(first === undefined ? [] : [first]), ...others, ...again]),
    ).rejects.toMatchObject({
      code: 'protocol_violation',
      details: { reason: 'identity' },
    });
    driver.close();
  });
});
