import { isSha256Hex, isUuidToken, SyncError } from '@oversync/protocol';
import type { PushSessionReply, PushSessionRequest } from '@oversync/protocol';

import { INT32_MAX } from '../limits.ts';
import type { PgStatement, PgTransaction } from '../ports/postgres.ts';
import { decideScopeAtCreate } from '../rules/lineage-scope.ts';
import { decideSourceAtCreate, getExpectedSourceBundleId } from '../rules/lineage-source.ts';
import { createLimitError } from '../rules/violation.ts';
import { readActorFacts } from '../store/actor-facts.ts';
import type { ActorFacts, ScopeFacts } from '../store/actor-facts.ts';
import { parseCommittedTuple } from '../store/push-session.ts';
import type { CommittedTuple } from '../store/push-session.ts';
import {
  countOtherSessions,
  deleteSessionsOfSource,
  insertSession,
  lockScope,
  renewLease,
  selectCommittedTuple,
  selectPushActor,
} from '../store/push-session.sql.ts';
import { runLastStatements, runStatements } from '../store/run-statements.ts';
import { bindSource, checkActor, needsBinding } from './actor-check.ts';
import type { Actor, SyncContext } from './context.ts';
import { checkScopeDecision, checkSourceDecision } from './push-access.ts';
import { getPushMemory } from './push-memory.ts';
import { createSmallSession } from './push-small.ts';
import { withScopeWriteTransaction } from './transaction.ts';
import type { FirstTry } from './transaction.ts';

/**
 * Opens a push session (protocol.md 8.2). The scope row is locked first, so that a commit of the same tuple that is still in
 * flight is seen as committed.
 */
export async function createPushSession(ctx: SyncContext, actor: Actor, request: PushSessionRequest): Promise<PushSessionReply> {
  const plannedRowCount = checkRequest(ctx, request);
  const open = (tx: PgTransaction): Promise<PushSessionReply> => openSession(ctx, tx, actor, request, plannedRowCount);
  const tryFirst = (attempt: FirstTry): Promise<PushSessionReply | undefined> =>
    openSmallSession(ctx, actor, request, plannedRowCount, attempt);
  const options = { settings: WITHOUT_FLUSH, tryFirst };
  const reply = await withScopeWriteTransaction(ctx, 'push_session_create', actor.scopeId, open, options);
  if (reply.status === 'already_committed') ctx.emit({ name: 'pushReplayed' });
  return reply;
}

/**
 * A session lives in an unlogged table, and what else is written (the row lock, a longer lease) may be lost in a crash together with
 * it: not worth a flush to disk. Only a binding is, see {@link openSession}.
 */
const WITHOUT_FLUSH = 'SET LOCAL synchronous_commit=off';

/** A plain push of a source that has pushed before. */
async function openSmallSession(
  ctx: SyncContext,
  actor: Actor,
  request: PushSessionRequest,
  plannedRowCount: number,
  attempt: FirstTry,
): Promise<PushSessionReply | undefined> {
  if (request.initialization_id !== undefined) return undefined;
  const session = {
    sourceBundleId: request.source_bundle_id,
    plannedRowCount,
    canonicalRequestHash: request.canonical_request_hash,
    ttlMs: ctx.options.pushSessionTtlMs,
    sessionsMax: ctx.options.maxPushSessionsPerScope,
  };
  const pushId = await createSmallSession(ctx, actor, session, attempt);
  return pushId === undefined ? undefined : describeOpened(request, pushId, plannedRowCount);
}

async function openSession(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  request: PushSessionRequest,
  plannedRowCount: number,
): Promise<PushSessionReply> {
  const found = await loadCreateFacts(ctx, tx, actor, request.source_bundle_id);
  checkActor(ctx, actor, found.facts);
  if (found.committed !== null) return describeCommitted(actor, request, found.committed);
  const renewsLease = checkLineage(ctx, actor, request, found.facts);
  const { scope } = found.facts;
  if (scope === undefined) throw new SyncError('scope_uninitialized');
  checkCapacity(ctx, found.otherSessionCount);
  getPushMemory(ctx).noteScope(actor.scopeId, scope.scopePk);
  const pushId = ctx.tokens().issue('push', scope.scopePk);
  if (needsBinding(ctx, actor, found.facts)) {
    await tx.script('SET LOCAL synchronous_commit TO DEFAULT');
    await bindSource(ctx, tx, actor, found.facts, scope.scopePk);
  }
  await runLastStatements(tx, openStatements(ctx, actor, request, { scope, pushId, plannedRowCount, renewsLease }));
  return describeOpened(request, pushId, plannedRowCount);
}

/** Ranges and forms; the JSON types were checked before. Returns the row count, which is a 32-bit number from here on. */
function checkRequest(ctx: SyncContext, request: PushSessionRequest): number {
  if (request.source_bundle_id <= 0n) throw invalid('source_bundle_id must be positive');
  if (request.planned_row_count <= 0n) throw invalid('planned_row_count must be positive');
  const limit = ctx.options.maxPlannedRowsPerPush ?? INT32_MAX;
  if (request.planned_row_count > BigInt(limit)) {
    const facts = { name: 'maxPlannedRowsPerPush', limit, actual: request.planned_row_count };
    throw createLimitError('push_session_invalid', facts, 'the push has too many rows');
  }
  if (!isSha256Hex(request.canonical_request_hash))
    throw invalid('canonical_request_hash must be 64 lower-case hexadecimal digits');
  const { initialization_id: initializationId } = request;
  if (initializationId !== undefined && !isUuidToken(initializationId))
    throw invalid('initialization_id must be a lower-case UUID');
  return Number(request.planned_row_count);
}

function invalid(message: string): SyncError {
  return new SyncError('push_session_invalid', { message });
}

interface CreateFacts {
  readonly facts: ActorFacts;
  readonly committed: CommittedTuple | null;
  readonly otherSessionCount: number;
}

async function loadCreateFacts(ctx: SyncContext, tx: PgTransaction, actor: Actor, sourceBundleId: bigint): Promise<CreateFacts> {
  const m = ctx.names;
  const statements = [
    lockScope(m, actor.scopeId),
    selectPushActor(m, actor),
    selectCommittedTuple(m, actor, sourceBundleId),
    countOtherSessions(m, actor),
  ];
  const [, facts, committed, sessions] = await runStatements(tx, statements);
  return {
    facts: readActorFacts(facts?.rows[0]),
    committed: parseCommittedTuple(committed?.rows[0]),
    otherSessionCount: Number(sessions?.rows[0]?.[0] ?? 0),
  };
}

/** Steps 4 to 6; returns whether the lease of the seed is to be renewed. */
function checkLineage(ctx: SyncContext, actor: Actor, request: PushSessionRequest, facts: ActorFacts): boolean {
  const lineage = facts.scope?.lineage ?? { name: 'uninitialized' };
  const claim = { sourceId: actor.sourceId, initializationId: request.initialization_id ?? null };
  const renewsLease = checkScopeDecision(decideScopeAtCreate(lineage, claim));
  const decision = decideSourceAtCreate(facts.source, actor.sourceId, request.source_bundle_id);
  if (decision.name === 'refuse' && decision.code === 'history_pruned') {
    const distance = String(getExpectedSourceBundleId(facts.source) - request.source_bundle_id);
    ctx.emit({ name: 'historyPruned', operation: 'push_session_create', distance });
  }
  checkSourceDecision(decision, actor.sourceId);
  return renewsLease;
}

/** The source's own session is about to be replaced, so only those of others count. */
function checkCapacity(ctx: SyncContext, otherSessionCount: number): void {
  const limit = ctx.options.maxPushSessionsPerScope;
  if (otherSessionCount < limit) return;
  const facts = { name: 'maxPushSessionsPerScope', limit, actual: otherSessionCount + 1 };
  throw createLimitError('push_session_capacity', facts, 'too many push sessions are open in this scope');
}

interface NewSession {
  readonly scope: ScopeFacts;
  readonly pushId: string;
  readonly plannedRowCount: number;
  readonly renewsLease: boolean;
}

function openStatements(
  ctx: SyncContext,
  actor: Actor,
  request: PushSessionRequest,
  session: NewSession,
): readonly PgStatement[] {
  const { scopePk } = session.scope;
  return [
    ...(session.renewsLease ? [renewLease(ctx.names, scopePk, ctx.options.initializationLeaseTtlMs)] : []),
    ...deleteSessionsOfSource(ctx.names, scopePk, actor.sourceId),
    insertSession(ctx.names, {
      scopePk,
      pushId: session.pushId,
      sourceId: actor.sourceId,
      sourceBundleId: request.source_bundle_id,
      plannedRowCount: session.plannedRowCount,
      canonicalRequestHash: request.canonical_request_hash,
      initializationId: request.initialization_id ?? null,
      ttlMs: ctx.options.pushSessionTtlMs,
    }),
  ];
}

function describeOpened(request: PushSessionRequest, pushId: string, plannedRowCount: number): PushSessionReply {
  return {
    push_id: pushId,
    status: 'staging',
    planned_row_count: plannedRowCount,
    next_expected_row_ordinal: 0,
    canonical_request_hash: request.canonical_request_hash,
  };
}

/** A tuple that was committed with other content is never committed again, whatever is sent under it. */
function describeCommitted(actor: Actor, request: PushSessionRequest, committed: CommittedTuple): PushSessionReply {
  if (committed.canonicalRequestHash !== request.canonical_request_hash) {
    throw invalid('this source bundle id was committed with another request');
  }
  return {
    status: 'already_committed',
    bundle_seq: committed.bundleSeq,
    source_id: actor.sourceId,
    source_bundle_id: request.source_bundle_id,
    row_count: Number(committed.rowCount),
    bundle_hash: committed.bundleHash,
    canonical_request_hash: committed.canonicalRequestHash,
  };
}
