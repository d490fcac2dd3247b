/**
 * The work that belongs to a running state: at most one piece at a time, aborted when the state is left. What aborted work still returns is
 * dropped, but `settled` waits for it.
 */
export class Activity {
  readonly #inFlight = new Set<Promise<void>>();
  #controller: AbortController | null = null;

  get isActive(): boolean {
    return this.#controller !== null;
  }

  /** Runs `work`; afterwards, unless it was stopped meanwhile, exactly one of the two callbacks. */
  start<T>(work: (signal: AbortSignal) => Promise<T>, onResult: (result: T) => void, onError: (error: unknown) => void): void {
    const controller = new AbortController();
    this.#controller = controller;
    const isCurrent = (): boolean => {
      if (this.#controller !== controller) return false;
      this.#controller = null;
      return true;
    };
    const settled: Promise<void> = work(controller.signal).then(
      (result) => {
        if (isCurrent()) onResult(result);
      },
      (error: unknown) => {
        if (isCurrent()) onError(error);
      },
    );
    this.#inFlight.add(settled);
    void settled.finally(() => this.#inFlight.delete(settled));
  }

  stop(): void {
    const controller = this.#controller;
    this.#controller = null;
    controller?.abort();
  }

  /** Resolves when nothing that was started still runs. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#inFlight);
  }
}
