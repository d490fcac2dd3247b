import { afterEach, expect, test, vi } from 'vitest';

import { LACKING_FUNCTIONS_PAUSE_MS } from '../limits.ts';
import { PushMemory } from './push-memory.ts';

afterEach(() => {
  vi.useRealTimers();
});

test('functions that were not found are looked for again after a while', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  const memory = new PushMemory();
  expect(memory.lacksFunctions).toBe(false);
  memory.noteLackingFunctions();
  vi.advanceTimersByTime(LACKING_FUNCTIONS_PAUSE_MS - 1);
  expect(memory.lacksFunctions).toBe(true);
  vi.advanceTimersByTime(1);
  expect(memory.lacksFunctions).toBe(false);
});
