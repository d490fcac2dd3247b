import type { IncomingMessage } from 'node:http';

import { toByteStream } from '../http/byte-stream.ts';

const BODILESS_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);
const FALLBACK_ORIGIN = 'http://localhost';

/** The Web form of a node request, under the given path. The body is read only when the handler asks for it. */
export function toWebRequest(req: IncomingMessage, path: string | undefined, signal: AbortSignal): Request {
  const method = req.method ?? 'GET';
  const headers = toHeaders(req.rawHeaders);
  if (BODILESS_METHODS.has(method) || hasEmptyBody(req)) return new Request(toUrl(req, path), { method, headers, signal });
  // Leaving the body early must not destroy the socket: the answer has to go out on it.
  const body = toByteStream(req.iterator({ destroyOnReturn: false }), () => {});
  const init: RequestInit & { readonly duplex: 'half' } = { method, headers, signal, body, duplex: 'half' };
  return new Request(toUrl(req, path), init);
}

/** A stream for nothing would cost more than the rest of a short request. */
function hasEmptyBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] === '0' && headers['transfer-encoding'] === undefined;
}

/** The path is appended, not resolved: `//other/path` must not become a host. */
function toUrl(req: IncomingMessage, rawPath: string | undefined): string {
  const path = rawPath?.startsWith('/') === true ? rawPath : '/';
  const origin = `http://${req.headers.host ?? 'localhost'}`;
  return URL.canParse(origin) && new URL(origin).pathname === '/' ? `${origin}${path}` : `${FALLBACK_ORIGIN}${path}`;
}

/** Raw headers keep a header that was sent twice, which `req.headers` may not. */
function toHeaders(rawHeaders: readonly string[]): Headers {
  const headers = new Headers();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    const value = rawHeaders[index + 1];
    if (name !== undefined && value !== undefined && !name.startsWith(':')) headers.append(name, value);
  }
  return headers;
}
