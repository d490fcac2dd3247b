/** What an operation is busy with. */
export type ProgressPhase = 'attaching' | 'seeding' | 'pushing' | 'pulling' | 'staging' | 'applying' | 'verifying';

/** Names of the public operations, as `SyncError.operation` and events give them. */
export type OperationName =
  | 'open'
  | 'attach'
  | 'pushPending'
  | 'pullToStable'
  | 'sync'
  | 'rebuild'
  | 'detach'
  | 'syncThenDetach'
  | 'uninstallSync'
  | 'pendingSyncStatus'
  | 'syncStatus'
  | 'sourceInfo'
  | 'lastBundleSeqSeen'
  | 'close'
  | 'start'
  | 'quarantine'
  | 'verify'
  | 'repair'
  | 'discarded';

/** How far a transfer is. `rowsTotal` is absent while it is not known. */
export interface ProgressEvent {
  readonly type: 'progress';
  readonly operation: OperationName;
  readonly phase: ProgressPhase;
  readonly rowsDone?: number;
  readonly rowsTotal?: number;
}

/** Rows of these tables (lower-case names) were changed by one committed transaction. */
export interface TablesChangedEvent {
  readonly type: 'tablesChanged';
  readonly tables: readonly string[];
  readonly origin: 'remote' | 'local';
  readonly operation?: OperationName;
}

/** Rows were set aside; `client.quarantine.list()` shows them. */
export interface QuarantinedEvent {
  readonly type: 'quarantined';
  readonly operation: OperationName;
  readonly count: number;
}

/** Rows that had been set aside were queued again or given up. */
export interface QuarantineReleasedEvent {
  readonly type: 'quarantineReleased';
  readonly operation: OperationName;
  readonly count: number;
}

/** Conflicts were resolved; the call's report and `client.outcomes` tell how. */
export interface ConflictsEvent {
  readonly type: 'conflicts';
  readonly operation: OperationName;
  readonly count: number;
}

/** One transaction has decided about local writes; `client.outcomes.list()` shows how. */
export interface OutcomesEvent {
  readonly type: 'outcomes';
  readonly operation: OperationName;
}

export type SyncEvent =
  | ProgressEvent
  | TablesChangedEvent
  | QuarantinedEvent
  | QuarantineReleasedEvent
  | ConflictsEvent
  | OutcomesEvent;

export type SyncEventListener = (event: SyncEvent) => void;

/** Passes events to listeners. A listener that throws disturbs neither the engine nor the other listeners. */
export class EventHub {
  readonly #listeners = new Set<SyncEventListener>();
  readonly #onListenerError: () => void;

  constructor(onListenerError: () => void) {
    this.#onListenerError = onListenerError;
  }

  subscribe(listener: SyncEventListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  emit(event: SyncEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch {
        this.#onListenerError();
      }
    }
  }
}
