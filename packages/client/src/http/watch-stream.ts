import { ERROR_TABLE, SyncError, createSseReader, isSyncError, isWireErrorCode } from '@oversync/protocol';

import type { Clock } from '../ports/clock.ts';
import { openBody, readInTime } from './body.ts';
import { sendRequest } from './exchange.ts';
import type { HttpContext, OpenReply } from './exchange.ts';
import { httpError, readRefusal } from './request-reply.ts';
import type { Refusal } from './request-reply.ts';
import { watchRequest } from './requests.ts';

const EVENT_STREAM = /^text\/event-stream\s*(;|$)/i;

export interface WatchRequest {
  readonly sourceId: string;
  readonly afterBundleSeq: bigint;
  readonly signal: AbortSignal;
  /** Decoded bytes of the body of a refusal. */
  readonly errorBytesMax: number;
}

/** A hint that a bundle up to this sequence was committed. */
export interface WatchStreamEvent {
  readonly bundleSeq: bigint;
}

/** An open stream of hints (protocol.md 8.9). */
export interface EventStream {
  /**
   * The next hint, or `null` at the end of the stream. Rejects with `protocol_violation` when the stream is malformed, `timeout` after
   * silence, `transport_failed` when the connection breaks, `aborted` when it was closed. Hints before a fault are delivered first.
   */
  next(): Promise<WatchStreamEvent | null>;
  /** Releases the connection. May be called at any time, also twice. */
  close(): void;
}

/** Opens a stream. A refusal rejects with the server's own code where it is one of the contract. */
export async function openWatchStream(http: HttpContext, request: WatchRequest): Promise<EventStream> {
  const { sourceId, signal } = request;
  const reply = await sendRequest(http, watchRequest(request.afterBundleSeq), { sourceId, signal, accept: 'text/event-stream' });
  try {
    if (reply.response.status !== 200) throw await refusal(http, reply, request);
    if (!EVENT_STREAM.test(reply.response.headers.get('content-type') ?? '')) {
      throw new SyncError('protocol_violation', { details: { reason: 'content_type' } });
    }
    return new HttpEventStream(reply, http.clock, http.timeouts.watchIdleTimeoutMs);
  } catch (error) {
    reply.response.body?.cancel().catch(() => undefined);
    reply.close();
    throw error;
  }
}

/** The error of a refusal: the server's code where status and code belong together, else what the status says. */
export function watchRefusalError(refused: Refusal): SyncError {
  const { serverCode, status, retryAfterMs } = refused;
  if (!isWireErrorCode(serverCode) || ERROR_TABLE[serverCode].status !== status) return httpError(refused);
  return new SyncError(serverCode, retryAfterMs === null ? {} : { retryAfterMs });
}

async function refusal(http: HttpContext, reply: OpenReply, request: WatchRequest): Promise<SyncError> {
  const bounds = { bytesMax: request.errorBytesMax, idleTimeoutMs: http.timeouts.bodyIdleTimeoutMs, signal: request.signal };
  return watchRefusalError(await readRefusal(reply.response, openBody(reply.response, bounds, http.clock)));
}

class HttpEventStream implements EventStream {
  readonly #reply: OpenReply;
  readonly #clock: Clock;
  readonly #idleTimeoutMs: number;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #events: WatchStreamEvent[] = [];
  readonly #sse = createSseReader({ onEvent: (event) => this.#events.push({ bundleSeq: event.bundle_seq }) });
  readonly #closing = new AbortController();
  #fault: SyncError | null = null;
  #isAtEnd = false;

  constructor(reply: OpenReply, clock: Clock, idleTimeoutMs: number) {
    this.#reply = reply;
    this.#clock = clock;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#reader = reply.response.body?.getReader();
    reply.signal.addEventListener('abort', () => this.close(), { once: true });
  }

  async next(): Promise<WatchStreamEvent | null> {
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      if (this.#fault !== null) throw this.#fault;
      if (this.#isAtEnd) return null;
      await this.#fill();
    }
  }

  close(): void {
    this.#fault ??= new SyncError('aborted');
    this.#closing.abort();
    this.#reader?.cancel().catch(() => undefined);
    this.#reply.close();
  }

  /** Reads one piece. A fault waits until the hints before it are delivered. */
  async #fill(): Promise<void> {
    try {
      const piece = await this.#read();
      if (piece === null) this.#isAtEnd = true;
      else this.#sse.feed(piece);
    } catch (error) {
      this.#fault ??= isSyncError(error)
        ? error
        : new SyncError('transport_failed', { details: { phase: 'body' }, cause: error });
    }
  }

  #read(): Promise<Uint8Array | null> {
    if (this.#reader === undefined) return Promise.resolve(null);
    // A stream has no end of its own: only its silence is bounded, and lines and events by the reader of events.
    const bounds = { bytesMax: Number.POSITIVE_INFINITY, idleTimeoutMs: this.#idleTimeoutMs, signal: this.#closing.signal };
    return readInTime(this.#reader, bounds, this.#clock);
  }
}
