import { SyncError } from '@oversync/protocol';

import { RETRY_AFTER_MS } from '../limits.ts';

/** Bytes that a request holds in memory until its client has taken them. */
export interface Reservation {
  /** Bytes held now; when granted, at least what was needed and at most what was wanted. */
  readonly byteCount: number;
  /** Takes up to `byteCount` in all without waiting; returns what is held then. */
  extendTo(byteCount: number): number;
  /** Gives back everything above `byteCount`. */
  shrinkTo(byteCount: number): void;
  release(): void;
}

interface Waiter {
  readonly minBytes: number;
  readonly wantedBytes: number;
  readonly grant: (byteCount: number) => void;
}

/**
 * What all responses of the process may buffer together. When little is left, pages get smaller; when less is left than a request
 * needs at least, it waits its turn.
 */
export class ByteBudget {
  readonly #limit: number;
  #used = 0;
  readonly #waiting = new Set<Waiter>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get usedBytes(): number {
    return this.#used;
  }

  /** @throws SyncError `service_unavailable` when no room came free within `timeoutMs`; the reason of `signal` when it aborts. */
  async reserve(wantedBytes: number, minBytes: number, timeoutMs: number, signal?: AbortSignal): Promise<Reservation> {
    const needed = Math.min(minBytes, this.#limit);
    if (this.#waiting.size === 0 && this.#limit - this.#used >= needed) return this.#take(wantedBytes);
    return this.#wait(wantedBytes, needed, timeoutMs, signal);
  }

  #wait(wantedBytes: number, minBytes: number, timeoutMs: number, signal: AbortSignal | undefined): Promise<Reservation> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiting.delete(waiter);
      };
      const refuse = (error: unknown): void => {
        settle();
        reject(error);
        this.#admit();
      };
      const onAbort = (): void => refuse(signal?.reason);
      const onTimeout = (): void =>
        refuse(
          new SyncError('service_unavailable', {
            message: 'too much response data is waiting for slow clients',
            retryAfterMs: RETRY_AFTER_MS,
          }),
        );
      const timer = setTimeout(onTimeout, timeoutMs);
      const waiter: Waiter = {
        minBytes,
        wantedBytes,
        grant: () => {
          settle();
          resolve(this.#take(wantedBytes));
        },
      };
      this.#waiting.add(waiter);
      if (signal?.aborted === true) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  #take(wantedBytes: number): Reservation {
    let held = 0;
    const extendTo = (byteCount: number): number => {
      const more = Math.max(0, Math.min(byteCount - held, this.#limit - this.#used));
      this.#used += more;
      held += more;
      return held;
    };
    const shrinkTo = (byteCount: number): void => {
      if (byteCount >= held) return;
      this.#used -= held - byteCount;
      held = byteCount;
      this.#admit();
    };
    extendTo(wantedBytes);
    return {
      get byteCount() {
        return held;
      },
      extendTo,
      shrinkTo,
      release: () => shrinkTo(0),
    };
  }

  #admit(): void {
    for (const waiter of this.#waiting) {
      if (this.#limit - this.#used < waiter.minBytes) return;
      waiter.grant(waiter.wantedBytes);
    }
  }
}
