import { SyncError } from '@oversync/protocol';

import { RETRY_AFTER_MS } from '../limits.ts';

/**
 * ```text
 *   running ─close─► shutting_down ─drained or timed out─► closed
 * ```
 * Bootstrap is a separate fact: a running server that is not bootstrapped answers 503 to operations.
 */
export type LifecycleName = 'running' | 'shutting_down' | 'closed';

/** A running operation; `leave` must be called exactly when its response is complete. */
export interface RunningOperation {
  /** Aborts when `close` has waited long enough. */
  readonly signal: AbortSignal;
  leave(): void;
}

/** Counts running operations, refuses new ones outside `running`, and lets `close` wait for the rest. */
export class Lifecycle {
  #name: LifecycleName = 'running';
  #isBootstrapped = false;
  #isOutdated = false;
  readonly #running = new Set<AbortController>();
  #onIdle: (() => void) | undefined;

  get name(): LifecycleName {
    return this.#name;
  }

  get isBootstrapped(): boolean {
    return this.#isBootstrapped;
  }

  get isAccepting(): boolean {
    return this.#name === 'running' && this.#isBootstrapped && !this.#isOutdated;
  }

  get inflightCount(): number {
    return this.#running.size;
  }

  markBootstrapped(): void {
    this.#isBootstrapped = true;
  }

  /** An outdated server cannot read the metadata any more, so it must not write any. */
  setOutdated(isOutdated: boolean): void {
    this.#isOutdated = isOutdated;
  }

  /** @throws SyncError `service_unavailable` unless the server is running and bootstrapped. */
  checkAccepting(): void {
    if (this.isAccepting) return;
    throw new SyncError('service_unavailable', { message: this.#describeRefusal(), retryAfterMs: RETRY_AFTER_MS });
  }

  #describeRefusal(): string {
    if (this.#name !== 'running') return 'the server is shutting down';
    return this.#isOutdated ? 'the server is older than its database' : 'the server is still starting';
  }

  /** @throws SyncError `service_unavailable` unless the server is running and bootstrapped. */
  enter(): RunningOperation {
    this.checkAccepting();
    const controller = new AbortController();
    this.#running.add(controller);
    return {
      signal: controller.signal,
      leave: () => {
        if (this.#running.delete(controller) && this.#running.size === 0) this.#onIdle?.();
      },
    };
  }

  startShutdown(): void {
    if (this.#name === 'running') this.#name = 'shutting_down';
  }

  markClosed(): void {
    this.#name = 'closed';
  }

  /** Resolves to true when no operation runs any more, to false after `timeoutMs`. */
  waitUntilIdle(timeoutMs: number): Promise<boolean> {
    if (this.#running.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#onIdle = undefined;
        resolve(false);
      }, timeoutMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        this.#onIdle = undefined;
        resolve(true);
      };
    });
  }

  /** Aborts the running operations. A transaction whose COMMIT has been sent ignores it: its outcome is worth waiting for. */
  abortRunning(): void {
    const error = new SyncError('service_unavailable', { message: 'the server is shutting down', retryAfterMs: RETRY_AFTER_MS });
    for (const controller of this.#running) controller.abort(error);
  }
}
