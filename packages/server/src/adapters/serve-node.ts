import type { IncomingMessage, ServerResponse } from 'node:http';

import { findAnswerer } from '../http/answerers.ts';
import type { IncomingRequest } from '../http/answerers.ts';
import type { Gzip } from '../ports/gzip.ts';
import { nodeGzip } from './node-gzip.ts';
import { hasSmallBody, readSmallBody, toBareRequest, toWebRequest } from './node-request.ts';
import { writeAnswer, writeWebResponse } from './node-response.ts';

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
  const answerer = findAnswerer(handler.fetch);
  let incoming: IncomingRequest;
  try {
    incoming = takeIn(req, path, gone.signal, answerer !== undefined && hasSmallBody(req));
  } catch {
    // A method or header that the Web platform refuses to represent.
    res.writeHead(BAD_REQUEST).end();
    return;
  }
  if (answerer === undefined) await writeWebResponse(await handler.fetch(incoming.request, { gzip: nodeGzip }), res);
  else await writeAnswer(await answerer(incoming, nodeGzip), res);
}

function takeIn(req: IncomingMessage, path: string | undefined, clientSignal: AbortSignal, isBare: boolean): IncomingRequest {
  if (!isBare) return { request: toWebRequest(req, path, clientSignal), clientSignal };
  return { request: toBareRequest(req, path), clientSignal, readWhole: (signal) => readSmallBody(req, signal) };
}
