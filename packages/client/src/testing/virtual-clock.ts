import type { Clock, Random } from '../ports/clock.ts';

/** A clock that stands still until it is told to move. */
export interface VirtualClock extends Clock {
  /** Timers that have been started and neither fired nor been cancelled. */
  readonly timerCount: number;
  /** Lets everything that is ready run, then moves on, stopping at each timer that is due on the way. */
  advance(byMs: number): Promise<void>;
  /** Lets everything that is ready run, without moving. */
  settle(): Promise<void>;
}

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly fire: () => void;
}

/** Turns of the event loop after which work that depends on no timer is taken to be finished. */
const SETTLE_TURNS = 20;

/**
 * A virtual clock that starts at `epochMs` (epoch milliseconds). For `ports.clock`: the background loop, retries and time-outs then pass only
 * when the test says so.
 */
export function createVirtualClock(epochMs = Date.UTC(2026, 0, 1)): VirtualClock {
  const timers = new Set<Timer>();
  let nowMs = 0;
  let order = 0;
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < SETTLE_TURNS; turn += 1) await nextTurn();
  };
  const nextDue = (untilMs: number): Timer | undefined =>
    [...timers].filter((timer) => timer.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
  return {
    monotonicMs: () => nowMs,
    epochMs: () => epochMs + nowMs,
    startTimer: (delayMs, fire) => {
      order += 1;
      const timer: Timer = { atMs: nowMs + Math.max(0, delayMs), order, fire };
      timers.add(timer);
      return () => {
        timers.delete(timer);
      };
    },
    get timerCount() {
      return timers.size;
    },
    settle,
    advance: async (byMs) => {
      const untilMs = nowMs + byMs;
      await settle();
      for (let timer = nextDue(untilMs); timer !== undefined; timer = nextDue(untilMs)) {
        timers.delete(timer);
        nowMs = timer.atMs;
        timer.fire();
        await settle();
      }
      nowMs = untilMs;
    },
  };
}

/** Randomness without surprises: the same fraction always, and ids that count up. */
export function createFixedRandom(fraction = 0): Random {
  let count = 0;
  return {
    fraction: () => fraction,
    uuid: () => {
      count += 1;
      return `00000000-0000-4000-8000-${count.toString(16).padStart(12, '0')}`;
    },
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
