import { SyncError, isSyncError, parsePushSessionReply } from '@oversync/protocol';

import { readJsonBody } from '../http/request-reply.ts';
import type { Reply } from '../http/request-reply.ts';
import { createPushSessionRequest } from '../http/requests.ts';
import type { SourceReplacement } from '../http/requests.ts';
import type { PushSessionReply } from '@oversync/protocol';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { checkAlreadyCommitted } from '../rules/push-checks.ts';
import { insertSource, loadClientState, loadSource } from '../store/client-state.ts';
import type { ClientState, LifecycleState, Outbox, SourceRecord } from '../store/client-state.ts';
import { storeCommittedRemote } from '../store/outbox.ts';
import { loadServerSuccessor } from '../store/session-notes.ts';
import { applySnapshot } from '../store/snapshot-apply.ts';
import type { SnapshotApplyResult } from '../store/store-types.ts';
import { withTransaction } from '../store/transaction.ts';
import { emitProgress, emitTables, noteQuarantined, quarantineBudget } from './engine.ts';
import type { Call } from './engine.ts';
import { reachPoint, stepDriver } from './fault-points.ts';
import type { RemoteReport } from './pull.ts';
import { askServer, fetchCapabilities, refusalError } from './server-requests.ts';
import { endSession, stageSnapshot } from './snapshot-staging.ts';
import type { SnapshotPlan, StagedSnapshot } from './snapshot-staging.ts';
import { retirePushSession } from './snapshot-session.ts';
import { dropStageFile, releaseStageFile } from './stage-place.ts';
import { loadSyncStatus } from './status.ts';
import { loseCheckpoint, loseSource, recordEvent, unusedSourceId } from './transitions.ts';

/** What a snapshot put in place. */
export interface RestoreReport {
  readonly bundleSeq: bigint;
  readonly rowCount: bigint;
}

/** How `rebuild` leaves a state in which the reserved successor cannot be used (client.md 8.2). */
export type ReplacementChoice = 'adopt_server' | 'fresh';

type Bound = Extract<LifecycleState, { readonly userId: string }>;

/**
 * Replaces the local rows by a snapshot and writes unsent changes back on top (client.md 8). Keeps the source, or rotates it in source
 * recovery. The checkpoint gate is durable before the first request, so a crash at any point leads back here.
 */
export async function runRebuild(call: Call, choice?: ReplacementChoice): Promise<RemoteReport> {
  await loseCheckpoint(call, 'explicit_rebuild');
  const sourceId = (await loadClientState(call.engine.driver)).lifecycle.sourceId;
  const capabilities = await fetchCapabilities(call, sourceId);
  await settlePreparedOutbox(call, capabilities);
  const pinned = await loadClientState(call.engine.driver);
  const bound = boundState(pinned);
  const plan = snapshotPlan(bound, capabilities);
  const staged = await stageForRebuild(call, plan, choice);
  const result = await applyAndEnd(call, plan, staged, pinned, {
    userId: bound.userId,
    sourceId: plan.replacement?.newSourceId ?? bound.sourceId,
  });
  const status = await loadSyncStatus(call.engine);
  return {
    outcome: 'applied_snapshot',
    status,
    restore: { bundleSeq: result.bundleSeq, rowCount: result.rowCount },
    contested: result.contestedRowCount,
    quarantined: [...call.quarantined],
  };
}

function boundState(state: ClientState): Bound {
  const { lifecycle } = state;
  if (lifecycle.name === 'source_recovery_unknown') throw new SyncError('source_recovery_reason_invalid');
  if (!('userId' in lifecycle)) throw new SyncError('attach_required');
  return lifecycle;
}

/**
 * A server that has recorded a successor takes no other one, but a retired source may read a snapshot without naming any. The application
 * that asks for a fresh successor gets it in this way: to the server it is a new writer.
 */
async function stageForRebuild(call: Call, plan: SnapshotPlan, choice: ReplacementChoice | undefined): Promise<StagedSnapshot> {
  try {
    return await stageSnapshot(call, plan);
  } catch (error) {
    if (choice !== 'fresh' || !isSyncError(error) || error.code !== 'source_replacement_diverged') throw error;
    return stageSnapshot(call, { ...plan, replacement: null });
  }
}

function isFresh(source: SourceRecord): boolean {
  return source.nextSourceBundleId === 1n && source.replacedBySourceId === null;
}

function snapshotPlan(bound: Bound, capabilities: ServerCapabilities): SnapshotPlan {
  const replacement: SourceReplacement | null =
    bound.name === 'source_recovery'
      ? { previousSourceId: bound.sourceId, newSourceId: bound.replacementSourceId, reason: bound.reason }
      : null;
  return {
    kind: replacement === null ? 'keep_source' : 'rotate_source',
    sourceId: bound.sourceId,
    replacement,
    capabilities,
    onSession: () => Promise.resolve(),
  };
}

/**
 * Applies a staged snapshot in one transaction; the session is retired whatever happens. The stage of a remote replacement that could not
 * be applied stays: the next attach applies it without a request.
 */
export async function applyAndEnd(
  call: Call,
  plan: Pick<SnapshotPlan, 'sourceId'>,
  { session, place }: StagedSnapshot,
  pinned: ClientState,
  target: { readonly userId: string; readonly sourceId: string },
): Promise<SnapshotApplyResult> {
  const { options } = call.engine;
  const rowsTotal = Number(session.rowCount);
  let isNeeded = pinned.lifecycle.name === 'replacing';
  emitProgress(call, 'applying', { rowsDone: 0, rowsTotal });
  try {
    const input = {
      pinned,
      session,
      target,
      page: { rowsMax: options.snapshotApplyBatchRows, bytesMax: options.snapshotApplyBatchBytes },
      quarantineMax: quarantineBudget(call),
      outcomeLimit: options.outcomeLimit,
      signal: call.signal,
      onPage: async (rowsDone: number, tx: SqliteTx) => {
        emitProgress(call, 'applying', { rowsDone, rowsTotal });
        await reachPoint(call.engine, 'apply.afterPage', tx);
      },
    };
    const result = await applySnapshot(stepDriver(call.engine, 'apply'), call.schema, input, place);
    isNeeded = false;
    noteQuarantined(call, result.quarantined);
    emitTables(call, result.tables);
    return result;
  } finally {
    await (isNeeded ? releaseStageFile(call.engine) : dropStageFile(call.engine));
    await endSession(call, plan.sourceId, session.snapshotId).catch(() => undefined);
  }
}

/**
 * Finds out, before a snapshot is taken, whether the frozen push was committed (client.md 8.1 step 2). Anything but "it was" leaves it
 * `prepared`: the apply puts its rows back into the queue.
 */
async function settlePreparedOutbox(call: Call, capabilities: ServerCapabilities): Promise<void> {
  const { outbox } = await loadClientState(call.engine.driver);
  if (outbox.state !== 'prepared') return;
  const reply = await askCreate(call, capabilities, outbox);
  if (reply.kind === 'refused') {
    const { status, serverCode } = reply.refusal;
    if (status === 401 || status === 403 || status === 429 || status >= 500) throw refusalError(reply.refusal);
    const holdsOtherContent = status === 400 && serverCode === 'push_session_invalid' && outbox.initializationId === null;
    if (holdsOtherContent) await loseSource(call, 'source_sequence_changed', null);
    return;
  }
  if (reply.value.status === 'staging') {
    retirePushSession(call.engine, outbox.sourceId, reply.value.push_id);
    return;
  }
  try {
    checkAlreadyCommitted(outbox, reply.value);
  } catch (error) {
    if (!isSyncError(error) || error.code !== 'source_sequence_mismatch') throw error;
    await loseSource(call, 'source_sequence_changed', null);
    return;
  }
  await storeCommittedRemote(stepDriver(call.engine, 'committed'), outbox, {
    bundleSeq: reply.value.bundle_seq,
    bundleHash: reply.value.bundle_hash,
  });
}

function askCreate(
  call: Call,
  capabilities: ServerCapabilities,
  outbox: Extract<Outbox, { state: 'prepared' }>,
): Promise<Reply<PushSessionReply>> {
  const spec = createPushSessionRequest({
    sourceBundleId: outbox.sourceBundleId,
    plannedRowCount: outbox.rowCount,
    canonicalRequestHash: outbox.requestHash,
    initializationId: outbox.initializationId ?? '',
  });
  return askServer(call, spec, { sourceId: outbox.sourceId, capabilities }, async (body) =>
    parsePushSessionReply(await readJsonBody(body)),
  );
}

/** The exits of 8.2: replaces the reserved successor before a rotation. */
export async function chooseReplacement(call: Call, choice: ReplacementChoice): Promise<void> {
  const serverNamed = choice === 'adopt_server' ? await loadServerSuccessor(call.engine.driver) : null;
  await withTransaction(call.engine.driver, call.operation, async (tx) => {
    const { lifecycle } = await loadClientState(tx);
    if (lifecycle.name !== 'source_recovery') return;
    const replacementSourceId = serverNamed ?? (await unusedSourceId(call.engine, tx));
    const known = await loadSource(tx, replacementSourceId);
    if (known !== null && !isFresh(known)) throw new SyncError('source_replacement_not_fresh');
    if (known === null) await insertSource(tx, replacementSourceId);
    await recordEvent(call, tx, { name: 'replacementChosen', replacementSourceId });
  });
}
