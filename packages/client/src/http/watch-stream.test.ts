import { isSyncError } from '@oversync/protocol';
import { describe, expect, test } from 'vitest';

import { createFixedRandom, createVirtualClock } from '../testing/virtual-clock.ts';
import type { HttpContext } from './exchange.ts';
import { gzipWithCompressionStream } from './exchange.ts';
import type { EventStream } from './watch-stream.ts';
import { openWatchStream } from './watch-stream.ts';

const EVENT = 'event: bundle\ndata: {"bundle_seq":7,"source_id":"device-a","source_bundle_id":1}\n\n';
const MIB = 1024 * 1024;

interface Opened {
  readonly stream: EventStream;
  readonly request: Request;
  readonly clock: ReturnType<typeof createVirtualClock>;
  readonly abort: AbortController;
  readonly send: (text: string | Uint8Array) => void;
  readonly finish: () => void;
  readonly fail: () => void;
  readonly isCancelled: () => boolean;
}

const encoder = new TextEncoder();

function context(clock: ReturnType<typeof createVirtualClock>, transport: HttpContext['transport']): HttpContext {
  return {
    baseUrl: new URL('https://sync.test/api/v1/'),
    headers: () => ({ Authorization: 'Bearer token' }),
    transport,
    gzip: gzipWithCompressionStream,
    clock,
    random: createFixedRandom(),
    timeouts: { requestTimeoutMs: 30_000, bulkRequestTimeoutMs: 330_000, bodyIdleTimeoutMs: 30_000, watchIdleTimeoutMs: 60_000 },
    acceptEncoding: 'gzip',
    retryPolicy: { enabled: false, maxAttempts: 1, initialBackoffMs: 0, maxBackoffMs: 0, jitterRatio: 0 },
    capacityRetryPolicy: { enabled: false, maxWaitMs: 0, fallbackDelayMs: 1, jitterRatio: 0 },
  };
}

async function open(): Promise<Opened> {
  const clock = createVirtualClock();
  const abort = new AbortController();
  const requests: Request[] = [];
  let isCancelled = false;
  let body: ReadableStreamDefaultController<Uint8Array> | null = null;
  const source = new ReadableStream<Uint8Array>({
    start: (controller) => {
      body = controller;
    },
    cancel: () => {
      isCancelled = true;
    },
  });
  const http = context(clock, (request) => {
    requests.push(request);
    return Promise.resolve(new Response(source, { headers: { 'Content-Type': 'text/event-stream' } }));
  });
  const stream = await openWatchStream(http, {
    sourceId: 'device-a',
    afterBundleSeq: 5n,
    signal: abort.signal,
    errorBytesMax: 65_536,
  });
  const [request] = requests;
  const sink = (): ReadableStreamDefaultController<Uint8Array> => {
    if (body === null) throw new Error('the body was not started');
    return body;
  };
  if (request === undefined) throw new Error('no request was made');
  return {
    stream,
    request,
    clock,
    abort,
    send: (text) => sink().enqueue(typeof text === 'string' ? encoder.encode(text) : text),
    finish: () => sink().close(),
    fail: () => sink().error(new Error('connection reset')),
    isCancelled: () => isCancelled,
  };
}

/** The code of the fault that the next read ends with. */
function faultOf(stream: EventStream): Promise<unknown> {
  return stream.next().then(
    () => null,
    (error: unknown) => (isSyncError(error) ? error.code : error),
  );
}

function refuse(status: number, body: string, headers: Record<string, string> = {}): Promise<EventStream> {
  const http = context(createVirtualClock(), () => Promise.resolve(new Response(body, { status, headers })));
  return openWatchStream(http, {
    sourceId: 'device-a',
    afterBundleSeq: 0n,
    signal: new AbortController().signal,
    errorBytesMax: 65_536,
  });
}

describe('watch stream over HTTP', () => {
  test('the request names the checkpoint and asks for an uncompressed event stream', async () => {
    const { request, stream } = await open();
    expect(request.url).toBe('https://sync.test/api/v1/sync/watch?after_bundle_seq=5');
    expect(request.headers.get('accept')).toBe('text/event-stream');
    expect(request.headers.get('oversync-source-id')).toBe('device-a');
    expect(request.headers.get('authorization')).toBe('Bearer token');
    stream.close();
  });

  test('[T104] an event that arrives byte by byte, with CRLF line ends, comments and heartbeats, is one hint', async () => {
    const { stream, send, finish } = await open();
    for (const byte of encoder.encode(`: connected\r\n\r\n${EVENT.replaceAll('\n', '\r\n')}: heartbeat\r\n\r\n`))
      send(new Uint8Array([byte]));
    finish();
    expect(await stream.next()).toEqual({ bundleSeq: 7n });
    expect(await stream.next()).toBeNull();
    expect(await stream.next()).toBeNull();
  });

  test('[T104] hints before a malformed event are delivered before the fault', async () => {
    const { stream, send } = await open();
    send(`${EVENT}event: bundle\ndata: {"bundle_seq":0}\n\n`);
    expect(await stream.next()).toEqual({ bundleSeq: 7n });
    await expect(stream.next()).rejects.toMatchObject({ code: 'protocol_violation' });
    await expect(stream.next()).rejects.toMatchObject({ code: 'protocol_violation' });
  });

  test('[T104] a line and an event of one MiB pass, one byte more ends the stream', async () => {
    const fits = await open();
    fits.send(`:${'x'.repeat(MIB - 1)}\n${EVENT}`);
    expect(await fits.stream.next()).toEqual({ bundleSeq: 7n });
    fits.send(`:${'x'.repeat(MIB)}\n`);
    await expect(fits.stream.next()).rejects.toMatchObject({ details: { reason: 'line_too_long' } });

    const event = await open();
    const half = `data: ${'x'.repeat(MIB / 2)}\n`;
    event.send(`event: diagnostic\n${half}${half}\n`);
    await expect(event.stream.next()).rejects.toMatchObject({ details: { reason: 'event_too_long' } });
  });

  test('[K13] a stream outlives every request time-out as long as it is not silent', async () => {
    const { stream, send, clock } = await open();
    const hint = stream.next();
    for (let minute = 0; minute < 24 * 60; minute += 1) {
      send(': heartbeat\n\n');
      await clock.advance(59_000);
    }
    send(EVENT);
    expect(await hint).toEqual({ bundleSeq: 7n });
    stream.close();
    await clock.settle();
    expect(clock.timerCount).toBe(0);
  });

  test('[T104] silence ends the stream and releases the connection', async () => {
    const { stream, clock, isCancelled } = await open();
    const hint = faultOf(stream);
    await clock.advance(60_000);
    expect(await hint).toBe('timeout');
    expect(isCancelled()).toBe(true);
  });

  test('a broken connection is a transport failure', async () => {
    const { stream, fail } = await open();
    fail();
    await expect(stream.next()).rejects.toMatchObject({ code: 'transport_failed' });
  });

  test('[K29] closing, or the signal of the caller, ends a read that waits, and releases the connection', async () => {
    const closed = await open();
    const read = faultOf(closed.stream);
    closed.stream.close();
    closed.stream.close();
    expect(await read).toBe('aborted');
    expect(closed.isCancelled()).toBe(true);

    const aborted = await open();
    const waiting = faultOf(aborted.stream);
    aborted.abort.abort();
    expect(await waiting).toBe('aborted');
    expect(aborted.isCancelled()).toBe(true);
  });

  test('refusals carry the code of the server where it belongs to the status, and what the server asked to wait', async () => {
    await expect(refuse(503, '{"error":"bundle_change_watch_disabled","message":"off"}')).rejects.toMatchObject({
      code: 'bundle_change_watch_disabled',
    });
    await expect(
      refuse(429, '{"error":"bundle_change_watch_capacity","message":"full"}', { 'Retry-After': '7' }),
    ).rejects.toMatchObject({ code: 'bundle_change_watch_capacity', retryAfterMs: 7000 });
    await expect(refuse(502, '<html>')).rejects.toMatchObject({ code: 'http_error', details: { status: 502 } });
    await expect(refuse(404, '{"error":"authentication_failed","message":""}')).rejects.toMatchObject({ code: 'http_error' });
  });

  test('an answer that is not an event stream is refused', async () => {
    await expect(refuse(200, '{}', { 'Content-Type': 'application/json' })).rejects.toMatchObject({
      code: 'protocol_violation',
      details: { reason: 'content_type' },
    });
  });
});
