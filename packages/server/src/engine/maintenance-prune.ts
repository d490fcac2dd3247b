import type { PgTransaction } from '../ports/postgres.ts';
import {
  deletePrunedBlocks,
  deletePrunedBundles,
  deletePrunedTombstones,
  savePrunedTo,
  selectScopesToPrune,
} from '../store/maintenance.sql.ts';
import type { SyncContext } from './context.ts';

/** Runs a function in its own short transaction; resolves to `undefined` when it failed, which is left for the next run. */
export type RunBatch = <T>(kind: string, fn: (tx: PgTransaction) => Promise<T>) => Promise<T | undefined>;

export interface PruneResult {
  readonly batches: number;
  readonly rows: number;
}

/** Scopes and their floors, as parameters of the statements. */
type Turns = readonly [scopePks: readonly string[], floors: readonly string[]];

/**
 * Deletes bundles and tombstones at or below the floors of scopes. The rows are refused to requests since the floor moved, so nothing
 * waits for this. A batch takes rows of as many scopes as fit; the scopes have their turns in a round that later runs go on with, so that
 * a scope with much history, or some that are written to all the time, keep none of the others waiting for ever.
 */
export class HistoryPruner {
  readonly #ctx: SyncContext;
  /** The last scope that had its turn. */
  #cursor = '0';

  constructor(ctx: SyncContext) {
    this.#ctx = ctx;
  }

  async run(kind: string, runBatch: RunBatch): Promise<PruneResult> {
    const turns = await runBatch(kind, (tx) => this.#loadTurns(tx));
    if (turns === undefined || turns[0].length === 0) return { batches: 0, rows: 0 };
    const { batchRows, maxBatchesPerRun } = this.#ctx.options.maintenance;
    let rows = 0;
    let batches = 0;
    for (let isDone = false; !isDone && batches < maxBatchesPerRun; batches += 1) {
      const removed = await runBatch(kind, (tx) => this.#runBatch(tx, turns, batchRows));
      rows += removed?.rows ?? 0;
      this.#cursor = removed?.lastScopePk ?? this.#cursor;
      isDone = removed === undefined || removed.isDone;
    }
    return { batches, rows };
  }

  async #loadTurns(tx: PgTransaction): Promise<Turns> {
    const { names, options } = this.#ctx;
    const { rows } = await tx.query(selectScopesToPrune(names), [this.#cursor, String(options.maintenance.scopesPerRun)]);
    return [rows.map(([scopePk]) => scopePk ?? ''), rows.map(([, floor]) => floor ?? '')];
  }

  async #runBatch(tx: PgTransaction, turns: Turns, batchRows: number) {
    const { names: m } = this.#ctx;
    const counts: number[] = [];
    let lastTurn = 0;
    for (const sql of [deletePrunedBlocks(m), deletePrunedTombstones(m), deletePrunedBundles(m)]) {
      const { rows } = await tx.query(sql, [...turns, String(batchRows)]);
      counts.push(Number(rows[0]?.[0] ?? 0));
      lastTurn = Math.max(lastTurn, Number(rows[0]?.[1] ?? 0));
    }
    const isDone = counts.every((count) => count < batchRows);
    if (isDone) await tx.query(savePrunedTo(m), turns);
    const rows = counts.reduce((sum, count) => sum + count, 0);
    return { rows, isDone, lastScopePk: turns[0][(isDone ? turns[0].length : lastTurn) - 1] };
  }
}
