import { SyncError } from '@oversync/protocol';

import { SYNC_THEN_DETACH_ROUNDS_MAX } from '../limits.ts';
import { decideGate } from '../rules/gates.ts';
import type { GatedOperation } from '../rules/gates.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { loadClientState } from '../store/client-state.ts';
import { recoverCheckpoint } from './checkpoint-recovery.ts';
import { runDetach } from './detach.ts';
import type { DetachResult } from './detach.ts';
import type { Call } from './engine.ts';
import { runPull } from './pull.ts';
import type { RemoteReport } from './pull.ts';
import { emptyPush, runPush } from './push.ts';
import type { PushReport } from './push.ts';
import { chooseReplacement, runRebuild } from './rebuild.ts';
import type { ReplacementChoice, RestoreReport } from './rebuild.ts';
import { withScopeRecovery } from './scope-lost.ts';
import { fetchCapabilities } from './server-requests.ts';
import { loadPendingStatus, loadSyncStatus } from './status.ts';
import type { SyncStatus } from './status.ts';

/** Result of `sync`: one push and one pull. */
export interface SyncReport {
  readonly push: PushReport;
  readonly remote: RemoteReport;
  readonly status: SyncStatus;
  readonly restore?: RestoreReport;
}

/** Result of `syncThenDetach`. */
export interface SyncThenDetachReport {
  readonly lastSync: SyncReport;
  readonly detach: DetachResult;
  readonly syncRounds: number;
  readonly remainingPendingRowCount: number;
}

/** Which halves the background loop has paused. Explicit calls do not look at it. */
export interface PauseState {
  readonly uploads: boolean;
  readonly downloads: boolean;
}

type GateResult = Exclude<ReturnType<typeof decideGate>, { kind: 'refuse' }>;

export async function passGate(call: Call, operation: GatedOperation): Promise<GateResult> {
  const { lifecycle } = await loadClientState(call.engine.driver);
  const gate = decideGate(operation, lifecycle, call.engine.memory.isConnected);
  if (gate.kind !== 'refuse') return gate;
  throw new SyncError(gate.code, gate.reason === undefined ? {} : { details: { reason: gate.reason } });
}

export async function capabilitiesOf(call: Call): Promise<ServerCapabilities> {
  const { lifecycle } = await loadClientState(call.engine.driver);
  return fetchCapabilities(call, lifecycle.sourceId);
}

export async function pushPending(call: Call, areUploadsPaused: boolean): Promise<PushReport> {
  await passGate(call, 'pushPending');
  if (areUploadsPaused) return emptyPush(call, 'skipped_paused');
  const capabilities = await capabilitiesOf(call);
  return withScopeRecovery(call, () => runPush(call, capabilities));
}

export async function pullToStable(call: Call, paused: PauseState): Promise<RemoteReport> {
  const gate = await passGate(call, 'pullToStable');
  if (paused.downloads) return skippedPull(call);
  const capabilities = await capabilitiesOf(call);
  if (gate.kind === 'recover')
    return (await withScopeRecovery(call, () => recoverCheckpoint(call, capabilities, paused.uploads))).remote;
  return withScopeRecovery(call, () => runPull(call, capabilities));
}

async function skippedPull(call: Call): Promise<RemoteReport> {
  const status = await loadSyncStatus(call.engine);
  return { outcome: 'skipped_paused', status, contested: status.contestedRowCount, quarantined: [] };
}

export async function sync(call: Call): Promise<SyncReport> {
  await passGate(call, 'sync');
  return syncRound(call, await capabilitiesOf(call));
}

async function syncRound(call: Call, capabilities: ServerCapabilities): Promise<SyncReport> {
  const gate = await passGate(call, 'sync');
  if (gate.kind === 'recover')
    return syncReport(await withScopeRecovery(call, () => recoverCheckpoint(call, capabilities, false)));
  const push = await withScopeRecovery(call, () => runPush(call, capabilities));
  const remote = await withScopeRecovery(call, () => runPull(call, capabilities));
  return syncReport({ push, remote });
}

function syncReport({ push, remote }: { readonly push: PushReport; readonly remote: RemoteReport }): SyncReport {
  const { status, restore } = remote;
  return { push, remote, status, ...(restore === undefined ? {} : { restore }) };
}

export async function rebuild(call: Call, replacement: ReplacementChoice | undefined): Promise<RemoteReport> {
  const gate = await passGate(call, 'rebuild');
  await capabilitiesOf(call);
  if (gate.kind === 'rotateSource' && replacement !== undefined) await chooseReplacement(call, replacement);
  return withScopeRecovery(call, () => runRebuild(call, replacement));
}

/**
 * client.md 5.6: at most three rounds, fewer when a round leaves as many rows unsent as the one before. The first round is compared with
 * nothing: a row written while it ran is no lack of progress.
 */
export async function syncThenDetach(call: Call): Promise<SyncThenDetachReport> {
  await passGate(call, 'sync');
  const capabilities = await capabilitiesOf(call);
  let pendingBefore = Infinity;
  for (let syncRounds = 1; ; syncRounds += 1) {
    const lastSync = await syncRound(call, capabilities);
    const detach = await runDetach(call, false);
    const { pendingRowCount } = await loadPendingStatus(call.engine);
    const report = { lastSync, detach, syncRounds, remainingPendingRowCount: pendingRowCount };
    if (detach.outcome === 'detached' || syncRounds >= SYNC_THEN_DETACH_ROUNDS_MAX || pendingRowCount >= pendingBefore)
      return report;
    pendingBefore = pendingRowCount;
  }
}
