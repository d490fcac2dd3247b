import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';

import { afterAll, describe, expect, test } from 'vitest';

import { toByteStream } from '../http/byte-stream.ts';
import { adapterConformance } from '../testing/index.ts';
import type { AdapterUnderTest, ConformanceHandler } from '../testing/index.ts';
import { nodeGzip } from './node-gzip.ts';
import { createNodeHandler } from './node.ts';

/** One real server; each request brings its handler. */
let current: ConformanceHandler = () => Promise.reject(new Error('no handler'));
const server = createServer(createNodeHandler({ fetch: (incoming) => current(incoming) }));
await new Promise<void>((resolve) => {
  server.listen(0, '127.0.0.1', resolve);
});
const { port } = server.address() as AddressInfo;
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const node: AdapterUnderTest = {
  send: (handler, path, init) => {
    current = handler;
    return fetch(`http://127.0.0.1:${String(port)}${path}`, init);
  },
};

/** The handlers themselves, without any adapter between: the baseline that `fetch` hosts see. */
const direct: AdapterUnderTest = {
  send: (handler, path, init) => {
    const duplex: RequestInit & { duplex: 'half' } = { ...init, duplex: 'half' };
    return handler(new Request(`http://host.test${path}`, duplex));
  },
};

describe('node:http', () => {
  test.each(adapterConformance)('$name', async ({ run }) => {
    await expect(run(node)).resolves.toBeUndefined();
  });
});

describe('fetch', () => {
  test.each(adapterConformance)('$name', async ({ run }) => {
    await expect(run(direct)).resolves.toBeUndefined();
  });
});

test('a header that was sent twice is seen as two', async () => {
  current = async (incoming) => Response.json(incoming.headers.get('oversync-source-id'));
  const text = await new Promise<string>((resolve, reject) => {
    const req = request({ port, host: '127.0.0.1', path: '/sync/x', headers: { 'Oversync-Source-ID': ['a', 'b'] } }, (res) => {
      res.setEncoding('utf8');
      res.on('data', resolve);
    });
    req.on('error', reject).end();
  });
  expect(JSON.parse(text)).toBe('a, b');
});

test('a connection is kept for the next request, unless a body was left unread', async () => {
  const send = (method: string, body: string | undefined) =>
    new Promise<string | undefined>((resolve, reject) => {
      const req = request({ port, host: '127.0.0.1', path: '/sync/x', method, agent }, (res) => {
        res.resume();
        res.on('end', () => resolve(res.headers.connection));
      });
      req.on('error', reject).end(body);
    });
  const agent = new Agent({ keepAlive: true });
  current = async () => Response.json('unread');
  expect([await send('GET', undefined), await send('POST', ''), await send('DELETE', undefined)]).toStrictEqual([
    'keep-alive',
    'keep-alive',
    'keep-alive',
  ]);
  expect(await send('POST', 'x'.repeat(1_000_000))).toBe('close');
  agent.destroy();
});

test('a host header that is no host does not break the request', async () => {
  current = async (incoming) => Response.json(new URL(incoming.url).pathname);
  const text = await new Promise<string>((resolve) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.write('GET /sync/pull HTTP/1.1\r\nHost: a/b?c\r\nConnection: close\r\n\r\n'),
    );
    let all = '';
    socket.on('data', (chunk) => (all += chunk.toString()));
    socket.on('close', () => resolve(all));
  });
  expect(text).toContain('"/sync/pull"');
});

test('gzip of node gives what gzip of the Web gives, and a fault of the body reaches the reader', async () => {
  async function* pieces() {
    for (let index = 0; index < 100; index += 1) yield new TextEncoder().encode(`piece ${String(index)};`.repeat(100));
  }
  const body = nodeGzip(toByteStream(pieces(), () => {}));
  const text = await new Response(
    body.pipeThrough(new TransformStream()).pipeThrough(new DecompressionStream('gzip') as never),
  ).text();
  expect(text.startsWith('piece 0;')).toBe(true);
  expect(text.length).toBe(89_000);

  async function* failing() {
    yield new Uint8Array(10);
    throw new Error('broken');
  }
  await expect(new Response(nodeGzip(toByteStream(failing(), () => {}))).arrayBuffer()).rejects.toBeInstanceOf(Error);
});

test('giving up a compressed body gives up its source', async () => {
  let ended = 0;
  async function* endless() {
    try {
      for (;;) yield crypto.getRandomValues(new Uint8Array(65_536));
    } finally {
      ended += 1;
    }
  }
  const reader = nodeGzip(toByteStream(endless(), () => {})).getReader();
  await reader.read();
  await reader.cancel();
  while (ended === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  expect(ended).toBe(1);
});
