import type { SyncServer } from '@oversync/server';

import { findOperations, validateResponse } from './response-validator.ts';

/** A server whose every answer is held against the document, on its way to whoever asked. */
export interface WatchedServer {
  readonly fetch: SyncServer['fetch'];
  /** Waits for the answers that are on their way. @throws Error that lists where answers differ from the document */
  settle(): Promise<void>;
}

export function watchResponses(server: Pick<SyncServer, 'fetch'>): WatchedServer {
  const problems: string[] = [];
  const running = new Set<Promise<void>>();
  const check = async (request: Request, response: Response): Promise<void> => {
    const { pathname } = new URL(request.url);
    const body = await readBody(response);
    const received = { status: response.status, headers: response.headers, body };
    for (const { operationId } of findOperations(request.method, pathname)) {
      for (const problem of validateResponse(operationId, received))
        problems.push(`${request.method} ${pathname} ${String(response.status)}: ${problem}`);
    }
  };
  return {
    fetch: async (request, platform) => {
      const response = await server.fetch(request, platform);
      if (response.headers.get('content-type') === 'text/event-stream') return response;
      // A client that goes away in the middle leaves half an answer, which says nothing.
      const checking = check(request, response.clone()).catch(() => undefined);
      running.add(checking);
      void checking.finally(() => running.delete(checking));
      return response;
    },
    settle: async () => {
      await Promise.all(running);
      if (problems.length > 0) throw new Error(`answers differ from docs/openapi.json:\n${problems.join('\n')}`);
    },
  };
}

async function readBody(response: Response): Promise<string> {
  if (response.headers.get('content-encoding') !== 'gzip' || response.body === null) return response.text();
  return new Response(response.body.pipeThrough(new DecompressionStream('gzip'))).text();
}
