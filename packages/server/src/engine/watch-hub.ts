import { SyncError } from '@oversync/protocol';

import { RETRY_AFTER_MS } from '../limits.ts';
import type { WatchNotice, WatchStream } from './watch-stream.ts';

interface HubLimits {
  readonly maxStreamsPerScope: number;
  readonly maxStreamsPerProcess: number;
}

/** Which streams of this process watch which scope. */
export class WatchHub {
  readonly #limits: HubLimits;
  readonly #streams = new Map<string, Set<WatchStream>>();
  #streamCount = 0;

  constructor(limits: HubLimits) {
    this.#limits = limits;
  }

  get streamCount(): number {
    return this.#streamCount;
  }

  get watchedScopePks(): readonly string[] {
    return [...this.#streams.keys()];
  }

  /**
   * Adds a stream; from now on it gets the notices of the scope.
   *
   * @throws SyncError `bundle_change_watch_capacity`
   */
  add(scopePk: string, createStream: () => WatchStream): WatchStream {
    const ofScope = this.#streams.get(scopePk) ?? new Set();
    checkCapacity('maxStreamsPerScope', this.#limits.maxStreamsPerScope, ofScope.size);
    checkCapacity('maxStreamsPerProcess', this.#limits.maxStreamsPerProcess, this.#streamCount);
    const stream = createStream();
    this.#streams.set(scopePk, ofScope.add(stream));
    this.#streamCount += 1;
    return stream;
  }

  remove(scopePk: string, stream: WatchStream): void {
    const ofScope = this.#streams.get(scopePk);
    if (ofScope === undefined || !ofScope.delete(stream)) return;
    this.#streamCount -= 1;
    if (ofScope.size === 0) this.#streams.delete(scopePk);
  }

  publish(scopePk: string, notice: WatchNotice): void {
    for (const stream of this.#streams.get(scopePk) ?? []) stream.deliver(notice);
  }

  endAll(): void {
    for (const ofScope of this.#streams.values()) for (const stream of ofScope) stream.end('shutdown');
  }
}

function checkCapacity(name: keyof HubLimits, limit: number, used: number): void {
  if (used < limit) return;
  throw new SyncError('bundle_change_watch_capacity', {
    retryAfterMs: RETRY_AFTER_MS,
    details: { limit_exceeded: { name: `watch.${name}`, limit, actual: used + 1 } },
  });
}
