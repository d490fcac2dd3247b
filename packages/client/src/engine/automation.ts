import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { AttachmentLog, createLoopOperations } from './automatic/client-operations.ts';
import { BackgroundLoop } from './automatic/loop.ts';
import type { LoopHandle } from './automatic/loop.ts';
import { PauseFlags } from './automatic/pause-flags.ts';
import type { AutomaticOptions } from './automatic/resolve-loop-options.ts';
import { resolveLoopOptions } from './automatic/resolve-loop-options.ts';
import { checkOpen } from './engine.ts';
import type { Engine } from './engine.ts';
import { LiveQueries } from './live-query/live-queries.ts';
import { createLiveQuery } from './live-query/live-query.ts';
import type { LiveQuery, LiveQueryOptions } from './live-query/live-query.ts';
import { writeLocally } from './local-write.ts';
import { TableChanges } from './table-changes.ts';

/** What a client does of its own accord: the background loop, change events, live queries. */
export class Automation {
  readonly pauses = new PauseFlags();
  readonly attachments = new AttachmentLog();
  readonly changes: TableChanges;
  readonly #engine: Engine;
  readonly #queries: LiveQueries;
  #loop: BackgroundLoop | null = null;
  #endRelay: (() => void) | null = null;

  constructor(engine: Engine) {
    const { ports } = engine.options;
    this.#engine = engine;
    this.changes = new TableChanges({
      driver: engine.driver,
      events: engine.events,
      channel: ports.channel ?? null,
      managedTables: () => this.#managedTables(),
      onListenerError: () => ports.logger('warn', 'a listener of table changes threw', {}),
    });
    this.#queries = new LiveQueries(engine.driver, this.changes, ports.clock);
  }

  /** One loop per client: a second call returns the handle of the first. A loop that has ended makes way for a new one. */
  start(options: AutomaticOptions): LoopHandle {
    const engine = this.#engine;
    checkOpen(engine);
    const { ports, automatic } = engine.options;
    const resolved = resolveLoopOptions(automatic, options);
    if (this.#loop !== null && this.#loop.state !== 'stopped' && this.#loop.state !== 'failed') return this.#loop;
    this.#loop = new BackgroundLoop({
      operations: createLoopOperations({
        engine,
        pauses: this.pauses,
        changes: this.changes,
        managedTables: () => this.#managedTables(),
        attachments: this.attachments,
        localData: resolved.localData,
      }),
      options: resolved,
      clock: ports.clock,
      random: ports.random,
      connectivity: ports.connectivity,
      visibility: ports.visibility,
      pauses: this.pauses,
    });
    return this.#loop;
  }

  /** Runs `work` while the loop keeps still. */
  async withoutLoop<T>(work: () => Promise<T>): Promise<T> {
    const release = await this.#loop?.hold();
    try {
      return await work();
    } finally {
      release?.();
    }
  }

  liveQuery(sql: string, params: readonly SqlValue[], options: LiveQueryOptions): LiveQuery {
    return createLiveQuery(this.#queries, sql, params, options);
  }

  write<T>(fn: (tx: SqliteTx) => Promise<T>, tables: readonly string[] | undefined): Promise<T> {
    const { driver } = this.#engine;
    return writeLocally({ driver, changes: this.changes, managedTables: this.#managedTables(), fn, tables });
  }

  /** The client is open: commits are passed to other tabs also while nobody listens here. */
  opened(): void {
    if (this.#engine.options.ports.channel !== undefined) this.#endRelay ??= this.changes.subscribe(() => undefined);
  }

  async close(): Promise<void> {
    this.#queries.close();
    this.#endRelay?.();
    this.#endRelay = null;
    await this.#loop?.stop();
  }

  #managedTables(): readonly string[] {
    return (this.#engine.memory.schema?.tables ?? []).map((table) => table.wireName);
  }
}
