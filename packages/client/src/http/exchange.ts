import { SOURCE_ID_HEADER, SyncError } from '@oversync/protocol';

import { GZIP_REQUEST_BYTES_MIN } from '../limits.ts';
import type { Clock, Random } from '../ports/clock.ts';
import type { GzipBytes, HttpTransport } from '../ports/transport.ts';
import type { CapacityRetryPolicy, RetryPolicy } from '../rules/retry.ts';
import type { EncodedBody, RequestOperation, RequestSpec } from './requests.ts';
import { requestUrl } from './requests.ts';

/** What `headers` is told about the request it makes credentials for. */
export interface HeadersContext {
  readonly operation: RequestOperation;
  /** True after a 401: cached credentials are no good. */
  readonly refresh: boolean;
}

/** The option `headers`: credentials of one request, usually `{Authorization: 'Bearer …'}`. */
export type HeadersProvider = (
  context: HeadersContext,
) => Promise<Readonly<Record<string, string>>> | Readonly<Record<string, string>>;

/** What the header `Accept-Encoding` says. */
export type AcceptEncoding = 'gzip' | 'identity';

export interface HttpTimeouts {
  readonly requestTimeoutMs: number;
  readonly bulkRequestTimeoutMs: number;
  readonly bodyIdleTimeoutMs: number;
  readonly watchIdleTimeoutMs: number;
}

/** Everything the HTTP layer needs from the client. */
export interface HttpContext {
  readonly baseUrl: URL;
  readonly headers: HeadersProvider;
  readonly transport: HttpTransport;
  readonly gzip: GzipBytes;
  readonly clock: Clock;
  readonly random: Random;
  readonly timeouts: HttpTimeouts;
  /** How answers may come; streams are never compressed. */
  readonly acceptEncoding: AcceptEncoding;
  readonly retryPolicy: RetryPolicy;
  readonly capacityRetryPolicy: CapacityRetryPolicy;
}

/** How one request is sent. */
export interface SendOptions {
  readonly sourceId: string;
  readonly signal: AbortSignal;
  /** The server inflates request bodies. */
  readonly acceptsGzip?: boolean;
  readonly headersTimeoutMs?: number;
  readonly accept?: string;
}

/** An open response. `close` must be called once nothing more is read from it. */
export interface OpenReply {
  readonly response: Response;
  readonly signal: AbortSignal;
  close(): void;
}

/**
 * Sends one request and waits for the headers of the answer. After a 401 the credentials are made anew and the request is sent once more;
 * a second 401 comes back like any other status.
 */
export async function sendRequest(http: HttpContext, spec: RequestSpec, options: SendOptions): Promise<OpenReply> {
  const body = await encodeBody(http, spec, options);
  const first = await sendOnce(http, spec, options, body, false);
  if (first.response.status !== 401) return first;
  first.response.body?.cancel().catch(() => undefined);
  first.close();
  return sendOnce(http, spec, options, body, true);
}

async function encodeBody(http: HttpContext, spec: RequestSpec, options: SendOptions): Promise<EncodedBody | null> {
  if (spec.encodedBody !== undefined) return spec.encodedBody;
  return spec.body === null ? null : encodeText(http, spec.body, options.acceptsGzip === true);
}

/** The bytes of a request body, compressed where that pays and the server inflates them. */
export async function encodeText(http: HttpContext, text: string, acceptsGzip: boolean): Promise<EncodedBody> {
  const bytes = new TextEncoder().encode(text);
  if (!acceptsGzip || bytes.byteLength < GZIP_REQUEST_BYTES_MIN) return { bytes, isGzip: false };
  return { bytes: await http.gzip(bytes), isGzip: true };
}

async function sendOnce(
  http: HttpContext,
  spec: RequestSpec,
  options: SendOptions,
  body: EncodedBody | null,
  refresh: boolean,
): Promise<OpenReply> {
  checkNotAborted(options.signal);
  const credentials = await loadCredentials(http, spec, options.signal, refresh);
  const link = linkAbort(options.signal);
  let isLate = false;
  const stopTimer = http.clock.startTimer(headersTimeoutMs(http, spec, options), () => {
    isLate = true;
    link.controller.abort();
  });
  try {
    const request = buildRequest(http.baseUrl, spec, {
      credentials,
      sourceId: options.sourceId,
      body,
      signal: link.controller.signal,
      accept: options.accept,
      acceptEncoding: http.acceptEncoding,
    });
    const response = await raceAbort(http.transport(request), link.controller.signal);
    return { response, signal: link.controller.signal, close: () => link.unlink() };
  } catch (cause) {
    link.unlink();
    if (options.signal.aborted) throw new SyncError('aborted', { cause });
    if (isLate) throw new SyncError('timeout', { details: { phase: 'headers' }, cause });
    throw new SyncError('transport_failed', { details: { phase: 'headers' }, cause });
  } finally {
    stopTimer();
  }
}

function headersTimeoutMs(http: HttpContext, spec: RequestSpec, options: SendOptions): number {
  return options.headersTimeoutMs ?? (spec.isBulk ? http.timeouts.bulkRequestTimeoutMs : http.timeouts.requestTimeoutMs);
}

async function loadCredentials(
  http: HttpContext,
  spec: RequestSpec,
  signal: AbortSignal,
  refresh: boolean,
): Promise<Readonly<Record<string, string>>> {
  try {
    return await raceAbort(Promise.resolve(http.headers({ operation: spec.operation, refresh })), signal);
  } catch (cause) {
    if (signal.aborted) throw new SyncError('aborted', { cause });
    throw new SyncError('transport_failed', { details: { phase: 'credentials' }, cause });
  }
}

export interface RequestParts {
  readonly credentials: Readonly<Record<string, string>>;
  readonly sourceId: string;
  readonly body: EncodedBody | null;
  readonly signal: AbortSignal;
  readonly accept?: string | undefined;
  readonly acceptEncoding: AcceptEncoding;
}

/** The request as it goes to the transport. */
export function buildRequest(baseUrl: URL, spec: RequestSpec, parts: RequestParts): Request {
  const headers = new Headers({ ...parts.credentials });
  headers.set(SOURCE_ID_HEADER, parts.sourceId);
  headers.set('Accept', parts.accept ?? 'application/json');
  headers.set('Accept-Encoding', parts.accept === undefined ? parts.acceptEncoding : 'identity');
  if (parts.body !== null) headers.set('Content-Type', 'application/json');
  if (parts.body?.isGzip === true) headers.set('Content-Encoding', 'gzip');
  return new Request(requestUrl(baseUrl, spec), {
    method: spec.method,
    headers,
    signal: parts.signal,
    redirect: 'follow',
    ...(parts.body === null ? {} : { body: parts.body.bytes }),
  });
}

/** A controller that fires with the caller's signal, until it is unlinked: long-lived signals must not collect listeners. */
function linkAbort(signal: AbortSignal): { readonly controller: AbortController; unlink(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  return { controller, unlink: () => signal.removeEventListener('abort', abort) };
}

/** Rejects as soon as the signal fires, also where the awaited work ignores it. */
export function raceAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    work.catch(() => undefined);
    return Promise.reject(new SyncError('aborted'));
  }
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(new SyncError('aborted'));
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Throws `aborted` when the caller gave up. */
export function checkNotAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new SyncError('aborted');
}

/** Waits; rejects with `aborted` when the signal fires first. */
export function sleep(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    if (signal.aborted) {
      reject(new SyncError('aborted'));
      return;
    }
    const abort = (): void => {
      stopTimer();
      reject(new SyncError('aborted'));
    };
    const stopTimer = clock.startTimer(delayMs, () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
    signal.addEventListener('abort', abort, { once: true });
  });
}

/** Lets requests leave and answers arrive before work goes on. Not by the port for time, which tests let stand still. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 0);
  });
}

/** The default of `ports.gzip`. */
export const gzipWithCompressionStream: GzipBytes = async (bytes) => {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
};
