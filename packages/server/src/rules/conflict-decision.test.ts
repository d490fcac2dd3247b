import { describe, expect, it } from 'vitest';

import { CONFLICT_CASES } from './test-conflict-cases.ts';
import { decideConflict } from './conflict-decision.ts';

describe('a pushed row', () => {
  it.each(CONFLICT_CASES)('$row.op base $row.baseRowVersion on $key.name: $decision', ({ row, key, floor, decision }) => {
    expect(decideConflict(row, key, floor)).toBe(decision);
  });
});
