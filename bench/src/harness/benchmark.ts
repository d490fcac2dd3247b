import type { Sandbox } from './sandbox.ts';

/**
 * One thing to be timed. `prepare` makes a fresh state for each repetition and `finish` undoes it; only `run` is timed. `run` may
 * return its own time in milliseconds, when it knows it better than the caller (a process of its own did the work).
 */
export interface Case<State> {
  readonly name: string;
  /** The baseline that the others are compared with; exactly one per benchmark, or one per group. */
  readonly isRaw?: boolean;
  /** Cases of one group share a baseline. */
  readonly group?: string;
  /** Units of work of one run, for the rate; default: the rows of the benchmark. */
  readonly units?: number;
  readonly unit?: string;
  readonly prepare: () => Promise<State>;
  readonly run: (state: State) => Promise<number | void>;
  readonly finish?: (state: State) => Promise<void>;
}

/** A case with its state type hidden, so that cases of different states stand in one list. */
export interface AnyCase extends Omit<Case<unknown>, 'prepare' | 'run' | 'finish'> {
  /** One repetition; milliseconds. */
  readonly measure: () => Promise<number>;
}

/** Hides the state type of a case. */
export function defineCase<State>(definition: Case<State>): AnyCase {
  const { prepare, run, finish, ...rest } = definition;
  return {
    ...rest,
    async measure() {
      const state = await prepare();
      try {
        globalThis.gc?.();
        const startedAt = performance.now();
        const own = await run(state);
        return own ?? performance.now() - startedAt;
      } finally {
        await finish?.(state);
      }
    },
  };
}

export interface BenchmarkSettings {
  readonly rows: number;
  readonly repetitions: number;
  readonly sandbox: Sandbox;
}

/** One file of `bench/src`: what it measures, beside which baseline, and with how many rows when nobody says otherwise. */
export interface Benchmark {
  readonly name: string;
  /** One sentence: what is timed, and what the baseline is. */
  readonly title: string;
  readonly rowsDefault: number;
  readonly repetitionsDefault: number;
  /** Builds the cases; whatever it opens is closed by the sandbox. */
  readonly setUp: (settings: BenchmarkSettings) => Promise<readonly AnyCase[]>;
}
