import { PROTOCOL_VERSION } from '@oversync/protocol';

import { HEALTH_CACHE_MS, HEALTH_SILENCE_MS, HEALTH_TIMEOUT_MS } from '../limits.ts';
import { normaliseTable, tableName } from '../rules/normalise-tables.ts';
import { compareUtf16 } from '../rules/table-description.ts';
import { loadStatistics } from '../store/statistics.ts';
import type { Statistics } from '../store/statistics.ts';
import { getFeatures } from './capabilities.ts';
import type { SyncContext } from './context.ts';
import type { CountedEvents } from './counted-events.ts';
import type { ObservedPostgres } from './observed-postgres.ts';
import { queryAlone } from './query-alone.ts';

type StatusValue = string | number | bigint | boolean | readonly string[] | Readonly<Record<string, boolean>> | undefined;

/** Body of health and status, in wire names. */
export interface StatusBody {
  readonly status: 'healthy' | 'unhealthy';
  readonly [name: string]: StatusValue;
}

interface Check {
  readonly isReachable: boolean;
  readonly statistics: Statistics | undefined;
  readonly at: number;
}

/** Figures are no reason to wait longer than for the connection check. */
const FIGURES_LIMITS = { lockTimeoutMs: HEALTH_TIMEOUT_MS, statementTimeoutMs: HEALTH_TIMEOUT_MS } as const;

/**
 * Answers health and status without touching business data: one `SELECT 1`, remembered for a second, and the figures that maintenance
 * has stored last. A pool without a free connection is healthy as long as its transactions get answers.
 */
export class Health {
  readonly #ctx: SyncContext;
  readonly #counters: CountedEvents;
  readonly #db: ObservedPostgres;
  #last: Check | undefined;
  #running: Promise<Check> | undefined;
  /** A question that has no answer yet: another one would only take another connection of the pool. */
  #question: Promise<boolean> | undefined;

  constructor(ctx: SyncContext, db: ObservedPostgres, counters: CountedEvents) {
    this.#ctx = ctx;
    this.#db = db;
    this.#counters = counters;
  }

  /** The stored figures have changed: what was remembered must not be added to counters that began again. */
  forget(): void {
    this.#last = undefined;
  }

  async describe(): Promise<StatusBody> {
    const { options, lifecycle } = this.#ctx;
    const { isReachable, statistics } = await this.#checkDatabase();
    const isHealthy = isReachable && lifecycle.isAccepting;
    const isFull = options.ops.detail === 'full';
    return {
      status: isHealthy ? 'healthy' : 'unhealthy',
      version: PROTOCOL_VERSION,
      app_name: options.appName,
      lifecycle: lifecycle.name,
      accepting_operations: lifecycle.isAccepting,
      inflight_operations: lifecycle.inflightCount,
      registered_tables: isFull
        ? options.registeredTables.map((table) => tableName(normaliseTable(table))).sort(compareUtf16)
        : [],
      features: getFeatures(options.watch.enabled),
      ...this.#formatStatistics(statistics),
    };
  }

  #formatStatistics(statistics: Statistics | undefined): Readonly<Record<string, bigint | string | undefined>> {
    const get = (name: string): bigint => statistics?.counts.get(name) ?? 0n;
    const count = (name: 'history_pruned_error_count' | 'accepted_push_replay_count'): bigint =>
      statistics === undefined ? 0n : get(name) + BigInt(this.#counters.get(name));
    return {
      user_state_retention_floor_ahead_count: get('user_state_retention_floor_ahead_count'),
      latest_bundle_seq_max: get('latest_bundle_seq_max'),
      retained_bundle_floor_min: get('retained_bundle_floor_min'),
      retained_bundle_floor_max: get('retained_bundle_floor_max'),
      retained_bundle_window_min: get('retained_bundle_window_min'),
      retained_bundle_window_max: get('retained_bundle_window_max'),
      history_pruned_error_count: count('history_pruned_error_count'),
      accepted_push_replay_count: count('accepted_push_replay_count'),
      rejected_registered_write_count: get('rejected_registered_write_count'),
      committed_bundle_count: get('committed_bundle_count'),
      committed_bundle_bytes: get('committed_bundle_bytes'),
      stats_as_of: statistics?.asOf,
    };
  }

  /** Before bootstrap there is no metadata schema to ask; figures are no reason to be unhealthy. */
  async #loadStatistics(): Promise<Statistics | undefined> {
    if (!this.#ctx.lifecycle.isBootstrapped || this.#ctx.options.ops.detail !== 'full') return undefined;
    try {
      return await loadStatistics((sql) => queryAlone(this.#db, FIGURES_LIMITS, sql, []), this.#ctx.names);
    } catch (cause) {
      this.#ctx.logger.warn('the statistics could not be read', { cause });
      return undefined;
    }
  }

  #checkDatabase(): Promise<Check> {
    if (this.#last !== undefined && performance.now() - this.#last.at < HEALTH_CACHE_MS) return Promise.resolve(this.#last);
    this.#running ??= this.#askDatabase().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #askOnce(): Promise<boolean> {
    try {
      await this.#db.query('SELECT 1');
      return true;
    } catch {
      return false;
    } finally {
      this.#question = undefined;
    }
  }

  async #askDatabase(): Promise<Check> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), HEALTH_TIMEOUT_MS);
    });
    this.#question ??= this.#askOnce();
    const hasAnswered = await Promise.race([this.#question, timeout]);
    clearTimeout(timer);
    const isReachable = hasAnswered || this.#db.silentMs < HEALTH_SILENCE_MS;
    // A pool that did not find a moment for one SELECT is not asked for figures.
    const statistics = hasAnswered ? await this.#loadStatistics() : undefined;
    this.#last = { isReachable, statistics, at: performance.now() };
    return this.#last;
  }
}
