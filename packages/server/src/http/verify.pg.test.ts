import { createHash } from 'node:crypto';

import { parseVerifyReply, parseVerifyRowsReply, parseJson } from '@oversync/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { manyNotes, newScope, openTestServer, pushNotes, pushRows } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

const DDL = `
CREATE SCHEMA business;
CREATE TABLE business.notes (
  _sync_scope_id text NOT NULL, id text NOT NULL, title text NOT NULL, amount int8, PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE business.things (
  _sync_scope_id text NOT NULL, id uuid NOT NULL, done boolean, ratio float8, body jsonb, PRIMARY KEY (_sync_scope_id, id)
);`;

let target: TestServer;
beforeAll(async () => {
  const registeredTables = [
    { schema: 'business', table: 'notes', syncKeyColumn: 'id' },
    { schema: 'business', table: 'things', syncKeyColumn: 'id' },
  ];
  target = await openTestServer({ ddl: DDL, registeredTables });
});
afterAll(() => target.close());

async function seededScope(count: number): Promise<string> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  if (count > 0) await pushNotes(target, 1, manyNotes(count), { scope });
  return scope;
}

const NOTES = { schema: 'business', table: 'notes', columns: ['id', 'title'] } as const;

async function verify(scope: string, body: object) {
  const answer = await target.call('POST', '/sync/verify', { scope, body: { ...NOTES, parts: 1, ranges: [{}], ...body } });
  expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
  return parseVerifyReply(parseJson(answer.text, { depthMax: 20 }));
}

const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const hashOf = (rows: readonly string[]): string => sha(rows.map(sha).join(''));
const noteText = (row: { id: string }): string => `1 {"id":"${row.id}","title":"title of ${row.id}"}`;

test('hashes of parts are those of the documented row texts, and the parts cover the range', async () => {
  const scope = await seededScope(10);
  const { ranges } = await verify(scope, { bundle_seq: 1, parts: 3 });
  const notes = manyNotes(10);
  expect(ranges).toEqual([
    {
      parts: [
        { through: 'n-000003', row_count: 4, hash: hashOf(notes.slice(0, 4).map(noteText)) },
        { through: 'n-000006', row_count: 3, hash: hashOf(notes.slice(4, 7).map(noteText)) },
        { through: undefined, row_count: 3, hash: hashOf(notes.slice(7).map(noteText)) },
      ],
    },
  ]);
});

test('ranges are open at the start and closed at the end; excluded keys and other columns do not count', async () => {
  const scope = await seededScope(4);
  const { ranges } = await verify(scope, {
    bundle_seq: 1,
    columns: ['id'],
    ranges: [{ after: 'n-000000', through: 'n-000002' }, { after: 'n-000009' }, { through: 'n-000001' }],
    excluded_keys: ['n-000001', 'not there'],
  });
  const text = (id: string): string => `1 {"id":"${id}"}`;
  expect(ranges.map(({ parts }) => parts)).toEqual([
    [{ through: 'n-000002', row_count: 1, hash: hashOf([text('n-000002')]) }],
    [{ through: undefined, row_count: 0, hash: sha('') }],
    [{ through: 'n-000001', row_count: 1, hash: hashOf([text('n-000000')]) }],
  ]);
});

test('booleans are hashed as a device sends them, nested JSON as its jsonb text', async () => {
  const scope = await seededScope(0);
  const id = '0123abcd-0000-4000-8000-000000000001';
  const other = '0123abcd-0000-4000-8000-000000000002';
  const rowOf = (key: string, payload: object) =>
    ({
      schema: 'business',
      table: 'things',
      key: { id: key },
      op: 'INSERT',
      base_row_version: 0,
      payload: { id: key, ...payload },
    }) as const;
  await pushRows(
    target,
    1,
    [
      rowOf(id, { done: true, ratio: '1.5', body: { bb: ['x', { z: null }], a: 'é' } }),
      rowOf(other, { done: false, ratio: null }),
    ],
    { scope },
  );
  const { ranges } = await verify(scope, { bundle_seq: 1, table: 'things', columns: ['ratio', 'done', 'id', 'body'] });
  const texts = [
    `1 {"body":{"a": "é", "bb": ["x", {"z": null}]},"done":"1","id":"${id}","ratio":"1.5"}`,
    `1 {"body":null,"done":"0","id":"${other}","ratio":null}`,
  ];
  expect(ranges).toEqual([{ parts: [{ through: undefined, row_count: 2, hash: hashOf(texts) }] }]);
});

test('rows of a range come in key order and in pages', async () => {
  const scope = await seededScope(5);
  const read = async (body: object) => {
    const answer = await target.call('POST', '/sync/verify/rows', {
      scope,
      body: { bundle_seq: 1, schema: 'business', table: 'notes', ...body },
    });
    expect(answer.status).toBe(200);
    return parseVerifyRowsReply(parseJson(answer.text, { depthMax: 20 }));
  };
  const first = await read({ after: 'n-000000', max_rows: 2 });
  expect(first.rows.map((row) => row.key['id'])).toEqual(['n-000001', 'n-000002']);
  expect(first).toMatchObject({ has_more: true, bundle_seq: 1n, rows: [{ row_version: 1n, payload: { amount: null } }, {}] });
  const last = await read({ after: 'n-000002', max_rows: 2 });
  expect([last.rows.map((row) => row.key['id']), last.has_more]).toEqual([['n-000003', 'n-000004'], false]);
});

test.each([
  ['an older sequence', { bundle_seq: 0 }, 409, 'verify_out_of_date'],
  ['a newer sequence', { bundle_seq: 2 }, 409, 'checkpoint_ahead'],
  ['another table', { table: 'others' }, 400, 'verify_invalid'],
  ['an unknown column', { columns: ['id', 'nope'] }, 400, 'verify_invalid'],
  ['columns without the key', { columns: ['title'] }, 400, 'verify_invalid'],
  ['no ranges', { ranges: [] }, 400, 'verify_invalid'],
  ['too many parts', { parts: 65 }, 400, 'verify_invalid'],
  ['too many ranges', { ranges: Array.from({ length: 65 }, () => ({})) }, 400, 'verify_invalid'],
  ['too many keys', { excluded_keys: Array.from({ length: 5001 }, (_, index) => `k${index}`) }, 400, 'verify_invalid'],
  ['a blank key', { ranges: [{ after: ' ' }] }, 400, 'verify_invalid'],
])('%s is refused with a code of its own', async (_name, body, status, code) => {
  const scope = await seededScope(1);
  const answer = await target.call('POST', '/sync/verify', {
    scope,
    body: { ...NOTES, bundle_seq: 1, parts: 1, ranges: [{}], ...body },
  });
  expect([answer.status, answer.json.error]).toEqual([status, code]);
});

test('a scope that nobody has connected is not verified, and rows of other scopes are never seen', async () => {
  const mine = await seededScope(2);
  await seededScope(3);
  const body = { ...NOTES, bundle_seq: 0, parts: 1, ranges: [{}] };
  const unknown = await target.call('POST', '/sync/verify', { scope: newScope(), body });
  expect([unknown.status, unknown.json.error]).toEqual([409, 'scope_uninitialized']);
  const { ranges } = await verify(mine, { bundle_seq: 1 });
  expect(ranges[0]?.parts[0]?.row_count).toBe(2);
});

test('the number of round trips does not depend on rows or ranges', async () => {
  const scope = await seededScope(300);
  const ranges = Array.from({ length: 16 }, (_, index) => ({ after: `n-0000${String(10 + index)}` }));
  const small = await target.counting.measure(() => verify(scope, { bundle_seq: 1 }));
  const large = await target.counting.measure(() => verify(scope, { bundle_seq: 1, parts: 64, ranges }));
  expect([small, large]).toEqual([3, 3]);
});
