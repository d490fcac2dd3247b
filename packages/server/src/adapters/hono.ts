/** Serves a Web-standard handler from Hono. */
import { webGzip } from '../ports/gzip.ts';
import type { Gzip } from '../ports/gzip.ts';
import type { FetchHandler } from './serve-node.ts';

export type { FetchHandler } from './serve-node.ts';

/** A handler for `app.all`. Described by its shape, so that it fits every application's `Env`. */
export type HonoHandler = (context: { readonly req: { readonly raw: Request }; readonly env?: unknown }) => Promise<Response>;

/** What the platform under Hono can do better than the Web platform. */
export interface HonoPlatform {
  /** Compresses answers; on Node, `nodeGzip` of `@oversync/server/node` is faster than the default, CompressionStream. */
  readonly gzip?: Gzip;
}

/**
 * Makes a Hono handler out of a server, for every runtime that Hono runs on.
 *
 * @example
 * ```ts
 * app.all('/sync/*', createHonoHandler(server));
 * app.all('/syncx/*', createHonoHandler(server.ops));
 * ```
 */
export function createHonoHandler(handler: FetchHandler, platform: HonoPlatform = {}): HonoHandler {
  const resolved = { gzip: platform.gzip ?? webGzip };
  return async (context) => {
    const response = await handler.fetch(context.req.raw, resolved);
    // @hono/node-server ends the connection of an unread body a moment later without saying so; a client must not send on it again.
    if (hasUnreadBody(context.env)) response.headers.set('Connection', 'close');
    return response;
  };
}

/** Only @hono/node-server tells: it hands its request of `node:http` on as `env.incoming`. */
function hasUnreadBody(env: unknown): boolean {
  if (typeof env !== 'object' || env === null || !('incoming' in env)) return false;
  const { incoming } = env;
  return typeof incoming === 'object' && incoming !== null && 'complete' in incoming && incoming.complete === false;
}
