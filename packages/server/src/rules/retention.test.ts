import { expect, test } from 'vitest';

import { decideRetention } from './retention.ts';

test.each([
  [0n, 0n, 0n, 'accept'],
  [0n, 5n, 9n, 'history_pruned'],
  [4n, 5n, 9n, 'history_pruned'],
  [5n, 5n, 9n, 'accept'],
  [9n, 5n, 9n, 'accept'],
  [10n, 5n, 9n, 'checkpoint_ahead'],
  [1n, 0n, 0n, 'checkpoint_ahead'],
  [9n, 9n, 9n, 'accept'],
] as const)('[C1] [C4] sequence %d with floor %d and head %d is %s', (sequence, floor, head, verdict) => {
  expect(decideRetention(sequence, { floor, head })).toBe(verdict);
});
