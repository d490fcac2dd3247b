import { afterAll, beforeAll, expect, test } from 'vitest';

import { openWorld } from '../client/world.ts';
import type { World } from '../client/world.ts';
import { validateRequest } from './request-validator.ts';
import { findOperations, validateResponse } from './response-validator.ts';

let world: World;
const seen = new Set<string>();
const problems: string[] = [];

beforeAll(async () => {
  world = await openWorld({ compression: { minBytes: 1 }, retainedBundlesPerScope: 4 });
});
afterAll(() => world.close());

/** What the client sends and gets, held against the document on its way. */
async function watchedFetch(request: Request): Promise<Response> {
  const sent = {
    method: request.method,
    url: new URL(request.url),
    headers: request.headers,
    body: await readSent(request.clone()),
  };
  const response = await fetch(request);
  if (response.headers.get('content-type') === 'text/event-stream') return response;
  const received = { status: response.status, headers: response.headers, body: await response.clone().text() };
  for (const { operationId } of findOperations(sent.method, sent.url.pathname)) {
    seen.add(`${operationId} ${String(response.status)}`);
    for (const problem of [...validateRequest(sent), ...validateResponse(operationId, received)]) {
      problems.push(`${sent.method} ${sent.url.pathname}${sent.url.search} ${String(response.status)}: ${problem}`);
    }
  }
  return response;
}

async function readSent(request: Request): Promise<string> {
  if (request.headers.get('content-encoding') !== 'gzip' || request.body === null) return request.text();
  return new Response(request.body.pipeThrough(new DecompressionStream('gzip'))).text();
}

test('[D1] whatever the client of this library sends and gets is as the document says', async () => {
  const ports = { http: watchedFetch };
  const [first, second] = [await world.openDevice('anna', { ports }), await world.openDevice('anna', { ports })];
  first.sql("INSERT INTO users VALUES ('u1', 'Ada', 36), ('u2', 'é 😀', 9007199254740993)");
  first.sql(`INSERT INTO posts(id, user_id, body, score, price, data, meta, is_read)
    VALUES (X'0123456789ABCDEF0123456789ABCDEF', 'u1', 'hello', 0.1, '12.50', X'00FF', '{"a":[1,2.5]}', 1)`);
  await first.client.attach('anna');
  await first.client.sync();
  await second.client.attach('anna');
  second.sql("UPDATE users SET name = 'Eve' WHERE id = 'u2'");
  first.sql("UPDATE users SET name = 'Bob' WHERE id = 'u2'");
  await second.client.sync();
  await first.client.sync();
  for (let round = 0; round < 6; round += 1) {
    first.sql(`UPDATE users SET age = ${String(round)} WHERE id = 'u1'`);
    await first.client.sync();
  }
  await second.client.sync();
  second.sql("DELETE FROM users WHERE id = 'u1'");
  await second.client.syncThenDetach();
  expect(problems).toStrictEqual([]);
  expect([...seen]).toEqual(
    expect.arrayContaining([
      'capabilities 200',
      'connect 200',
      'push_session_create 200',
      'push_chunk 200',
      'push_session_commit 200',
      'push_session_commit 409',
      'committed_bundle_rows 200',
      'pull 200',
      'pull 409',
      'snapshot_session_create 200',
      'snapshot_chunk 200',
      'snapshot_session_delete 204',
    ]),
  );
});

test.each([
  ['a path', { method: 'GET', url: 'http://h/sync/nothing', body: '' }],
  ['a query', { method: 'GET', url: 'http://h/sync/pull?after_bundle_seq=-1', body: '' }],
  ['an unknown parameter', { method: 'GET', url: 'http://h/sync/pull?since=1', body: '' }],
  ['a body', { method: 'POST', url: 'http://h/sync/connect', body: '{"has_local_pending_rows":"yes"}' }],
  ['a missing body', { method: 'POST', url: 'http://h/sync/connect', body: '' }],
])('a request with %s that is not documented is seen', (_, { method, url, body }) => {
  const headers = new Headers({ 'Oversync-Source-ID': 'device-a' });
  expect(validateRequest({ method, url: new URL(url), headers, body })).not.toStrictEqual([]);
});
