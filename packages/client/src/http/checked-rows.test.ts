import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { openLocal } from '../store/test-local.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import { CheckedRowReader } from './checked-rows.ts';
import { readSnapshotChunk } from './snapshot-chunk.ts';
import { bodyInPieces } from './test-bodies.ts';

const { schema } = await openLocal(
  `CREATE TABLE items (id TEXT NOT NULL PRIMARY KEY, name TEXT, n INTEGER, r REAL, b BLOB, j TEXT);
  CREATE TABLE files (id BLOB NOT NULL PRIMARY KEY, name TEXT, folder_id BLOB REFERENCES files(id));
  CREATE TABLE pictures (id TEXT NOT NULL PRIMARY KEY, b BLOB);
  CREATE TABLE facts (name TEXT, n INTEGER, id TEXT NOT NULL PRIMARY KEY, r REAL)`,
  {
    tables: [
      { tableName: 'items', syncKeyColumnName: 'id', jsonColumns: ['j'] },
      { tableName: 'files', syncKeyColumnName: 'id' },
      { tableName: 'pictures', syncKeyColumnName: 'id' },
      { tableName: 'facts', syncKeyColumnName: 'id' },
    ],
  },
);

type Outcome = CheckedRow | { readonly code: string; readonly details: unknown } | 'unread';

function outcome(read: () => CheckedRow | 'unread'): Outcome {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || !('details' in error)) throw error;
    return { code: String(error.code), details: error.details };
  }
}

/** What the values of a payload have to be. */
function valuesOf({ table, payload }: CheckedRow): readonly unknown[] {
  const parsed: unknown = JSON.parse(payload ?? '{}');
  const members = new Map<string, unknown>(Object.entries(parsed ?? {}));
  return (schema.tablesByName.get(table)?.columns ?? []).map(({ wireName }) => {
    const value = members.get(wireName);
    return typeof value === 'boolean' ? String(value) : value;
  });
}

/** Reads rows in place where that is possible, as they stand in one body. */
function readAll(rows: readonly string[]): {
  readonly outcomes: readonly Outcome[];
  readonly scanned: number;
  readonly valued: number;
} {
  const reader = new CheckedRowReader(schema, 'bundle');
  const body = rows.join(',');
  let [start, scanned, valued] = [0, 0, 0];
  const outcomes = rows.map((text): Outcome => {
    let found: CheckedRow | 'unread' = 'unread';
    const end = reader.scan(body, start, (row) => {
      const { values, ...others } = row;
      if (values !== undefined) expect(values).toEqual(valuesOf(row));
      if (values !== undefined) valued += 1;
      found = others;
    });
    if (end >= 0) scanned += 1;
    const read = end >= 0 ? outcome(() => found) : outcome(() => reader.read(text));
    if (end >= 0) expect(end).toBe(start + text.length);
    start += text.length + 1;
    return read;
  });
  return { outcomes, scanned, valued };
}

/** The outcome of each row when nothing is known of any other. */
const exact = (rows: readonly string[]): readonly Outcome[] =>
  rows.map((text) => outcome(() => new CheckedRowReader(schema, 'bundle').read(text)));

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('', ' ', 'a"b', '\\', '\\\\"', '\n', '\u0000', '\u007f', '\u2028', '"}', '},{', '日本'),
);
const scalar = fc.oneof(
  text,
  fc.constantFrom('0', '-0', '1', '01', '-7', '9223372036854775807', '9223372036854775808', '1e3', '1.5', '0.1', '-0.0000012'),
  fc.constantFrom(
    '0.0000001',
    '1e-7',
    '1.50',
    '12345678901234.5',
    '123456789012345678.5',
    'NaN',
    'Infinity',
    '5e-324',
    '.5',
    '5.',
  ),
  fc.constantFrom('AAAA', 'AB==', 'AQ==', 'AA', '6c4e5b4a-1111-4222-8333-444455556666'),
  fc.double().map(String),
  fc.bigInt().map(String),
);
const json = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  scalar,
  fc.json({ maxDepth: 2 }).map((value): unknown => JSON.parse(value)),
);
const item = fc
  .record({ id: text, name: json, n: json, r: json, b: json, j: json, extra: json })
  .map((payload) => ({ table: 'items', key: payload.id, payload }));
const plain = fc
  .record({ id: fc.stringMatching(/^[a-z]{1,5}$/), name: text, n: fc.integer().map(String), r: fc.constantFrom('1.5', '-2') })
  .map((row) => ({ table: 'items', key: row.id, payload: { ...row, b: 'AQ==', j: { a: [1, row.name] } } }));
const file = fc.tuple(fc.uuid(), fc.option(fc.oneof(fc.uuid(), scalar))).map(([id, folder]) => ({
  table: 'files',
  key: id,
  payload: { id, name: 'f', folder_id: folder },
}));
const picture = fc
  .tuple(fc.stringMatching(/^[a-z]{1,5}$/), fc.oneof(fc.base64String(), scalar))
  .map(([id, b]) => ({ table: 'pictures', key: id, payload: { id, b } }));
const fact = fc
  .record({
    id: fc.oneof({ weight: 20, arbitrary: fc.stringMatching(/^[a-z]{1,5}$/) }, { weight: 1, arbitrary: text }),
    name: fc.oneof({ weight: 20, arbitrary: text }, { weight: 1, arbitrary: json }),
    n: fc.oneof(
      { weight: 20, arbitrary: fc.maxSafeInteger().map(String) },
      { weight: 2, arbitrary: scalar },
      { weight: 1, arbitrary: json },
    ),
    r: fc.oneof(
      { weight: 20, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map(String) },
      { weight: 1, arbitrary: json },
    ),
  })
  .map((payload) => ({ table: 'facts', key: payload.id, payload }));

const row = fc
  .tuple(
    fc.oneof(
      { weight: 1, arbitrary: item },
      { weight: 5, arbitrary: plain },
      { weight: 2, arbitrary: file },
      { weight: 2, arbitrary: picture },
      { weight: 6, arbitrary: fact },
    ),
    fc.constantFrom('INSERT', 'UPDATE'),
    fc.constantFrom(1, 1, 2, 7, 7, 12, 345, 0),
    fc.constantFrom(false, false, false, false, false, true),
  )
  .map(([{ table, key, payload }, op, version, isEscaped]) => {
    const body = JSON.stringify({ schema: 'main', table, key: { id: key }, op, row_version: version, payload });
    return isEscaped ? body.replaceAll('日', '\\u65e5').replaceAll('a', '\\u0061') : body;
  });

describe('rows read in place', () => {
  it('are the rows, or the errors, that reading each of them exactly gives', () => {
    let [scanned, valued] = [0, 0];
    const property = fc.property(fc.array(row, { minLength: 6, maxLength: 16 }), (rows) => {
      const read = readAll(rows);
      scanned += read.scanned;
      valued += read.valued;
      expect(read.outcomes).toEqual(exact(rows));
    });
    fc.assert(property, { numRuns: 800 });
    expect(scanned).toBeGreaterThan(1000);
    expect(valued).toBeGreaterThan(300);
  });

  it.each([
    ['items', '"n":"12","r":"1.5","b":null,"j":{"k":[1]}'],
    ['facts', '"n":true,"r":"-1.5"'],
  ])('a character changed anywhere in a row of %s gives the same outcome both ways', (table, members) => {
    const good = (id: string) =>
      `{"schema":"main","table":"${table}","key":{"id":"${id}"},"op":"INSERT","row_version":7,"payload":{"id":"${id}","name":"x\\n",${members}}}`;
    const [before, after] = [good('a'), good('b')];
    for (let at = 0; at < after.length; at += 1) {
      for (const other of ['', '"', '\\', '}', '0', ' ', '\u0001']) {
        const changed = after.slice(0, at) + other + after.slice(at + 1);
        expect(readAll([before, changed]).outcomes, changed).toEqual(exact([before, changed]));
      }
    }
  });

  it('[T87] take the bytes that they take in the body, however it is cut', async () => {
    const rowText = (id: string) =>
      `{"schema":"main","table":"items","key":{"id":"${id}"},"row_version":7,"payload":{"id":"${id}","name":"é😀","n":null,"r":null,"b":null,"j":null}}`;
    const rows = ['a', 'bc', 'd', 'efg'].map(rowText);
    const chunk = `{"snapshot_id":"s","snapshot_bundle_seq":7,"rows":[${rows.join(',')}],"next_row_ordinal":4,"has_more":false,"byte_count":9}`;
    const spaced = chunk.replace('}},{', '}} , {');
    const expected = rows.reduce((sum, each) => sum + Buffer.byteLength(each), 0);
    for (let size = 1; size < chunk.length + 9; size += 3) {
      for (const body of [chunk, spaced]) {
        const read = await readSnapshotChunk(bodyInPieces(body, size), schema, 1000);
        expect(read.measuredByteCount).toBe(expected);
        expect(read.rows.map(({ keyJson }) => keyJson)).toEqual(['{"id":"a"}', '{"id":"bc"}', '{"id":"d"}', '{"id":"efg"}']);
      }
    }
    const small = Buffer.byteLength(rowText('efg')) - 1;
    await expect(readSnapshotChunk(bodyInPieces(chunk, 5000), schema, small)).rejects.toMatchObject({
      details: { reason: 'count' },
    });
  });
});
