import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { createRequest, newScope, openTestServer, readAnswer } from '../test-server.ts';
import type { Answer, TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer();
});
afterAll(() => target.close());

const noteRow = (id: string, payload: object = { id, title: 't' }) => ({
  schema: 'business',
  table: 'notes',
  key: { id },
  op: 'INSERT',
  base_row_version: 0,
  payload,
});
const chunk = (start: number, ...ids: readonly string[]) =>
  JSON.stringify({ start_row_ordinal: start, rows: ids.map((id) => noteRow(id)) });

/** A new push of four rows in a scope of its own. */
async function openPush(): Promise<{ readonly path: string; readonly scope: string }> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: false } });
  const body = { source_bundle_id: 1, planned_row_count: 4, canonical_request_hash: 'a'.repeat(64) };
  const { json } = await target.call('POST', '/sync/push-sessions', { scope, body });
  return { path: `/sync/push-sessions/${json.push_id}`, scope };
}

/** A request whose body comes when `send` is called; until then it is under way. */
function openSlowChunk({ path, scope }: { readonly path: string; readonly scope: string }): {
  readonly answer: Promise<Answer>;
  readonly send: (text: string) => void;
} {
  const pipe = new TransformStream<Uint8Array, Uint8Array>();
  const writer = pipe.writable.getWriter();
  const request = createRequest('POST', `${path}/chunks`, { scope });
  const init: RequestInit & { readonly duplex: 'half' } = { body: pipe.readable, duplex: 'half' };
  const slow = new Request(request, init);
  return {
    answer: target.server.fetch(slow).then(readAnswer),
    send: (text) => {
      void writer.write(new TextEncoder().encode(text)).then(() => writer.close());
    },
  };
}

test('a chunk that is sent before the one before it is answered waits for it', async () => {
  const push = await openPush();
  const first = openSlowChunk(push);
  const ahead = target.call('POST', `${push.path}/chunks`, { scope: push.scope, rawBody: chunk(2, 'c', 'd') });
  first.send(chunk(0, 'a', 'b'));
  expect((await first.answer).json).toMatchObject({ next_expected_row_ordinal: 2 });
  expect((await ahead).json).toMatchObject({ next_expected_row_ordinal: 4 });
});

test('a chunk ahead of one that is refused is out of order, as if it had come later', async () => {
  const push = await openPush();
  const first = openSlowChunk(push);
  const ahead = target.call('POST', `${push.path}/chunks`, { scope: push.scope, rawBody: chunk(2, 'c', 'd') });
  first.send(JSON.stringify({ start_row_ordinal: 0, rows: [noteRow('a'), noteRow('b', { nonsense: 1 })] }));
  expect(await first.answer).toMatchObject({ status: 400, json: { error: 'push_chunk_invalid' } });
  expect(await ahead).toMatchObject({ status: 409, json: { error: 'push_chunk_out_of_order' } });
  expect((await target.call('GET', push.path, { scope: push.scope })).json).toMatchObject({ next_expected_row_ordinal: 0 });
});

test('a chunk whose predecessor is not under way is out of order at once', async () => {
  const push = await openPush();
  const early = await target.call('POST', `${push.path}/chunks`, { scope: push.scope, rawBody: chunk(2, 'c', 'd') });
  expect(early).toMatchObject({ status: 409, json: { error: 'push_chunk_out_of_order' } });
  const other = await openPush();
  const slow = openSlowChunk(other);
  const again = await target.call('POST', `${push.path}/chunks`, { scope: push.scope, rawBody: chunk(2, 'c', 'd') });
  expect(again).toMatchObject({ status: 409, json: { error: 'push_chunk_out_of_order' } });
  slow.send(chunk(0, 'a', 'b'));
  expect((await slow.answer).status).toBe(200);
});

test('a stranger who names the push neither waits for its chunks nor holds them up', async () => {
  const push = await openPush();
  const first = openSlowChunk(push);
  const call = { scope: push.scope, source: `device-${randomUUID()}`, rawBody: chunk(0, 'a', 'b') };
  expect((await target.call('POST', `${push.path}/chunks`, call)).json).toMatchObject({ error: 'push_session_forbidden' });
  first.send(chunk(0, 'a', 'b'));
  expect((await first.answer).status).toBe(200);
});

test('the capabilities say that one chunk may be ahead', async () => {
  const { json } = await target.call('GET', '/sync/capabilities');
  expect(json.features).toMatchObject({ push_chunks_ahead: true });
});
