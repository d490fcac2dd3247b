import { catchRejection, expectEqual, expectTrue } from './conformance.ts';
import type { ConformanceCase } from './conformance.ts';

/** A handler as an adapter gets it: a function from Web request to Web response. */
export type ConformanceHandler = (request: Request) => Promise<Response>;

/** An adapter under test: serves the handler and speaks to it over whatever it adapts. */
export interface AdapterUnderTest {
  /** Sends a request through the adapter to `handler`. `url` in `init` is a path. */
  readonly send: (handler: ConformanceHandler, path: string, init?: RequestInit) => Promise<Response>;
}

const MIB = 1024 * 1024;
/** First byte of everything that gzip writes. */
const GZIP_MAGIC = 0x1f;
const json = (value: unknown): Response => Response.json(value);

/** Pieces of a body, one per pull; tells how many were asked for. */
function countedBody(pieces: number, pieceBytes: number) {
  const counter = { pulled: 0, isCancelled: false };
  const stream = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        if (counter.pulled === pieces) {
          controller.close();
          return;
        }
        counter.pulled += 1;
        controller.enqueue(new Uint8Array(pieceBytes).fill(counter.pulled % 256));
      },
      cancel: () => {
        counter.isCancelled = true;
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, counter };
}

async function compress(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return readAll(new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip')));
}

async function inflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return readAll(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip')));
}

async function readAll(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function waitUntil(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) {
    await new Promise((resolve) => {
      setTimeout(resolve, 1);
    });
  }
}

/**
 * What every adapter that serves the handlers of this package has to do.
 *
 * @example
 * ```ts
 * for (const { name, run } of adapterConformance) test(name, () => run(myAdapter));
 * ```
 */
export const adapterConformance: readonly ConformanceCase<AdapterUnderTest>[] = [
  {
    name: 'method, path, query and headers arrive as they were sent',
    run: async (adapter) => {
      const response = await adapter.send(
        async (request) => {
          const url = new URL(request.url);
          return json([request.method, url.pathname, url.search, request.headers.get('x-one')]);
        },
        '/sync/a%2Fb/%20?after=1&empty=&plus=%2B1',
        { method: 'DELETE', headers: { 'X-One': 'value' } },
      );
      expectEqual(await response.json(), ['DELETE', '/sync/a%2Fb/%20', '?after=1&empty=&plus=%2B1', 'value'], 'request');
    },
  },
  {
    name: 'a path with two leading slashes does not become a host',
    run: async (adapter) => {
      const response = await adapter.send(async (request) => json(new URL(request.url).pathname), '//elsewhere/sync/pull');
      expectEqual(await response.json(), '//elsewhere/sync/pull', 'path');
    },
  },
  {
    name: 'a request body arrives complete',
    run: async (adapter) => {
      const response = await adapter.send(
        async (request) => {
          const bytes = new Uint8Array(await request.arrayBuffer());
          return json([bytes.byteLength, bytes.at(-1)]);
        },
        '/sync/body',
        { method: 'POST', body: new Uint8Array(3 * MIB).fill(7) },
      );
      expectEqual(await response.json(), [3 * MIB, 7], 'body');
    },
  },
  {
    name: 'status, headers and an empty body are sent as they are',
    run: async (adapter) => {
      const response = await adapter.send(async () => new Response(null, { status: 204, headers: { 'X-Two': 'b' } }), '/sync/x', {
        method: 'DELETE',
      });
      expectEqual([response.status, response.headers.get('x-two'), await response.text()], [204, 'b', ''], 'response');
      const error = await adapter.send(async () => new Response('{}', { status: 405, headers: { Allow: 'GET' } }), '/sync/x');
      expectEqual([error.status, error.headers.get('allow')], [405, 'GET'], 'error');
      await error.text();
    },
  },
  {
    name: 'a streamed body is sent piece by piece and complete',
    run: async (adapter) => {
      const { stream } = countedBody(40, 64 * 1024);
      const response = await adapter.send(async () => new Response(stream), '/sync/x');
      expectEqual((await response.arrayBuffer()).byteLength, 40 * 64 * 1024, 'bytes');
    },
  },
  {
    name: 'the first piece of a stream arrives while the stream stays open',
    run: async (adapter) => {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode(': connected\n\n')),
      });
      const response = await adapter.send(
        async () => new Response(body, { headers: { 'Content-Type': 'text/event-stream' } }),
        '/sync/watch',
      );
      const reader = response.body?.getReader();
      const first = await reader?.read();
      expectEqual(new TextDecoder().decode(first?.value), ': connected\n\n', 'first piece');
      await reader?.cancel();
    },
  },
  {
    name: 'a client that reads slowly holds the body back',
    run: async (adapter) => {
      const { stream, counter } = countedBody(2000, 64 * 1024);
      const response = await adapter.send(async () => new Response(stream), '/sync/x');
      const reader = response.body?.getReader();
      await reader?.read();
      let seen = -1;
      while (seen !== counter.pulled) {
        seen = counter.pulled;
        await new Promise((resolve) => {
          setTimeout(resolve, 50);
        });
      }
      expectTrue(counter.pulled < 1000, `the whole body was buffered: ${String(counter.pulled)} pieces`);
      await reader?.cancel();
    },
  },
  {
    name: 'a client that goes away cancels the body',
    run: async (adapter) => {
      const { stream, counter } = countedBody(1_000_000, 64 * 1024);
      const gone = new AbortController();
      const response = await adapter.send(async () => new Response(stream), '/sync/x', { signal: gone.signal });
      const reader = response.body?.getReader();
      await reader?.read();
      gone.abort();
      await reader?.cancel().catch(() => {});
      await waitUntil(() => counter.isCancelled);
    },
  },
  {
    name: 'a client that goes away while nothing is sent cancels the body',
    run: async (adapter) => {
      const state = { isCancelled: false };
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode(': connected\n\n')),
        cancel: () => {
          state.isCancelled = true;
        },
      });
      const gone = new AbortController();
      const response = await adapter.send(async () => new Response(body), '/sync/watch', { signal: gone.signal });
      const reader = response.body?.getReader();
      await reader?.read();
      gone.abort();
      await reader?.cancel().catch(() => {});
      await waitUntil(() => state.isCancelled);
    },
  },
  {
    name: 'a client that goes away before the answer aborts the signal of the request',
    run: async (adapter) => {
      const gone = new AbortController();
      const state = { isAborted: false, hasArrived: false };
      const sent = adapter.send(
        async (request) => {
          request.signal.addEventListener('abort', () => {
            state.isAborted = true;
          });
          state.hasArrived = true;
          await waitUntil(() => state.isAborted);
          return json('too late');
        },
        '/sync/x',
        { signal: gone.signal },
      );
      await waitUntil(() => state.hasArrived);
      gone.abort();
      await sent.catch(() => {});
      await waitUntil(() => state.isAborted);
    },
  },
  {
    name: 'a body that fails after the status was sent never looks complete',
    run: async (adapter) => {
      const body = new ReadableStream<Uint8Array>(
        {
          start: (controller) => controller.enqueue(new TextEncoder().encode('{"half":')),
          pull: (controller) => controller.error(new Error('broken')),
        },
        { highWaterMark: 0 },
      );
      await catchRejection(async () => {
        const response = await adapter.send(async () => new Response(body), '/sync/x');
        await response.text();
      }, 'reading a body that failed');
    },
  },
  {
    name: 'an answer is delivered although the request body was not read to its end',
    run: async (adapter) => {
      const response = await adapter.send(
        async (request) => {
          const reader = request.body?.getReader();
          await reader?.read();
          await reader?.cancel();
          return new Response('{"error":"request_too_large"}', { status: 413 });
        },
        '/sync/body',
        { method: 'POST', body: new Uint8Array(2 * MIB) },
      );
      expectEqual([response.status, await response.text()], [413, '{"error":"request_too_large"}'], 'answer');
    },
  },
  {
    name: 'events are sent one by one, as they happen',
    run: async (adapter) => {
      const events = new TransformStream<Uint8Array, Uint8Array>();
      const writer = events.writable.getWriter();
      const response = await adapter.send(
        async () =>
          new Response(events.readable, { headers: { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' } }),
        '/sync/watch',
        { headers: { Accept: 'text/event-stream', 'Accept-Encoding': 'gzip' } },
      );
      expectEqual(
        [response.headers.get('content-type'), response.headers.get('content-encoding')],
        ['text/event-stream', null],
        'headers',
      );
      const reader = response.body?.getReader();
      for (const event of ['event: bundle\ndata: 1\n\n', ': heartbeat\n\n', 'event: bundle\ndata: 2\n\n']) {
        const written = writer.write(new TextEncoder().encode(event));
        const piece = await reader?.read();
        expectEqual(new TextDecoder().decode(piece?.value), event, 'event');
        await written;
      }
      await reader?.cancel();
    },
  },
  {
    name: 'a compressed request body arrives as it was sent, with the name of its encoding',
    run: async (adapter) => {
      const body = await compress(new TextEncoder().encode('{"rows":[]}'.repeat(1000)));
      const response = await adapter.send(
        async (request) => {
          const bytes = new Uint8Array(await request.arrayBuffer());
          return json([request.headers.get('content-encoding'), bytes.byteLength, bytes.every((byte, at) => byte === body[at])]);
        },
        '/sync/body',
        { method: 'POST', body, headers: { 'Content-Encoding': 'gzip' } },
      );
      expectEqual(await response.json(), ['gzip', body.byteLength, true], 'body');
    },
  },
  {
    name: 'a body that the handler has compressed is sent as it is',
    run: async (adapter) => {
      const body = await compress(new TextEncoder().encode('x'.repeat(100_000)));
      const headers = { 'Content-Encoding': 'gzip', 'Content-Type': 'application/json', Vary: 'Accept-Encoding' };
      const response = await adapter.send(async () => new Response(body, { headers }), '/sync/x', {
        headers: { 'Accept-Encoding': 'gzip' },
      });
      const bytes = new Uint8Array(await response.arrayBuffer());
      // `fetch` has inflated what came over a network; an adapter without one hands the bytes through.
      const text = new TextDecoder().decode(bytes[0] === GZIP_MAGIC ? await inflate(bytes) : bytes);
      expectTrue(text === 'x'.repeat(100_000), `the text arrived changed: ${String(text.length)} characters`);
      expectEqual(response.headers.get('content-encoding'), 'gzip', 'content-encoding');
    },
  },
  {
    name: 'a handler that reads slowly holds the client back',
    run: async (adapter) => {
      const { stream, counter } = countedBody(2000, 64 * 1024);
      const done = Promise.withResolvers<void>();
      const started = Promise.withResolvers<void>();
      const upload: RequestInit & { readonly duplex: 'half' } = { method: 'POST', body: stream, duplex: 'half' };
      const sent = adapter.send(
        async (request) => {
          const reader = request.body?.getReader();
          await reader?.read();
          started.resolve();
          await done.promise;
          await reader?.cancel();
          return json('enough');
        },
        '/sync/body',
        upload,
      );
      await started.promise;
      let seen = -1;
      while (seen !== counter.pulled) {
        seen = counter.pulled;
        await new Promise((resolve) => {
          setTimeout(resolve, 50);
        });
      }
      done.resolve();
      // The rest of the body is never read, so the connection may end before the answer is seen.
      await sent.then((response) => response.body?.cancel()).catch(() => {});
      expectTrue(counter.pulled < 1000, `the whole body was buffered: ${String(counter.pulled)} pieces`);
    },
  },
];
