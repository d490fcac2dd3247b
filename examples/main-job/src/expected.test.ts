import { describe, expect, it } from 'vitest';

import { toDumpRow, toWireInstant } from './dump.ts';
import { type Edit, planRound, PLACES_MIN } from './edits.ts';
import { computeExpected } from './expected.ts';
import { type City, makeId, makePlace } from './place.ts';

const CITY: City = { name: 'Vila', lat: '42.5', lng: '1.56654', country: 'AD', admin1: '03', admin2: '' };
const CITIES = Array.from({ length: PLACES_MIN + 10 }, () => CITY);
const IDS = CITIES.map((_, index) => makeId('city', index));

function idsOf(edits: readonly Edit[], kind: Edit['kind']): readonly string[] {
  return edits.filter((edit) => edit.kind === kind).map((edit) => (edit.kind === 'insert' ? edit.place.id : edit.id));
}

describe('the edits of a round', () => {
  it('are 200 updates on each device, 50 of them of the same rows, and the same whenever they are planned', () => {
    const plan = planRound(1, IDS);
    const [a, b] = [idsOf(plan.a, 'update'), idsOf(plan.b, 'update')];
    expect([new Set(a).size, new Set(b).size]).toEqual([200, 200]);
    expect(a.filter((id) => b.includes(id))).toHaveLength(50);
    expect(planRound(1, IDS)).toEqual(plan);
    expect(planRound(2, IDS)).not.toEqual(plan);
  });

  it('touch no row twice on one device', () => {
    const { a, b } = planRound(3, IDS);
    for (const edits of [a, b]) {
      const ids = (['update', 'delete', 'insert'] as const).flatMap((kind) => idsOf(edits, kind));
      expect(new Set(ids).size).toBe(ids.length);
    }
  });

  it('need enough places', () => {
    expect(() => planRound(1, IDS.slice(0, PLACES_MIN - 1))).toThrow('at least');
  });
});

describe('the expected result', () => {
  const plan = planRound(1, IDS);
  const expected = computeExpected(CITIES, [IDS.length]);

  it('holds the newer of two edits of one row', () => {
    for (const own of plan.a) {
      const other = plan.b.find((edit) => edit.kind === 'update' && own.kind === 'update' && edit.id === own.id);
      if (own.kind !== 'update' || other?.kind !== 'update') continue;
      const newer = Date.parse(other.updatedAt) > Date.parse(own.updatedAt) ? other : own;
      expect(expected.get(own.id)?.note).toBe(newer.note);
    }
  });

  it('keeps a row that one device edited and the other deleted', () => {
    const edited = new Set([...idsOf(plan.a, 'update'), ...idsOf(plan.b, 'update')]);
    const deleted = [...idsOf(plan.a, 'delete'), ...idsOf(plan.b, 'delete')];
    expect(deleted.filter((id) => edited.has(id))).toHaveLength(10);
    for (const id of deleted) expect(expected.has(id)).toBe(edited.has(id));
  });

  it('plays every round on the result of the one before', () => {
    const second = computeExpected(CITIES, [IDS.length - 5, IDS.length]);
    const added = [...second.values()].filter((place) => place.country === 'XX');
    expect(added.length).toBeGreaterThan(40);
    expect(second).not.toEqual(expected);
  });
});

describe('the canonical dump', () => {
  it('spells values as the server does', () => {
    expect(toDumpRow(makePlace(CITY, 7))).toEqual({
      admin1: '03',
      admin2: null,
      country: 'AD',
      id: makeId('city', 7),
      lat: '42.50000',
      lng: '1.56654',
      name: 'Vila',
      note: null,
      rating: '0',
      updated_at: '2026-01-01T00:00:00+00:00',
      visited: false,
    });
    expect(toWireInstant('2026-03-24T18:42:11.120Z')).toBe('2026-03-24T18:42:11.12+00:00');
    expect(toWireInstant('2026-03-24T18:42:10.000Z')).toBe('2026-03-24T18:42:10+00:00');
  });
});
