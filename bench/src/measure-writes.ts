/** Times of writes by several writers at once, in milliseconds. */
export interface WriteTimes {
  /** From the first write to the end of the last. */
  readonly totalMs: number;
  /** Of single writes, sorted. */
  readonly latencies: readonly number[];
}

/** Every writer goes on by itself until all items are written. */
export async function measureWrites<Item>(
  writers: number,
  items: readonly Item[],
  write: (writer: number, item: Item) => Promise<void>,
): Promise<WriteTimes> {
  const latencies: number[] = [];
  const waiting = items.values();
  const goOn = async (writer: number): Promise<void> => {
    for (let next = waiting.next(); next.done !== true; next = waiting.next()) {
      const startedAt = performance.now();
      await write(writer, next.value);
      latencies.push(performance.now() - startedAt);
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: writers }, (_, writer) => goOn(writer)));
  return { totalMs: performance.now() - startedAt, latencies: latencies.sort((a, b) => a - b) };
}
