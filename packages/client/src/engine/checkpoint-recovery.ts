import { SyncError, isSyncError } from '@oversync/protocol';

import type { ServerCapabilities } from '../rules/negotiation.ts';
import { loadClientState } from '../store/client-state.ts';
import { countPending } from '../store/counts.ts';
import { forgetRebuildFirst, isRebuildFirst } from '../store/schema-change.ts';
import { withTransaction } from '../store/transaction.ts';
import type { Call } from './engine.ts';
import { emptyPush, runPush } from './push.ts';
import type { PushReport } from './push.ts';
import type { RemoteReport } from './pull.ts';
import { runRebuild } from './rebuild.ts';

/** What a checkpoint recovery did. */
export interface RecoveryReport {
  readonly push: PushReport;
  readonly remote: RemoteReport;
}

/** Codes that say something about now, not about the rows: the recovery is not blocked, only late (client.md 8.5). */
const PASSES_THROUGH: ReadonlySet<string> = new Set([
  'transport_failed',
  'timeout',
  'retry_exhausted',
  'capacity_exhausted',
  'rate_limited',
  'authentication_failed',
  'forbidden',
  'source_recovery_required',
  'initialization_lost',
  'scope_uninitialized',
  'scope_initializing',
  'source_replacement_diverged',
  'aborted',
  'client_closed',
  'storage_failed',
]);

/**
 * Brings a database back whose checkpoint is of no use: unsent rows are pushed first, then a snapshot replaces the rest. When the push is
 * not possible the caller learns why; an explicit `rebuild()` goes on and keeps the unsent rows.
 */
export async function recoverCheckpoint(
  call: Call,
  capabilities: ServerCapabilities,
  areUploadsPaused: boolean,
): Promise<RecoveryReport> {
  if (await isRebuildFirst(call.engine.driver)) return rebuildThenPush(call, capabilities, areUploadsPaused);
  const push = await pushBeforeRebuild(call, capabilities, areUploadsPaused);
  return { push, remote: await runRebuild(call) };
}

/** Columns were added: the rebuild keeps the unsent edits and completes them, so that a push does not undo what others have written. */
async function rebuildThenPush(call: Call, capabilities: ServerCapabilities, areUploadsPaused: boolean): Promise<RecoveryReport> {
  const remote = await runRebuild(call);
  await withTransaction(call.engine.driver, call.operation, forgetRebuildFirst);
  const push = areUploadsPaused ? await emptyPush(call, 'skipped_paused') : await runPush(call, capabilities);
  return { push, remote: { ...remote, status: push.status } };
}

async function pushBeforeRebuild(call: Call, capabilities: ServerCapabilities, areUploadsPaused: boolean): Promise<PushReport> {
  const before = await countPending(call.engine.driver);
  if (before.dirty + before.outbox === 0) return emptyPush(call, 'no_change');
  if (areUploadsPaused) throw await blocked(call, 'upload_paused');
  let report: PushReport;
  try {
    report = await runPush(call, capabilities);
  } catch (error) {
    if (!isSyncError(error) || passesThrough(error)) throw error;
    if (error.code !== 'rebuild_required') throw await blocked(call, 'push_failed', error);
    return emptyPush(call, 'no_change');
  }
  const after = await countPending(call.engine.driver);
  if (after.dirty + after.outbox > 0) throw await blocked(call, 'pending_work');
  return report;
}

function passesThrough(error: SyncError): boolean {
  if (PASSES_THROUGH.has(error.code)) return true;
  const { status } = error.details;
  return error.code === 'http_error' && typeof status === 'number' && (status >= 500 || status === 408 || status === 429);
}

async function blocked(
  call: Call,
  reason: 'upload_paused' | 'push_failed' | 'pending_work',
  cause?: SyncError,
): Promise<SyncError> {
  const [counts, state] = await Promise.all([countPending(call.engine.driver), loadClientState(call.engine.driver)]);
  return new SyncError('checkpoint_recovery_blocked', {
    details: {
      reason,
      dirtyCount: counts.dirty,
      outboundCount: counts.outbox,
      replayState: state.outbox.state,
      ...(cause === undefined ? {} : { cause: cause.code }),
    },
    ...(cause === undefined ? {} : { cause }),
  });
}
