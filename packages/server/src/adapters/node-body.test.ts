import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';

import { isSyncError } from '@oversync/protocol';
import { afterAll, expect, test } from 'vitest';

import { registerAnswerer } from '../http/answerers.ts';
import type { Answerer } from '../http/answerers.ts';
import { readRequestBody } from '../http/body.ts';
import { WholeAnswer } from '../http/responses.ts';
import { createNodeHandler } from './node.ts';

const limits = {
  encodedBytesMax: 100_000,
  decodedBytesMax: 50,
  encodedOption: 'encodedOption',
  decodedOption: 'decodedOption',
  malformedCode: 'invalid_request',
} as const;

const closing = new AbortController();
/** What became of the bodies, in the order in which they were read. */
const outcomes: string[] = [];
let heard: (() => void) | undefined;

/** Reads the body as the handler does, and says how it went. */
const answerer: Answerer = async ({ request, readWhole }) => {
  const url = new URL(request.url);
  const way = readWhole === undefined ? 'stream' : 'whole';
  try {
    const signal = url.pathname === '/abort' ? closing.signal : undefined;
    const bytes = url.pathname === '/unread' ? new Uint8Array(0) : await readRequestBody(request, limits, signal, readWhole);
    outcomes.push(`${way} ${new TextDecoder().decode(bytes)}`);
  } catch (error) {
    outcomes.push(`${way} ${isSyncError(error) ? error.code : String(error)}`);
  }
  heard?.();
  const bytes = new TextEncoder().encode(outcomes.at(-1));
  return new WholeAnswer(200, { 'Content-Length': String(bytes.byteLength) }, bytes);
};
const never = (): Promise<Response> => Promise.reject(new Error('not called'));
const handler = createNodeHandler({ fetch: registerAnswerer(never, answerer) });
/** A parser that stands in front of the handler, as hosts have it. */
function takeAway(req: IncomingMessage, res: ServerResponse): void {
  req.resume().once('end', () => setImmediate(() => handler(req, res)));
}
const server = createServer((req, res) => (req.url === '/taken' ? takeAway(req, res) : handler(req, res)));
await new Promise<void>((resolve) => {
  server.listen(0, '127.0.0.1', resolve);
});
const { port } = server.address() as AddressInfo;
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const post = async (path: string, body: BodyInit, headers: Record<string, string> = {}): Promise<string> => {
  const duplex: RequestInit & { duplex: 'half' } = { method: 'POST', body, headers, duplex: 'half' };
  return (await fetch(`http://127.0.0.1:${String(port)}${path}`, duplex)).text();
};

test('a small body is read without a stream, a large, a compressed and one of unknown length with it', async () => {
  expect(await post('/x', 'hello')).toBe('whole hello');
  expect(await post('/x', '')).toBe('whole ');
  expect(await post('/x', new Uint8Array(gzipSync('hello')), { 'Content-Encoding': 'gzip' })).toBe('stream hello');
  expect(await post('/x', new Blob(['hello']).stream())).toBe('stream hello');
  expect(await post('/x', 'x'.repeat(70_000))).toBe('stream request_too_large');
});

test('limits hold for a body that is read whole', async () => {
  expect(await post('/x', 'x'.repeat(51))).toBe('whole request_too_large');
});

test('a body that somebody has read before is empty', async () => {
  expect(await post('/taken', 'hello')).toBe('whole ');
});

test('a small body that nobody reads is answered, and the next request too', async () => {
  expect(await post('/unread', 'hello')).toBe('whole ');
  expect(await post('/x', 'again')).toBe('whole again');
});

test('a small body that breaks off is malformed, and one that is not waited for any longer ends with the reason', async () => {
  const send = (path: string): ReturnType<typeof connect> => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf`);
    });
    return socket;
  };
  const next = (): Promise<void> =>
    new Promise((resolve) => {
      heard = resolve;
    });
  const seen = new Promise<void>((resolve) => {
    server.once('request', () => resolve());
  });
  let outcome = next();
  const broken = send('/x');
  await seen;
  broken.destroy();
  await outcome;
  expect(outcomes.at(-1)).toBe('whole invalid_request');

  const arrived = new Promise<void>((resolve) => {
    server.once('request', () => resolve());
  });
  outcome = next();
  const slow = send('/abort');
  await arrived;
  closing.abort(new Error('closing'));
  await outcome;
  expect(outcomes.at(-1)).toBe('whole Error: closing');
  slow.destroy();
});
