import { createSha256, isSyncError, parseJson, requestRowText, stringifyJson } from '@oversync/protocol';
import type { JsonObject, JsonOutput } from '@oversync/protocol';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { readPushChunk } from './push-chunk-reader.ts';
import type { PushChunk } from './push-chunk-reader.ts';
import { createCatalog, describeColumn, describeTable } from './test-table.ts';

const USERS = describeTable('users', [
  describeColumn('name', 'text', { notNull: true }),
  describeColumn('age', 'integer'),
  describeColumn('active', 'boolean', { notNull: true, hasDefault: true }),
  describeColumn('initials', 'text', { isGenerated: true }),
]);
const DEVICES = describeTable('devices', [describeColumn('owner', 'text')], {
  tableId: 2,
  keyKind: 'uuid',
  schema: 'public',
  name: 'public.devices',
});
const DOCS = describeTable('docs', [describeColumn('j', 'json'), describeColumn('10', 'text'), describeColumn('9', 'text')], {
  tableId: 3,
});
const CATALOG = createCatalog(USERS, DEVICES, DOCS);
const UUID = '2f2d3f7a-cd1f-42b9-8d08-c4d2b45d9f88';

function read(rows: JsonOutput, start: JsonOutput = 0, limits: { rowsMax?: number; rowBytesMax?: number } = {}): PushChunk {
  const body = parseJson(stringifyJson({ start_row_ordinal: start, rows }), { depthMax: 100 });
  return readPushChunk(body, { catalog: CATALOG, scopeId: 'scope "1"', rowsMax: 3, rowBytesMax: 4000, ...limits });
}

/** Code and details of the refusal. */
function refusal(fn: () => unknown): unknown {
  try {
    fn();
  } catch (error) {
    if (isSyncError(error)) return { code: error.code, ...error.details };
    throw error;
  }
  return 'accepted';
}

function user(facts: Record<string, JsonOutput> = {}): { readonly [name: string]: JsonOutput } {
  const payload = { id: 'u1', name: 'Ada', age: '36' };
  return { schema: 'business', table: 'users', key: { id: 'u1' }, op: 'INSERT', base_row_version: 0, payload, ...facts };
}

function violation(kind: string, facts: Record<string, unknown> = {}): unknown {
  return {
    code: 'push_chunk_invalid',
    violation: { kind, schema: 'business', table: 'users', row_ordinal: 0, key: { id: 'u1' }, ...facts },
  };
}

describe('a chunk', () => {
  it('is read into rows with absolute ordinals', () => {
    const { startRowOrdinal, rows } = read(
      [user(), user({ key: { id: 'u2' }, op: 'DELETE', base_row_version: 4, payload: null })],
      7,
    );
    expect(startRowOrdinal).toBe(7);
    expect(rows).toEqual([
      {
        rowOrdinal: 7,
        table: USERS,
        op: 'INSERT',
        keyText: 'u1',
        baseRowVersion: '0',
        columnSet: 'le',
        canonicalText:
          '{"base_row_version":"0","key":{"id":"u1"},"op":"INSERT","payload":{"age":"36","id":"u1","name":"Ada"},"row_ordinal":"7","schema":"business","table":"users"}',
        applyText: '("scope ""1""","u1","Ada",36,,)',
      },
      {
        rowOrdinal: 8,
        table: USERS,
        op: 'DELETE',
        keyText: 'u2',
        baseRowVersion: '4',
        columnSet: '',
        canonicalText:
          '{"base_row_version":"4","key":{"id":"u2"},"op":"DELETE","payload":null,"row_ordinal":"8","schema":"business","table":"users"}',
        applyText: null,
      },
    ]);
  });

  it('takes names and op in any case, an absent schema as public, and null as absent', () => {
    const { rows } = read([
      user({ schema: ' Business ', table: 'USERS', op: 'insert', base_row_version: null }),
      { table: 'devices', key: { id: UUID }, op: 'delete', payload: null },
    ]);
    expect(rows.map((row) => [row.table.name, row.op, row.baseRowVersion])).toEqual([
      ['business.users', 'INSERT', '0'],
      ['public.devices', 'DELETE', '0'],
    ]);
    expect(rows[0]?.canonicalText).toContain('"schema":"business","table":"users"');
  });

  it('[C2] keeps a base version beyond 2^53', () => {
    const { rows } = read([user({ op: 'UPDATE', base_row_version: 9223372036854775807n })]);
    expect(rows[0]?.baseRowVersion).toBe('9223372036854775807');
    expect(rows[0]?.canonicalText).toContain('"base_row_version":"9223372036854775807"');
  });

  it('adds the key to a payload without it, after the canonical text', () => {
    const { rows } = read([user({ payload: { name: 'Ada' } })]);
    expect(rows[0]?.canonicalText).toContain('"payload":{"name":"Ada"}');
    expect(rows[0]?.applyText).toBe('("scope ""1""","u1","Ada",,,)');
    expect(rows[0]?.columnSet).toBe('l6');
  });

  it('sets exactly the columns that it names: the key only on INSERT, a generated column never', () => {
    const { rows } = read([
      user({ op: 'UPDATE', payload: { id: 'u1', age: null, initials: 'ignored' } }),
      user({ op: 'UPDATE', key: { id: 'u2' }, payload: {} }),
    ]);
    expect(rows.map((row) => row.columnSet)).toEqual(['l8', 'l0']);
    expect(rows[0]?.applyText).toBe('("scope ""1""","u1",,,,)');
  });

  it.each([
    ['an array', []],
    ['a row that is no object', { rows: [1] }],
    ['rows that are no array', { rows: {} }],
    ['a start that is a string', { start_row_ordinal: '0', rows: [] }],
    ['a table that is a number', { rows: [{ table: 1 }] }],
    ['a base version that is a string', { rows: [{ ...user(), base_row_version: '0' }] }],
  ] as const)('with %s is a malformed request', (_, body) => {
    const parsed = parseJson(stringifyJson(body), { depthMax: 100 });
    expect(refusal(() => readPushChunk(parsed, { catalog: CATALOG, scopeId: 's', rowsMax: 3, rowBytesMax: 4000 }))).toEqual({
      code: 'invalid_request',
    });
  });

  it('without rows, with too many, or with a negative start is refused', () => {
    expect(refusal(() => read([]))).toEqual({ code: 'push_chunk_invalid' });
    expect(refusal(() => read([user()], -1))).toEqual({ code: 'push_chunk_invalid' });
    expect(refusal(() => read([user(), user(), user(), user()]))).toEqual({
      code: 'push_chunk_invalid',
      limit_exceeded: { name: 'maxRowsPerPushChunk', limit: 3, actual: 4 },
    });
  });

  it('[S1] with a row above the snapshot limit of a row is refused by its bytes', () => {
    const payload = { id: 'u1', name: 'é'.repeat(40) };
    expect(refusal(() => read([user({ payload })], 0, { rowBytesMax: 100 }))).toEqual({
      code: 'push_chunk_invalid',
      limit_exceeded: { name: 'maxBytesPerSnapshotRow', limit: 100, actual: 101 },
    });
    expect(read([user({ payload })], 0, { rowBytesMax: 101 }).rows).toHaveLength(1);
  });

  it.each([
    ['an unknown table', user({ table: 'nobody' }), violation('table', { table: 'nobody', key: undefined })],
    ['an unknown op', user({ op: 'UPSERT' }), violation('payload', { key: undefined })],
    ['a key of two members', user({ key: { id: 'u1', x: 'y' } }), violation('key', { key: undefined })],
    ['a key of another name', user({ key: { ID: 'u1' } }), violation('key', { key: undefined })],
    ['a key that is no string', user({ key: { id: 1 } }), violation('key', { key: undefined })],
    ['a blank key', user({ key: { id: ' \u00a0' } }), violation('key', { key: undefined })],
    ['a key with U+0000', user({ key: { id: 'a\0' } }), violation('key', { key: undefined })],
    ['no key', user({ key: null }), violation('key', { key: undefined })],
    ['a negative base version', user({ base_row_version: -1 }), violation('payload')],
    ['no payload', user({ payload: null }), violation('payload')],
    ['a payload that is no object', user({ payload: [] }), violation('payload')],
    ['a DELETE with a payload', user({ op: 'DELETE' }), violation('payload')],
    ['an unknown column', user({ payload: { name: 'x', nope: '1' } }), violation('unknown_column', { column: 'nope' })],
    [
      'the hidden column',
      user({ payload: { name: 'x', _sync_scope_id: 's' } }),
      violation('unknown_column', { column: '_sync_scope_id' }),
    ],
    ['another key in the payload', user({ payload: { id: 'u2', name: 'x' } }), violation('payload', { column: 'id' })],
    ['an INSERT without a required column', user({ payload: { id: 'u1' } }), violation('not_null', { column: 'name' })],
    ['NULL in a required column', user({ op: 'UPDATE', payload: { name: null } }), violation('not_null', { column: 'name' })],
    [
      'NULL in a required column with a default',
      user({ payload: { name: 'x', active: null } }),
      violation('not_null', { column: 'active' }),
    ],
    ['U+0000 in a text', user({ payload: { name: 'a\0' } }), violation('nul_character', { column: 'name' })],
    [
      'U+0000 in an ignored value',
      user({ payload: { name: 'a', initials: '\0' } }),
      violation('nul_character', { column: 'initials' }),
    ],
    [
      'a JSON number',
      user({ payload: { name: 'x', age: 36 } }),
      violation('number_format', { column: 'age', category: 'legacy_json_number' }),
    ],
    [
      'a number out of range',
      user({ payload: { name: 'x', age: '2147483648' } }),
      violation('out_of_range', { column: 'age', category: 'out_of_range' }),
    ],
  ])('with %s names the rule, the row and the column', (_, row, expected) => {
    const found = refusal(() => read([row]));
    expect(found).toEqual(JSON.parse(JSON.stringify(expected)));
  });

  it('with a uuid key in another spelling is refused', () => {
    const device = (id: string): JsonOutput => ({ table: 'devices', key: { id }, op: 'INSERT', payload: {} });
    expect(read([device(UUID)]).rows).toHaveLength(1);
    for (const id of [UUID.toUpperCase(), UUID.replaceAll('-', ''), `{${UUID}}`, '']) {
      expect(refusal(() => read([device(id)]))).toMatchObject({ violation: { kind: 'key' } });
    }
  });

  it('with the same row twice names the second one', () => {
    expect(
      refusal(() => read([user(), user({ key: { id: 'u2' }, payload: { name: 'x' } }), user({ op: 'DELETE', payload: null })])),
    ).toEqual(violation('duplicate_row', { row_ordinal: 2 }));
  });

  it('with the same key in two tables is fine', () => {
    const doc = { schema: 'business', table: 'docs', key: { id: 'u1' }, op: 'INSERT', payload: {} };
    expect(read([user(), doc]).rows).toHaveLength(2);
  });

  it('reports the first failing row', () => {
    expect(refusal(() => read([user(), user({ key: { id: 'u2' }, payload: {} }), user({ table: 'nobody' })], 40))).toEqual(
      violation('not_null', { column: 'name', row_ordinal: 41, key: { id: 'u2' } }),
    );
  });

  it('never echoes a name or key that would not fit into an error body', () => {
    expect(refusal(() => read([user({ table: 'x'.repeat(100_000) })]))).toMatchObject({ violation: { table: '' } });
    const long = user({ key: { id: 'k'.repeat(100_000) }, payload: [] });
    expect(refusal(() => read([long]))).not.toHaveProperty('violation.key');
  });

  it('gives the canonical text of the protocol, nested json and odd column names included', () => {
    const payload: JsonObject = { j: { '\ue000': 1, '\u{1F600}': 2, a: [] }, '9': 'x', '10': '<>&\u2028', id: 'd<1>' };
    const { rows } = read([
      { schema: 'business', table: 'docs', key: { id: 'd<1>' }, op: 'UPDATE', base_row_version: 3, payload },
    ]);
    const row = { schema: 'business', table: 'docs', key: { id: 'd<1>' }, op: 'UPDATE', base_row_version: 3n, payload } as const;
    expect(rows[0]?.canonicalText).toBe(requestRowText(row, 0));
  });

  it('gives the same canonical text for every order of the members', () => {
    const text = fc.string({ unit: 'grapheme' }).filter((value) => !value.includes('\0'));
    const payloads = fc.record(
      { id: fc.constant('k'), name: text, age: fc.constantFrom(null, '5'), initials: text },
      { requiredKeys: ['name'] },
    );
    fc.assert(
      fc.property(payloads, fc.integer(), (payload, seed) => {
        const names = Object.keys(payload).toSorted(() => ((seed = (seed * 1103515245 + 12345) | 0) > 0 ? 1 : -1));
        const shuffled = Object.fromEntries(names.map((name) => [name, payload[name as keyof typeof payload] ?? null]));
        const base = { schema: 'business', table: 'users', key: { id: 'k' }, op: 'INSERT', base_row_version: 0n } as const;
        const { rows } = read([{ ...base, payload: shuffled }]);
        expect(rows[0]?.canonicalText).toBe(requestRowText({ ...base, payload: shuffled }, 0));
      }),
      { numRuns: 200 },
    );
  });

  it('hashes to the worked example of the contract', () => {
    const numbers = ['amount', 'count', 'enabled', 'large_count', 'ratio', 'score', 'small_count'].map((name) =>
      describeColumn(name, 'text'),
    );
    const catalog = createCatalog(describeTable('numeric_values', numbers));
    const payload = {
      amount: '1234567890.123456789',
      count: '2147483647',
      enabled: '1',
      id: 'n-1',
      large_count: '9007199254740993',
      ratio: '1.2345678901234567',
      score: '5e-324',
      small_count: '-32768',
    };
    const body = { rows: [{ schema: 'business', table: 'numeric_values', key: { id: 'n-1' }, op: 'INSERT', payload }] };
    const parsed = parseJson(stringifyJson(body), { depthMax: 10 });
    const { rows } = readPushChunk(parsed, { catalog, scopeId: 's', rowsMax: 10, rowBytesMax: 4000 });
    const hash = createSha256();
    hash.update(`[${rows.map((row) => row.canonicalText).join(',')}]`);
    expect(hash.digestHex()).toBe('ce9f4105cdda62a7705ef32476ebb3b3737fb44866a4bf4eedfeaaa571eb443a');
  });
});
