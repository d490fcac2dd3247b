import { isSyncError } from '@oversync/protocol';

import { WATCH_HEALTHY_MS } from '../../limits.ts';
import type { StreamRules, StreamState } from '../../machines/download-stream.ts';
import { STREAM_START, nextStreamState, streamDueMs } from '../../machines/download-stream.ts';
import { withJitter } from '../../rules/loop-backoff.ts';
import { decideWatchRefusal } from '../../rules/loop-error.ts';
import type { PartActivity } from '../../rules/loop-status.ts';
import { Activity } from './activity.ts';
import type { LoopContext } from './loop-context.ts';
import type { WatchStream } from './loop-operations.ts';
import { Part } from './part.ts';
import type { WorkerOperation } from './worker.ts';
import { Worker } from './worker.ts';

/** The pull worker, and the stream or interval that decides when it pulls. */
export class Downloads {
  readonly #context: LoopContext;
  readonly #pulls: Worker;
  readonly #connection = new Activity();
  readonly #stream: Part<StreamState, Parameters<typeof nextStreamState>[1]>;

  constructor(context: LoopContext, pull: WorkerOperation) {
    this.#context = context;
    const { options } = context;
    const rules: StreamRules = {
      watches: options.bundleChangeWatchMode === 'auto',
      intervalMs: options.automaticDownloadIntervalMs,
      reconnectMinMs: options.bundleChangeWatchReconnectMinMs,
      reconnectMaxMs: options.bundleChangeWatchReconnectMaxMs,
      healthyMs: WATCH_HEALTHY_MS,
    };
    const machine = {
      start: STREAM_START,
      next: (state: StreamState, event: Parameters<typeof nextStreamState>[1]) => nextStreamState(state, event, rules),
      dueMs: streamDueMs,
      timerFired: (atMs: number) => ({ name: 'timerFired', atMs }) as const,
    };
    this.#stream = new Part(machine, context.clock, (state) => this.#act(state));
    this.#pulls = new Worker(context, 'downloads', { debounceMs: 0, maxDelayMs: 0, runsWhenOpened: false }, pull, () =>
      this.#pullSettled(),
    );
  }

  get activity(): PartActivity {
    return this.#pulls.activity;
  }

  setGate(isOpen: boolean): void {
    if (isOpen) {
      this.#pulls.setGate(true);
      this.#stream.send({ name: 'gateOpened' });
    } else {
      this.#stream.send({ name: 'gateClosed' });
      this.#pulls.setGate(false);
    }
  }

  want(): void {
    this.#pulls.want();
  }

  /** What a pull waited for may have been the pause of the uploads. */
  retryStalled(): void {
    if (this.#pulls.stateName === 'stalled') this.#pulls.want();
  }

  /** One pull now, and a lost stream is opened at once. A state that is about to pull anyway is left alone. */
  kick(): void {
    const stream = this.#stream.state.name;
    const isPullOutstanding = this.#pulls.stateName === 'waiting' || this.#pulls.stateName === 'stalled';
    if (stream === 'reconnecting' || stream === 'open' || isPullOutstanding) this.#pulls.kick();
    if (stream !== 'reconnecting' && (stream !== 'resting' || isPullOutstanding)) return;
    this.#stream.send({ name: 'kicked', atMs: this.#context.clock.monotonicMs() });
    // The server asked to wait before the next stream; a pull is another matter.
    if (stream === 'resting' && this.#stream.state.name === 'resting') this.#pulls.kick();
  }

  async close(): Promise<void> {
    this.#stream.close();
    this.#connection.stop();
    await Promise.all([this.#pulls.close(), this.#connection.settled()]);
  }

  async settled(): Promise<void> {
    await Promise.all([this.#pulls.settled(), this.#connection.settled()]);
  }

  #act(state: StreamState): void {
    const needsConnection = state.name === 'connecting' || state.name === 'open';
    if (!needsConnection) this.#connection.stop();
    else if (!this.#connection.isActive) this.#connect();
    if (state.name === 'catchingUp') this.#catchUp();
  }

  /** A worker in back-off does not pull now; the stream need not wait for it. */
  #catchUp(): void {
    this.#pulls.want();
    if (this.#pulls.stateName !== 'running') this.#pullSettled();
  }

  #pullSettled(): void {
    const { clock, random, options } = this.#context;
    const waitShare = withJitter(1, options.backoffJitterRatio, random.fraction());
    this.#stream.send({ name: 'pullSettled', atMs: clock.monotonicMs(), waitShare });
  }

  #connect(): void {
    const { operations, clock, board } = this.#context;
    let isOpen = false;
    this.#connection.start(
      async (signal) => {
        const stream = await operations.openWatch(signal);
        if (stream === null || signal.aborted) {
          stream?.close();
          return;
        }
        isOpen = true;
        // Nothing is outstanding: a server that is ahead of the checkpoint says so at once.
        if (this.#pulls.stateName === 'asleep') board.succeeded('downloads');
        this.#stream.send({ name: 'connected', atMs: clock.monotonicMs() });
        await this.#readHints(stream, signal);
      },
      () => this.#stream.send(isOpen ? { name: 'ended', atMs: clock.monotonicMs() } : { name: 'unsupported' }),
      (error) => this.#disconnected(error, isOpen),
    );
  }

  async #readHints(stream: WatchStream, signal: AbortSignal): Promise<void> {
    try {
      while ((await stream.next()) !== null) {
        if (signal.aborted) return;
        this.#stream.send({ name: 'eventReceived' });
        this.#pulls.want();
      }
    } finally {
      stream.close();
    }
  }

  /** The pull that follows finds out, and reports, what is wrong; only what ends the loop is reported here. */
  #disconnected(error: unknown, wasOpen: boolean): void {
    const atMs = this.#context.clock.monotonicMs();
    if (wasOpen) {
      this.#stream.send({ name: 'ended', atMs });
      return;
    }
    const askedMs = isSyncError(error) ? (error.retryAfterMs ?? 0) : 0;
    const refusal = isSyncError(error) ? decideWatchRefusal(error) : 'reconnect';
    if (refusal === 'stop') this.#context.react('downloads', error);
    else this.#stream.send({ name: 'refused', after: refusal, notBeforeMs: askedMs > 0 ? atMs + askedMs : 0 });
  }
}
