import { expect, test } from 'vitest';

import { ScopeQueue } from './scope-queue.ts';

test('[P6] writers of one scope take turns in order of arrival, other scopes do not wait', async () => {
  const queue = new ScopeQueue(16);
  const order: string[] = [];
  const first = await queue.acquire('a', 1000);
  const waiting = ['second', 'third'].map(async (name) => {
    const release = await queue.acquire('a', 1000);
    order.push(name);
    release();
  });
  const other = await queue.acquire('b', 1000);
  expect(order).toStrictEqual([]);
  other();
  first();
  await Promise.all(waiting);
  expect(order).toStrictEqual(['second', 'third']);
  expect(queue.busyScopeCount).toBe(0);
});

test('[P6] a full queue refuses at once, a slow one after the time-out', async () => {
  const queue = new ScopeQueue(1);
  const release = await queue.acquire('a', 1000);
  const waiting = queue.acquire('a', 5);
  await expect(queue.acquire('a', 1000)).rejects.toMatchObject({ code: 'service_unavailable', retryAfterMs: 1000 });
  await expect(waiting).rejects.toMatchObject({ code: 'service_unavailable' });
  release();
  (await queue.acquire('a', 1000))();
});

test('a waiting writer that is aborted leaves the line', async () => {
  const queue = new ScopeQueue(4);
  const release = await queue.acquire('a', 1000);
  const gone = new AbortController();
  const waiting = queue.acquire('a', 1000, gone.signal);
  const next = queue.acquire('a', 1000);
  gone.abort(new Error('gone'));
  await expect(waiting).rejects.toThrow('gone');
  release();
  (await next)();
  expect(queue.busyScopeCount).toBe(0);
});

test('releasing twice does not let two writers in', async () => {
  const queue = new ScopeQueue(4);
  const release = await queue.acquire('a', 1000);
  const second = queue.acquire('a', 1000);
  release();
  release();
  let isThirdIn = false;
  const third = queue.acquire('a', 1000).then((free) => {
    isThirdIn = true;
    return free;
  });
  const releaseSecond = await second;
  await Promise.resolve();
  expect(isThirdIn).toBe(false);
  releaseSecond();
  (await third)();
});
