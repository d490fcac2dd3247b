import { isSyncError } from '@oversync/protocol';

import type { Refusal } from '../http/request-reply.ts';
import { SERVER_FAILURES_BEFORE_BISECT } from '../limits.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { loadClientState } from '../store/client-state.ts';
import type { Outbox } from '../store/client-state.ts';
import { freezeOutbox } from '../store/freeze.ts';
import { verifyOutbox } from '../store/outbox.ts';
import { replayCommittedBundle } from '../store/replay.ts';
import { countServerFailure, forgetServerFailures } from '../store/session-notes.ts';
import { withTransaction } from '../store/transaction.ts';
import type { ConflictSummary, FreezeResult, QuarantineRef } from '../store/store-types.ts';
import { CommittedProof } from './committed-proof.ts';
import { verifyCommittedRows } from './committed-rows.ts';
import { emitTables, noteOutcomes, noteQuarantined, quarantineBudget } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import { ConflictBudget, resolveContestedRows, resolvePushConflict } from './push-conflict.ts';
import type { UploadOutcome } from './push-refusal.ts';
import { RejectionPlan, settleRejection } from './push-rejection.ts';
import { uploadBundle } from './push-upload.ts';

import { loadSyncStatus } from './status.ts';
import type { SyncStatus } from './status.ts';

/** A bundle of this source that was committed and replayed. */
export interface PushedBundle {
  readonly bundleSeq: bigint;
  readonly sourceBundleId: bigint;
  /** Rows that were committed, effects of the server included. */
  readonly rowCount: number;
}

/** Result of `pushPending`. */
export interface PushReport {
  readonly outcome: 'no_change' | 'committed' | 'skipped_paused';
  readonly status: SyncStatus;
  readonly bundles: readonly PushedBundle[];
  readonly conflicts: readonly ConflictSummary[];
  readonly quarantined: readonly QuarantineRef[];
}

type Prepared = Extract<Outbox, { readonly state: 'prepared' }>;
type Committed = Extract<Outbox, { readonly state: 'committed_remote' }>;

const SERVER_FAULT: Refusal = { status: 500, serverCode: '', body: null, retryAfterMs: null };

/** True for a 500, also after retries. Any other 5xx says something about now, not about the content. */
function isServerFault(error: unknown): boolean {
  if (!isSyncError(error)) return false;
  if (error.code === 'retry_exhausted') return isServerFault(error.cause);
  return error.code === 'http_error' && error.details['status'] === 500;
}

/** One push call: what it has achieved, and what it remembers over its bundles. */
class PushRun {
  readonly bundles: PushedBundle[] = [];
  readonly conflicts: ConflictBudget;
  readonly rejections = new RejectionPlan();
  readonly #call: Call;
  readonly #capabilities: ServerCapabilities;
  /** Set once the server has failed often enough for the same content. */
  #blamesContent = false;
  /** Highest sequence that this device knows of: the next commit is the one after it, unless others write too. */
  #head = 0n;
  /** Highest dirty ordinal of the freeze that is being pushed; `null` = take what is there. */
  #ordinalMax: bigint | null = null;

  constructor(call: Call, capabilities: ServerCapabilities) {
    this.#call = call;
    this.#capabilities = capabilities;
    this.conflicts = new ConflictBudget(call.engine.options.conflictRetryLimit);
  }

  /** client.md 6.1: an outbox of an earlier call ends the call, unless its rows have to be decided or sorted out first. */
  async run(): Promise<void> {
    const { driver, options } = this.#call.engine;
    const { outbox } = await loadClientState(driver);
    if (outbox.state !== 'none') {
      await verifyOutbox(driver, this.#call.schema, options.ports.sha256);
      if (await this.#finishBundle(outbox)) return;
    }
    if (outbox.state === 'none') await resolveContestedRows(this.#call, this.conflicts);
    for (;;) {
      const frozen = await this.#freeze();
      if (frozen.outbox.state === 'none') return;
      const isCommitted = await this.#finishBundle(frozen.outbox);
      this.#ordinalMax = isCommitted ? frozen.ordinalMax : null;
      if (isCommitted && !frozen.hasMore) return;
    }
  }

  async #freeze(): Promise<FreezeResult> {
    const call = this.#call;
    const { lifecycle } = await loadClientState(call.engine.driver);
    if ('lastBundleSeqSeen' in lifecycle) this.#noteHead(lifecycle.lastBundleSeqSeen);
    const { options } = call.engine;
    const { limits } = this.#capabilities;
    const { pieceRows } = this.rejections;
    const result = await freezeOutbox(stepDriver(call.engine, 'freeze'), call.schema, {
      rowsMax: pieceRows ?? options.maxRowsPerPush,
      bytesMax: options.maxBytesPerPush,
      bundleRowsMax: limits.maxRowsPerBundle,
      bundleBytesMax: limits.maxBytesPerBundle,
      rowBytesMax: limits.maxBytesPerSnapshotRow,
      ordinalMax: this.#ordinalMax,
      initializationId: 'initializationId' in lifecycle ? lifecycle.initializationId : null,
      sourceId: lifecycle.sourceId,
      page: { rowsMax: options.applyBatchRows, bytesMax: options.applyBatchBytes },
      quarantineMax: quarantineBudget(call),
      cutsGroups: pieceRows !== null,
      deletesFirst: this.rejections.deletesFirst,
      sha256: options.ports.sha256,
    });
    noteQuarantined(call, result.quarantined);
    emitTables(call, result.tables);
    return result;
  }

  /** True when the bundle was committed and replayed; false when its rows are dirty again and a new bundle may be frozen. */
  async #finishBundle(outbox: Prepared | Committed): Promise<boolean> {
    const proof = new CommittedProof(this.#call, outbox);
    try {
      return outbox.state === 'committed_remote' ? await this.#replay(outbox, proof) : await this.#pushBundle(outbox, proof);
    } finally {
      await proof.settle();
    }
  }

  async #pushBundle(outbox: Prepared, proof: CommittedProof): Promise<boolean> {
    const { lifecycle } = await loadClientState(this.#call.engine.driver);
    const lease = 'initializationId' in lifecycle ? lifecycle.initializationId : null;
    const outcome = await this.#upload(outbox, lease, proof);
    switch (outcome.kind) {
      case 'committed':
        return this.#replay(outcome.outbox, proof);
      case 'conflict':
        await resolvePushConflict(this.#call, outcome.refusal, this.conflicts);
        return false;
      case 'rejected':
        await settleRejection(this.#call, outbox, outcome.refusal, this.rejections);
        return false;
    }
  }

  /** A 500 that comes back call after call for the same content is taken for a refusal of that content (client.md 6.8). */
  async #upload(outbox: Prepared, lease: string | null, proof: CommittedProof): Promise<UploadOutcome> {
    try {
      const whileCommitting = (): void => proof.begin(this.#head + 1n);
      return await uploadBundle(this.#call, this.#capabilities, outbox, lease, whileCommitting);
    } catch (error) {
      if (!isServerFault(error)) throw error;
      const { driver } = this.#call.engine;
      const count = await withTransaction(driver, this.#call.operation, (tx) => countServerFailure(tx, outbox.requestHash));
      if (count >= SERVER_FAILURES_BEFORE_BISECT) this.#blamesContent = true;
      if (!this.#blamesContent) throw error;
      return { kind: 'rejected', refusal: SERVER_FAULT };
    }
  }

  #noteHead(bundleSeq: bigint): void {
    if (bundleSeq > this.#head) this.#head = bundleSeq;
  }

  async #replay(outbox: Committed, proof: CommittedProof): Promise<boolean> {
    const call = this.#call;
    this.#noteHead(outbox.bundleSeq);
    const { bundle, matched } = await verifyCommittedRows(call, this.#capabilities, outbox, proof);
    const { options } = call.engine;
    const result = await replayCommittedBundle(stepDriver(call.engine, 'replay'), call.schema, {
      outbox,
      bundle,
      matched,
      page: { rowsMax: options.applyBatchRows, bytesMax: options.applyBatchBytes },
      quarantineMax: quarantineBudget(call),
      outcomeLimit: options.outcomeLimit,
    });
    noteQuarantined(call, result.quarantined);
    noteOutcomes(call);
    emitTables(call, result.tables);
    this.rejections.noteCommitted();
    await forgetServerFailures(call.engine.driver);
    this.bundles.push({ bundleSeq: outbox.bundleSeq, sourceBundleId: outbox.sourceBundleId, rowCount: result.committedRowCount });
    return true;
  }
}

/** Pushes what is pending; the gates have been passed. */
export async function runPush(call: Call, capabilities: ServerCapabilities): Promise<PushReport> {
  const run = new PushRun(call, capabilities);
  await run.run();
  return {
    outcome: run.bundles.length > 0 ? 'committed' : 'no_change',
    status: await loadSyncStatus(call.engine),
    bundles: run.bundles,
    conflicts: run.conflicts.summaries,
    quarantined: [...call.quarantined],
  };
}

/** The report of a push that did not run. */
export async function emptyPush(call: Call, outcome: 'no_change' | 'skipped_paused'): Promise<PushReport> {
  return { outcome, status: await loadSyncStatus(call.engine), bundles: [], conflicts: [], quarantined: [] };
}
