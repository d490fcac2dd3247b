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

/** An answer that is complete. Adapters may send it in one piece; a Response would wrap a stream around it. */
export class WholeAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** `null` where there is no body. */
  readonly bytes: Uint8Array<ArrayBuffer> | null;

  constructor(status: number, headers: Readonly<Record<string, string>>, bytes: Uint8Array<ArrayBuffer> | null) {
    this.status = status;
    this.headers = headers;
    this.bytes = bytes;
  }
}

export type Answer = Response | WholeAnswer;

/** The answer for callers that know the Web platform only. */
export function toResponse(answer: Answer): Response {
  if (answer instanceof Response) return answer;
  const { status, headers, bytes } = answer;
  return new Response(bytes, { status, headers });
}

export function createAnswer(
  reply: Reply,
  compression: Compression,
  onSent: OnSent,
  extraHeaders: Readonly<Record<string, string>> = {},
): Answer {
  switch (reply.kind) {
    case 'empty':
      onSent(0);
      return new WholeAnswer(204, { 'Cache-Control': 'no-store' }, null);
    case 'events':
      return new Response(reply.stream, { status: 200, headers: EVENT_HEADERS });
    case 'json':
      return createJsonAnswer(reply, compression, onSent, extraHeaders);
    case 'stream':
      return createStreamResponse(reply.body, compression, onSent);
  }
}

const EVENT_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache',
  'X-Accel-Buffering': 'no',
} as const;

function createJsonAnswer(
  reply: { readonly text: string; readonly status?: number },
  compression: Compression,
  onSent: OnSent,
  extraHeaders: Readonly<Record<string, string>>,
): Answer {
  const bytes = encoder.encode(reply.text);
  const headers = createJsonHeaders(extraHeaders);
  const status = reply.status ?? 200;
  if (!shouldCompress(bytes.byteLength, compression)) {
    onSent(bytes.byteLength);
    return new WholeAnswer(status, { ...headers, 'Content-Length': String(bytes.byteLength) }, bytes);
  }
  const body = toByteStream(yieldOne(bytes), (error) => onSent(bytes.byteLength, error));
  return new Response(compression.gzip(body), { status, headers: { ...headers, 'Content-Encoding': 'gzip' } });
}

function createStreamResponse(body: ByteBody, compression: Compression, onSent: OnSent): Response {
  const counter = { byteCount: 0 };
  const stream = toByteStream(countSent(body.chunks, counter), (error) => {
    body.release();
    onSent(counter.byteCount, error);
  });
  const headers = createJsonHeaders({});
  if (!shouldCompress(body.byteLength, compression)) return new Response(stream, { status: 200, headers });
  return new Response(compression.gzip(stream), { status: 200, headers: { ...headers, 'Content-Encoding': 'gzip' } });
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

function createJsonHeaders(extra: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', Vary: 'Accept-Encoding', ...extra };
}

/** What goes on the wire for an error: members from the table, and how long to wait. */
export function createErrorAnswer(
  error: SyncError,
  status: number,
  compression: Compression,
  onSent: OnSent,
  extraHeaders: Readonly<Record<string, string>> = {},
): Answer {
  const reply = { kind: 'json', text: stringifyJson(encodeErrorBody(error)), status } as const;
  const seconds = getRetryAfterSeconds(error, status);
  const headers = seconds === undefined ? extraHeaders : { ...extraHeaders, [RETRY_AFTER_HEADER]: String(seconds) };
  return createAnswer(reply, compression, onSent, headers);
}

const CAPACITY_RETRY_SECONDS = 1;

function getRetryAfterSeconds(error: SyncError, status: number): number | undefined {
  if (error.retryAfterMs !== undefined) return Math.max(1, Math.ceil(error.retryAfterMs / 1000));
  return status === 429 || error.code === 'service_unavailable' ? CAPACITY_RETRY_SECONDS : undefined;
}
