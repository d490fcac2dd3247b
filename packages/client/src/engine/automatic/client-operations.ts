import { SyncError } from '@oversync/protocol';

import { openWatchStream } from '../../http/watch-stream.ts';
import { CONTROL_BODY_BYTES_MAX } from '../../limits.ts';
import { loadClientState } from '../../store/client-state.ts';
import { runAttach } from '../attach.ts';
import type { LocalDataPolicy } from '../attach.ts';
import { checkOpen, runExclusive, runRead } from '../engine.ts';
import type { Call, Engine } from '../engine.ts';
import { fetchCapabilities } from '../server-requests.ts';
import { loadPendingStatus } from '../status.ts';
import { pullToStable, pushPending, rebuild } from '../sync.ts';
import type { TableChanges } from '../table-changes.ts';
import type { LoopOperations, LoopProgress } from './loop-operations.ts';
import type { PauseFlags } from './pause-flags.ts';

/** What the loop shares with the client around it. */
export interface ClientOperationsSetup {
  readonly engine: Engine;
  readonly pauses: PauseFlags;
  readonly changes: TableChanges;
  readonly managedTables: () => readonly string[];
  readonly attachments: AttachmentLog;
  /** What an attach of the loop does with unsent rows. */
  readonly localData: LocalDataPolicy;
}

/** Remembers what the application itself attached and detached. */
export class AttachmentLog {
  readonly #listeners = new Set<(change: 'attached' | 'detached') => void>();
  #userId: string | null = null;

  get lastUserId(): string | null {
    return this.#userId;
  }

  attached(userId: string): void {
    this.#userId = userId;
    for (const listener of this.#listeners) listener('attached');
  }

  detached(): void {
    this.#userId = null;
    for (const listener of this.#listeners) listener('detached');
  }

  subscribe(listener: (change: 'attached' | 'detached') => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

/** The operations of a client as the loop uses them: each waits for its turn. */
export function createLoopOperations(setup: ClientOperationsSetup): LoopOperations {
  const { engine, pauses, attachments } = setup;
  const waiting = (signal: AbortSignal) => ({ signal, whenBusy: 'wait' }) as const;
  return {
    isConnected: () => engine.memory.isConnected,
    lastUserId: () => attachments.lastUserId,
    onAttachment: (listener) => attachments.subscribe(listener),
    onLocalWrite: (listener) => onLocalWrite(setup, listener),
    onProgress: (listener) => onProgress(engine, listener),
    attach: async (userId, signal) => {
      const result = await runExclusive(engine, 'attach', waiting(signal), (call) => runAttach(call, userId, setup.localData));
      if (result.status === 'connected') return { status: 'connected' };
      return { status: 'retry_later', retryAfterMs: result.retryAfterSeconds * 1000 };
    },
    rebuild: async (signal) => {
      await runExclusive(engine, 'rebuild', waiting(signal), (call) => rebuild(call, undefined));
    },
    push: async (signal) => {
      const run = (call: Call) => pushPending(call, pauses.areUploadsPaused);
      const report = await runExclusive(engine, 'pushPending', waiting(signal), run);
      return { hasCommitted: report.outcome === 'committed' };
    },
    pull: async (signal) => {
      const run = (call: Call) => pullToStable(call, { uploads: pauses.areUploadsPaused, downloads: pauses.areDownloadsPaused });
      const report = await runExclusive(engine, 'pullToStable', waiting(signal), run);
      return { hasContested: report.contested > 0, isDeferred: report.outcome === 'deferred' };
    },
    readPending: () => runRead(engine, 'pendingSyncStatus', () => loadPendingStatus(engine)),
    openWatch: async (signal) => {
      const start = await runRead(engine, 'start', () => loadWatchStart(watchCall(engine, signal)));
      return start === null ? null : openWatchStream(engine.http, { ...start, signal });
    },
  };
}

function onLocalWrite(setup: ClientOperationsSetup, listener: () => void): () => void {
  return setup.changes.subscribe((change) => {
    const managed = new Set(setup.managedTables());
    if (change.origin === 'local' && change.tables.some((table) => managed.has(table))) listener();
  });
}

/** Events tell how far an operation is, but not that it has ended: that is told by the turn it holds. */
function onProgress(engine: Engine, listener: (progress: LoopProgress | null) => void): () => void {
  let watched: Promise<void> | null = null;
  return engine.events.subscribe((event) => {
    if (event.type !== 'progress') return;
    const { phase, rowsDone, rowsTotal } = event;
    listener({ phase, ...(rowsDone === undefined ? {} : { rowsDone }), ...(rowsTotal === undefined ? {} : { rowsTotal }) });
    const { running } = engine.memory;
    if (running === null || running === watched) return;
    watched = running;
    void running.then(() => listener(null));
  });
}

interface WatchStart {
  readonly sourceId: string;
  readonly afterBundleSeq: bigint;
  readonly errorBytesMax: number;
}

/** Opening a stream changes nothing, so it neither waits for an operation nor keeps one waiting. */
function watchCall(engine: Engine, signal: AbortSignal): Call {
  return {
    engine,
    operation: 'start',
    signal: AbortSignal.any([engine.closing.signal, signal]),
    schema: checkOpen(engine),
    quarantined: [],
  };
}

/** Where a stream has to begin, as the database says now; `null` when the server offers none. */
async function loadWatchStart(call: Call): Promise<WatchStart | null> {
  const { engine } = call;
  const { lifecycle } = await loadClientState(engine.driver);
  if (!engine.memory.isConnected || !('lastBundleSeqSeen' in lifecycle)) throw new SyncError('attach_required');
  const { features, limits } = await fetchCapabilities(call, lifecycle.sourceId);
  if (!features.has('bundle_change_watch')) return null;
  return {
    sourceId: lifecycle.sourceId,
    afterBundleSeq: lifecycle.lastBundleSeqSeen,
    errorBytesMax: limits.maxBytesPerSnapshotRow + CONTROL_BODY_BYTES_MAX,
  };
}
