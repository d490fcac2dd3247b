import { encodeErrorBody, RETRY_AFTER_HEADER, stringifyJson } from '@oversync/protocol';
import type { SyncError } from '@oversync/protocol';

import type { ByteBody } from '../engine/byte-body.ts';
import type { Gzip } from '../ports/gzip.ts';
import { toByteStream } from './byte-stream.ts';

/** What an operation answers, before it is put on the wire. */
export type Reply =
  | { readonly kind: 'json'; readonly text: string; readonly status?: number }
  | { readonly kind: 'stream'; readonly body: ByteBody }
  | { readonly kind: 'empty' }
  | { readonly kind: 'events'; readonly stream: ReadableStream<Uint8Array> };

export interface Compression {
  readonly isAccepted: boolean;
  readonly minBytes: number;
  readonly gzip: Gzip;
}

const encoder = new TextEncoder();

/** Whether the request takes gzip: named, or covered by `*`, with a weight above zero. */
export function acceptsGzip(header: string | null): boolean {
  if (header === null) return false;
  let isCovered = false;
  for (const part of header.toLowerCase().split(',')) {
    const [name = '', ...parameters] = part.split(';').map((piece) => piece.trim());
    const isRefused = parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter));
    if (name === 'gzip') return !isRefused;
    if (name === '*') isCovered = !isRefused;
  }
  return isCovered;
}

/** Called once when the body is complete or given up, with the bytes sent before compression. */
export type OnSent = (byteCount: number, error?: unknown) => void;

export function createResponse(
  reply: Reply,
  compression: Compression,
  onSent: OnSent,
  extraHeaders: Readonly<Record<string, string>> = {},
): Response {
  switch (reply.kind) {
    case 'empty':
      onSent(0);
      return new Response(null, { status: 204, headers: { 'Cache-Control': 'no-store' } });
    case 'events':
      return new Response(reply.stream, { status: 200, headers: EVENT_HEADERS });
    case 'json':
      return createJsonResponse(reply, compression, onSent, extraHeaders);
    case 'stream':
      return createStreamResponse(reply.body, compression, onSent);
  }
}

const EVENT_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache',
  'X-Accel-Buffering': 'no',
} as const;

function createJsonResponse(
  reply: { readonly text: string; readonly status?: number },
  compression: Compression,
  onSent: OnSent,
  extraHeaders: Readonly<Record<string, string>>,
): Response {
  const bytes = encoder.encode(reply.text);
  const headers = createJsonHeaders(extraHeaders);
  const status = reply.status ?? 200;
  if (!shouldCompress(bytes.byteLength, compression)) {
    onSent(bytes.byteLength);
    headers.set('Content-Length', String(bytes.byteLength));
    return new Response(bytes, { status, headers });
  }
  headers.set('Content-Encoding', 'gzip');
  const body = toByteStream(yieldOne(bytes), (error) => onSent(bytes.byteLength, error));
  return new Response(compression.gzip(body), { status, headers });
}

function createStreamResponse(body: ByteBody, compression: Compression, onSent: OnSent): Response {
  const counter = { byteCount: 0 };
  const stream = toByteStream(countSent(body.chunks, counter), (error) => {
    body.release();
    onSent(counter.byteCount, error);
  });
  const headers = createJsonHeaders({});
  if (!shouldCompress(body.byteLength, compression)) return new Response(stream, { status: 200, headers });
  headers.set('Content-Encoding', 'gzip');
  return new Response(compression.gzip(stream), { status: 200, headers });
}

async function* countSent(chunks: AsyncIterable<Uint8Array>, counter: { byteCount: number }): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    counter.byteCount += chunk.byteLength;
    yield chunk;
  }
}

async function* yieldOne(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function shouldCompress(byteLength: number, compression: Compression): boolean {
  return compression.isAccepted && byteLength >= compression.minBytes;
}

function createJsonHeaders(extra: Readonly<Record<string, string>>): Headers {
  return new Headers({ 'Content-Type': 'application/json', 'Cache-Control': 'no-store', Vary: 'Accept-Encoding', ...extra });
}

/** What goes on the wire for an error: members from the table, and how long to wait. */
export function createErrorResponse(
  error: SyncError,
  status: number,
  compression: Compression,
  onSent: OnSent,
  extraHeaders: Readonly<Record<string, string>> = {},
): Response {
  const reply = { kind: 'json', text: stringifyJson(encodeErrorBody(error)), status } as const;
  const seconds = getRetryAfterSeconds(error, status);
  const headers = seconds === undefined ? extraHeaders : { ...extraHeaders, [RETRY_AFTER_HEADER]: String(seconds) };
  return createResponse(reply, compression, onSent, headers);
}

const CAPACITY_RETRY_SECONDS = 1;

function getRetryAfterSeconds(error: SyncError, status: number): number | undefined {
  if (error.retryAfterMs !== undefined) return Math.max(1, Math.ceil(error.retryAfterMs / 1000));
  return status === 429 || error.code === 'service_unavailable' ? CAPACITY_RETRY_SECONDS : undefined;
}
