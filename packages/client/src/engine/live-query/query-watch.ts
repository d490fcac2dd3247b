import { SyncError, isSyncError } from '@oversync/protocol';

import type { Clock } from '../../ports/clock.ts';
import type { SqlValue } from '../../ports/sqlite-driver.ts';
import { SqliteFault } from '../../ports/sqlite-fault.ts';
import { areRowsEqual } from '../../rules/equal-rows.ts';

export type QueryRows = readonly (readonly SqlValue[])[];

export type QueryOutcome = { readonly rows: QueryRows } | { readonly error: SyncError };

export interface QueryWatchSetup {
  readonly clock: Clock;
  readonly debounceMs: number;
  /** Runs the query on committed data. */
  readonly load: () => Promise<QueryRows>;
  /** Called with each outcome that differs from the one before. */
  readonly onOutcome: (outcome: QueryOutcome) => void;
}

/**
 * Runs one query again whenever it is told that something changed. It never overlaps with itself: what is told during a run, or during the
 * quiet time, leads to one more run. An outcome equal to the last one is not passed on.
 */
export class QueryWatch {
  readonly #setup: QueryWatchSetup;
  #last: QueryOutcome | null = null;
  #isRunning = false;
  #isStale = false;
  #isEnded = false;
  #cancelTimer: (() => void) | null = null;

  constructor(setup: QueryWatchSetup) {
    this.#setup = setup;
  }

  /** The last outcome; `null` before the first. */
  get last(): QueryOutcome | null {
    return this.#last;
  }

  /** Runs now, or once more after the present run. */
  refresh(): void {
    if (this.#isEnded) return;
    this.#isStale = true;
    if (!this.#isRunning) void this.#run();
  }

  /** Something changed. */
  changed(): void {
    const { clock, debounceMs } = this.#setup;
    if (debounceMs === 0) {
      this.refresh();
      return;
    }
    if (this.#isEnded || this.#cancelTimer !== null) return;
    this.#cancelTimer = clock.startTimer(debounceMs, () => {
      this.#cancelTimer = null;
      this.refresh();
    });
  }

  /** No further outcome, also not of a run under way. */
  end(): void {
    this.#isEnded = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isStale && !this.#isEnded) {
      this.#isStale = false;
      const outcome = await this.#load();
      if (!this.#isEnded) this.#take(outcome);
    }
    this.#isRunning = false;
  }

  async #load(): Promise<QueryOutcome> {
    try {
      return { rows: await this.#setup.load() };
    } catch (error) {
      return { error: queryError(error) };
    }
  }

  #take(outcome: QueryOutcome): void {
    if (this.#last !== null && isSameOutcome(this.#last, outcome)) return;
    this.#last = outcome;
    this.#setup.onOutcome(outcome);
  }
}

function isSameOutcome(a: QueryOutcome, b: QueryOutcome): boolean {
  if ('rows' in a) return 'rows' in b && areRowsEqual(a.rows, b.rows);
  return 'error' in b && a.error.code === b.error.code && a.error.details['sqliteCode'] === b.error.details['sqliteCode'];
}

function queryError(error: unknown): SyncError {
  if (isSyncError(error)) return error;
  const details = error instanceof SqliteFault ? { sqliteCode: error.resultCode } : {};
  return new SyncError('storage_failed', { details, cause: error });
}
