import { expect, test } from 'vitest';

import { ByteQueue } from './byte-queue.ts';

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

async function readAll(queue: ByteQueue): Promise<number[]> {
  const values: number[] = [];
  for await (const chunk of queue) values.push(...chunk);
  return values;
}

test('what was pushed before and during the reading arrives in order', async () => {
  const queue = new ByteQueue();
  queue.push(bytes(1));
  queue.push(bytes(2, 3));
  const reading = readAll(queue);
  await Promise.resolve();
  queue.push(bytes(4));
  await new Promise((resolve) => setImmediate(resolve));
  queue.push(bytes(5));
  queue.end();
  expect(await reading).toStrictEqual([1, 2, 3, 4, 5]);
});

test('a failure reaches the reader at once, whatever waits, and is not covered by an end that follows', async () => {
  const queue = new ByteQueue();
  queue.push(bytes(1));
  const fault = new Error('cut off');
  queue.end({ error: fault });
  queue.end();
  await expect(readAll(queue)).rejects.toBe(fault);
});

test('a failure of a reader that waits wakes it', async () => {
  const queue = new ByteQueue();
  const reading = readAll(queue);
  await Promise.resolve();
  queue.end({ error: new Error('cut off') });
  await expect(reading).rejects.toThrow('cut off');
});

test('a reader that leaves early leaves nothing behind, and the producer goes on', async () => {
  const queue = new ByteQueue();
  queue.push(bytes(1));
  queue.push(bytes(2));
  for await (const chunk of queue) {
    expect(chunk).toStrictEqual(bytes(1));
    break;
  }
  queue.push(bytes(3));
  queue.end();
  expect(await readAll(queue)).toStrictEqual([]);
});
