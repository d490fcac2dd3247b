import { afterAll, beforeAll, expect, test } from 'vitest';

import { newScope, openTestServer } from '../test-server.ts';
import type { Answer, TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer();
});
afterAll(() => target.close());

/** Enough rows of enough bytes for a body that is not parsed at once. */
const ROWS = 600;

type Payload = Readonly<Record<string, unknown>>;
const rowText = (index: number, change: Payload = {}): string => {
  const id = `é-${String(index).padStart(4, '0')}`;
  const payload = {
    amount: String(index),
    id,
    title: index % 7 === 0 ? `"quoted" \\ and\nbroken ${'x'.repeat(80)}` : 'plain',
    ...change,
  };
  return JSON.stringify({ schema: 'business', table: 'notes', key: { id }, op: 'INSERT', base_row_version: 0, payload });
};
const chunk = (changes: ReadonlyMap<number, Payload> = new Map()): string =>
  `{"start_row_ordinal":0,"rows":[${Array.from({ length: ROWS }, (_, index) => rowText(index, changes.get(index))).join(',')}]}`;

interface Push {
  readonly id: string;
  readonly scope: string;
}

async function openPush(plannedRowCount = ROWS): Promise<Push> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: false } });
  const body = { source_bundle_id: 1, planned_row_count: plannedRowCount, canonical_request_hash: 'a'.repeat(64) };
  const { json } = await target.call('POST', '/sync/push-sessions', { scope, body });
  return { id: json.push_id, scope };
}

const send = ({ id, scope }: Push, rawBody: string): Promise<Answer> =>
  target.call('POST', `/sync/push-sessions/${id}/chunks`, { scope, rawBody });

const STAGED = `row_ordinal,table_id,op,key_bytes,key_text,base_row_version,column_set,canonical_text,
  replace(apply_text, $2, 'scope')`;

async function readStaged({ id, scope }: Push): Promise<unknown> {
  return (await target.query(`SELECT ${STAGED} FROM sync.push_row WHERE push_id=$1 ORDER BY 1`, [id, scope])).rows;
}

const countStaged = async (push: Push): Promise<number> =>
  (await target.query('SELECT 1 FROM sync.push_row WHERE push_id=$1', [push.id])).rowCount;

test('a large chunk is stored the same whether its rows can be read in place or not', async () => {
  const [plain, spaced] = [await openPush(), await openPush()];
  const text = chunk();
  expect(text.length).toBeGreaterThan(80_000);
  expect((await send(plain, text)).json).toMatchObject({ next_expected_row_ordinal: ROWS });
  expect((await send(spaced, JSON.stringify(JSON.parse(text), null, 1))).json).toMatchObject({ next_expected_row_ordinal: ROWS });
  expect(await readStaged(plain)).toStrictEqual(await readStaged(spaced));
  expect(await countStaged(plain)).toBe(ROWS);
});

test('a large chunk that is sent again is taken as staged, and with other rows it is out of order', async () => {
  const push = await openPush();
  for (let time = 0; time < 2; time += 1)
    expect((await send(push, chunk())).json).toMatchObject({ next_expected_row_ordinal: ROWS });
  const other = await send(push, chunk(new Map([[ROWS - 1, { title: 'another' }]])));
  expect(other).toMatchObject({ status: 409, json: { error: 'push_chunk_out_of_order' } });
  expect(await countStaged(push)).toBe(ROWS);
});

test.each([
  ['a value that no numeric column takes', { amount: 'many' }, { kind: 'number_format', column: 'amount' }],
  ['a column that does not exist', { nonsense: '1' }, { kind: 'unknown_column', column: 'nonsense' }],
  ['another key in its payload', { id: 'other' }, { kind: 'payload', column: 'id' }],
])('a large chunk with %s in one row names the row and stages nothing', async (_, change, violation) => {
  const push = await openPush();
  const answer = await send(push, chunk(new Map([[401, change]])));
  expect(answer).toMatchObject({
    status: 400,
    json: { error: 'push_chunk_invalid', violation: { row_ordinal: 401, ...violation } },
  });
  expect(await countStaged(push)).toBe(0);
});

test('a large chunk with more rows than planned is refused, what is wrong with a row first', async () => {
  const push = await openPush(ROWS - 1);
  expect((await send(push, chunk())).json).toMatchObject({ error: 'push_chunk_invalid' });
  const wrong = await send(push, chunk(new Map([[ROWS - 1, { amount: 'x' }]])));
  expect(wrong.json).toMatchObject({ error: 'push_chunk_invalid', violation: { row_ordinal: ROWS - 1 } });
  expect(await countStaged(push)).toBe(0);
});

test('a large body that is no JSON is refused before its session, its last byte included', async () => {
  const unknown = { ...(await openPush()), id: '2f2d3f7a-cd1f-42b9-8d08-c4d2b45d9f88' };
  for (const text of [chunk().slice(0, -1), chunk().replace('"é-0500"},"op"', '"é-0500"}"op"')])
    for (const push of [unknown, await openPush()]) {
      expect(await send(push, text)).toMatchObject({ status: 400, json: { error: 'invalid_request' } });
      expect(await countStaged(push)).toBe(0);
    }
  expect((await send(unknown, chunk())).json).toMatchObject({ error: 'push_session_not_found' });
});
