import { formatBundleEvent, formatSseComment } from '@oversync/protocol';

import { encodeText } from './byte-body.ts';

/** A commit up to `bundleSeq` exists; the source is known only when the commit itself was heard of. */
export interface WatchNotice {
  readonly bundleSeq: bigint;
  readonly source?: { readonly sourceId: string; readonly sourceBundleId: bigint };
}

export interface WatchStreamOptions {
  readonly heartbeatIntervalMs: number;
  /** Milliseconds after which the stream ends by itself. */
  readonly lifetimeMs: number;
  /** Called once, for whatever reason the stream ends. */
  readonly onEnd: (reason: WatchEnd) => void;
}

export type WatchEnd = 'client' | 'shutdown' | 'lifetime' | 'stalled';

/** Heartbeats that a socket may leave undrained before the stream is given up. */
const STALLED_HEARTBEATS_MAX = 2;

const NOTHING_SENT = -1n;

/**
 * One event stream. At most one event waits for the socket: the newest, because an event only says that there is something to pull.
 * Sequences never go down.
 */
export class WatchStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly #onEnd: (reason: WatchEnd) => void;
  readonly #heartbeat: ReturnType<typeof setInterval>;
  readonly #lifetime: ReturnType<typeof setTimeout>;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #waiting: WatchNotice | undefined;
  #isOpen = false;
  #hasEnded = false;
  #lastSentSeq = NOTHING_SENT;
  #undrainedHeartbeats = 0;

  constructor(options: WatchStreamOptions) {
    this.#onEnd = options.onEnd;
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        controller.enqueue(encodeText(formatSseComment('connected')));
      },
      pull: () => this.#flush(),
      cancel: () => this.#finish('client'),
    });
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatIntervalMs);
    this.#lifetime = setTimeout(() => this.end('lifetime'), options.lifetimeMs);
  }

  /** Takes a notice; what is not newer than what was sent or waits already is dropped. */
  deliver(notice: WatchNotice): void {
    if (this.#hasEnded || notice.bundleSeq <= this.#lastSentSeq) return;
    if (this.#waiting !== undefined && notice.bundleSeq < this.#waiting.bundleSeq) return;
    this.#waiting = notice;
    this.#flush();
  }

  /**
   * Starts sending, once the head has been read after the subscription. A client that is behind the head, or ahead of it because the
   * server was restored, gets an event at once; notices that came in meanwhile are merged with it.
   */
  open(head: bigint, afterBundleSeq: bigint): void {
    this.#isOpen = true;
    const isUpToDate = head === afterBundleSeq || (head < afterBundleSeq && afterBundleSeq === 0n);
    if (isUpToDate) this.#lastSentSeq = head;
    else this.deliver({ bundleSeq: head });
    if (this.#waiting !== undefined && this.#waiting.bundleSeq <= this.#lastSentSeq) this.#waiting = undefined;
    this.#flush();
  }

  end(reason: WatchEnd): void {
    if (this.#hasEnded) return;
    const controller = this.#controller;
    this.#finish(reason);
    // A close would wait for a socket that does not drain.
    if (reason === 'stalled') controller?.error(new Error('the client does not read its stream'));
    else controller?.close();
  }

  #flush(): void {
    const notice = this.#waiting;
    if (!this.#isOpen || this.#hasEnded || notice === undefined || !this.#isDrained()) return;
    this.#waiting = undefined;
    this.#lastSentSeq = notice.bundleSeq;
    const source = notice.source && { source_id: notice.source.sourceId, source_bundle_id: notice.source.sourceBundleId };
    this.#controller?.enqueue(encodeText(formatBundleEvent({ bundle_seq: notice.bundleSeq, ...source })));
  }

  #beat(): void {
    if (this.#isDrained()) {
      this.#undrainedHeartbeats = 0;
      this.#controller?.enqueue(encodeText(formatSseComment('heartbeat')));
      return;
    }
    this.#undrainedHeartbeats += 1;
    if (this.#undrainedHeartbeats >= STALLED_HEARTBEATS_MAX) this.end('stalled');
  }

  #isDrained(): boolean {
    return (this.#controller?.desiredSize ?? 0) > 0;
  }

  #finish(reason: WatchEnd): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#waiting = undefined;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#lifetime);
    this.#onEnd(reason);
  }
}
