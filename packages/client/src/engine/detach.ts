import { SyncError } from '@oversync/protocol';

import { insertSource, loadClientState, markSourceReplaced, saveLifecycle } from '../store/client-state.ts';
import { countPending } from '../store/counts.ts';
import { clearForDetach, restoreDiscarded, uninstall } from '../store/detach.ts';
import { dropNoOpRecords } from '../store/freeze.ts';
import { saveSnapshotNote } from '../store/session-notes.ts';
import { clearSnapshotStage } from '../store/snapshot-stage.ts';
import { withTransaction } from '../store/transaction.ts';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { emitTables } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import { dropStageFile } from './stage-place.ts';
import { recordEvent, unusedSourceId } from './transitions.ts';

/** What stands in the way of a detach. */
export interface BlockedByUnsynced {
  readonly outcome: 'blocked_unsynced_data';
  readonly pendingRowCount: number;
  readonly quarantinedRowCount: number;
}

export type DetachResult = { readonly outcome: 'detached'; readonly changed: boolean } | BlockedByUnsynced;

export type UninstallResult = { readonly outcome: 'uninstalled' } | BlockedByUnsynced;

interface DetachOutcome {
  readonly result: DetachResult;
  readonly tables: readonly string[];
}

/** client.md 5.5. Local only; one transaction, so a failure leaves everything as it was. */
export async function runDetach(call: Call, discardPending: boolean): Promise<DetachResult> {
  const { result, tables } = await withTransaction(stepDriver(call.engine, 'detach'), call.operation, (tx) =>
    detachIn(call, tx, discardPending),
  );
  if (result.outcome === 'detached') {
    call.engine.memory.isConnected = false;
    await dropStageFile(call.engine);
  }
  emitTables(call, tables);
  return result;
}

async function detachIn(call: Call, tx: SqliteTx, discardPending: boolean): Promise<DetachOutcome> {
  const { lifecycle } = await loadClientState(tx);
  if (lifecycle.name === 'source_recovery_unknown' && !discardPending) throw new SyncError('source_recovery_reason_invalid');
  if (lifecycle.name === 'replacing') return cancelReplacement(call, tx);
  const written = await dropNoOpRecords(tx, call.schema);
  const blocked = discardPending ? null : await blockedBy(tx);
  if (blocked !== null) return { result: blocked, tables: written };
  const { dirty, outbox, quarantined } = await countPending(tx);
  if (lifecycle.name === 'anonymous' && dirty + outbox + quarantined === 0) return { result: detached(false), tables: written };
  await tx.exec('PRAGMA defer_foreign_keys = ON');
  const tables = await clearForDetach(tx, call.schema);
  const newSourceId = await unusedSourceId(call.engine, tx);
  await insertSource(tx, newSourceId);
  await markSourceReplaced(tx, lifecycle.sourceId, newSourceId);
  await saveLifecycle(tx, call.schema.name, { name: 'anonymous', sourceId: newSourceId });
  return { result: detached(true), tables };
}

function detached(changed: boolean): DetachResult {
  return { outcome: 'detached', changed };
}

async function cancelReplacement(call: Call, tx: SqliteTx): Promise<DetachOutcome> {
  await clearSnapshotStage(tx);
  await saveSnapshotNote(tx, null);
  await recordEvent(call, tx, { name: 'replacementCancelled' });
  await restoreDiscarded(tx);
  return { result: detached(false), tables: [] };
}

async function blockedBy(tx: SqliteTx): Promise<BlockedByUnsynced | null> {
  const { dirty, outbox, quarantined } = await countPending(tx);
  if (dirty + outbox + quarantined === 0) return null;
  return { outcome: 'blocked_unsynced_data', pendingRowCount: dirty + outbox, quarantinedRowCount: quarantined };
}

/** client.md 5.6: removes triggers and sync tables, keeps the rows. The caller closes the client. */
export async function runUninstall(call: Call, discardPending: boolean): Promise<UninstallResult> {
  const uninstalled = await withTransaction(
    stepDriver(call.engine, 'uninstall'),
    call.operation,
    async (tx): Promise<UninstallResult> => {
      await dropNoOpRecords(tx, call.schema);
      const blocked = discardPending ? null : await blockedBy(tx);
      if (blocked !== null) return blocked;
      await uninstall(tx, call.schema);
      return { outcome: 'uninstalled' };
    },
  );
  if (uninstalled.outcome === 'uninstalled') await dropStageFile(call.engine);
  return uninstalled;
}
