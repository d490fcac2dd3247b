import type { ProgressEvent } from '../events.ts';

/** Unsent and refused rows, as the loop shows them. */
export interface LoopPending {
  /** Dirty rows plus outbox rows. */
  readonly pendingRowCount: number;
  readonly quarantinedRowCount: number;
}

/** How far a transfer is: of the loop, or of a call of the application. */
export type LoopProgress = Pick<ProgressEvent, 'phase' | 'rowsDone' | 'rowsTotal'>;

export type LoopAttachResult =
  | { readonly status: 'connected' }
  /** Another device is seeding the scope; not before this wait is over. */
  | { readonly status: 'retry_later'; readonly retryAfterMs: number };

/** A hint that the server holds a newer bundle. Its content is not used: a pull finds out what is there. */
export interface WatchHint {
  readonly bundleSeq: bigint;
}

/** An open watch stream. */
export interface WatchStream {
  /** The next hint, or `null` when the server ended the stream. Rejects when the stream is malformed, silent for too long, or closed. */
  next(): Promise<WatchHint | null>;
  /** Ends the stream and releases the connection. May be called at any time, also twice. */
  close(): void;
}

/**
 * What the background loop needs from a client. Every operation waits for its turn instead of failing with `operation_in_progress`,
 * ends soon after its signal fires, and rejects with a `SyncError`.
 */
export interface LoopOperations {
  /** An attach succeeded in this process, and no detach since. */
  isConnected(): boolean;
  /** The user of the last attach in this process; `null` when there was none. */
  lastUserId(): string | null;
  /** Calls `listener` after the application itself has attached or detached. Returns the function that ends it. */
  onAttachment(listener: (change: 'attached' | 'detached') => void): () => void;
  /** Calls `listener` after commits of the application that touched managed tables. Returns the function that ends it. */
  onLocalWrite(listener: () => void): () => void;
  /** Calls `listener` with how far the running transfer is, and with `null` once its operation has ended. Returns the end. */
  onProgress(listener: (progress: LoopProgress | null) => void): () => void;
  attach(userId: string, signal: AbortSignal): Promise<LoopAttachResult>;
  rebuild(signal: AbortSignal): Promise<void>;
  push(signal: AbortSignal): Promise<{ readonly hasCommitted: boolean }>;
  pull(signal: AbortSignal): Promise<{ readonly hasContested: boolean; readonly isDeferred: boolean }>;
  /** Local only; never waits for an operation. */
  readPending(): Promise<LoopPending>;
  /** Reads checkpoint and source, fetches the capabilities, and opens a stream; `null` when the server offers none. */
  openWatch(signal: AbortSignal): Promise<WatchStream | null>;
}
