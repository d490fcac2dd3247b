import type { Connectivity } from '@oversync/client';

/** The network of one device: it can be switched off, counts requests, and lets a scenario hold one of them back. */
export class Network implements Connectivity {
  /** Requests that left the device, as `POST /sync/push-sessions/:id/commit`. */
  readonly requests: string[] = [];
  /** Requests that were made while the network was off. */
  refusedCount = 0;
  readonly #listeners = new Set<() => void>();
  #isOnline = true;
  #held: { readonly name: string; readonly reached: () => void } | null = null;

  readonly transport = (request: Request): Promise<Response> => {
    const name = nameOf(request);
    if (!this.#isOnline) {
      this.refusedCount += 1;
      return Promise.reject(new TypeError('the network is unreachable'));
    }
    if (this.#held?.name === name) {
      this.#held.reached();
      this.#held = null;
      return untilAborted(request.signal);
    }
    this.requests.push(name);
    return fetch(request);
  };

  isOnline(): boolean {
    return this.#isOnline;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  switchTo(isOnline: boolean): void {
    this.#isOnline = isOnline;
    for (const listener of this.#listeners) listener();
  }

  /** Lets the next request of this name never leave, and resolves once it is made. */
  hold(name: string): Promise<void> {
    return new Promise((reached) => {
      this.#held = { name, reached };
    });
  }

  /** How many requests of this name left the device. */
  count(name: string): number {
    return this.requests.filter((request) => request === name).length;
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = (): void => reject(new DOMException('the request was aborted', 'AbortError'));
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

function nameOf(request: Request): string {
  const path = new URL(request.url).pathname.replace(/\/(push-sessions|snapshot-sessions|committed-bundles)\/[^/]+/, '/$1/:id');
  return `${request.method} ${path}`;
}
