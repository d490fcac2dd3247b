import type { SyncError } from '@oversync/protocol';

import type { LoopStateName } from '../../rules/loop-status.ts';
import type { LoopPending, LoopProgress } from './loop-operations.ts';

/** What the loop tells its observers. A new object after every change, the same one as long as nothing changed. */
export interface LoopStatus extends LoopPending {
  readonly state: LoopStateName;
  /** The newest error that has not been followed by a success of the same part of the loop. */
  readonly lastError: SyncError | null;
  /** Epoch milliseconds of the last upload or download that the server answered; `null` before the first. */
  readonly lastSyncedAt: number | null;
  /** The transfer that is under way: rows done, of how many where that is known. `null` while there is none. */
  readonly progress: LoopProgress | null;
}

const START: LoopStatus = {
  state: 'idle',
  lastError: null,
  lastSyncedAt: null,
  progress: null,
  pendingRowCount: 0,
  quarantinedRowCount: 0,
};

/** The parts of the loop that can fail on their own. */
export type LoopPart = 'readiness' | 'uploads' | 'downloads';

/** Holds the status and tells listeners about changes. A listener that throws does not disturb the loop. */
export class StatusBoard {
  readonly #listeners = new Set<(status: LoopStatus) => void>();
  /** By part, the newest last. */
  readonly #errors = new Map<LoopPart, SyncError>();
  #status: LoopStatus = START;

  get status(): LoopStatus {
    return this.#status;
  }

  subscribe(listener: (status: LoopStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  failed(part: LoopPart, error: SyncError): void {
    this.#errors.delete(part);
    this.#errors.set(part, error);
    this.update({ lastError: error });
  }

  /** `atMs` is the epoch time of the answer of the server; absent when there was nothing to ask it. */
  succeeded(part: LoopPart, atMs?: number): void {
    this.#errors.delete(part);
    const lastError = [...this.#errors.values()].at(-1) ?? null;
    this.update({ lastError, ...(atMs === undefined ? {} : { lastSyncedAt: atMs }) });
  }

  update(change: Partial<LoopStatus>): void {
    const next = { ...this.#status, ...change };
    if (isEqual(next, this.#status)) return;
    this.#status = next;
    for (const listener of this.#listeners) notify(listener, next);
  }
}

function isEqual(a: LoopStatus, b: LoopStatus): boolean {
  return (
    a.state === b.state &&
    a.lastError === b.lastError &&
    a.lastSyncedAt === b.lastSyncedAt &&
    isEqualProgress(a.progress, b.progress) &&
    a.pendingRowCount === b.pendingRowCount &&
    a.quarantinedRowCount === b.quarantinedRowCount
  );
}

function isEqualProgress(a: LoopProgress | null, b: LoopProgress | null): boolean {
  return a?.phase === b?.phase && a?.rowsDone === b?.rowsDone && a?.rowsTotal === b?.rowsTotal;
}

function notify(listener: (status: LoopStatus) => void, status: LoopStatus): void {
  try {
    listener(status);
  } catch {
    // The listener's own fault; the loop has no caller it could report it to.
  }
}
