/** Serves a Web-standard handler from `node:http`. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { serveNode } from './serve-node.ts';
import type { FetchHandler } from './serve-node.ts';

export { nodeGzip } from './node-gzip.ts';
export type { FetchHandler } from './serve-node.ts';

/** A request listener of `node:http`, also usable as the last handler of a router. */
export type NodeHandler = (req: IncomingMessage, res: ServerResponse) => void;

/**
 * Makes a listener for `node:http` out of a server. Bodies are streamed in both directions with back-pressure; a client that goes away
 * aborts the request's signal; a body that fails after the status was sent destroys the connection, so that the client cannot take
 * half of it for all of it.
 *
 * @example
 * ```ts
 * const handler = createNodeHandler(server);
 * createServer((req, res) => (req.url?.startsWith('/sync/') ? handler(req, res) : app(req, res))).listen(3000);
 * ```
 */
export function createNodeHandler(handler: FetchHandler): NodeHandler {
  return (req, res) => void serveNode(handler, req, res);
}
