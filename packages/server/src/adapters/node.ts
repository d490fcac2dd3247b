/** Serves a Web-standard handler from `node:http`. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Gzip } from '../ports/gzip.ts';
import { nodeGzip } from './node-gzip.ts';
import { toWebRequest } from './node-request.ts';
import { writeWebResponse } from './node-response.ts';

/** A sync server, its `ops`, or anything else that answers Web requests. */
export interface FetchHandler {
  readonly fetch: (request: Request, platform: { readonly gzip: Gzip }) => Promise<Response>;
}

/** A request listener of `node:http`, also usable as the last handler of a router. */
export type NodeHandler = (req: IncomingMessage, res: ServerResponse) => void;

const BAD_REQUEST = 400;

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
  return (req, res) => {
    void serve(handler, req, res).catch(() => {
      res.destroy();
    });
  };
}

async function serve(handler: FetchHandler, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) gone.abort();
  });
  let request: Request;
  try {
    request = toWebRequest(req, gone.signal);
  } catch {
    // A method or header that the Web platform refuses to represent.
    res.writeHead(BAD_REQUEST).end();
    return;
  }
  await writeWebResponse(await handler.fetch(request, { gzip: nodeGzip }), res);
}
