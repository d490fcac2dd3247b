import type { Clock } from '../../ports/clock.ts';

/** How a pure machine is driven. */
export interface Machine<S, E> {
  readonly start: S;
  next(state: S, event: E): S;
  /** Monotonic time at which the machine wants `timerFired`, or `null`. */
  dueMs(state: S): number | null;
  timerFired(atMs: number): E;
}

/**
 * One machine of the loop with the single timer it may have. Events that arrive while a change is being acted upon wait their turn, so
 * whoever acts always sees changes in order and one at a time.
 */
export class Part<S, E> {
  readonly #machine: Machine<S, E>;
  readonly #clock: Clock;
  readonly #onChange: (now: S) => void;
  readonly #events: E[] = [];
  #state: S;
  #isActing = false;
  #isClosed = false;
  #timer: { readonly dueMs: number; readonly cancel: () => void } | null = null;

  constructor(machine: Machine<S, E>, clock: Clock, onChange: (now: S) => void) {
    this.#machine = machine;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#state = machine.start;
  }

  get state(): S {
    return this.#state;
  }

  send(event: E): void {
    this.#events.push(event);
    if (this.#isActing) return;
    this.#isActing = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) this.#step(next);
    } finally {
      this.#isActing = false;
    }
  }

  /** No further events, no timer. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #step(event: E): void {
    if (this.#isClosed) return;
    const next = this.#machine.next(this.#state, event);
    if (next === this.#state) return;
    this.#state = next;
    this.#setTimer(this.#machine.dueMs(next));
    this.#onChange(next);
  }

  #setTimer(dueMs: number | null): void {
    if (this.#timer?.dueMs === dueMs) return;
    this.#timer?.cancel();
    this.#timer = null;
    if (dueMs === null) return;
    const delayMs = Math.max(0, dueMs - this.#clock.monotonicMs());
    this.#timer = { dueMs, cancel: this.#clock.startTimer(delayMs, () => this.#fire(dueMs)) };
  }

  /** Platform timers may fire a fraction early; the machine must not be asked to wait for that fraction again. */
  #fire(dueMs: number): void {
    this.#timer = null;
    this.send(this.#machine.timerFired(Math.max(dueMs, this.#clock.monotonicMs())));
  }
}
