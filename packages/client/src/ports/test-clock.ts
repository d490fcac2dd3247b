import type { Clock } from './clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly fire: () => void;
}

/** A clock that stands still until it is told to move. */
export class TestClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<Timer>();
  /** Delays asked for, in order. */
  readonly delays: number[] = [];

  monotonicMs(): number {
    return this.#nowMs;
  }

  epochMs(): number {
    return this.#nowMs;
  }

  startTimer(delayMs: number, fire: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, fire };
    this.delays.push(delayMs);
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  /** Moves time forward and fires what is due, in order of time. */
  advance(byMs: number): void {
    const targetMs = this.#nowMs + byMs;
    for (let next = this.#nextDue(targetMs); next !== null; next = this.#nextDue(targetMs)) {
      this.#nowMs = next.dueMs;
      this.#timers.delete(next);
      next.fire();
    }
    this.#nowMs = targetMs;
  }

  #nextDue(untilMs: number): Timer | null {
    const due = [...this.#timers].filter((timer) => timer.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs);
    return due[0] ?? null;
  }
}

/** A clock whose timers of at least `fromMs` never fire, and whose shorter ones fire at once: waits take no time, time-outs never happen. */
export function eagerClock(fromMs = 5_000): Clock & { readonly delays: number[] } {
  let nowMs = 0;
  const delays: number[] = [];
  return {
    delays,
    monotonicMs: () => nowMs,
    epochMs: () => Date.now(),
    startTimer: (delayMs, fire) => {
      if (delayMs >= fromMs) return () => undefined;
      delays.push(delayMs);
      const timer = setTimeout(() => {
        nowMs += delayMs;
        fire();
      }, 0);
      return () => clearTimeout(timer);
    },
  };
}
