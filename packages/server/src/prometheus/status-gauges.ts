import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

import type { StatusBody } from '../engine/health.ts';

/** Figures of status that are no events: the state of this process. */
const PROCESS_GAUGES = {
  inflight_operations: 'Operations that are running now',
  accepting_operations: '1 while the server takes operations',
} as const;

/** Figures over all scopes and processes, from the last maintenance run; absent before the first one. */
const DATABASE_GAUGES = {
  latest_bundle_seq_max: 'Highest bundle sequence of any scope',
  retained_bundle_floor_min: 'Lowest retained floor of any scope',
  retained_bundle_floor_max: 'Highest retained floor of any scope',
  retained_bundle_window_min: 'Smallest number of retained bundles of any scope',
  retained_bundle_window_max: 'Largest number of retained bundles of any scope',
  committed_bundle_count: 'Bundles ever committed',
  committed_bundle_bytes: 'Canonical bytes ever committed',
  history_pruned_error_count: 'Requests refused because history is pruned, in all processes',
  accepted_push_replay_count: 'Pushes answered as committed before, in all processes',
  rejected_registered_write_count: 'Writes to registered tables past the library',
} as const;

/** Gauges that are set from the body of status when the page is asked for. */
export class StatusGauges {
  readonly #process: ReadonlyMap<string, Gauge>;
  readonly #database: ReadonlyMap<string, Gauge>;

  constructor(registry: Registry, prefix: string) {
    const create = (entries: Readonly<Record<string, string>>): ReadonlyMap<string, Gauge> =>
      new Map(
        Object.entries(entries).map(([name, help]) => [
          name,
          new Gauge({ name: `${prefix}${name}`, help, registers: [registry] }),
        ]),
      );
    this.#process = create(PROCESS_GAUGES);
    this.#database = create(DATABASE_GAUGES);
  }

  set(status: StatusBody): void {
    for (const [name, gauge] of this.#process) gauge.set(Number(status[name] ?? 0));
    for (const [name, gauge] of this.#database) {
      // Zeros that only mean "not known" would look like a fall of the counters.
      if (status['stats_as_of'] === undefined) gauge.remove();
      else gauge.set(Number(status[name] ?? 0));
    }
  }
}
