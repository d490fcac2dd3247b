import { SyncError, parseConnectReply } from '@oversync/protocol';
import type { ConnectReply } from '@oversync/protocol';

import { readJsonBody } from '../http/request-reply.ts';
import { connectRequest } from '../http/requests.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { loadClientState } from '../store/client-state.ts';
import type { LifecycleState } from '../store/client-state.ts';
import { countPending } from '../store/counts.ts';
import { clearDiscarded, moveDirtyToDiscarded } from '../store/detach.ts';
import { countDiscarded } from '../store/discarded.ts';
import { unfreezeOutbox } from '../store/outbox.ts';
import { withTransaction } from '../store/transaction.ts';
import { emitProgress } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import { applyAndEnd } from './rebuild.ts';
import type { RestoreReport } from './rebuild.ts';
import { askServer, fetchCapabilities, refusalError } from './server-requests.ts';
import { stageSnapshot } from './snapshot-staging.ts';
import type { StagedSnapshot } from './snapshot-staging.ts';
import { findCompleteStage } from './stage-place.ts';
import { loadSyncStatus } from './status.ts';
import type { SyncStatus } from './status.ts';
import { recordEvent } from './transitions.ts';

/** What happens to local rows when the server already has rows for this user. */
export type LocalDataPolicy = 'replace' | 'merge';

/** Result of `attach`. */
export type AttachResult =
  | {
      readonly status: 'connected';
      readonly outcome: 'resumed_attached_state' | 'started_empty' | 'seeded_from_local';
      readonly syncStatus: SyncStatus;
    }
  | {
      readonly status: 'connected';
      readonly outcome: 'used_remote_state';
      readonly syncStatus: SyncStatus;
      readonly restore: RestoreReport;
      /** Unsent local rows that were set aside; `discardedRows()` lists them. */
      readonly discardedRowCount: number;
    }
  /** Another device is seeding the scope. */
  | { readonly status: 'retry_later'; readonly retryAfterSeconds: number };

type Replacing = Extract<LifecycleState, { readonly name: 'replacing' }>;

/** client.md 5.4. */
export async function runAttach(call: Call, userId: string, localData: LocalDataPolicy): Promise<AttachResult> {
  const { lifecycle } = await loadClientState(call.engine.driver);
  if ('userId' in lifecycle) {
    if (lifecycle.userId !== userId) throw new SyncError('attach_binding_conflict');
    return connected(call, 'resumed_attached_state');
  }
  if (lifecycle.name === 'replacing' && lifecycle.targetUserId !== userId) throw new SyncError('attach_local_state_conflict');
  emitProgress(call, 'attaching');
  const capabilities = await fetchCapabilities(call, lifecycle.sourceId);
  if (!capabilities.features.has('connect_lifecycle')) throw new SyncError('attach_unsupported');
  if (lifecycle.name === 'replacing') return finishReplacement(call, lifecycle);
  const { dirty, outbox } = await countPending(call.engine.driver);
  const reply = await connectScope(call, capabilities, lifecycle.sourceId, dirty + outbox > 0);
  return reactToConnect(call, userId, localData, reply);
}

/** Asks the server how this database starts. */
export async function connectScope(
  call: Call,
  capabilities: ServerCapabilities,
  sourceId: string,
  hasLocalPendingRows: boolean,
): Promise<ConnectReply> {
  const spec = connectRequest(hasLocalPendingRows);
  const reply = await askServer(call, spec, { sourceId, capabilities }, async (body) =>
    parseConnectReply(await readJsonBody(body)),
  );
  if (reply.kind === 'refused') throw refusalError(reply.refusal);
  return reply.value;
}

async function reactToConnect(
  call: Call,
  userId: string,
  localData: LocalDataPolicy,
  reply: ConnectReply,
): Promise<AttachResult> {
  switch (reply.resolution) {
    case 'retry_later':
      return { status: 'retry_later', retryAfterSeconds: Number(reply.retry_after_seconds) };
    case 'initialize_empty':
      await storeConnected(call, userId, null);
      return connected(call, 'started_empty');
    case 'initialize_local':
      await storeConnected(call, userId, reply.initialization_id);
      return connected(call, 'seeded_from_local');
    case 'remote_authoritative':
      return finishReplacement(call, await beginReplacement(call, userId, localData));
  }
}

async function storeConnected(call: Call, userId: string, initializationId: string | null): Promise<void> {
  await withTransaction(stepDriver(call.engine, 'connect'), call.operation, async (tx) => {
    await clearDiscarded(tx);
    await recordEvent(call, tx, { name: 'connected', userId, initializationId });
  });
}

async function connected(
  call: Call,
  outcome: 'resumed_attached_state' | 'started_empty' | 'seeded_from_local',
): Promise<AttachResult> {
  call.engine.memory.isConnected = true;
  return { status: 'connected', outcome, syncStatus: await loadSyncStatus(call.engine) };
}

/** Step 1: from here on the local rows wait for the server's; what was unsent is set aside, or stays pending with `merge`. */
async function beginReplacement(call: Call, userId: string, localData: LocalDataPolicy): Promise<Replacing> {
  return withTransaction(stepDriver(call.engine, 'replacement'), call.operation, async (tx) => {
    await clearDiscarded(tx);
    await unfreezeOutbox(tx);
    if (localData === 'replace') await moveDirtyToDiscarded(tx);
    const state = await recordEvent(call, tx, { name: 'replacementBegan', userId });
    if (state.name !== 'replacing') throw new SyncError('attach_local_state_conflict');
    return state;
  });
}

/** Steps 2 to 5. A complete stage from before a restart needs no request, and may be older than its session. */
async function finishReplacement(call: Call, replacing: Replacing): Promise<AttachResult> {
  const { sourceId, targetUserId: userId, staged } = replacing;
  const before = await loadClientState(call.engine.driver);
  const place = staged !== null && staged.isComplete ? await findCompleteStage(call, staged) : null;
  const complete = staged !== null && place !== null ? { session: staged, place } : await stageReplacement(call, sourceId);
  const pinned = { ...before, lifecycle: { ...replacing, staged: complete.session } };
  const result = await applyAndEnd(call, { sourceId }, complete, pinned, { userId, sourceId });
  call.engine.memory.isConnected = true;
  return {
    status: 'connected',
    outcome: 'used_remote_state',
    syncStatus: await loadSyncStatus(call.engine),
    restore: { bundleSeq: result.bundleSeq, rowCount: result.rowCount },
    discardedRowCount: await countDiscarded(call.engine.driver),
  };
}

async function stageReplacement(call: Call, sourceId: string): Promise<StagedSnapshot> {
  const capabilities = await fetchCapabilities(call, sourceId);
  return stageSnapshot(call, {
    kind: 'remote_replace',
    sourceId,
    replacement: null,
    capabilities,
    onSession: async (tx, session) => {
      await recordEvent(call, tx, { name: 'sessionStaged', session });
    },
  });
}
