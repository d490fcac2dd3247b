import { SyncError } from '@oversync/protocol';

import type { BodyReader } from '../http/body.ts';
import { readPullPage } from '../http/pull-page.ts';
import type { PullPagePart } from '../http/pull-page.ts';
import { pullRequest } from '../http/requests.ts';
import type { Refusal } from '../http/request-reply.ts';
import { ROW_TEXT_BYTES_MAX } from '../limits.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { checkBundleSeq, checkPageEnd, checkStable } from '../rules/pull-checks.ts';
import type { PullProgress } from '../rules/pull-checks.ts';
import { applyBundles } from '../store/apply-bundles.ts';
import { clearBundleStage, stageBundleRows } from '../store/bundle-stage.ts';
import { loadClientState } from '../store/client-state.ts';
import { countPending } from '../store/counts.ts';
import type { DeferReason, PulledBundle, QuarantineRef } from '../store/store-types.ts';
import { withTransaction } from '../store/transaction.ts';
import { emitProgress, emitTables, noteQuarantined, quarantineBudget } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import type { RestoreReport } from './rebuild.ts';
import { runRebuild } from './rebuild.ts';
import { askServer, refusalError } from './server-requests.ts';
import { loadSyncStatus } from './status.ts';
import type { SyncStatus } from './status.ts';
import { loseCheckpoint } from './transitions.ts';

/** Result of `pullToStable` and `rebuild`. */
export interface RemoteReport {
  readonly outcome: 'already_at_target' | 'applied_incremental' | 'applied_snapshot' | 'deferred' | 'skipped_paused';
  readonly status: SyncStatus;
  readonly restore?: RestoreReport;
  /** Unsent rows for which a newer server row has arrived. */
  readonly contested: number;
  readonly quarantined: readonly QuarantineRef[];
  /** The bundle that waits for the next push, and why. */
  readonly deferred?: { readonly bundleSeq: bigint; readonly reason: DeferReason };
}

type RecoveryReason = 'history_pruned' | 'checkpoint_ahead' | 'apply_failed';

/** How the pages of a call ended. */
type PullEnd =
  | { readonly kind: 'atTarget' }
  | { readonly kind: 'deferred'; readonly bundleSeq: bigint; readonly reason: DeferReason }
  | { readonly kind: 'recover'; readonly reason: RecoveryReason };

/** A bundle could not be applied now; unwinds the reading of the page. */
class PullStopped extends Error {
  readonly end: PullEnd;

  constructor(end: PullEnd) {
    super('pull stopped');
    this.end = end;
  }
}

/** Pulls up to the ceiling of the first answer; the gates have been passed. Ends in a rebuild where incremental history is of no use. */
export async function runPull(call: Call, capabilities: ServerCapabilities): Promise<RemoteReport> {
  await checkPendingPolicy(call);
  const run = await PullRun.begin(call, capabilities);
  const end = await run.run();
  if (end.kind === 'recover') {
    await loseCheckpoint(call, end.reason);
    return runRebuild(call);
  }
  const status = await loadSyncStatus(call.engine);
  const common = { status, contested: status.contestedRowCount, quarantined: [...call.quarantined] };
  if (end.kind === 'deferred') {
    return { outcome: 'deferred', ...common, deferred: { bundleSeq: end.bundleSeq, reason: end.reason } };
  }
  return { outcome: run.hasApplied ? 'applied_incremental' : 'already_at_target', ...common };
}

/** July behaviour on request: no pull while something is unsent (client.md 7.3). */
async function checkPendingPolicy(call: Call): Promise<void> {
  if (call.engine.options.pullWithPending !== 'reject') return;
  const { dirty, outbox } = await countPending(call.engine.driver);
  if (outbox > 0) throw new SyncError('pending_push_replay', { details: { outboundCount: outbox } });
  if (dirty > 0) throw new SyncError('dirty_state_rejected', { details: { dirtyCount: dirty } });
}

class PullRun {
  hasApplied = false;
  readonly #call: Call;
  readonly #capabilities: ServerCapabilities;
  readonly #sourceId: string;
  #target: bigint | null = null;
  #lastBundleSeq: bigint;
  #waiting: PulledBundle[] = [];
  #waitingRows = 0;
  #waitingBytes = 0;
  #rowsDone = 0;

  private constructor(call: Call, capabilities: ServerCapabilities, sourceId: string, checkpoint: bigint) {
    this.#call = call;
    this.#capabilities = capabilities;
    this.#sourceId = sourceId;
    this.#lastBundleSeq = checkpoint;
  }

  static async begin(call: Call, capabilities: ServerCapabilities): Promise<PullRun> {
    const { lifecycle } = await loadClientState(call.engine.driver);
    const checkpoint = 'lastBundleSeqSeen' in lifecycle ? lifecycle.lastBundleSeqSeen : 0n;
    return new PullRun(call, capabilities, lifecycle.sourceId, checkpoint);
  }

  async run(): Promise<PullEnd> {
    try {
      for (;;) {
        const refusal = await this.#fetchPage();
        if (refusal === 'more') continue;
        return refusal === 'done' ? { kind: 'atTarget' } : recoveryOf(refusal);
      }
    } catch (error) {
      if (error instanceof PullStopped) return error.end;
      throw error;
    }
  }

  async #fetchPage(): Promise<'more' | 'done' | Refusal> {
    const { downloadLimit } = this.#call.engine.options;
    const maxBundles = Math.min(downloadLimit, this.#capabilities.limits.maxBundlesPerPull ?? downloadLimit);
    const source = () => pullRequest(this.#lastBundleSeq, maxBundles, this.#target);
    const request = { sourceId: this.#sourceId, capabilities: this.#capabilities, bytesMax: Number.POSITIVE_INFINITY };
    const reply = await askServer(this.#call, source, request, (body) => this.#readPage(body));
    return reply.kind === 'refused' ? reply.refusal : reply.value;
  }

  async #readPage(body: BodyReader): Promise<'more' | 'done'> {
    const { applyBatchRows, applyBatchBytes } = this.#call.engine.options;
    const bounds = { rowsMax: applyBatchRows, bytesMax: applyBatchBytes, rowCharsMax: ROW_TEXT_BYTES_MAX };
    this.#forgetWaiting();
    let bundles = 0;
    let ended: 'more' | 'done' | null = null;
    try {
      for await (const part of readPullPage(body, this.#call.schema, bounds)) {
        if (part.kind === 'bundle') bundles += 1;
        if (part.kind === 'end') ended = await this.#endPage(part.hasMore, bundles);
        else await this.#take(part);
      }
    } catch (error) {
      if (!(error instanceof PullStopped)) await this.#applyWaiting();
      throw error;
    }
    if (ended === null) throw new SyncError('protocol_violation', { details: { reason: 'ended_early' } });
    return ended;
  }

  #progress(): PullProgress {
    return { target: this.#target, lastBundleSeq: this.#lastReceived() };
  }

  /** Sequence of the last complete bundle of the stream, applied or waiting. */
  #lastReceived(): bigint {
    return this.#waiting.at(-1)?.bundleSeq ?? this.#lastBundleSeq;
  }

  async #endPage(hasMore: boolean, bundles: number): Promise<'more' | 'done'> {
    const isMore = checkPageEnd(this.#progress(), hasMore, bundles);
    await this.#applyWaiting();
    return isMore ? 'more' : 'done';
  }

  async #take(part: Exclude<PullPagePart, { kind: 'end' }>): Promise<void> {
    switch (part.kind) {
      case 'stable':
        this.#target = checkStable(this.#progress(), part.stableBundleSeq);
        return;
      case 'spill':
        checkBundleSeq(this.#progress(), part.bundleSeq);
        await this.#applyWaiting();
        await this.#stage(part.bundleSeq, part.firstRowOrdinal, part.rows);
        return;
      case 'bundle':
        checkBundleSeq(this.#progress(), part.bundleSeq);
        await this.#takeBundle(part);
    }
  }

  async #takeBundle(part: Extract<PullPagePart, { kind: 'bundle' }>): Promise<void> {
    const staged = part.rowCount - part.rows.length;
    if (staged > 0) {
      await this.#stage(part.bundleSeq, staged, part.rows);
      await this.#apply([{ bundleSeq: part.bundleSeq, staged: true }], part.rowCount);
      await withTransaction(this.#call.engine.driver, this.#call.operation, clearBundleStage);
      return;
    }
    const { applyBatchRows, applyBatchBytes } = this.#call.engine.options;
    this.#waiting.push({ bundleSeq: part.bundleSeq, rows: part.rows });
    this.#waitingRows += part.rowCount;
    this.#waitingBytes += part.byteCount;
    if (this.#waitingRows >= applyBatchRows || this.#waitingBytes >= applyBatchBytes) await this.#applyWaiting();
  }

  async #stage(bundleSeq: bigint, firstRowOrdinal: number, rows: readonly CheckedRow[]): Promise<void> {
    await withTransaction(stepDriver(this.#call.engine, 'spill'), this.#call.operation, async (tx) => {
      if (firstRowOrdinal === 0) await clearBundleStage(tx);
      await stageBundleRows(tx, bundleSeq, firstRowOrdinal, rows);
    });
  }

  #forgetWaiting(): void {
    this.#waiting = [];
    this.#waitingRows = 0;
    this.#waitingBytes = 0;
  }

  async #applyWaiting(): Promise<void> {
    const bundles = this.#waiting;
    const rowCount = this.#waitingRows;
    this.#forgetWaiting();
    if (bundles.length > 0) await this.#apply(bundles, rowCount);
  }

  async #apply(bundles: readonly PulledBundle[], rowCount: number): Promise<void> {
    const call = this.#call;
    if (call.signal.aborted) throw new SyncError('aborted');
    const { options } = call.engine;
    const result = await applyBundles(stepDriver(call.engine, 'pull'), call.schema, bundles, {
      page: { rowsMax: options.applyBatchRows, bytesMax: options.applyBatchBytes },
      quarantineMax: quarantineBudget(call),
      outcomeLimit: options.outcomeLimit,
      pullWithPending: options.pullWithPending,
    });
    this.#lastBundleSeq = result.lastBundleSeqSeen;
    if (result.appliedBundleCount > 0) this.hasApplied = true;
    noteQuarantined(call, result.quarantined);
    emitTables(call, result.tables);
    if (result.stopped !== null) throw new PullStopped(stoppedEnd(result.stopped));
    this.#rowsDone += rowCount;
    emitProgress(call, 'pulling', { rowsDone: this.#rowsDone });
  }
}

function stoppedEnd(stopped: { readonly reason: DeferReason | 'apply_failed'; readonly bundleSeq: bigint }): PullEnd {
  return stopped.reason === 'apply_failed'
    ? { kind: 'recover', reason: 'apply_failed' }
    : { kind: 'deferred', bundleSeq: stopped.bundleSeq, reason: stopped.reason };
}

function recoveryOf(refusal: Refusal): PullEnd {
  const { status, serverCode } = refusal;
  if (status === 409 && (serverCode === 'history_pruned' || serverCode === 'checkpoint_ahead'))
    return { kind: 'recover', reason: serverCode };
  throw refusalError(refusal);
}
