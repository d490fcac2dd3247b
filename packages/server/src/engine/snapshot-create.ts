import { isSourceId, SyncError } from '@oversync/protocol';
import type { ErrorCode } from '@oversync/protocol';

import { RETRY_AFTER_MS } from '../limits.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { decideReplacement, findReplacementFault } from '../rules/replacement-decision.ts';
import type { SourceReplacement } from '../rules/replacement-decision.ts';
import { loadActorFacts, saveSourceBinding } from '../store/actor-facts.ts';
import type { ScopeFacts } from '../store/actor-facts.ts';
import { findImage, lockReplacementSources, retireSessions, saveReplacement, saveSnapshotSession } from '../store/snapshot.ts';
import { BUILD_IMAGE_SETTINGS } from '../store/snapshot.sql.ts';
import type { SnapshotImage } from '../store/snapshot.ts';
import { bindSource, checkActor, checkScopeInitialized } from './actor-check.ts';
import type { Actor, SyncContext } from './context.ts';
import type { Release } from './scope-queue.ts';
import { buildSnapshotImage, checkSessionLimits } from './snapshot-image.ts';
import { withWriteTransaction } from './transaction.ts';

export interface SnapshotCreateInput {
  readonly replacement: SourceReplacement | undefined;
}

/** Body of the answer, in wire names. */
export interface SnapshotSessionBody {
  readonly snapshot_id: string;
  readonly snapshot_bundle_seq: bigint;
  readonly row_count: bigint;
  readonly byte_count: bigint;
  readonly expires_at: string;
  readonly [name: string]: string | bigint;
}

interface Created {
  readonly body: SnapshotSessionBody;
  readonly isReused: boolean;
  readonly hasRetired: boolean;
}

/**
 * Opens a session on a frozen image of the scope, replacing the caller's source in the same transaction if asked to. Sessions of the
 * same scope, head and table shapes share one image.
 */
export async function createSnapshotSession(
  ctx: SyncContext,
  actor: Actor,
  input: SnapshotCreateInput,
): Promise<SnapshotSessionBody> {
  const startedAt = performance.now();
  const releasePermit = await takeBuildPermit(ctx);
  const queueMs = performance.now() - startedAt;
  const releaseTurn = await waitForSharedImage(ctx, actor.scopeId);
  try {
    const created = await withWriteTransaction(
      ctx,
      'snapshot_session_create',
      (tx) => createInTransaction(ctx, tx, actor, input),
      {
        isolation: 'repeatable read',
        isBulk: true,
        settings: BUILD_IMAGE_SETTINGS,
      },
    );
    reportCreated(ctx, created, performance.now() - startedAt, queueMs);
    return created.body;
  } catch (error) {
    if (error instanceof SyncError && error.code.startsWith('snapshot_')) reportRejected(ctx, error.code, startedAt, queueMs);
    throw error;
  } finally {
    releaseTurn();
    releasePermit();
  }
}

async function takeBuildPermit(ctx: SyncContext): Promise<Release> {
  const release = await ctx.permits.snapshotBuild.acquire(ctx.options.snapshotQueueWaitMs);
  if (release !== null) return release;
  ctx.lifecycle.checkAccepting();
  reportRejected(ctx, 'snapshot_build_capacity', performance.now(), ctx.options.snapshotQueueWaitMs);
  throw createCapacityError('maxConcurrentSnapshotBuilds', ctx.options.maxConcurrentSnapshotBuilds);
}

function createCapacityError(name: string, limit: number, actual?: number): SyncError {
  const facts = actual === undefined ? { name, limit } : { name, limit, actual };
  return new SyncError('snapshot_build_capacity', { retryAfterMs: RETRY_AFTER_MS, details: { limit_exceeded: facts } });
}

/**
 * Devices of one scope often ask together. Waiting a moment for the one that builds saves building the same image again; whoever has
 * waited long enough builds its own.
 */
async function waitForSharedImage(ctx: SyncContext, scopeId: string): Promise<Release> {
  try {
    return await ctx.snapshotQueue.acquire(scopeId, ctx.options.snapshotQueueWaitMs, ctx.signal);
  } catch {
    ctx.signal?.throwIfAborted();
    return () => {};
  }
}

async function createInTransaction(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  input: SnapshotCreateInput,
): Promise<Created> {
  const facts = await loadActorFacts(tx, ctx.names, actor);
  checkActor(ctx, actor, facts);
  const scope = checkScopeInitialized(facts.scope);
  await bindSource(ctx, tx, actor, facts, scope.scopePk);
  const hasRetired = input.replacement !== undefined && (await replaceSource(ctx, tx, actor, scope, input.replacement));
  await checkSessionCapacity(ctx, tx, actor, scope);
  const { image, isReused } = await provideImage(ctx, tx, actor, scope);
  const snapshotId = ctx.tokens().issue('snapshot', scope.scopePk);
  const expiresAt = await saveSnapshotSession(tx, ctx.names, {
    scopePk: scope.scopePk,
    snapshotId,
    image,
    sourceId: actor.sourceId,
    head: scope.head,
    ttlMs: ctx.options.snapshotSessionTtlMs,
  });
  const body = {
    snapshot_id: snapshotId,
    snapshot_bundle_seq: scope.head,
    row_count: image.rowCount,
    byte_count: image.byteCount,
    expires_at: expiresAt,
  };
  return { body, isReused, hasRetired };
}

/** Returns whether the previous source was retired by this call. */
async function replaceSource(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  scope: ScopeFacts,
  replacement: SourceReplacement,
): Promise<boolean> {
  const fault = findReplacementFault(replacement, actor.sourceId, ctx.options.reservedSourceIds);
  if (fault !== undefined) throw new SyncError('snapshot_session_invalid', { message: fault });
  const sources = await lockReplacementSources(tx, ctx.names, scope.scopePk, replacement);
  const decision = decideReplacement(sources.previous, sources.next, replacement.newSourceId);
  if (decision.name === 'refuse') {
    throw decision.code === 'source_retired'
      ? createRetiredError(actor.sourceId, decision.replacedBySourceId)
      : new SyncError(decision.code);
  }
  await saveReplacement(tx, ctx.names, scope.scopePk, replacement);
  if (ctx.options.bindSourcesToUser && actor.userId !== undefined) {
    const binding = { scopePk: scope.scopePk, sourceId: replacement.newSourceId, userId: actor.userId };
    await saveSourceBinding(tx, ctx.names, binding);
  }
  return decision.name === 'replace';
}

function createRetiredError(sourceId: string, replacedBySourceId: string | null): SyncError {
  const isUsable = replacedBySourceId === null || (isSourceId(replacedBySourceId) && replacedBySourceId !== sourceId);
  if (!isUsable) return new SyncError('source_retired_invalid');
  const replacement = replacedBySourceId === null ? {} : { replaced_by_source_id: replacedBySourceId };
  return new SyncError('source_retired', { details: { source_id: sourceId, ...replacement } });
}

async function checkSessionCapacity(ctx: SyncContext, tx: PgTransaction, actor: Actor, scope: ScopeFacts): Promise<void> {
  const { maxSnapshotSessionsPerSource, maxSnapshotSessionsPerScope } = ctx.options;
  const liveCount = await retireSessions(tx, ctx.names, scope.scopePk, actor.sourceId, maxSnapshotSessionsPerSource - 1);
  if (liveCount < maxSnapshotSessionsPerScope) return;
  throw createCapacityError('maxSnapshotSessionsPerScope', maxSnapshotSessionsPerScope, liveCount + 1);
}

async function provideImage(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  scope: ScopeFacts,
): Promise<{ readonly image: SnapshotImage; readonly isReused: boolean }> {
  const { scopePk, head } = scope;
  const { shapeSet } = ctx.catalog();
  const found = await findImage(tx, ctx.names, { scopePk, head, shapeSet });
  if (found === undefined) return { image: await buildSnapshotImage(ctx, tx, actor, scope), isReused: false };
  checkSessionLimits(ctx.options, found);
  return { image: found, isReused: true };
}

function reportCreated(ctx: SyncContext, created: Created, durationMs: number, queueMs: number): void {
  const { row_count: rowCount, byte_count: byteCount } = created.body;
  const name = created.isReused ? 'snapshotReused' : 'snapshotBuilt';
  ctx.emit({ name, rows: Number(rowCount), bytes: byteCount.toString(), durationMs, queueMs });
  if (created.hasRetired) ctx.emit({ name: 'sourceRetired' });
}

function reportRejected(ctx: SyncContext, code: ErrorCode, startedAt: number, queueMs: number): void {
  ctx.emit({ name: 'snapshotRejected', rows: 0, bytes: '0', durationMs: performance.now() - startedAt, queueMs, code });
}
