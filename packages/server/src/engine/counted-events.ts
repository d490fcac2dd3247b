import type { ServerEvent } from './events.ts';

/** Counters that status reports besides what the scopes themselves hold. */
export type CounterName = 'history_pruned_error_count' | 'accepted_push_replay_count';

/** Counts in memory; maintenance moves the counts into the database from time to time, so that all processes are summed. */
export class CountedEvents {
  #counts: Record<CounterName, number> = { history_pruned_error_count: 0, accepted_push_replay_count: 0 };

  count(event: ServerEvent): void {
    if (event.name === 'historyPruned') this.#counts.history_pruned_error_count += 1;
    if (event.name === 'pushReplayed') this.#counts.accepted_push_replay_count += 1;
  }

  get(name: CounterName): number {
    return this.#counts[name];
  }

  /** Returns the counts and starts again at zero. */
  take(): Readonly<Record<CounterName, number>> {
    const counts = this.#counts;
    this.#counts = { history_pruned_error_count: 0, accepted_push_replay_count: 0 };
    return counts;
  }

  /** Puts back what could not be stored. */
  restore(counts: Readonly<Record<CounterName, number>>): void {
    this.#counts.history_pruned_error_count += counts.history_pruned_error_count;
    this.#counts.accepted_push_replay_count += counts.accepted_push_replay_count;
  }
}
