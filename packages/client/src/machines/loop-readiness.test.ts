import { describe, expect, test } from 'vitest';

import { nextReadinessState, readinessDueMs } from './loop-readiness.ts';
import type { ReadinessEvent, ReadinessState } from './loop-readiness.ts';

type Name = ReadinessState['name'];
type StateOf<N extends Name> = Extract<ReadinessState, { name: N }>;
type EventName = ReadinessEvent['name'];

const STATES: { readonly [N in Name]: StateOf<N> } = {
  unattached: { name: 'unattached' },
  due: { name: 'due', task: 'attach', setbacks: 2, notBeforeMs: 0 },
  working: { name: 'working', task: 'rebuild', setbacks: 1 },
  waiting: { name: 'waiting', task: 'rebuild', setbacks: 2, dueMs: 5000, notBeforeMs: 0 },
  unauthenticated: { name: 'unauthenticated', task: 'attach' },
  blocked: { name: 'blocked', task: 'rebuild' },
  ready: { name: 'ready', setbacks: 0 },
};

const EVENTS: { readonly [E in EventName]: Extract<ReadinessEvent, { name: E }> } = {
  attachPossible: { name: 'attachPossible' },
  attached: { name: 'attached' },
  detached: { name: 'detached' },
  gateOpened: { name: 'gateOpened', atMs: 1000 },
  gateClosed: { name: 'gateClosed' },
  succeeded: { name: 'succeeded' },
  failed: { name: 'failed', dueMs: 9000, notBeforeMs: 8000 },
  blocked: { name: 'blocked' },
  refused: { name: 'refused' },
  recoveryNeeded: { name: 'recoveryNeeded', task: 'rebuild', dueMs: 3000 },
  progressed: { name: 'progressed' },
  kicked: { name: 'kicked', atMs: 1000 },
  timerFired: { name: 'timerFired', atMs: 5000 },
};

const SAME = 'same';
const READY: ReadinessState = { name: 'ready', setbacks: 0 };
const due = (task: 'attach' | 'rebuild', setbacks = 0): ReadinessState => ({ name: 'due', task, setbacks, notBeforeMs: 0 });

const IGNORED = {
  attachPossible: SAME,
  attached: SAME,
  detached: STATES.unattached,
  gateOpened: SAME,
  gateClosed: SAME,
  succeeded: SAME,
  failed: SAME,
  blocked: SAME,
  refused: SAME,
  recoveryNeeded: SAME,
  progressed: SAME,
  kicked: SAME,
  timerFired: SAME,
} as const;

const TABLE: { readonly [N in Name]: { readonly [E in EventName]: ReadinessState | typeof SAME } } = {
  unattached: { ...IGNORED, attachPossible: due('attach'), attached: READY, detached: SAME },
  due: { ...IGNORED, attached: READY, gateOpened: { name: 'working', task: 'attach', setbacks: 2 } },
  working: {
    ...IGNORED,
    gateClosed: due('rebuild', 1),
    succeeded: { name: 'ready', setbacks: 1 },
    failed: { name: 'waiting', task: 'rebuild', setbacks: 2, dueMs: 9000, notBeforeMs: 8000 },
    blocked: STATES.blocked,
    refused: { name: 'unauthenticated', task: 'rebuild' },
  },
  waiting: { ...IGNORED, gateClosed: due('rebuild', 2), kicked: due('rebuild', 2), timerFired: due('rebuild', 2) },
  unauthenticated: { ...IGNORED, attached: READY, kicked: due('attach') },
  blocked: { ...IGNORED, gateClosed: due('rebuild'), kicked: due('rebuild') },
  ready: { ...IGNORED, refused: { name: 'unauthenticated', task: null }, recoveryNeeded: due('rebuild', 1) },
};

const names = <T extends object>(of: T): (keyof T)[] => Object.keys(of) as (keyof T)[];

describe('readiness of the background loop', () => {
  for (const state of names(STATES)) {
    test(`[T109] ${state}: every event leads where the table says, and ignored events return the same object`, () => {
      const row = names(EVENTS).map((event) => {
        const next = nextReadinessState(STATES[state], EVENTS[event]);
        return [event, next === STATES[state] ? SAME : next];
      });
      expect(Object.fromEntries(row)).toEqual(TABLE[state]);
    });
  }

  test('[T109] a recovery after which the workers got nothing done is repeated only after a back-off', () => {
    const recovered = nextReadinessState(STATES.working, EVENTS.succeeded);
    const again = nextReadinessState(recovered, EVENTS.recoveryNeeded);
    expect(again).toEqual({ name: 'waiting', task: 'rebuild', setbacks: 2, dueMs: 3000, notBeforeMs: 0 });
    expect(readinessDueMs(again)).toBe(3000);
  });

  test('[T109] progress forgets earlier recoveries', () => {
    const recovered = nextReadinessState(STATES.working, EVENTS.succeeded);
    expect(nextReadinessState(nextReadinessState(recovered, EVENTS.progressed), EVENTS.recoveryNeeded)).toEqual(
      due('rebuild', 1),
    );
  });

  test('a rebuild that finds the attachment lost attaches first, after a back-off', () => {
    expect(nextReadinessState(STATES.working, { name: 'recoveryNeeded', task: 'attach', dueMs: 3000 })).toEqual({
      name: 'waiting',
      task: 'attach',
      setbacks: 2,
      dueMs: 3000,
      notBeforeMs: 0,
    });
  });

  test('a wait that the server asked for survives a closed gate and a kick', () => {
    const waiting: ReadinessState = { name: 'waiting', task: 'attach', setbacks: 1, dueMs: 42_000, notBeforeMs: 42_000 };
    for (const event of [EVENTS.kicked, EVENTS.gateClosed]) {
      const next = nextReadinessState(waiting, event);
      expect(next).toEqual({ name: 'due', task: 'attach', setbacks: 1, notBeforeMs: 42_000 });
      expect(nextReadinessState(next, EVENTS.gateOpened)).toEqual(waiting);
      expect(nextReadinessState(next, { name: 'gateOpened', atMs: 42_000 }).name).toBe('working');
    }
  });

  test('a refusal of a worker ends with the next kick, without a preparation', () => {
    expect(nextReadinessState({ name: 'unauthenticated', task: null }, EVENTS.kicked)).toEqual(READY);
  });
});
