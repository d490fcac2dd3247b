import { SyncError } from '@oversync/protocol';

import { decideGate } from '../rules/gates.ts';
import { loadClientState } from '../store/client-state.ts';
import { countContested, countPending, hasLiveRowState } from '../store/counts.ts';
import type { Engine } from './engine.ts';

/** Whether `pendingSyncStatus` sees unsent work. */
export interface PendingSyncStatus {
  readonly hasPendingSyncData: boolean;
  /** Dirty rows and rows of the frozen push. */
  readonly pendingRowCount: number;
  readonly quarantinedRowCount: number;
  readonly blocksDetach: boolean;
}

/** Where the local data stands against the server. */
export interface SyncStatus {
  readonly authority: 'pending_local_seed' | 'authoritative_empty' | 'authoritative_materialized';
  readonly pending: PendingSyncStatus;
  readonly lastBundleSeqSeen: bigint;
  /** Unsent rows for which a newer server row has arrived; the next push decides them. */
  readonly contestedRowCount: number;
}

/** Which source this database is, and whether it has to recover. */
export interface SourceInfo {
  readonly currentSourceId: string;
  readonly rebuildRequired: boolean;
  readonly sourceRecoveryRequired: boolean;
  readonly sourceRecoveryReason?: string;
}

export async function loadPendingStatus(engine: Engine): Promise<PendingSyncStatus> {
  const { dirty, outbox, quarantined } = await countPending(engine.driver);
  const pendingRowCount = dirty + outbox;
  return {
    hasPendingSyncData: pendingRowCount > 0,
    pendingRowCount,
    quarantinedRowCount: quarantined,
    blocksDetach: pendingRowCount + quarantined > 0,
  };
}

/** Status of an attached database; throws `attach_required` otherwise. */
export async function loadSyncStatus(engine: Engine): Promise<SyncStatus> {
  const { lifecycle } = await loadClientState(engine.driver);
  const gate = decideGate('syncStatus', lifecycle, engine.memory.isConnected);
  if (gate.kind === 'refuse' || !('lastBundleSeqSeen' in lifecycle))
    throw new SyncError(gate.kind === 'refuse' ? gate.code : 'attach_required');
  return {
    authority: await authorityOf(engine, lifecycle.initializationId),
    pending: await loadPendingStatus(engine),
    lastBundleSeqSeen: lifecycle.lastBundleSeqSeen,
    contestedRowCount: await countContested(engine.driver),
  };
}

async function authorityOf(engine: Engine, initializationId: string | null): Promise<SyncStatus['authority']> {
  if (initializationId !== null) return 'pending_local_seed';
  return (await hasLiveRowState(engine.driver)) ? 'authoritative_materialized' : 'authoritative_empty';
}

export async function loadSourceInfo(engine: Engine): Promise<SourceInfo> {
  const { lifecycle } = await loadClientState(engine.driver);
  if (lifecycle.name === 'source_recovery_unknown') throw new SyncError('source_recovery_reason_invalid');
  const base = { currentSourceId: lifecycle.sourceId, rebuildRequired: false, sourceRecoveryRequired: false };
  if (lifecycle.name === 'checkpoint_recovery') return { ...base, rebuildRequired: true };
  if (lifecycle.name !== 'source_recovery') return base;
  return { ...base, rebuildRequired: true, sourceRecoveryRequired: true, sourceRecoveryReason: lifecycle.reason };
}

export async function loadCheckpoint(engine: Engine): Promise<bigint> {
  const { lifecycle } = await loadClientState(engine.driver);
  return 'lastBundleSeqSeen' in lifecycle ? lifecycle.lastBundleSeqSeen : 0n;
}
