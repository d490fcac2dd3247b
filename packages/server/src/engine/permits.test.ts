import { expect, test } from 'vitest';

import { Permits } from './permits.ts';

test('permits are handed on in order of arrival', async () => {
  const permits = new Permits(1);
  const first = await permits.acquire(1000);
  const order: string[] = [];
  const second = permits.acquire(1000).then((release) => (order.push('second'), release));
  const third = permits.acquire(1000).then((release) => (order.push('third'), release));
  first?.();
  (await second)?.();
  (await third)?.();
  expect(order).toStrictEqual(['second', 'third']);
  expect(permits.inUse).toBe(0);
});

test('[S1] a caller that waited too long gets none', async () => {
  const permits = new Permits(1);
  const held = await permits.acquire(0);
  expect(await permits.acquire(5)).toBeNull();
  held?.();
  expect(await permits.acquire(0)).not.toBeNull();
});

test('[O4] shutdown refuses everybody who waits', async () => {
  const permits = new Permits(1);
  await permits.acquire(0);
  const waiting = permits.acquire(60_000);
  permits.refuseWaiting();
  expect(await waiting).toBeNull();
});
