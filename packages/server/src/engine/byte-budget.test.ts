import { expect, test } from 'vitest';

import { ByteBudget } from './byte-budget.ts';

test('[P1] when little is left, less is granted', async () => {
  const budget = new ByteBudget(100);
  const first = await budget.reserve(70, 10, 1000);
  const second = await budget.reserve(70, 10, 1000);
  expect([first.byteCount, second.byteCount, budget.usedBytes]).toStrictEqual([70, 30, 100]);
  first.release();
  second.release();
  expect(budget.usedBytes).toBe(0);
});

test('[P1] a request that finds no room waits for it, in order', async () => {
  const budget = new ByteBudget(100);
  const first = await budget.reserve(100, 10, 1000);
  const second = budget.reserve(50, 50, 1000);
  const third = budget.reserve(10, 10, 1000);
  first.shrinkTo(60);
  first.shrinkTo(40);
  expect((await second).byteCount).toBe(50);
  expect((await third).byteCount).toBe(10);
});

test('[P1] room that does not come free in time is a 503', async () => {
  const budget = new ByteBudget(100);
  await budget.reserve(100, 100, 1000);
  await expect(budget.reserve(1, 1, 5)).rejects.toMatchObject({ code: 'service_unavailable' });
});

test('releasing twice gives nothing back twice', async () => {
  const budget = new ByteBudget(100);
  const first = await budget.reserve(40, 1, 1000);
  await budget.reserve(40, 1, 1000);
  first.release();
  first.release();
  expect(budget.usedBytes).toBe(40);
});

test('a need above the whole budget is served when everything is free', async () => {
  const budget = new ByteBudget(100);
  expect((await budget.reserve(500, 500, 1000)).byteCount).toBe(100);
});

test('[P1] a reservation takes more without waiting, as far as there is room', async () => {
  const budget = new ByteBudget(100);
  const first = await budget.reserve(10, 10, 1000);
  await budget.reserve(30, 10, 1000);
  expect(first.extendTo(40)).toBe(40);
  expect(first.extendTo(500)).toBe(70);
  expect(first.extendTo(5)).toBe(70);
  expect(first.byteCount).toBe(70);
  first.release();
  expect(budget.usedBytes).toBe(30);
});
