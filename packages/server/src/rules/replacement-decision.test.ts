import { expect, test } from 'vitest';

import type { SourceLineage } from './lineage-source.ts';
import { decideReplacement, findReplacementFault } from './replacement-decision.ts';

const PREVIOUS = {
  unknown: { name: 'unknown' },
  active: { name: 'active', kind: 'client', watermark: 4n },
  reserved: { name: 'reserved', kind: 'client' },
  retiredForOther: { name: 'retired', kind: 'client', watermark: 4n, replacedBySourceId: 'somebody' },
  retiredForThis: { name: 'retired', kind: 'client', watermark: 4n, replacedBySourceId: 'new' },
} as const satisfies Record<string, SourceLineage>;

const NEXT = {
  unknown: { name: 'unknown' },
  active: { name: 'active', kind: 'client', watermark: 1n },
  reserved: { name: 'reserved', kind: 'client' },
  retired: { name: 'retired', kind: 'client', watermark: 1n, replacedBySourceId: null },
  serverWriter: { name: 'active', kind: 'server', watermark: 1n },
} as const satisfies Record<string, SourceLineage>;

type Row = Record<keyof typeof NEXT, string>;
const fresh: Row = {
  unknown: 'replace',
  active: 'source_replacement_invalid',
  reserved: 'source_replacement_invalid',
  retired: 'source_replacement_invalid',
  serverWriter: 'snapshot_session_invalid',
};
const TABLE: Record<keyof typeof PREVIOUS, Row> = {
  unknown: fresh,
  active: fresh,
  reserved: fresh,
  retiredForOther: {
    unknown: 'source_retired',
    active: 'source_retired',
    reserved: 'source_retired',
    retired: 'source_retired',
    serverWriter: 'snapshot_session_invalid',
  },
  retiredForThis: {
    unknown: 'repeat',
    active: 'repeat',
    reserved: 'repeat',
    retired: 'source_replacement_invalid',
    serverWriter: 'snapshot_session_invalid',
  },
};

for (const previous of ['unknown', 'active', 'reserved', 'retiredForOther', 'retiredForThis'] as const) {
  for (const next of ['unknown', 'active', 'reserved', 'retired', 'serverWriter'] as const) {
    test(`replacing a source that is ${previous} by one that is ${next} gives ${TABLE[previous][next]}`, () => {
      const decision = decideReplacement(PREVIOUS[previous], NEXT[next], 'new');
      expect(decision.name === 'refuse' ? decision.code : decision.name).toBe(TABLE[previous][next]);
    });
  }
}

const valid = { previousSourceId: 'old', newSourceId: 'new', reason: 'history_pruned' };

test('a well-formed replacement has no fault', () => {
  expect(findReplacementFault(valid, 'old', new Set())).toBeUndefined();
});

test.each([
  ['an id outside the grammar', { ...valid, newSourceId: 'with space' }],
  ['an empty id', { ...valid, newSourceId: '' }],
  ['an id of the adoption', { ...valid, newSourceId: 'oversync-adoption:1' }],
  ['an id that the host reserved', { ...valid, newSourceId: 'job' }],
  ['a previous id that is not the source of the request', { ...valid, previousSourceId: 'elsewhere' }],
  ['the same id twice', { ...valid, newSourceId: 'old' }],
  ['an unknown reason', { ...valid, reason: 'because' }],
])('a replacement with %s is refused', (_, replacement) => {
  expect(findReplacementFault(replacement, 'old', new Set(['job']))).toBeTypeOf('string');
});
