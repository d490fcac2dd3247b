import {
  deletePrunedBlocks,
  deletePrunedBundles,
  deletePrunedTombstones,
  savePrunedTo,
  selectScopesToPrune,
} from '../store/maintenance.sql.ts';
import type { SyncContext } from './context.ts';
import type { Batch } from './maintenance.ts';

/**
 * Deletes bundles and tombstones at or below the floors of some scopes. The rows are refused to requests since the floor moved, so
 * nothing waits for this. Returns the rows removed.
 */
export async function pruneHistory(ctx: SyncContext, runBatch: (kind: string, batch: Batch) => Promise<number>): Promise<number> {
  const { scopesPerRun, maxBatchesPerRun } = ctx.options.maintenance;
  const { rows: scopes } = await ctx.db.query(selectScopesToPrune(ctx.names), ['0', String(scopesPerRun)]);
  let removed = 0;
  let batches = 0;
  for (const [scopePk, floor] of scopes) {
    if (typeof scopePk !== 'string' || typeof floor !== 'string') continue;
    for (;;) {
      const touched = await runBatch('pruned_history', createPruneBatch(ctx, scopePk, floor));
      removed += touched;
      batches += 1;
      if (batches >= maxBatchesPerRun) return removed;
      if (touched === 0) break;
    }
  }
  return removed;
}

function createPruneBatch(ctx: SyncContext, scopePk: string, floor: string): Batch {
  const limit = String(ctx.options.maintenance.batchRows);
  const statements = [deletePrunedBlocks, deletePrunedTombstones, deletePrunedBundles];
  return async (tx) => {
    let touched = 0;
    for (const statement of statements) {
      const { rows } = await tx.query(statement(ctx.names), [scopePk, floor, limit]);
      touched += Number(rows[0]?.[0] ?? 0);
    }
    if (touched === 0) await tx.query(savePrunedTo(ctx.names), [scopePk, floor]);
    return touched;
  };
}
