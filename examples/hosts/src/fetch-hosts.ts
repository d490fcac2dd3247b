import type { SyncServer } from '@oversync/server';

/** What Bun and Deno serve: an object with a `fetch` of the Web platform. */
export interface FetchHost {
  readonly fetch: (request: Request) => Promise<Response>;
}

/**
 * Sync, health and the rest of an application behind one `fetch`: `Bun.serve({ ...createFetchHost(server, app), idleTimeout: 60 })`, or
 * `export default createFetchHost(server, app)` for `deno serve`. Bun ends quiet connections after 10 seconds unless told otherwise,
 * and a watch stream is quiet for 25.
 */
export function createFetchHost(server: SyncServer, app: (request: Request) => Promise<Response>): FetchHost {
  return {
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      if (pathname.startsWith('/sync/')) return server.fetch(request);
      return pathname.startsWith('/syncx/') ? server.ops.fetch(request) : app(request);
    },
  };
}
