import { describe, expect, it } from 'vitest';

import { decideSourceAtCommit, decideSourceAtCreate, getExpectedSourceBundleId } from './lineage-source.ts';
import type { SourceDecision, SourceLineage } from './lineage-source.ts';

const SOURCES = {
  unknown: { name: 'unknown' },
  reserved: { name: 'reserved', kind: 'client' },
  active: { name: 'active', kind: 'client', watermark: 6n },
  retired: { name: 'retired', kind: 'client', watermark: 6n, replacedBySourceId: 'device-new' },
} as const satisfies Record<string, SourceLineage>;

type Place = 'smaller' | 'expected' | 'larger';
type Answer = 'accept' | Extract<SourceDecision, { name: 'refuse' }>['code'];
type Table = Record<keyof typeof SOURCES, Record<Place, Answer>>;

/** The smaller id of a fresh source is 0, which the range check refuses before any decision. */
const CREATE: Table = {
  unknown: { smaller: 'history_pruned', expected: 'accept', larger: 'source_sequence_out_of_order' },
  reserved: { smaller: 'history_pruned', expected: 'accept', larger: 'source_sequence_out_of_order' },
  active: { smaller: 'history_pruned', expected: 'accept', larger: 'source_sequence_out_of_order' },
  retired: { smaller: 'source_retired', expected: 'source_retired', larger: 'source_retired' },
};

const COMMIT: Table = {
  unknown: { smaller: 'source_sequence_changed', expected: 'accept', larger: 'source_sequence_changed' },
  reserved: { smaller: 'source_sequence_changed', expected: 'accept', larger: 'source_sequence_changed' },
  active: { smaller: 'source_sequence_changed', expected: 'accept', larger: 'source_sequence_changed' },
  retired: { smaller: 'source_retired', expected: 'source_retired', larger: 'source_retired' },
};

function decideAll(decide: (source: SourceLineage, sourceId: string, id: bigint) => SourceDecision): unknown {
  const answer = (source: SourceLineage, id: bigint): Answer => {
    const decision = decide(source, 'device-old', id);
    return decision.name === 'refuse' ? decision.code : decision.name;
  };
  return Object.fromEntries(
    Object.entries(SOURCES).map(([name, source]) => {
      const expected = getExpectedSourceBundleId(source);
      return [
        name,
        { smaller: answer(source, expected - 1n), expected: answer(source, expected), larger: answer(source, expected + 1n) },
      ];
    }),
  );
}

describe('the source of a push', () => {
  it('has to use the next id when the session is created', () => {
    expect(decideAll(decideSourceAtCreate)).toEqual(CREATE);
  });

  it('has to use the next id when the push is committed', () => {
    expect(decideAll(decideSourceAtCommit)).toEqual(COMMIT);
  });

  it('starts at 1 and goes on after its watermark without rounding', () => {
    expect(getExpectedSourceBundleId(SOURCES.unknown)).toBe(1n);
    expect(getExpectedSourceBundleId(SOURCES.reserved)).toBe(1n);
    expect(getExpectedSourceBundleId({ name: 'active', kind: 'client', watermark: 9007199254740993n })).toBe(9007199254740994n);
  });

  it('names its replacement when it is retired, and none when it is not known', () => {
    expect(decideSourceAtCreate(SOURCES.retired, 'device-old', 7n)).toMatchObject({ replacedBySourceId: 'device-new' });
    const unknown = { ...SOURCES.retired, replacedBySourceId: null };
    expect(decideSourceAtCommit(unknown, 'device-old', 7n)).toEqual({
      name: 'refuse',
      code: 'source_retired',
      replacedBySourceId: null,
    });
  });

  it.each(['', 'device-old', 'with space', 'é'])('never passes on the unusable replacement %j', (replacedBySourceId) => {
    const broken = { ...SOURCES.retired, replacedBySourceId };
    expect(decideSourceAtCreate(broken, 'device-old', 7n)).toEqual({ name: 'refuse', code: 'source_retired_invalid' });
  });
});
