import type { IncomingMessage } from 'node:http';

import { toByteStream } from '../http/byte-stream.ts';

const BODILESS_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);
const FALLBACK_ORIGIN = 'http://localhost';

/** The Web form of a node request, under the given path. The body is read only when the handler asks for it. */
export function toWebRequest(req: IncomingMessage, path: string | undefined, signal: AbortSignal): Request {
  const method = req.method ?? 'GET';
  if (hasNoBody(req)) return withHeaders(new Request(toUrl(req, path), { method, signal }), req.rawHeaders);
  // Leaving the body early must not destroy the socket: the answer has to go out on it.
  const body = toByteStream(req.iterator({ destroyOnReturn: false }), () => {});
  const init: RequestInit & { readonly duplex: 'half' } = { method, signal, body, duplex: 'half' };
  return withHeaders(new Request(toUrl(req, path), init), req.rawHeaders);
}

/** The same without body and signal, which cost more than the rest of a short request. */
export function toBareRequest(req: IncomingMessage, path: string | undefined): Request {
  return withHeaders(new Request(toUrl(req, path), { method: req.method ?? 'GET' }), req.rawHeaders);
}

/** Bodies up to this many bytes are read without a stream. */
const WHOLE_BODY_BYTES_MAX = 65_536;

/** A body is there, is sent as it is, and node sees to it that it has just as many bytes as the request says. */
export function hasSmallBody(req: IncomingMessage): boolean {
  if (BODILESS_METHODS.has(req.method ?? 'GET')) return false;
  if (req.headers['transfer-encoding'] !== undefined || req.headers['content-encoding'] !== undefined) return false;
  return Number(req.headers['content-length'] ?? Number.NaN) <= WHOLE_BODY_BYTES_MAX;
}

/** Reads what {@link hasSmallBody} has seen. Giving up leaves the connection open: the answer has to go out on it. */
export function readSmallBody(req: IncomingMessage, signal: AbortSignal | undefined): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    // Whoever has read it before us has left nothing; neither event would come again.
    if (req.readableEnded) {
      resolve(new Uint8Array(0));
      return;
    }
    if (req.destroyed) {
      reject(brokenOff());
      return;
    }
    const parts: Buffer[] = [];
    const settle = (): void => {
      signal?.removeEventListener('abort', onAbort);
      req.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
    };
    const onData = (part: Buffer): void => void parts.push(part);
    const onEnd = (): void => {
      settle();
      const [first] = parts;
      resolve(parts.length === 1 && first !== undefined ? first : Buffer.concat(parts));
    };
    const onClose = (error?: Error): void => {
      settle();
      reject(error ?? brokenOff());
    };
    const onAbort = (): void => {
      settle();
      req.pause();
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    req.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}

function brokenOff(): Error {
  return new Error('the connection ended inside the body');
}

/** A stream for nothing would cost more than the rest of a short request. */
function hasNoBody({ method, headers }: IncomingMessage): boolean {
  if (BODILESS_METHODS.has(method ?? 'GET')) return true;
  return headers['content-length'] === '0' && headers['transfer-encoding'] === undefined;
}

/** The path is appended, not resolved: `//other/path` must not become a host. */
function toUrl(req: IncomingMessage, rawPath: string | undefined): string {
  const path = rawPath?.startsWith('/') === true ? rawPath : '/';
  return `${toOrigin(req.headers.host ?? 'localhost')}${path}`;
}

/** Requests come for few hosts, mostly one. */
const lastOrigin = { host: '', origin: FALLBACK_ORIGIN };

function toOrigin(host: string): string {
  if (lastOrigin.host === host) return lastOrigin.origin;
  const origin = `http://${host}`;
  const isHost = URL.canParse(origin) && new URL(origin).pathname === '/';
  return Object.assign(lastOrigin, { host, origin: isHost ? origin : FALLBACK_ORIGIN }).origin;
}

/** Raw headers keep a header that was sent twice, which `req.headers` may not. */
function withHeaders(request: Request, rawHeaders: readonly string[]): Request {
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    const value = rawHeaders[index + 1];
    if (name !== undefined && value !== undefined && !name.startsWith(':')) request.headers.append(name, value);
  }
  return request;
}
