import { expect, test } from 'vitest';

import { webGzip } from '../ports/gzip.ts';
import { acceptsGzip, createAnswer, toResponse } from './responses.ts';

test.each([
  ['gzip', true],
  ['br, gzip;q=0.5', true],
  ['*', true],
  ['GZIP', true],
  ['gzip;q=0', false],
  ['gzip;q=0.000', false],
  ['*, gzip;q=0', false],
  ['identity', false],
  ['br', false],
  ['', false],
  [null, false],
] as const)('Accept-Encoding %s: %s', (header, isAccepted) => {
  expect(acceptsGzip(header)).toBe(isAccepted);
});

const compression = { isAccepted: true, minBytes: 1024, gzip: webGzip };

test('a body of 1024 bytes is compressed, one of 1023 is not', async () => {
  for (const [length, encoding] of [
    [1023, null],
    [1024, 'gzip'],
  ] as const) {
    const text = JSON.stringify('x'.repeat(length - 2));
    const response = toResponse(createAnswer({ kind: 'json', text }, compression, () => {}));
    expect(response.headers.get('content-encoding')).toBe(encoding);
    const body = encoding === null ? response.body : response.body?.pipeThrough(new DecompressionStream('gzip'));
    expect(await new Response(body).text()).toBe(text);
  }
});

test('a streamed body is released once, when it was sent and when it was given up', async () => {
  for (const isRead of [true, false]) {
    let released = 0;
    async function* chunks() {
      yield new Uint8Array(10);
      yield new Uint8Array(20);
    }
    const sent: number[] = [];
    const body = { byteLength: 30, chunks: chunks(), release: () => (released += 1) };
    const response = toResponse(createAnswer({ kind: 'stream', body }, compression, (byteCount) => sent.push(byteCount)));
    if (isRead) expect((await response.arrayBuffer()).byteLength).toBe(30);
    else await response.body?.cancel();
    expect([released, sent]).toStrictEqual([1, [isRead ? 30 : 0]]);
  }
});

test('a body that fails after the status was sent errors the stream', async () => {
  async function* chunks() {
    yield new TextEncoder().encode('{"half":');
    throw new Error('broken');
  }
  const body = { byteLength: 8, chunks: chunks(), release: () => {} };
  const response = toResponse(createAnswer({ kind: 'stream', body }, compression, () => {}));
  await expect(response.text()).rejects.toThrow('broken');
});
