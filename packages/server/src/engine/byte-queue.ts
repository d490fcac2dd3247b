/**
 * Bytes on their way from a producer that must not wait to a consumer that may be slow. It grows as far as the producer goes: whoever
 * fills it has reserved what it will hold.
 */
export class ByteQueue implements AsyncIterable<Uint8Array> {
  #chunks: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  #end: { readonly error?: unknown } | undefined;
  #isAbandoned = false;

  /** Dropped when nobody will read it. */
  push(chunk: Uint8Array): void {
    if (!this.#isAbandoned) this.#chunks.push(chunk);
    this.#notify();
  }

  /** No more chunks come. With `error` the reader fails at once: what is waiting is worth nothing to it. */
  end(failure: { readonly error?: unknown } = {}): void {
    this.#end ??= failure;
    if ('error' in failure) this.#chunks = [];
    this.#notify();
  }

  /** May be iterated once. Leaving early drops what waits and what comes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunks = this.#chunks;
        this.#chunks = [];
        yield* chunks;
        if (this.#chunks.length > 0) continue;
        if (this.#end !== undefined) break;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      if ('error' in this.#end) throw this.#end.error;
    } finally {
      this.#isAbandoned = true;
      this.#chunks = [];
    }
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
