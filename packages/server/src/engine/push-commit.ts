import { isUuidToken, LIMITS, SyncError } from '@oversync/protocol';
import type { CommitReply } from '@oversync/protocol';

import { PgFault } from '../ports/postgres.ts';
import type { PgResult, PgTransaction } from '../ports/postgres.ts';
import { reportConflicts } from '../rules/conflict-report.ts';
import { decideSourceAtCommit } from '../rules/lineage-source.ts';
import type { ApplyGroup } from '../rules/push-apply-sql.ts';
import type { Catalog } from '../rules/table-description.ts';
import { bundleContextSettings } from '../store/capture.sql.ts';
import { loadServerRows } from '../store/conflict.ts';
import type { FoundConflicts } from '../store/conflict.ts';
import { lockScope } from '../store/push-session.sql.ts';
import { runStatements } from '../store/run-statements.ts';
import { getCatalogInUse, hasCatalogChanged } from './catalog-change.ts';
import type { Actor, SyncContext } from './context.ts';
import { finaliseBundle } from './finalise.ts';
import type { FinalisedBundle, WrittenRows } from './finalise.ts';
import { checkSeedLease, checkSourceDecision, openPushWith } from './push-access.ts';
import type { OpenPush } from './push-access.ts';
import { applyStagedRows } from './push-apply.ts';
import { describeFinaliseFault } from './push-apply-failure.ts';
import { commitDirect } from './push-direct.ts';
import { getRunningHashes } from './push-hash.ts';
import { getLayoutTag } from './push-layout.ts';
import { getPushMemory } from './push-memory.ts';
import { findCommittedTuple, resolvePushOutcome } from './push-outcome.ts';
import type { SentCommit } from './push-outcome.ts';
import { rebuildStagedRows } from './push-rebuild.ts';
import { commitSmallPush } from './push-small.ts';
import type { SmallCommitInput, SmallCommitResult } from './push-small.ts';
import { checkStage, describeDuplicate, inspectStage, readKeyReport, readStageReport } from './push-stage-check.ts';
import type { StageReport } from './push-stage-check.ts';
import { formatPinnedSettings, withScopeWriteTransaction } from './transaction.ts';
import type { Attempt, CommitOutcome, FirstTry } from './transaction.ts';

/** Milliseconds spent in the parts of a commit, for events. */
interface CommitTimes {
  readonly attempts: number;
  readonly lockWaitMs: number;
  readonly applyMs: number;
  readonly finaliseMs: number;
}

interface CommittedPush {
  readonly reply: CommitReply;
  readonly pushId: string;
  readonly scopePk: string;
  readonly plannedRowCount: number;
  readonly canonicalBytes: bigint;
  readonly lostRowCount: number;
  readonly hasInitialized: boolean;
  readonly times: CommitTimes;
}

/**
 * Commits a push (protocol.md 8.4, server.md 7.3): one transaction under the scope lock with a constant number of round trips. A
 * refused commit leaves the session as it was.
 */
export async function commitPush(ctx: SyncContext, actor: Actor, pushId: string): Promise<CommitReply> {
  if (!isUuidToken(pushId)) throw new SyncError('push_session_not_found');
  for (let changes = 0; ; changes += 1) {
    const catalog = getCatalogInUse(ctx);
    try {
      return await commitOnce(ctx, actor, pushId);
    } catch (error) {
      // A table that changed a moment ago explains a row that does not fit, so look before the client is blamed.
      const isSettled = !isDataError(error) || changes >= ctx.options.retry.attempts;
      if (isSettled || !(await hasCatalogChanged(ctx, catalog))) throw error;
    }
  }
}

function isDataError(error: unknown): boolean {
  return error instanceof SyncError && error.code === 'push_commit_invalid' && error.cause instanceof PgFault;
}

async function commitOnce(ctx: SyncContext, actor: Actor, pushId: string): Promise<CommitReply> {
  const sent: { commit?: SentCommit<CommittedPush> } = {};
  const captureToken = crypto.randomUUID();
  const commit = async (tx: PgTransaction, attempt: Attempt): Promise<CommittedPush> => {
    delete sent.commit;
    const { value, session, transactionId } = await runCommit(ctx, tx, { actor, pushId, captureToken, attempt });
    sent.commit = { value, session, transactionId };
    return value;
  };
  const committed = await withScopeWriteTransaction(ctx, 'push_session_commit', actor.scopeId, commit, {
    isBulk: true,
    settings: bundleContextSettings({ scopeId: actor.scopeId, captureToken }),
    tryFirst: (attempt) => commitSmall(ctx, actor, { pushId, captureToken }, attempt),
    resolveOutcome: async () =>
      sent.commit === undefined ? resolveSmallOutcome(ctx, actor, pushId) : resolvePushOutcome(ctx, actor, sent.commit),
  });
  announce(ctx, actor, committed);
  return committed.reply;
}

async function commitSmall(
  ctx: SyncContext,
  actor: Actor,
  input: SmallCommitInput,
  attempt: FirstTry,
): Promise<CommittedPush | undefined> {
  const startedAt = performance.now();
  const found = await commitSmallPush(ctx, actor, input, attempt);
  if (found === undefined) return undefined;
  const { lockWaitMs, ...bundle } = found;
  const finaliseMs = performance.now() - startedAt - lockWaitMs;
  const times = { attempts: 1, lockWaitMs: attempt.queueWaitMs + lockWaitMs, applyMs: 0, finaliseMs };
  return describeSmall(actor, input.pushId, bundle, times);
}

function describeSmall(
  actor: Actor,
  pushId: string,
  bundle: Omit<SmallCommitResult, 'lockWaitMs'>,
  times: CommitTimes,
): CommittedPush {
  const { scopePk, plannedRowCount, canonicalBytes, lostRowCount } = bundle;
  return {
    reply: {
      bundle_seq: bundle.bundleSeq,
      source_id: actor.sourceId,
      source_bundle_id: bundle.sourceBundleId,
      row_count: bundle.rowCount,
      bundle_hash: bundle.bundleHash,
      canonical_request_hash: bundle.canonicalRequestHash,
    },
    pushId,
    scopePk,
    plannedRowCount,
    canonicalBytes,
    lostRowCount,
    times,
    hasInitialized: false,
  };
}

/**
 * The answer to the statements that commit was lost. Waiting for the scope's lock waits for them to end; then what they wrote is there, or
 * was rolled back. Should they arrive later still, they find no session any more, or what they ask for done.
 */
async function resolveSmallOutcome(ctx: SyncContext, actor: Actor, pushId: string): Promise<CommitOutcome<CommittedPush>> {
  const staged = getPushMemory(ctx).getPush(pushId);
  const scopePk = getPushMemory(ctx).getScopePk(actor.scopeId);
  const canonicalRequestHash = getRunningHashes(ctx).getDigest(pushId, staged?.rowCount ?? 0);
  if (staged === undefined || scopePk === undefined || canonicalRequestHash === undefined) return { outcome: 'unknown' };
  const sent = { scopePk, sourceBundleId: staged.sourceBundleId, canonicalRequestHash };
  const hasEnded = await waitForScope(ctx, actor);
  const found = await findCommittedTuple(ctx, actor, sent);
  if (found === undefined) return { outcome: hasEnded ? 'aborted' : 'unknown' };
  const times = { attempts: 1, lockWaitMs: 0, applyMs: 0, finaliseMs: 0 };
  const rowCount = Number(found.rowCount);
  const known = { ...sent, ...found, rowCount, plannedRowCount: staged.rowCount, lostRowCount: 0 };
  return { outcome: 'committed', value: describeSmall(actor, pushId, known, times) };
}

/** Resolves to whether whoever held the scope's lock has ended. */
async function waitForScope(ctx: SyncContext, actor: Actor): Promise<boolean> {
  const settings = formatPinnedSettings(ctx.options);
  try {
    await ctx.db.transaction({ isolation: 'read committed', settings }, (tx) =>
      runStatements(tx, [lockScope(ctx.names, actor.scopeId)]),
    );
    return true;
  } catch {
    return false;
  }
}

interface CommitInput {
  readonly actor: Actor;
  readonly pushId: string;
  readonly captureToken: string;
  readonly attempt: Attempt;
}

async function runCommit(ctx: SyncContext, tx: PgTransaction, input: CommitInput): Promise<SentCommit<CommittedPush>> {
  const startedAt = performance.now();
  const { actor, pushId } = input;
  const inspection = inspectStage(ctx.names, { scopeId: actor.scopeId, pushId });
  const { open, results } = await openPushWith(ctx, tx, actor, pushId, 'scope', inspection);
  getPushMemory(ctx).noteScope(actor.scopeId, open.scopePk);
  const lockedAt = performance.now();
  const catalog = ctx.catalog();
  const report = await readPush(ctx, tx, actor, { open, results, catalog });
  const { groups } = report;
  const appliedFrom = performance.now();
  const staged = { pushRow: ctx.names.pushRow, scopeId: actor.scopeId, scopePk: open.scopePk, pushId };
  const toApply = { staged, groups, catalog, captureToken: input.captureToken };
  const { head, floor } = open.facts.scope;
  const direct = { ...toApply, bundleSeq: head + 1n, floor, stagedBytes: open.session.stagedBytes };
  const written = isAccepted(report, actor, open) ? await commitDirect(ctx, tx, direct) : undefined;
  if (written === undefined) await checkPush(ctx, tx, actor, { report, open, catalog });
  const capturedTableIds = written === undefined ? await applyStagedRows(ctx, tx, toApply) : [];
  const finalisedFrom = performance.now();
  const bundle = await finalise(ctx, tx, input, { open, groups, catalog, capturedTableIds, written });
  const times = {
    attempts: input.attempt.number,
    lockWaitMs: input.attempt.queueWaitMs + lockedAt - startedAt,
    applyMs: finalisedFrom - appliedFrom,
    finaliseMs: performance.now() - finalisedFrom,
  };
  const value = {
    reply: describeBundle(actor, open, bundle),
    pushId,
    scopePk: open.scopePk,
    plannedRowCount: open.session.plannedRowCount,
    canonicalBytes: bundle.canonicalBytes,
    lostRowCount: bundle.lostRowCount,
    times,
    hasInitialized: open.facts.scope.lineage.name !== 'initialized',
  };
  return { session: open.session, transactionId: open.transactionId, value };
}

/** A push and what was read of its staged rows together with it. */
interface InspectedPush {
  readonly open: OpenPush;
  readonly results: readonly PgResult[];
  readonly catalog: Catalog;
}

/** Reads what is staged, made again first where a table has changed since. */
async function readPush(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  { open, results, catalog }: InspectedPush,
): Promise<StageReport> {
  const { session } = open;
  if (session.nextRowOrdinal < session.plannedRowCount)
    throw new SyncError('push_commit_invalid', { message: 'not all planned rows are staged' });
  let inspected = results;
  if (session.rowLayout !== getLayoutTag(catalog)) {
    await rebuildForCommit(ctx, tx, actor, open, catalog);
    inspected = await runStatements(tx, inspectStage(ctx.names, { scopeId: actor.scopeId, pushId: open.pushId }));
  }
  return readStageReport(ctx, tx, open, inspected);
}

/** Steps 2 to 4 of protocol.md 8.4 as far as they need no look at the keys. */
function checkReport(report: StageReport, actor: Actor, open: OpenPush): void {
  checkStage(report, open);
  checkSeedLease(open);
  const { sourceBundleId } = open.session;
  checkSourceDecision(decideSourceAtCommit(open.facts.source, actor.sourceId, sourceBundleId), actor.sourceId);
}

/** False for a push that {@link checkPush} will refuse, which says why, in the order of the contract. */
function isAccepted(report: StageReport, actor: Actor, open: OpenPush): boolean {
  try {
    checkReport(report, actor, open);
    return true;
  } catch (error) {
    if (error instanceof SyncError) return false;
    throw error;
  }
}

/** Steps 2 to 5 of protocol.md 8.4, in their order. */
async function checkPush(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  { report, open, catalog }: { readonly report: StageReport; readonly open: OpenPush; readonly catalog: Catalog },
): Promise<void> {
  const push = { scopeId: actor.scopeId, pushId: open.pushId };
  const { duplicate, conflicts } = await readKeyReport(ctx, tx, push, catalog);
  if (duplicate !== undefined) throw describeDuplicate(duplicate, catalog);
  checkReport(report, actor, open);
  if (conflicts !== null) throw await describeConflicts(ctx, tx, actor, open, conflicts);
}

async function rebuildForCommit(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  open: OpenPush,
  catalog: Catalog,
): Promise<void> {
  try {
    await rebuildStagedRows(ctx, tx, actor, open, catalog);
  } catch (error) {
    if (!(error instanceof SyncError) || error.code !== 'push_chunk_invalid') throw error;
    throw new SyncError('push_commit_invalid', { message: error.message, details: error.details });
  }
}

async function describeConflicts(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  open: OpenPush,
  conflicts: FoundConflicts,
): Promise<SyncError> {
  const push = { scopePk: open.scopePk, pushId: open.pushId, scopeId: actor.scopeId };
  const serverRows = await loadServerRows(tx, ctx.names, push, conflicts, LIMITS.errorBodyBytesMax);
  const report = reportConflicts(conflicts.rows, conflicts.count, serverRows);
  return new SyncError('push_conflict', { details: { ...report } });
}

interface AppliedPush {
  readonly open: OpenPush;
  readonly groups: readonly ApplyGroup[];
  readonly catalog: Catalog;
  readonly capturedTableIds: readonly number[];
  readonly written: WrittenRows | undefined;
}

async function finalise(ctx: SyncContext, tx: PgTransaction, input: CommitInput, applied: AppliedPush): Promise<FinalisedBundle> {
  const { open, groups, catalog, capturedTableIds, written } = applied;
  try {
    return await finaliseBundle(
      tx,
      { catalog, options: ctx.options },
      {
        scopePk: open.scopePk,
        scopeId: input.actor.scopeId,
        captureToken: input.captureToken,
        head: open.facts.scope.head,
        sourceId: input.actor.sourceId,
        sourceKind: 'client',
        sourceBundleId: open.session.sourceBundleId,
        canonicalRequestHash: open.session.canonicalRequestHash,
        push: {
          pushId: open.pushId,
          tableIds: [...new Set(groups.map(({ tableId }) => tableId))],
          rowCount: open.session.plannedRowCount,
          capturedTableIds,
          ...(written === undefined ? {} : { written }),
        },
      },
    );
  } catch (error) {
    throw describeFinaliseFault(error, catalog);
  }
}

function describeBundle(actor: Actor, open: OpenPush, bundle: FinalisedBundle): CommitReply {
  return {
    bundle_seq: bundle.bundleSeq,
    source_id: actor.sourceId,
    source_bundle_id: open.session.sourceBundleId,
    row_count: bundle.rowCount,
    bundle_hash: bundle.bundleHash,
    canonical_request_hash: open.session.canonicalRequestHash,
  };
}

/** Everything that may be told once the commit is durable, and not before. */
function announce(ctx: SyncContext, actor: Actor, committed: CommittedPush): void {
  const { reply, pushId, scopePk, plannedRowCount, times } = committed;
  getRunningHashes(ctx).delete(pushId);
  getPushMemory(ctx).forgetPush(pushId);
  ctx.publishCommit({
    scopeId: actor.scopeId,
    scopePk,
    bundleSeq: reply.bundle_seq,
    sourceId: actor.sourceId,
    sourceBundleId: reply.source_bundle_id,
  });
  ctx.emit({
    name: 'pushCommitted',
    rows: plannedRowCount,
    effects: reply.row_count - plannedRowCount,
    bytes: Number(committed.canonicalBytes),
    ...times,
  });
  if (committed.hasInitialized) ctx.emit({ name: 'scopeInitialized' });
  if (committed.lostRowCount > 0) ctx.emit({ name: 'driftRepaired' });
}
