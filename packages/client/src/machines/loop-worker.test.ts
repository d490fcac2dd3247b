import { describe, expect, test } from 'vitest';

import { nextWorkerState, workerDueMs } from './loop-worker.ts';
import type { WorkerEvent, WorkerRules, WorkerState } from './loop-worker.ts';

const RULES: WorkerRules = { debounceMs: 250, maxDelayMs: 5000, runsWhenOpened: true };
const PULL_RULES: WorkerRules = { debounceMs: 0, maxDelayMs: 0, runsWhenOpened: false };

type Name = WorkerState['name'];
type StateOf<N extends Name> = Extract<WorkerState, { name: N }>;

const run = (part: Partial<StateOf<'running'>> = {}): StateOf<'running'> => ({
  name: 'running',
  failures: 0,
  isWantedAgain: false,
  written: null,
  ...part,
});

const STATES: { readonly [N in Name]: StateOf<N> } = {
  held: { name: 'held', notBeforeMs: 0 },
  asleep: { name: 'asleep' },
  settling: { name: 'settling', firstMs: 900, dueMs: 1150 },
  running: run({ failures: 2 }),
  waiting: { name: 'waiting', failures: 3, dueMs: 5000, notBeforeMs: 0 },
  stalled: { name: 'stalled' },
};

type EventName = WorkerEvent['name'];

/** Every event happens at 1000, except the timer, which fires when it is due. */
const EVENTS: { readonly [E in EventName]: Extract<WorkerEvent, { name: E }> } = {
  gateOpened: { name: 'gateOpened', atMs: 1000 },
  gateClosed: { name: 'gateClosed' },
  wanted: { name: 'wanted' },
  written: { name: 'written', atMs: 1000 },
  kicked: { name: 'kicked', atMs: 1000 },
  timerFired: { name: 'timerFired', atMs: 5000 },
  finished: { name: 'finished', atMs: 1000, hasMore: false },
  failed: { name: 'failed', dueMs: 9000, notBeforeMs: 0 },
  stalled: { name: 'stalled' },
};

const SAME = 'same';
const SETTLING: WorkerState = { name: 'settling', firstMs: 1000, dueMs: 1250 };

const TABLE: { readonly [N in Name]: { readonly [E in EventName]: WorkerState | typeof SAME } } = {
  held: {
    gateOpened: run(),
    gateClosed: SAME,
    wanted: SAME,
    written: SAME,
    kicked: SAME,
    timerFired: SAME,
    finished: SAME,
    failed: SAME,
    stalled: SAME,
  },
  asleep: {
    gateOpened: SAME,
    gateClosed: STATES.held,
    wanted: run(),
    written: SETTLING,
    kicked: run(),
    timerFired: SAME,
    finished: SAME,
    failed: SAME,
    stalled: SAME,
  },
  settling: {
    gateOpened: SAME,
    gateClosed: STATES.held,
    wanted: run(),
    written: { name: 'settling', firstMs: 900, dueMs: 1250 },
    kicked: run(),
    timerFired: run(),
    finished: SAME,
    failed: SAME,
    stalled: SAME,
  },
  running: {
    gateOpened: SAME,
    gateClosed: STATES.held,
    wanted: run({ failures: 2, isWantedAgain: true }),
    written: run({ failures: 2, written: { firstMs: 1000, lastMs: 1000 } }),
    kicked: run({ failures: 2, isWantedAgain: true }),
    timerFired: SAME,
    finished: STATES.asleep,
    failed: { name: 'waiting', failures: 3, dueMs: 9000, notBeforeMs: 0 },
    stalled: STATES.stalled,
  },
  waiting: {
    gateOpened: SAME,
    gateClosed: STATES.held,
    wanted: SAME,
    written: SAME,
    kicked: run(),
    timerFired: run({ failures: 3 }),
    finished: SAME,
    failed: SAME,
    stalled: SAME,
  },
  stalled: {
    gateOpened: SAME,
    gateClosed: STATES.held,
    wanted: run(),
    written: SETTLING,
    kicked: run(),
    timerFired: SAME,
    finished: SAME,
    failed: SAME,
    stalled: SAME,
  },
};

const names = <T extends object>(of: T): (keyof T)[] => Object.keys(of) as (keyof T)[];

describe('worker of the background loop', () => {
  for (const state of names(STATES)) {
    test(`[T107] ${state}: every event leads where the table says, and ignored events return the same object`, () => {
      const row = names(EVENTS).map((event) => {
        const next = nextWorkerState(STATES[state], EVENTS[event], RULES);
        return [event, next === STATES[state] ? SAME : next];
      });
      expect(Object.fromEntries(row)).toEqual(TABLE[state]);
    });
  }

  test('[T108] steady writing cannot put an upload off for longer than the maximum delay', () => {
    let state: WorkerState = STATES.asleep;
    for (let atMs = 0; atMs <= 10_000; atMs += 200) {
      state = nextWorkerState(state, { name: 'written', atMs }, RULES);
      expect(workerDueMs(state)).toBeLessThanOrEqual(5000);
    }
    expect(workerDueMs(state)).toBe(5000);
  });

  test('[T108] writes during an upload are debounced like any others, counted from the first of them', () => {
    let state: WorkerState = run();
    state = nextWorkerState(state, { name: 'written', atMs: 100 }, RULES);
    state = nextWorkerState(state, { name: 'written', atMs: 300 }, RULES);
    state = nextWorkerState(state, { name: 'finished', atMs: 400, hasMore: true }, RULES);
    expect(state).toEqual({ name: 'settling', firstMs: 100, dueMs: 550 });
  });

  test('rows that a successful upload left behind are uploaded after the quiet time, never in a tight circle', () => {
    expect(nextWorkerState(run(), { name: 'finished', atMs: 400, hasMore: true }, RULES)).toEqual({
      name: 'settling',
      firstMs: 400,
      dueMs: 650,
    });
  });

  test('however often an operation is asked for while it runs, it runs once more', () => {
    let state: WorkerState = run();
    for (let times = 0; times < 5; times += 1) state = nextWorkerState(state, { name: 'wanted' }, PULL_RULES);
    state = nextWorkerState(state, { name: 'finished', atMs: 1, hasMore: false }, PULL_RULES);
    expect(state).toEqual(run());
    expect(nextWorkerState(state, { name: 'finished', atMs: 2, hasMore: false }, PULL_RULES)).toEqual({ name: 'asleep' });
  });

  test('an opened gate lets a pull worker sleep: the stream decides', () => {
    expect(nextWorkerState(STATES.held, EVENTS.gateOpened, PULL_RULES)).toEqual({ name: 'asleep' });
  });

  test('[T107] a wait that a server asked for survives a closed gate and a kick', () => {
    const waiting: WorkerState = { name: 'waiting', failures: 1, dueMs: 30_000, notBeforeMs: 20_000 };
    const kicked = nextWorkerState(waiting, EVENTS.kicked, RULES);
    expect(kicked).toEqual({ name: 'waiting', failures: 1, dueMs: 20_000, notBeforeMs: 20_000 });
    expect(nextWorkerState(kicked, EVENTS.kicked, RULES)).toBe(kicked);
    const held = nextWorkerState(waiting, EVENTS.gateClosed, RULES);
    expect(held).toEqual({ name: 'held', notBeforeMs: 20_000 });
    const opened = nextWorkerState(held, EVENTS.gateOpened, RULES);
    expect(opened).toEqual({ name: 'waiting', failures: 0, dueMs: 20_000, notBeforeMs: 20_000 });
    expect(nextWorkerState(held, { name: 'gateOpened', atMs: 20_000 }, RULES)).toEqual(run());
  });

  test('a timer that fires early changes nothing', () => {
    expect(nextWorkerState(STATES.waiting, { name: 'timerFired', atMs: 4999 }, RULES)).toBe(STATES.waiting);
  });
});
