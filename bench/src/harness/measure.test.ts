import { describe, expect, it } from 'vitest';

import { defineCase } from './benchmark.ts';
import { measureCases, median, percentile95 } from './measure.ts';

describe('the bench harness', () => {
  it('takes the middle value, or the mean of the two middle ones', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([])).toBeNaN();
  });

  it('takes the value that 95 of 100 stay within', () => {
    expect(percentile95(Array.from({ length: 100 }, (_, index) => 100 - index))).toBe(95);
    expect(percentile95([7])).toBe(7);
    expect(percentile95([])).toBeNaN();
  });

  it('leaves the warm-up out, takes turns, and gives the ratio to the raw case of the group', async () => {
    const order: string[] = [];
    const makeCase = (name: string, times: readonly number[], isRaw: boolean) => {
      const left = [...times];
      return defineCase({
        name,
        isRaw,
        prepare: () => Promise.resolve(name),
        run: (state) => {
          order.push(state);
          return Promise.resolve(left.shift() ?? 0);
        },
      });
    };
    const figures = await measureCases(
      [makeCase('raw', [900, 10, 10], true), makeCase('ours', [900, 25, 35], false)],
      60,
      2,
      () => undefined,
    );
    expect(order).toEqual(['raw', 'ours', 'raw', 'ours', 'raw', 'ours']);
    expect(
      figures.map(({ name, medianMs, ratioToRaw, unitsPerSecond }) => ({ name, medianMs, ratioToRaw, unitsPerSecond })),
    ).toEqual([
      { name: 'raw', medianMs: 10, ratioToRaw: 1, unitsPerSecond: 6000 },
      { name: 'ours', medianMs: 30, ratioToRaw: 3, unitsPerSecond: 2000 },
    ]);
  });

  it('undoes the state also when a run fails', async () => {
    const finished: string[] = [];
    const failing = defineCase({
      name: 'failing',
      prepare: () => Promise.resolve('state'),
      run: () => Promise.reject(new Error('no')),
      finish: (state) => {
        finished.push(state);
        return Promise.resolve();
      },
    });
    await expect(failing.measure()).rejects.toThrow('no');
    expect(finished).toEqual(['state']);
  });
});
