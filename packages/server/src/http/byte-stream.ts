/**
 * Turns an iterator into a response stream with back-pressure: the next piece is asked for when the client has taken the one
 * before. `onEnd` runs exactly once, whether the body was sent, failed, or the client went away.
 */
export function toByteStream(chunks: AsyncIterable<Uint8Array>, onEnd: (error?: unknown) => void): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  let hasEnded = false;
  const end = (error?: unknown): void => {
    if (hasEnded) return;
    hasEnded = true;
    onEnd(error);
  };
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const next = await iterator.next();
          if (next.done !== true) {
            controller.enqueue(next.value);
            return;
          }
          end();
          controller.close();
        } catch (error) {
          end(error);
          controller.error(error);
        }
      },
      cancel: async (reason) => {
        end(reason ?? new Error('the client went away'));
        await iterator.return?.();
      },
    },
    // Nothing is read ahead: what waits for a slow client is already counted against the response budget.
    { highWaterMark: 0 },
  );
}

/**
 * Not every platform's ReadableStream is async iterable. Leaving the loop early cancels the stream, and so does `signal`, whose reason is
 * thrown then, also while a piece is waited for.
 */
export async function* readStream<Chunk>(stream: ReadableStream<Chunk>, signal?: AbortSignal): AsyncGenerator<Chunk> {
  signal?.throwIfAborted();
  const reader = stream.getReader();
  // Cancelling settles a read that waits for a sender who sends nothing.
  const giveUp = (): void => void reader.cancel(signal?.reason).catch(() => {});
  signal?.addEventListener('abort', giveUp, { once: true });
  let isDone = false;
  try {
    for (;;) {
      const next = await reader.read();
      signal?.throwIfAborted();
      if (next.done) {
        isDone = true;
        return;
      }
      yield next.value;
    }
  } finally {
    signal?.removeEventListener('abort', giveUp);
    if (!isDone && signal?.aborted !== true) await reader.cancel().catch(() => {});
    reader.releaseLock();
  }
}
