import type { Release } from './scope-queue.ts';

/**
 * A bounded number of permits, handed out in order of arrival. A waiting caller holds no database connection; it is refused
 * after its time, and at once when the server shuts down.
 */
export class Permits {
  readonly #limit: number;
  readonly #waiting = new Set<(release: Release | null) => void>();
  #inUse = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Resolves to a release function, or to `null` when no permit came free within `waitMs` or {@link refuseWaiting} ran. */
  acquire(waitMs: number): Promise<Release | null> {
    if (this.#inUse < this.#limit) {
      this.#inUse += 1;
      return Promise.resolve(this.#createRelease());
    }
    return new Promise((resolve) => {
      const settle = (release: Release | null): void => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        resolve(release);
      };
      const timer = setTimeout(() => settle(null), waitMs);
      this.#waiting.add(settle);
    });
  }

  /** Ends every wait with `null`; permits in use stay valid. */
  refuseWaiting(): void {
    for (const settle of this.#waiting) settle(null);
  }

  get inUse(): number {
    return this.#inUse;
  }

  get limit(): number {
    return this.#limit;
  }

  #createRelease(): Release {
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      const next = this.#waiting.values().next();
      if (next.done === true) this.#inUse -= 1;
      else next.value(this.#createRelease());
    };
  }
}
