import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { NodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { ChangeChannel } from '../ports/channel.ts';
import type { SqlValue } from '../ports/sqlite-driver.ts';
import { createVirtualClock } from '../testing/virtual-clock.ts';
import type { VirtualClock } from '../testing/virtual-clock.ts';
import { EventHub } from './events.ts';
import { LiveQueries } from './live-query/live-queries.ts';
import { createLiveQuery } from './live-query/live-query.ts';
import type { LiveQuery, LiveQueryOptions } from './live-query/live-query.ts';
import { TableChanges } from './table-changes.ts';

/** A channel without a platform: what one end posts reaches all others. */
export function createChannels(count: number): readonly ChangeChannel[] {
  const listeners = Array.from({ length: count }, () => new Set<(message: unknown) => void>());
  return listeners.map((own) => ({
    post: (message) => {
      for (const others of listeners) if (others !== own) for (const listener of others) listener(structuredClone(message));
    },
    subscribe: (listener) => {
      own.add(listener);
      return () => own.delete(listener);
    },
  }));
}

/** A database with change events and live queries, and without an engine. */
export interface ChangeWorld {
  readonly driver: NodeSqliteDriver;
  readonly clock: VirtualClock;
  readonly events: EventHub;
  readonly changes: TableChanges;
  readonly queries: LiveQueries;
  /** Texts of the reads that reached the database. */
  readonly reads: string[];
  readonly live: (sql: string, params?: readonly SqlValue[], options?: LiveQueryOptions) => LiveQuery;
}

export function createChangeWorld(channel: ChangeChannel | null = null): ChangeWorld {
  const driver = createNodeSqliteDriver(':memory:');
  const reads: string[] = [];
  const all = driver.all.bind(driver);
  driver.all = (sql, params) => {
    reads.push(sql);
    return all(sql, params);
  };
  const clock = createVirtualClock();
  const events = new EventHub(() => undefined);
  const managedTables = (): readonly string[] => ['notes'];
  const changes = new TableChanges({ driver, events, channel, managedTables, onListenerError: () => undefined });
  const queries = new LiveQueries(driver, changes, clock);
  return {
    driver,
    clock,
    events,
    changes,
    queries,
    reads,
    live: (sql, params = [], options = {}) => createLiveQuery(queries, sql, params, options),
  };
}
