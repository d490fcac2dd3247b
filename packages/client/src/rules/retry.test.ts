import { describe, expect, it } from 'vitest';

import { attemptsAllowed, backoffDelayMs, capacityDelayMs, doublingDelayMs, isCapacityCode } from './retry.ts';
import { parseRetryAfterMs } from './retry-after.ts';

const policy = { enabled: true, maxAttempts: 3, initialBackoffMs: 150, maxBackoffMs: 1500, jitterRatio: 0.2 };
const capacity = { enabled: true, maxWaitMs: 30_000, fallbackDelayMs: 1000, jitterRatio: 1 };

describe('[T49] retry policy', () => {
  it('doubles from the first delay to the largest, jitter on top', () => {
    expect([1, 2, 3, 4, 5, 9, 4000].map((failures) => backoffDelayMs(policy, failures, 0))).toEqual([
      150, 300, 600, 1200, 1500, 1500, 1500,
    ]);
    expect(backoffDelayMs(policy, 1, 0.5)).toBe(165);
    expect(backoffDelayMs(policy, 9, 1)).toBe(1800);
  });

  it('allows one attempt when it is off', () => {
    expect(attemptsAllowed({ ...policy, enabled: false })).toBe(1);
    expect(attemptsAllowed(policy)).toBe(3);
  });
});

describe('[T99] capacity policy', () => {
  it('takes what the server asks for, else one second, plus up to as much again', () => {
    expect(capacityDelayMs(capacity, 0, 5000, 0)).toBe(5000);
    expect(capacityDelayMs(capacity, 0, 5000, 0.5)).toBe(7500);
    expect(capacityDelayMs(capacity, 0, null, 0)).toBe(1000);
  });

  it('refuses a wait that does not fit into what is left', () => {
    expect(capacityDelayMs(capacity, 29_000, 1000, 0)).toBe(1000);
    expect(capacityDelayMs(capacity, 29_001, 1000, 0)).toBeNull();
    expect(capacityDelayMs(capacity, 0, 30_000, 0.01)).toBeNull();
    expect(capacityDelayMs({ ...capacity, enabled: false }, 0, 1000, 0)).toBeNull();
  });

  it('waits only for the codes that mean a busy server', () => {
    expect(['snapshot_build_capacity', 'snapshot_chunk_capacity', 'push_session_capacity'].every(isCapacityCode)).toBe(true);
    expect(isCapacityCode('bundle_change_watch_capacity')).toBe(false);
  });

  it('reads only positive whole seconds', () => {
    expect(parseRetryAfterMs('1')).toBe(1000);
    for (const header of [null, '', '0', '-1', '1.5', '01', ' 1', '1s', 'Wed, 21 Oct 2015 07:28:00 GMT']) {
      expect(parseRetryAfterMs(header)).toBeNull();
    }
  });
});

describe('[T52] search for committed rows', () => {
  it('doubles 75 ms to 600 ms', () => {
    expect([1, 2, 3, 4, 5].map((failures) => doublingDelayMs(75, 600, failures))).toEqual([75, 150, 300, 600, 600]);
  });
});
