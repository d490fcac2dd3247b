import { makeId, type Place } from './place.ts';

/** One change that a person makes on a device while it is offline. */
export type Edit =
  | { readonly kind: 'update'; readonly id: string; readonly note: string; readonly rating: bigint; readonly updatedAt: string }
  | { readonly kind: 'delete'; readonly id: string }
  | { readonly kind: 'insert'; readonly place: Place };

export interface RoundEdits {
  readonly a: readonly Edit[];
  readonly b: readonly Edit[];
}

/** Rows that both devices edit, and rows that only one of them edits: 200 on each device, 50 of them the same. */
const SHARED_UPDATES = 50;
const OWN_UPDATES = 150;
/** Rows that one device deletes and the other leaves alone, deletes too, or has edited. */
const OWN_DELETES = 15;
const SHARED_DELETES = 3;
const DELETES_OF_EDITED = 5;
const INSERTS = 20;

/** Fewest places that the edits of a round can be drawn from. */
export const PLACES_MIN = SHARED_UPDATES + 2 * (OWN_UPDATES + OWN_DELETES) + SHARED_DELETES;

/** First instant of the edits of round 1; each round is a day later. */
const EDITS_START_MS = Date.UTC(2026, 10, 1, 8);
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * What both devices do in one round, drawn from the keys that both hold before it. The same round and keys always give the same
 * edits: a device that is started again makes exactly the edits that it had not made, and the expected result can be computed
 * without any synchronisation.
 */
export function planRound(round: number, sortedIds: readonly string[]): RoundEdits {
  if (sortedIds.length < PLACES_MIN) throw new Error(`the story needs at least ${PLACES_MIN} places`);
  const random = makeRandom(round);
  const draw = makeDraw(sortedIds, random);
  const shared = draw(SHARED_UPDATES);
  const ownOfA = draw(OWN_UPDATES);
  const ownOfB = draw(OWN_UPDATES);
  const deletedByBoth = draw(SHARED_DELETES);
  const makeUpdate =
    (device: string) =>
    (id: string): Edit => ({
      kind: 'update',
      id,
      note: `edited on device ${device} in round ${round}: “${random().toString(36).slice(2, 10)}”`,
      rating: BigInt(1 + Math.floor(random() * 5)),
      updatedAt: new Date(EDITS_START_MS + round * DAY_MS + Math.floor(random() * 36_000_000)).toISOString(),
    });
  const makeDelete = (id: string): Edit => ({ kind: 'delete', id });
  return {
    a: [
      ...[...shared, ...ownOfA].map(makeUpdate('A')),
      ...[...draw(OWN_DELETES), ...deletedByBoth, ...ownOfB.slice(0, DELETES_OF_EDITED)].map(makeDelete),
      ...makeInserts('A', round),
    ],
    b: [
      ...[...shared, ...ownOfB].map(makeUpdate('B')),
      ...[...draw(OWN_DELETES), ...deletedByBoth, ...ownOfA.slice(0, DELETES_OF_EDITED)].map(makeDelete),
      ...makeInserts('B', round),
    ],
  };
}

function makeInserts(device: string, round: number): readonly Edit[] {
  return Array.from({ length: INSERTS }, (_, index) => ({
    kind: 'insert',
    place: {
      id: makeId(`added on ${device}`, round * 1_000_000 + index),
      name: `New place ${index + 1} of device ${device}, round ${round}`,
      country: 'XX',
      admin1: null,
      admin2: null,
      lat: `${index}.5`,
      lng: -index / 3,
      rating: 9_007_199_254_740_993n + BigInt(index),
      visited: true,
      note: 'quotes " and \\, a line\nbreak, é, 日本, 🗺️',
      updatedAt: new Date(EDITS_START_MS + round * DAY_MS + index).toISOString(),
    },
  }));
}

/** Draws keys without replacement: a partial Fisher-Yates shuffle. */
function makeDraw(ids: readonly string[], random: () => number): (count: number) => readonly string[] {
  const pool = [...ids];
  let drawn = 0;
  return (count) => {
    const end = drawn + count;
    for (; drawn < end; drawn += 1) {
      const other = drawn + Math.floor(random() * (pool.length - drawn));
      [pool[drawn], pool[other]] = [pool[other] ?? '', pool[drawn] ?? ''];
    }
    return pool.slice(drawn - count, drawn);
  };
}

/** Mulberry32: a small reproducible generator; good enough to choose rows. */
export function makeRandom(seed: number): () => number {
  let state = (seed * 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
