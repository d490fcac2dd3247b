import { CAPTURE_ORPHAN_AGE_MS, MAINTENANCE_LOCK_TIMEOUT_MS } from '../limits.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import {
  advanceIdleFloors,
  deleteExpiredPushSessions,
  deleteExpiredSnapshotSessions,
  deleteLockedImages,
  deleteOldReceipts,
  deleteOrphanCaptures,
  deleteOrphanPushRows,
  deleteOrphanSnapshotBlocks,
  lockFigures,
  lockUnusedImages,
} from '../store/maintenance.sql.ts';
import { addToCounters, saveGauges } from '../store/statistics.sql.ts';
import type { SyncContext } from './context.ts';
import type { CountedEvents } from './counted-events.ts';
import { HistoryPruner } from './maintenance-prune.ts';
import { formatPinnedSettings } from './transaction.ts';

/** Rows removed (or floors moved) per kind of work. */
export type MaintenanceReport = Readonly<Record<string, number>>;

/** One batch in its own short transaction; resolves to the rows it touched. */
type Batch = (tx: PgTransaction) => Promise<number>;

interface Task {
  readonly kind: string;
  /** A batch that touched fewer rows than this was the last one. */
  readonly batchSize: number;
  readonly batch: Batch;
}

/**
 * Removes what requests leave behind. Every process runs the same loop; batches are short, bounded, and skip what others hold, so it
 * delays nobody and is safe in any number of processes.
 */
export class Maintenance {
  readonly #ctx: SyncContext;
  readonly #counters: CountedEvents;
  readonly #onFiguresSaved: () => void;
  readonly #pruner: HistoryPruner;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<MaintenanceReport> | undefined;
  #isStopped = false;
  /** Refused writes that the figures of this run have found. */
  #refusedWrites = 0;
  /** Scopes up to here have been looked at for their floor; the next run goes on from there. */
  #floorCursor = '0';

  constructor(ctx: SyncContext, counters: CountedEvents, onFiguresSaved: () => void) {
    this.#ctx = ctx;
    this.#onFiguresSaved = onFiguresSaved;
    this.#counters = counters;
    this.#pruner = new HistoryPruner(ctx);
  }

  start(): void {
    this.#timer = setTimeout(() => {
      void this.#runInTurn()
        .catch((cause: unknown) => this.#ctx.logger.warn('maintenance failed', { cause }))
        .finally(() => {
          if (!this.#isStopped) this.start();
        });
    }, this.#ctx.options.maintenance.intervalMs);
  }

  /** A server that is older than its database keeps its hands off it. */
  async #runInTurn(): Promise<void> {
    if (this.#ctx.lifecycle.isAccepting) await this.run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running?.catch(() => {});
  }

  /** One run; a second call while it lasts joins it. */
  run(): Promise<MaintenanceReport> {
    this.#running ??= this.#runTasks().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #runTasks(): Promise<MaintenanceReport> {
    const report: Record<string, number> = {};
    this.#refusedWrites = 0;
    for (const task of this.#listTasks()) report[task.kind] = await this.#runTask(task);
    this.#onFiguresSaved();
    if (this.#refusedWrites > 0) this.#ctx.emit({ name: 'registeredWriteRejected', count: this.#refusedWrites });
    report['pruned_history'] = await this.#pruneHistory();
    return report;
  }

  #listTasks(): readonly Task[] {
    const { names: m, options } = this.#ctx;
    const { batchRows, batchSessions } = options.maintenance;
    const simple = (kind: string, batchSize: number, sql: string, ...params: string[]): Task => ({
      kind,
      batchSize,
      batch: async (tx) => Number((await tx.query(sql, [String(batchSize), ...params])).rows[0]?.[0] ?? 0),
    });
    return [
      simple('push_sessions', batchSessions, deleteExpiredPushSessions(m)),
      simple('push_rows', batchRows, deleteOrphanPushRows(m)),
      simple('snapshot_sessions', batchSessions, deleteExpiredSnapshotSessions(m)),
      { kind: 'snapshot_images', batchSize: batchSessions, batch: (tx) => this.#deleteImages(tx) },
      simple('snapshot_blocks', batchRows, deleteOrphanSnapshotBlocks(m)),
      simple('receipts', batchRows, deleteOldReceipts(m), String(options.writeReceiptRetentionMs)),
      simple('captures', batchRows, deleteOrphanCaptures(m), String(CAPTURE_ORPHAN_AGE_MS)),
      { kind: 'floors', batchSize: Number.POSITIVE_INFINITY, batch: (tx) => this.#advanceFloors(tx) },
      { kind: 'figures', batchSize: Number.POSITIVE_INFINITY, batch: (tx) => this.#saveFigures(tx) },
    ];
  }

  async #runTask(task: Task): Promise<number> {
    const startedAt = performance.now();
    let rows = 0;
    let batches = 0;
    while (batches < this.#ctx.options.maintenance.maxBatchesPerRun && !this.#isStopped) {
      const touched = (await this.#runBatch(task.kind, task.batch)) ?? 0;
      batches += 1;
      rows += touched;
      if (touched < task.batchSize) break;
    }
    this.#ctx.emit({ name: 'maintenanceRun', kind: task.kind, batches, rows, durationMs: performance.now() - startedAt });
    return rows;
  }

  async #pruneHistory(): Promise<number> {
    const kind = 'pruned_history';
    const startedAt = performance.now();
    const { batches, rows } = await this.#pruner.run(kind, (name, batch) => this.#runBatch(name, batch));
    this.#ctx.emit({ name: 'maintenanceRun', kind, batches, rows, durationMs: performance.now() - startedAt });
    return rows;
  }

  /** A batch that fails is left for the next run; the other kinds of work go on. */
  async #runBatch<T>(kind: string, batch: (tx: PgTransaction) => Promise<T>): Promise<T | undefined> {
    const statementTimeoutMs = this.#ctx.options.maintenance.batchTimeoutMs;
    const settings = formatPinnedSettings({ lockTimeoutMs: MAINTENANCE_LOCK_TIMEOUT_MS, statementTimeoutMs });
    try {
      return await this.#ctx.db.transaction({ isolation: 'read committed', settings }, batch);
    } catch (cause) {
      this.#ctx.logger.warn('a maintenance batch failed', { kind, cause });
      return undefined;
    }
  }

  async #deleteImages(tx: PgTransaction): Promise<number> {
    const { names: m, options } = this.#ctx;
    const { rows } = await tx.query(lockUnusedImages(m), [String(options.maintenance.batchSessions)]);
    if (rows.length === 0) return 0;
    const scopePks = rows.map(([scopePk]) => scopePk ?? null);
    const imageIds = rows.map(([, imageId]) => imageId ?? null);
    const deleted = await tx.query(deleteLockedImages(m), [scopePks, imageIds]);
    return Number(deleted.rows[0]?.[0] ?? 0);
  }

  async #advanceFloors(tx: PgTransaction): Promise<number> {
    const { options, names } = this.#ctx;
    const toText = (value: number | null): string | null => (value === null ? null : String(value));
    const { rows } = await tx.query(advanceIdleFloors(names), [
      this.#floorCursor,
      String(options.maintenance.scopesPerRun),
      toText(options.retainedBundlesPerScope),
      toText(options.retainedBundleAgeMs),
      toText(options.retainedBundleBytesPerScope),
      String(options.retentionPruneBatchSize),
    ]);
    const [lastScopePk, moved] = rows[0] ?? [];
    this.#floorCursor = lastScopePk ?? '0';
    return Number(moved ?? 0);
  }

  async #saveFigures(tx: PgTransaction): Promise<number> {
    const counts = this.#counters.take();
    try {
      await tx.query(addToCounters(this.#ctx.names), [Object.keys(counts), Object.values(counts).map(String)]);
      const { rows } = await tx.query(lockFigures(this.#ctx.names));
      if (rows.length > 0) this.#refusedWrites = Number((await tx.query(saveGauges(this.#ctx.names))).rows[0]?.[0] ?? 0);
      return rows.length;
    } catch (error) {
      this.#counters.restore(counts);
      throw error;
    }
  }
}
