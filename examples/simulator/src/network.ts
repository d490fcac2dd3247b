import type { Connectivity } from '@oversync/client';

/** Changes or ends a request on its way; a throw reaches the client as a broken connection. */
export type Interference = (request: string) => void;

/** The network of one device: it can be switched off, counts requests, and lets a scenario break single ones. */
export class Network implements Connectivity {
  /** Requests that left the device, as `POST /sync/push-sessions/:id/commit`. */
  readonly requests: string[] = [];
  /** Requests that were made while the network was off. */
  refusedCount = 0;
  interfere: Interference | null = null;
  readonly #listeners = new Set<() => void>();
  #isOnline = true;

  readonly transport = (request: Request): Promise<Response> => {
    const name = nameOf(request);
    if (!this.#isOnline) {
      this.refusedCount += 1;
      return Promise.reject(new TypeError('the network is unreachable'));
    }
    try {
      this.interfere?.(name);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new TypeError(String(error)));
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

  /** How many requests of this name left the device. */
  count(name: string): number {
    return this.requests.filter((request) => request === name).length;
  }
}

function nameOf(request: Request): string {
  const path = new URL(request.url).pathname.replace(/\/(push-sessions|snapshot-sessions|committed-bundles)\/[^/]+/, '/$1/:id');
  return `${request.method} ${path}`;
}
