import { SyncError, isSyncError } from '@oversync/protocol';

import type { Clock, Random } from '../../ports/clock.ts';
import type { Connectivity } from '../../ports/connectivity.ts';
import type { Visibility } from '../../ports/visibility.ts';
import { decideLoopReaction } from '../../rules/loop-error.ts';
import { closureOf } from '../../rules/loop-gate.ts';
import type { LoopOptions } from '../../rules/loop-options.ts';
import { loopStateName } from '../../rules/loop-status.ts';
import type { LoopStateName } from '../../rules/loop-status.ts';
import { Downloads } from './downloads.ts';
import type { LoopContext, PartReaction } from './loop-context.ts';
import { partReaction } from './loop-context.ts';
import type { LoopOperations } from './loop-operations.ts';
import type { PauseFlags } from './pause-flags.ts';
import { PendingReader } from './pending-reader.ts';
import { Readiness } from './readiness.ts';
import { StatusBoard } from './status-board.ts';
import type { LoopPart, LoopStatus } from './status-board.ts';
import { SurroundingsWatcher } from './surroundings.ts';
import { Worker } from './worker.ts';

/** The background loop as the application sees it. */
export interface LoopHandle {
  /** Short for `status.state`. */
  readonly state: LoopStateName;
  readonly status: LoopStatus;
  /** Resolves once the loop was stopped; rejects with the error that no later attempt could outlive. */
  readonly done: Promise<void>;
  /** Calls `listener` after every change of `status`. Returns the function that ends it. */
  subscribe(listener: (status: LoopStatus) => void): () => void;
  /** Ends waits, requests and the stream, lets a running transaction finish, and resolves once nothing runs any more. */
  stop(): Promise<void>;
  /**
   * One upload and one download now: after signing in again, or when the user asks. Cuts a back-off short, but not a wait that the server
   * asked for. Does nothing while offline or paused.
   */
  kick(): void;
}

export interface LoopSetup {
  readonly operations: LoopOperations;
  readonly options: LoopOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly connectivity: Connectivity;
  readonly visibility: Visibility;
  readonly pauses: PauseFlags;
}

/**
 * Keeps a client in step with its server: two workers (uploads, downloads) behind a gate that is open while the network is there, the
 * application is visible, nothing is paused and a user is attached. Every part is a pure machine; this class only connects them.
 */
export class BackgroundLoop implements LoopHandle {
  readonly #setup: LoopSetup;
  readonly #board = new StatusBoard();
  readonly #pending: PendingReader;
  readonly #readiness: Readiness;
  readonly #uploads: Worker;
  readonly #downloads: Downloads;
  readonly #surroundings: SurroundingsWatcher;
  readonly #subscriptions: (() => void)[];
  readonly #done = Promise.withResolvers<void>();
  #ending: { readonly error: SyncError | null; readonly settled: Promise<void> } | null = null;
  #isPullOwed = false;
  #areGatesMoving = false;
  #pausesBefore: { readonly areUploadsPaused: boolean; readonly areDownloadsPaused: boolean };

  constructor(setup: LoopSetup) {
    this.#setup = setup;
    const { operations, options, clock, random } = setup;
    this.#done.promise.catch(() => undefined);
    const context: LoopContext = {
      options,
      operations,
      clock,
      random,
      board: this.#board,
      react: (part, error) => this.#react(part, error),
      partChanged: () => this.#partChanged(),
    };
    this.#pending = new PendingReader(operations, this.#board);
    this.#readiness = new Readiness(context);
    this.#uploads = new Worker(
      context,
      'uploads',
      { debounceMs: options.uploadDebounceMs, maxDelayMs: options.uploadMaxDelayMs, runsWhenOpened: true },
      (signal) => this.#push(signal),
      () => undefined,
    );
    this.#downloads = new Downloads(context, (signal) => this.#pull(signal));
    this.#pausesBefore = readPauses(setup.pauses);
    this.#surroundings = new SurroundingsWatcher(setup, options, () => this.#surroundingsChanged());
    this.#subscriptions = [
      operations.onAttachment((change) => this.#readiness.attachmentChanged(change)),
      operations.onLocalWrite(() => this.#localWrite()),
      operations.onProgress((progress) => this.#board.update({ progress })),
    ];
    this.#pending.refresh();
    this.#readiness.begin();
    this.#partChanged();
  }

  get state(): LoopStateName {
    return this.status.state;
  }

  get status(): LoopStatus {
    return this.#board.status;
  }

  get done(): Promise<void> {
    return this.#done.promise;
  }

  subscribe(listener: (status: LoopStatus) => void): () => void {
    return this.#board.subscribe(listener);
  }

  stop(): Promise<void> {
    return this.#end(null);
  }

  kick(): void {
    if (this.#ending !== null) return;
    const wasReady = this.#readiness.isReady;
    this.#readiness.kick();
    if (!wasReady) return;
    this.#uploads.kick();
    this.#downloads.kick();
  }

  /** Keeps the loop still for an operation that must not be disturbed. Resolves, once nothing runs, with the function that lets it go on. */
  async hold(): Promise<() => void> {
    const release = this.#surroundings.hold();
    await Promise.all([this.#readiness.settled(), this.#uploads.settled(), this.#downloads.settled()]);
    return release;
  }

  async #push(signal: AbortSignal): Promise<{ readonly hasMore: boolean }> {
    const { operations } = this.#setup;
    const before = await this.#pending.read();
    if (signal.aborted) return { hasMore: false };
    if (before.pendingRowCount === 0) {
      this.#board.succeeded('uploads');
      return { hasMore: false };
    }
    const { hasCommitted } = await operations.push(signal);
    const left = await this.#pending.read();
    if (signal.aborted) return { hasMore: false };
    this.#succeeded('uploads');
    if (hasCommitted && this.#isPullOwed) {
      this.#isPullOwed = false;
      this.#downloads.want();
    }
    return { hasMore: hasCommitted && left.pendingRowCount > 0 };
  }

  /** The count before the pull lets an upload that became due at the same moment go first: what is sent is not contested. */
  async #pull(signal: AbortSignal): Promise<{ readonly hasMore: boolean }> {
    await this.#pending.read();
    if (signal.aborted) return { hasMore: false };
    const { hasContested, isDeferred } = await this.#setup.operations.pull(signal);
    const { pendingRowCount } = await this.#pending.read();
    if (signal.aborted) return { hasMore: false };
    this.#succeeded('downloads');
    this.#isPullOwed = isDeferred;
    if (hasContested || isDeferred) this.#uploads.want();
    // Rows that nobody announced, written past the driver, go out with the next pull at the latest.
    else if (pendingRowCount > 0) this.#uploads.written();
    return { hasMore: false };
  }

  #succeeded(part: LoopPart): void {
    this.#readiness.progressed();
    this.#board.succeeded(part, this.#setup.clock.epochMs());
  }

  #localWrite(): void {
    this.#uploads.written();
    this.#pending.refresh();
  }

  /** Resuming also asks for another try with the credentials; what a pull waited for may have been the pause of the uploads. */
  #surroundingsChanged(): void {
    const before = this.#pausesBefore;
    const now = readPauses(this.#setup.pauses);
    this.#pausesBefore = now;
    const areUploadsResumed = before.areUploadsPaused && !now.areUploadsPaused;
    const areDownloadsResumed = before.areDownloadsPaused && !now.areDownloadsPaused;
    this.#partChanged();
    if ((areUploadsResumed || areDownloadsResumed) && this.#readiness.needsAuthentication) this.#readiness.kick();
    if (areUploadsResumed) this.#downloads.retryStalled();
  }

  #react(part: LoopPart, cause: unknown): PartReaction {
    const error = isSyncError(cause) ? cause : new SyncError('storage_failed', { cause });
    this.#board.failed(part, error);
    const reaction = decideLoopReaction(error, this.#setup.options.autoRecover);
    switch (reaction) {
      case 'stop':
        void this.#end(error);
        break;
      case 'authenticate':
        this.#readiness.refused();
        break;
      case 'attach':
      case 'rebuild':
        return this.#recover(reaction, error);
      case 'retry':
      case 'retryLater':
      case 'block':
        break;
    }
    return partReaction(reaction, error);
  }

  /** A preparation that asks for itself is repeated like any failed attempt. */
  #recover(task: 'attach' | 'rebuild', error: SyncError): PartReaction {
    if (this.#readiness.preparation === task) return { kind: 'retry', error, isLate: false };
    this.#readiness.recover(task);
    return { kind: 'none' };
  }

  #partChanged(): void {
    this.#moveGates();
    this.#showState();
  }

  /** Moving a gate changes parts, and a changed part asks for its gate: that inner question is the one being answered. */
  #moveGates(): void {
    if (this.#areGatesMoving || this.#ending !== null) return;
    this.#areGatesMoving = true;
    try {
      const { preparation } = this.#readiness;
      if (preparation !== null) this.#readiness.setGate(closureOf(preparation, this.#surroundings.read(false)) === null);
      const now = this.#surroundings.read(this.#readiness.isReady);
      this.#uploads.setGate(closureOf('uploads', now) === null);
      this.#downloads.setGate(closureOf('downloads', now) === null);
    } finally {
      this.#areGatesMoving = false;
    }
  }

  #showState(): void {
    const now = this.#surroundings.read(true);
    const { preparation } = this.#readiness;
    const isRecoveryPaused = preparation !== null && closureOf(preparation, now) === 'paused';
    const isPaused = now.isHeld || !now.isAwake || isRecoveryPaused || (now.areUploadsPaused && now.areDownloadsPaused);
    const ended = this.#ending;
    this.#board.update({
      state: loopStateName({
        end: ended === null ? null : ended.error === null ? 'stopped' : 'failed',
        needsAuthentication: this.#readiness.needsAuthentication,
        isOnline: now.isOnline,
        isPaused,
        parts: [this.#readiness.activity, this.#uploads.activity, this.#downloads.activity],
      }),
    });
  }

  #end(error: SyncError | null): Promise<void> {
    this.#ending ??= { error, settled: this.#shutDown(error) };
    return this.#ending.settled;
  }

  async #shutDown(error: SyncError | null): Promise<void> {
    this.#surroundings.close();
    for (const unsubscribe of this.#subscriptions) unsubscribe();
    await Promise.all([this.#readiness.close(), this.#uploads.close(), this.#downloads.close(), this.#pending.close()]);
    this.#board.update({ progress: null });
    this.#showState();
    if (error === null) this.#done.resolve();
    else this.#done.reject(error);
  }
}

function readPauses(pauses: PauseFlags): { readonly areUploadsPaused: boolean; readonly areDownloadsPaused: boolean } {
  return { areUploadsPaused: pauses.areUploadsPaused, areDownloadsPaused: pauses.areDownloadsPaused };
}
