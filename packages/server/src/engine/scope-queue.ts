import { SyncError } from '@oversync/protocol';

import { RETRY_AFTER_MS } from '../limits.ts';

/** Ends the turn; calling it twice does nothing. */
export type Release = () => void;

interface Waiter {
  readonly admit: (release: Release) => void;
  readonly refuse: (error: unknown) => void;
}

/**
 * One writer per scope in this process, in order of arrival. Waiting happens before a pooled connection is taken, so a busy
 * scope holds at most one connection and never delays another scope.
 */
export class ScopeQueue {
  readonly #waiting = new Map<string, Set<Waiter>>();
  readonly #lengthMax: number;

  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }

  /**
   * Resolves when it is this caller's turn.
   *
   * @throws SyncError `service_unavailable` when `scopeQueueLength` callers wait already or `timeoutMs` has passed; the reason
   * of `signal` when it aborts first.
   */
  acquire(scopeId: string, timeoutMs: number, signal?: AbortSignal): Promise<Release> {
    const waiters = this.#waiting.get(scopeId);
    if (waiters === undefined) {
      this.#waiting.set(scopeId, new Set());
      return Promise.resolve(this.#createRelease(scopeId));
    }
    if (waiters.size >= this.#lengthMax) return Promise.reject(createQueueError('too many writes wait for this scope'));
    return waitInLine(waiters, timeoutMs, signal);
  }

  /** Scopes with a writer at work, for tests and status. */
  get busyScopeCount(): number {
    return this.#waiting.size;
  }

  #createRelease(scopeId: string): Release {
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      this.#admitNext(scopeId);
    };
  }

  #admitNext(scopeId: string): void {
    const waiters = this.#waiting.get(scopeId);
    const next = waiters?.values().next();
    if (waiters === undefined || next === undefined || next.done === true) {
      this.#waiting.delete(scopeId);
      return;
    }
    waiters.delete(next.value);
    next.value.admit(this.#createRelease(scopeId));
  }
}

function waitInLine(waiters: Set<Waiter>, timeoutMs: number, signal: AbortSignal | undefined): Promise<Release> {
  return new Promise<Release>((resolve, reject) => {
    const refuseOnTimeout = (): void => waiter.refuse(createQueueError('the writes before this one took too long'));
    const refuseOnAbort = (): void => waiter.refuse(signal?.reason);
    const timer = setTimeout(refuseOnTimeout, timeoutMs);
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', refuseOnAbort);
      waiters.delete(waiter);
    };
    const waiter: Waiter = {
      admit: (release) => {
        settle();
        resolve(release);
      },
      refuse: (error) => {
        settle();
        reject(error);
      },
    };
    waiters.add(waiter);
    if (signal?.aborted === true) refuseOnAbort();
    else signal?.addEventListener('abort', refuseOnAbort, { once: true });
  });
}

function createQueueError(message: string): SyncError {
  return new SyncError('service_unavailable', { message, retryAfterMs: RETRY_AFTER_MS });
}
