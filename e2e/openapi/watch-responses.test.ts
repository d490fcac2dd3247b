import { gzipSync } from 'node:zlib';

import { expect, test } from 'vitest';

import { watchResponses } from './watch-responses.ts';

const answer = (body: string, headers: Record<string, string> = {}) => ({
  fetch: () =>
    Promise.resolve(
      new Response(headers['Content-Encoding'] === 'gzip' ? new Uint8Array(gzipSync(body)) : body, {
        headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers },
      }),
    ),
});
const pull = new Request('http://host.test/sync/pull');
const GOOD = '{"stable_bundle_seq":0,"bundles":[],"has_more":false}';

test.each([{}, { 'Content-Encoding': 'gzip' }])(
  '[D1] an answer as documented passes and reaches whoever asked %j',
  async (headers) => {
    const watched = watchResponses(answer(GOOD, headers));
    const response = await watched.fetch(pull);
    expect((await response.bytes()).length).toBeGreaterThan(0);
    await expect(watched.settle()).resolves.toBeUndefined();
  },
);

test.each([
  ['a member too many', '{"stable_bundle_seq":0,"bundles":[],"has_more":false,"more":1}', {}],
  ['a counter as a string', '{"stable_bundle_seq":"0","bundles":[],"has_more":false}', { 'Content-Encoding': 'gzip' }],
  ['no body', '', {}],
])('[D1] an answer with %s is told at the end', async (_, body, headers) => {
  const watched = watchResponses(answer(body, headers));
  await (await watched.fetch(pull)).bytes();
  await expect(watched.settle()).rejects.toThrow('GET /sync/pull 200');
});
