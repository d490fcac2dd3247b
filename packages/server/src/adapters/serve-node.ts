import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Gzip } from '../ports/gzip.ts';
import { nodeGzip } from './node-gzip.ts';
import { toWebRequest } from './node-request.ts';
import { writeWebResponse } from './node-response.ts';

/** A sync server, its `ops`, or anything else that answers Web requests. */
export interface FetchHandler {
  readonly fetch: (request: Request, platform: { readonly gzip: Gzip }) => Promise<Response>;
}

const BAD_REQUEST = 400;

/**
 * Answers one request of `node:http`, whichever framework took it in. `path` replaces the path of the request, for frameworks that cut
 * their mount point off. Never rejects: what fails after the status was sent destroys the connection.
 */
export async function serveNode(handler: FetchHandler, req: IncomingMessage, res: ServerResponse, path?: string): Promise<void> {
  try {
    await serve(handler, req, res, path ?? req.url);
  } catch {
    res.destroy();
  }
}

async function serve(handler: FetchHandler, req: IncomingMessage, res: ServerResponse, path: string | undefined): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => {
    if (!res.writableFinished) gone.abort();
  });
  let request: Request;
  try {
    request = toWebRequest(req, path, gone.signal);
  } catch {
    // A method or header that the Web platform refuses to represent.
    res.writeHead(BAD_REQUEST).end();
    return;
  }
  await writeWebResponse(await handler.fetch(request, { gzip: nodeGzip }), res);
}
