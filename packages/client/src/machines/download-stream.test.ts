import { describe, expect, test } from 'vitest';

import { nextStreamState, streamDueMs } from './download-stream.ts';
import type { StreamEvent, StreamRules, StreamState } from './download-stream.ts';

const WATCH: StreamRules = { watches: true, intervalMs: 60_000, reconnectMinMs: 1000, reconnectMaxMs: 60_000, healthyMs: 10_000 };
const POLL: StreamRules = { ...WATCH, watches: false };

type Key = Exclude<StreamState['name'], 'catchingUp'> | 'catchingUpToRest' | 'catchingUpToReconnect';
type EventName = StreamEvent['name'];

const STATES: { readonly [K in Key]: StreamState } = {
  held: { name: 'held' },
  connecting: { name: 'connecting', delayMs: 4000 },
  open: { name: 'open', delayMs: 4000, openedMs: 500 },
  catchingUpToRest: { name: 'catchingUp', after: 'rest', notBeforeMs: 0 },
  catchingUpToReconnect: { name: 'catchingUp', after: 'reconnect', delayMs: 4000, notBeforeMs: 0 },
  reconnecting: { name: 'reconnecting', delayMs: 8000, dueMs: 5000, notBeforeMs: 0 },
  resting: { name: 'resting', dueMs: 5000, notBeforeMs: 0 },
};

const EVENTS: { readonly [E in EventName]: Extract<StreamEvent, { name: E }> } = {
  gateOpened: { name: 'gateOpened' },
  gateClosed: { name: 'gateClosed' },
  connected: { name: 'connected', atMs: 1000 },
  unsupported: { name: 'unsupported' },
  refused: { name: 'refused', after: 'reconnect', notBeforeMs: 0 },
  eventReceived: { name: 'eventReceived' },
  ended: { name: 'ended', atMs: 1000 },
  pullSettled: { name: 'pullSettled', atMs: 1000, waitShare: 1 },
  kicked: { name: 'kicked', atMs: 1000 },
  timerFired: { name: 'timerFired', atMs: 5000 },
};

const SAME = 'same';
const FRESH: StreamState = { name: 'connecting', delayMs: 1000 };

const IGNORED = {
  gateOpened: SAME,
  gateClosed: STATES.held,
  connected: SAME,
  unsupported: SAME,
  refused: SAME,
  eventReceived: SAME,
  ended: SAME,
  pullSettled: SAME,
  kicked: SAME,
  timerFired: SAME,
} as const;

const TABLE: { readonly [K in Key]: { readonly [E in EventName]: StreamState | typeof SAME } } = {
  held: { ...IGNORED, gateOpened: FRESH, gateClosed: SAME },
  connecting: {
    ...IGNORED,
    connected: { name: 'open', delayMs: 4000, openedMs: 1000 },
    unsupported: STATES.catchingUpToRest,
    refused: STATES.catchingUpToReconnect,
  },
  open: { ...IGNORED, eventReceived: { name: 'open', delayMs: 1000, openedMs: 500 }, ended: STATES.catchingUpToReconnect },
  catchingUpToRest: { ...IGNORED, pullSettled: { name: 'resting', dueMs: 61_000, notBeforeMs: 0 } },
  catchingUpToReconnect: { ...IGNORED, pullSettled: STATES.reconnecting },
  reconnecting: { ...IGNORED, kicked: FRESH, timerFired: { name: 'connecting', delayMs: 8000 } },
  resting: { ...IGNORED, kicked: FRESH, timerFired: FRESH },
};

const names = <T extends object>(of: T): (keyof T)[] => Object.keys(of) as (keyof T)[];

describe('source of pulls', () => {
  for (const state of names(STATES)) {
    test(`[T106] ${state}: every event leads where the table says, and ignored events return the same object`, () => {
      const row = names(EVENTS).map((event) => {
        const next = nextStreamState(STATES[state], EVENTS[event], WATCH);
        return [event, next === STATES[state] ? SAME : next];
      });
      expect(Object.fromEntries(row)).toEqual(TABLE[state]);
    });
  }

  test('[T106] delays double from the minimum to the maximum while streams end at once', () => {
    const waits: number[] = [];
    let state: StreamState = FRESH;
    for (let round = 0; round < 8; round += 1) {
      const atMs = round * 1_000_000;
      state = nextStreamState(state, { name: 'connected', atMs }, WATCH);
      state = nextStreamState(state, { name: 'ended', atMs: atMs + 9999 }, WATCH);
      state = nextStreamState(state, { name: 'pullSettled', atMs: atMs + 9999, waitShare: 1 }, WATCH);
      const dueMs = streamDueMs(state) ?? 0;
      waits.push(dueMs - atMs - 9999);
      state = nextStreamState(state, { name: 'timerFired', atMs: dueMs }, WATCH);
    }
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  });

  test('[K13] after ten seconds of life, or one event, the delay is the minimum again', () => {
    expect(nextStreamState(STATES.open, { name: 'ended', atMs: 10_500 }, WATCH)).toEqual({
      name: 'catchingUp',
      after: 'reconnect',
      delayMs: 1000,
      notBeforeMs: 0,
    });
    const afterEvent = nextStreamState(STATES.open, EVENTS.eventReceived, WATCH);
    expect(nextStreamState(afterEvent, EVENTS.ended, WATCH)).toEqual({
      name: 'catchingUp',
      after: 'reconnect',
      delayMs: 1000,
      notBeforeMs: 0,
    });
  });

  test('a server that does not want to be watched is polled for one interval, then asked again', () => {
    let state = nextStreamState(STATES.connecting, { name: 'refused', after: 'poll', notBeforeMs: 0 }, WATCH);
    expect(state).toEqual(STATES.catchingUpToRest);
    state = nextStreamState(state, EVENTS.pullSettled, WATCH);
    expect(nextStreamState(state, { name: 'timerFired', atMs: 61_000 }, WATCH)).toEqual(FRESH);
  });

  test('[T107] what a refusing server asked to wait is a lower bound, also against a kick', () => {
    for (const after of ['reconnect', 'poll'] as const) {
      const refused = nextStreamState(STATES.connecting, { name: 'refused', after, notBeforeMs: 90_000 }, WATCH);
      const waiting = nextStreamState(refused, EVENTS.pullSettled, WATCH);
      expect(streamDueMs(waiting)).toBe(90_000);
      expect(nextStreamState(waiting, { name: 'kicked', atMs: 89_999 }, WATCH)).toBe(waiting);
      expect(nextStreamState(waiting, { name: 'kicked', atMs: 90_000 }, WATCH)).toEqual(FRESH);
    }
  });

  test('[T105] without watching there is a pull at the start and one per interval', () => {
    let state = nextStreamState(STATES.held, EVENTS.gateOpened, POLL);
    expect(state).toEqual(STATES.catchingUpToRest);
    state = nextStreamState(state, EVENTS.pullSettled, POLL);
    expect(nextStreamState(state, { name: 'timerFired', atMs: 60_999 }, POLL)).toBe(state);
    expect(nextStreamState(state, { name: 'timerFired', atMs: 61_000 }, POLL)).toEqual(STATES.catchingUpToRest);
    expect(nextStreamState(state, EVENTS.kicked, POLL)).toEqual(STATES.catchingUpToRest);
  });
});
