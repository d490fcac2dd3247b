import { constants, deflateRawSync, gzipSync } from 'node:zlib';

import { SyncError } from '@oversync/protocol';
import { expect, test } from 'vitest';

import { readRequestBody } from './body.ts';

const limits = {
  encodedBytesMax: 10_000,
  decodedBytesMax: 20_000,
  encodedOption: 'encodedOption',
  decodedOption: 'decodedOption',
  malformedCode: 'invalid_request',
} as const;

function createRequest(body: BodyInit | null, headers: Record<string, string> = {}): Request {
  const init: RequestInit & { duplex: 'half' } = { method: 'POST', headers, duplex: 'half' };
  if (body !== null) init.body = body;
  return new Request('http://host.test/', init);
}

const read = async (body: BodyInit | null, headers?: Record<string, string>): Promise<string> =>
  new TextDecoder().decode(await readRequestBody(createRequest(body, headers), limits));

/** A body whose source is asked for far more than any limit; tells how much was taken. */
function endless(chunk: Uint8Array<ArrayBuffer>) {
  const taken = { chunks: 0, isCancelled: false };
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      pull: (controller) => {
        taken.chunks += 1;
        controller.enqueue(chunk);
      },
      cancel: () => {
        taken.isCancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, taken };
}

test('a body is read whole, plain and inflated', async () => {
  expect(await read('hello')).toBe('hello');
  expect(await read(null)).toBe('');
  expect(await read('hello', { 'content-encoding': 'identity' })).toBe('hello');
  expect(await read(new Uint8Array(gzipSync('hello')), { 'content-encoding': 'GZIP' })).toBe('hello');
});

test.each(['br', 'deflate', 'x-gzip', 'gzip, gzip'])('[S1] the encoding %s is refused', async (encoding) => {
  await expect(read('x', { 'content-encoding': encoding })).rejects.toMatchObject({ code: 'unsupported_content_encoding' });
});

test('[S1] a body over the limit is given up while it arrives', async () => {
  const { stream, taken } = endless(new Uint8Array(1000));
  await expect(read(stream)).rejects.toMatchObject({
    code: 'request_too_large',
    details: { limit_exceeded: { name: 'encodedOption', limit: 10_000 } },
  });
  expect(taken.chunks).toBeLessThan(15);
  expect(taken.isCancelled).toBe(true);
});

test('[S1] an announced length over the limit is refused before anything is read', async () => {
  const { stream, taken } = endless(new Uint8Array(1000));
  await expect(read(stream, { 'content-length': '10001' })).rejects.toMatchObject({
    details: { limit_exceeded: { name: 'encodedOption', limit: 10_000, actual: 10_001 } },
  });
  expect(taken.chunks).toBe(0);
});

test('[S1] a gzip bomb is refused at the decoded limit', async () => {
  const bomb = gzipSync(Buffer.alloc(5_000_000));
  expect(bomb.byteLength).toBeLessThan(limits.encodedBytesMax);
  await expect(read(new Uint8Array(bomb), { 'content-encoding': 'gzip' })).rejects.toMatchObject({
    code: 'request_too_large',
    details: { limit_exceeded: { name: 'decodedOption', limit: 20_000 } },
  });
});

test('[S1] a gzip bomb without an end is given up at the decoded limit, so no more of it is inflated or read', async () => {
  const header = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3);
  // A block of zeros that is not the last one and ends on a byte, so that it can be repeated for ever.
  const block = new Uint8Array(deflateRawSync(Buffer.alloc(1_000_000), { finishFlush: constants.Z_FULL_FLUSH }));
  let taken = 0;
  let isCancelled = false;
  const bomb = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      start: (controller) => controller.enqueue(header),
      pull: (controller) => {
        taken += 1;
        controller.enqueue(block);
      },
      cancel: () => {
        isCancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  const wide = { ...limits, encodedBytesMax: Number.MAX_SAFE_INTEGER };
  const reading = readRequestBody(createRequest(bomb, { 'content-encoding': 'gzip' }), wide);
  await expect(reading).rejects.toMatchObject({ details: { limit_exceeded: { name: 'decodedOption', limit: 20_000 } } });
  expect(isCancelled).toBe(true);
  // What the platform's decompressor holds of its input, and not more.
  expect(taken * block.byteLength).toBeLessThan(200_000);
});

test.each([{}, { 'content-encoding': 'gzip' }])(
  'a body that never ends is given up when the signal says so %j',
  async (headers) => {
    const silent = new ReadableStream<Uint8Array<ArrayBuffer>>({ pull: () => new Promise<never>(() => {}) });
    const closing = new AbortController();
    const reading = readRequestBody(createRequest(silent, headers), limits, closing.signal);
    setTimeout(() => closing.abort(new SyncError('service_unavailable')));
    await expect(reading).rejects.toMatchObject({ code: 'service_unavailable' });
    await expect(readRequestBody(createRequest('late', headers), limits, closing.signal)).rejects.toMatchObject({
      code: 'service_unavailable',
    });
  },
);

test('[S1] the encoded limit holds for gzip too', async () => {
  const { stream } = endless(new Uint8Array(gzipSync(Buffer.from(crypto.getRandomValues(new Uint8Array(3000))))));
  await expect(read(stream, { 'content-encoding': 'gzip' })).rejects.toMatchObject({ code: 'request_too_large' });
});

test.each([
  ['garbage', 'not gzip at all'],
  ['a cut body', new Uint8Array(gzipSync('hello world, hello world')).slice(0, 20)],
  [
    'a changed checksum',
    (() => {
      const bytes = new Uint8Array(gzipSync('hello'));
      bytes[bytes.length - 6] = (bytes[bytes.length - 6] ?? 0) ^ 1;
      return bytes;
    })(),
  ],
])('%s as gzip is malformed', async (_, body) => {
  await expect(read(body, { 'content-encoding': 'gzip' })).rejects.toMatchObject({ code: 'invalid_request' });
});

test.each([{}, { 'content-encoding': 'gzip' }])("a body that breaks off is the client's affair %j", async (headers) => {
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => controller.error(new Error('socket hang up')),
  });
  await expect(read(body, headers)).rejects.toMatchObject({ code: 'invalid_request', message: 'the request body broke off' });
});
