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
];
