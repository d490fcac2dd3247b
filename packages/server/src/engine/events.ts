import type { ErrorCode } from '@oversync/protocol';

/** Operation names as they appear in events and logs. */
export type Operation =
  | 'capabilities'
  | 'connect'
  | 'push_session_create'
  | 'push_chunk'
  | 'push_session_commit'
  | 'push_session_delete'
  | 'push_session_status'
  | 'committed_bundle_rows'
  | 'pull'
  | 'bundle_change_watch'
  | 'snapshot_session_create'
  | 'snapshot_chunk'
  | 'snapshot_session_delete'
  | 'verify'
  | 'verify_rows'
  | 'exec_write'
  | 'admin'
  | 'bootstrap'
  | 'maintenance'
  | 'health'
  | 'status';

/** What accompanies every event that belongs to a request. Keys, payloads, tokens and SQL never do. */
export interface EventScope {
  readonly scopeId?: string;
  readonly userId?: string;
  readonly correlationId?: string;
}

type EventFields =
  | {
      readonly name: 'request';
      readonly operation: Operation | 'unknown';
      readonly status: number;
      readonly code?: ErrorCode;
      readonly durationMs: number;
      readonly bytesIn: number;
      readonly bytesOut: number;
    }
  | {
      readonly name: 'pushCommitted';
      readonly rows: number;
      readonly effects: number;
      readonly bytes: number;
      readonly attempts: number;
      readonly lockWaitMs: number;
      readonly applyMs: number;
      readonly finaliseMs: number;
    }
  | { readonly name: 'pushRejected'; readonly code: ErrorCode; readonly violationKind?: string; readonly limit?: string }
  | { readonly name: 'pushConflict'; readonly count: number }
  | { readonly name: 'pushReplayed' | 'chunkReplayed' }
  | {
      readonly name: 'pullPage' | 'committedRowsPage';
      readonly bundles: number;
      readonly rows: number;
      readonly bytes: number;
      readonly durationMs: number;
    }
  | { readonly name: 'historyPruned' | 'checkpointAhead'; readonly operation: Operation; readonly distance: string }
  | {
      readonly name: 'snapshotBuilt' | 'snapshotReused' | 'snapshotChunk' | 'snapshotRejected';
      readonly rows: number;
      readonly bytes: string;
      readonly durationMs: number;
      readonly queueMs: number;
      readonly code?: ErrorCode;
    }
  | { readonly name: 'sourceRetired' | 'sourceForbidden' | 'scopeInitialized' }
  | { readonly name: 'actorRefused'; readonly reason: 'blank_scope' | 'scope_too_long' | 'scope_nul' | 'hook_failed' }
  | { readonly name: 'watchOpened' | 'watchClosed'; readonly streams: number; readonly reason?: string }
  | { readonly name: 'listenerState'; readonly state: 'listening' | 'lost'; readonly reason?: string }
  | { readonly name: 'notificationIgnored'; readonly total: number }
  | {
      readonly name: 'retry' | 'transientFailure' | 'commitOutcomeUnknown';
      readonly operation: Operation;
      readonly sqlState?: string;
      readonly attempt: number;
    }
  | {
      /**
       * Writes to registered tables past the library that a trigger has refused, in any session of the database, since the last event:
       * maintenance finds the number, and one process tells it. Which table it was stands in the log of PostgreSQL only, because the
       * refusal rolls everything else back.
       */
      readonly name: 'registeredWriteRejected';
      readonly count: number;
    }
  | {
      readonly name: 'driftRepaired' | 'integrityMismatch';
      readonly schema?: string;
      readonly table?: string;
    }
  | {
      readonly name: 'maintenanceRun';
      readonly kind: string;
      readonly batches: number;
      readonly rows: number;
      readonly durationMs: number;
    }
  | {
      readonly name: 'catalogChanged' | 'migrationApplied' | 'adoptionProgress';
      readonly table?: string;
      readonly version?: number;
      readonly scopes?: number;
      readonly rows?: number;
    };

/** One thing that happened in the server, for metrics and alarms. Events carry no keys, payloads, tokens or SQL text. */
export type ServerEvent = EventFields & EventScope;

/** Receives lines for operators. Never gets payloads, keys or tokens. */
export interface Logger {
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export const SILENT_LOGGER: Logger = { error: () => {}, warn: () => {}, info: () => {} };

/**
 * Wraps the host's `onEvent`. The hook must not throw; when it does, the fault is logged and the request goes on, because a
 * broken metrics client is no reason to fail a commit that is already durable.
 */
export function createEmitter(onEvent: ((event: ServerEvent) => void) | undefined, logger: Logger): (event: ServerEvent) => void {
  if (onEvent === undefined) return () => {};
  return (event) => {
    try {
      onEvent(event);
    } catch (cause) {
      logger.error('onEvent threw', { event: event.name, cause });
    }
  };
}
