import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

import { afterEach, describe, expect, test } from 'vitest';

import { systemClock } from '../../ports/clock.ts';
import { createTestServer, openAttachedDevice } from '../test-device.ts';
import type { TestDevice } from '../test-device.ts';
import type { TestServer } from '../test-server.ts';

/** A real HTTP server in front of the test server, with watch streams that the test holds in its hands. */
class HttpWorld {
  readonly server: TestServer = createTestServer();
  readonly #http: Server;
  readonly #streams: ServerResponse[] = [];
  readonly #waiting: ((stream: ServerResponse) => void)[] = [];

  constructor() {
    this.server.features = { ...this.server.features, bundle_change_watch: true };
    this.#http = createServer((request, response) => void this.#answer(request, response));
  }

  async listen(): Promise<string> {
    this.#http.listen(0, '127.0.0.1');
    await once(this.#http, 'listening');
    const address = this.#http.address();
    if (address === null || typeof address === 'string') throw new Error('the server should have a port');
    return `http://127.0.0.1:${address.port}/api/`;
  }

  /** The next stream that a client opens. */
  nextStream(): Promise<ServerResponse> {
    const stream = this.#streams.shift();
    if (stream !== undefined) return Promise.resolve(stream);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async close(): Promise<void> {
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url?.includes('/sync/watch') === true) {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(': connected\n\n');
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#streams.push(response);
      else waiting(response);
      return;
    }
    const pieces: Uint8Array[] = [];
    for await (const piece of request) if (piece instanceof Uint8Array) pieces.push(piece);
    const answer = await this.server.fetch(
      new Request(`http://localhost${request.url}`, {
        method: request.method ?? 'GET',
        headers: Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)]),
        ...(pieces.length === 0 ? {} : { body: Buffer.concat(pieces) }),
      }),
    );
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(Buffer.from(await answer.arrayBuffer()));
  }
}

/** Resolves with the tables of the next commit of the engine. */
function nextRemoteChange(device: TestDevice): Promise<readonly string[]> {
  return new Promise((resolve) => {
    const end = device.client.onTableChange((change) => {
      if (change.origin !== 'remote') return;
      end();
      resolve(change.tables);
    });
  });
}

const worlds: HttpWorld[] = [];

afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

async function start(): Promise<{ readonly world: HttpWorld; readonly device: TestDevice }> {
  const world = new HttpWorld();
  worlds.push(world);
  const baseUrl = await world.listen();
  const ports = { http: (request: Request) => globalThis.fetch(request), clock: systemClock };
  const device = await openAttachedDevice(world.server, { options: { baseUrl, ports } });
  return { world, device };
}

describe('the loop over real HTTP', () => {
  test('[K29] stopping closes the connection at the server', async () => {
    const { world, device } = await start();
    const loop = device.client.start({ bundleChangeWatchMode: 'auto' });
    const stream = await world.nextStream();
    const closed = once(stream, 'close');
    await loop.stop();
    await closed;
    expect(stream.writableEnded).toBe(false);
    await device.client.close();
  });

  test('[T104] an event cut over several packets, in the middle of a character, leads to a pull', async () => {
    const { world, device } = await start();
    device.client.start({ bundleChangeWatchMode: 'auto' });
    const stream = await world.nextStream();
    world.server.write([{ table: 'users', id: 'peer', payload: { id: 'peer', name: 'é' } }]);
    const change = nextRemoteChange(device);
    const bytes = Buffer.from('event: bundle\r\n: é\r\ndata: {"bundle_seq":1}\r\n\r\n');
    for (const byte of bytes) await new Promise<void>((resolve) => stream.write(Buffer.from([byte]), () => resolve()));
    expect(await change).toEqual(['users']);
    expect(device.list('SELECT name FROM users')).toEqual(['é']);
    await device.client.close();
  });

  test('[T106] a connection that breaks is followed by a pull and a new stream', async () => {
    const { world, device } = await start();
    device.client.start({ bundleChangeWatchMode: 'auto', bundleChangeWatchReconnectMinMs: 1 });
    const first = await world.nextStream();
    world.server.write([{ table: 'users', id: 'peer', payload: { id: 'peer', name: 'Ada' } }]);
    const change = nextRemoteChange(device);
    first.destroy();
    expect(await change).toEqual(['users']);
    const second = await world.nextStream();
    const closed = once(second, 'close');
    await device.client.close();
    await closed;
  });
});
