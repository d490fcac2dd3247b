import type { PgListener, Postgres } from '../ports/postgres.ts';
import type { RegisteredTableConfig } from '../rules/table-description.ts';
import type { Logger, ServerEvent } from './events.ts';
import type { StatusBody } from './health.ts';

/** Whom a request belongs to, as the host's authentication tells it. */
export interface ActorIdentity {
  /** User, team or tenant: one isolated data set. Stored byte for byte. */
  readonly scopeId: string;
  /** Used for source binding, events and logs only. */
  readonly userId?: string;
}

export interface WatchOptions {
  readonly enabled?: boolean;
  /** Channel of `pg_notify`, 1–63 bytes without NUL. */
  readonly notifyChannel?: string;
  readonly heartbeatIntervalMs?: number;
  /** Refuses watch streams per actor; capabilities then announce `bundle_change_watch: false`. */
  readonly authorize?: (actor: ActorIdentity) => boolean | Promise<boolean>;
  readonly pollIntervalMs?: number;
  readonly notifyDebounceMs?: number;
  readonly maxStreamMs?: number;
  readonly maxStreamsPerScope?: number;
  readonly maxStreamsPerProcess?: number;
}

export interface MaintenanceOptions {
  /** `false` when the host calls `server.maintain()` itself. */
  readonly enabled?: boolean;
  readonly intervalMs?: number;
  readonly batchRows?: number;
  readonly batchSessions?: number;
  readonly maxBatchesPerRun?: number;
  readonly batchTimeoutMs?: number;
  readonly scopesPerRun?: number;
}

/** A page of figures in the text format of whoever collects them. */
export interface MetricsPage {
  readonly contentType: string;
  readonly text: string;
}

export interface OpsOptions {
  /** Refuses a health or status request with 401 when it answers false. */
  readonly authorize?: (request: Request) => boolean | Promise<boolean>;
  /** `minimal` leaves out table names and sends zeros for counters. */
  readonly detail?: 'full' | 'minimal';
  /** Makes the page of `…/metrics`; it gets the body of status, in wire names. Without it there is no such page. */
  readonly metrics?: (status: StatusBody) => MetricsPage | Promise<MetricsPage>;
}

/** Options that are plain numbers; each default stands in `limits.ts`. */
export interface NumericOptions {
  readonly schemaVersion: number;
  readonly maxScopeIdBytes: number;
  readonly maxRequestBodyBytes: number;
  readonly maxDecodedBodyBytes: number;
  readonly maxControlBodyBytes: number;
  readonly maxJsonDepth: number;
  readonly maxBufferedResponseBytes: number;
  readonly defaultRowsPerPushChunk: number;
  readonly maxRowsPerPushChunk: number;
  readonly pushSessionTtlMs: number;
  readonly maxPushSessionsPerScope: number;
  readonly initializationLeaseTtlMs: number;
  readonly defaultRowsPerCommittedBundleChunk: number;
  readonly maxRowsPerCommittedBundleChunk: number;
  readonly maxBytesPerCommittedBundleChunk: number;
  readonly maxBytesPerPullPage: number;
  readonly defaultBundlesPerPull: number;
  readonly maxBundlesPerPull: number;
  readonly defaultRowsPerSnapshotChunk: number;
  readonly maxRowsPerSnapshotChunk: number;
  readonly defaultBytesPerSnapshotChunk: number;
  readonly maxBytesPerSnapshotChunk: number;
  readonly maxBytesPerSnapshotRow: number;
  readonly snapshotSessionTtlMs: number;
  readonly snapshotBatchRows: number;
  readonly snapshotBatchBytes: number;
  readonly maxConcurrentSnapshotBuilds: number;
  readonly maxConcurrentSnapshotChunkRequests: number;
  readonly snapshotQueueWaitMs: number;
  readonly maxSnapshotSessionsPerScope: number;
  readonly maxSnapshotSessionsPerSource: number;
  readonly writeReceiptRetentionMs: number;
  readonly retentionPruneBatchSize: number;
  readonly scopeQueueLength: number;
  readonly lockTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly bulkStatementTimeoutMs: number;
  readonly catalogRefreshIntervalMs: number;
}

/** Numeric options that `null` switches off. */
export interface NullableNumericOptions {
  readonly maxRowsPerBundle: number | null;
  readonly maxBytesPerBundle: number | null;
  /** Follows `maxRowsPerBundle` unless set. */
  readonly maxPlannedRowsPerPush: number | null;
  readonly maxRowsPerSnapshotSession: number | null;
  readonly maxBytesPerSnapshotSession: number | null;
  readonly retainedBundlesPerScope: number | null;
  readonly retainedBundleAgeMs: number | null;
  readonly retainedBundleBytesPerScope: number | null;
}

/**
 * Options of {@link createSyncServer}. Durations end in `Ms`, sizes in `Bytes`. The object is never modified; a name that is
 * not listed here, or a value outside its range, is `options_invalid`, and all such faults are reported together.
 */
export interface SyncServerOptions extends Partial<NumericOptions>, Partial<NullableNumericOptions> {
  /** The host's pool behind the port, from `@oversync/server/pg` or another driver. */
  readonly database: Postgres;
  /** Direct connection for LISTEN; without it watch works by polling. */
  readonly listenDatabase?: PgListener;
  /** Sees headers and URL, never the body. `null` refuses the request with 401; a throw answers 503. */
  readonly resolveActor: (request: Request) => ActorIdentity | null | Promise<ActorIdentity | null>;
  readonly registeredTables: readonly RegisteredTableConfig[];
  readonly appName?: string;
  /** PostgreSQL schema of the sync metadata. */
  readonly metadataSchema?: string;
  /** The first state-changing call of a source binds it to the actor's user id. */
  readonly bindSourcesToUser?: boolean;
  /** Exact source ids refused to clients, meant for server-side writers. */
  readonly reservedSourceIds?: readonly string[];
  readonly compression?: { readonly enabled?: boolean; readonly minBytes?: number };
  readonly retry?: { readonly attempts?: number; readonly baseMs?: number };
  readonly watch?: WatchOptions;
  readonly maintenance?: MaintenanceOptions;
  /** `refuse`: bootstrap fails when a registered table holds rows without sync metadata. */
  readonly adoption?: 'auto' | 'refuse';
  /** `check`: bootstrap reports violations and pending migrations and writes nothing. */
  readonly bootstrapPolicy?: 'apply' | 'check';
  readonly ops?: OpsOptions;
  /** Synchronous and must not throw. */
  readonly onEvent?: (event: ServerEvent) => void;
  readonly logger?: Logger;
}

type Resolved<T, OptionalNames extends keyof T = never> = {
  readonly [Name in Exclude<keyof T, OptionalNames>]-?: NonNullable<T[Name]>;
} & {
  readonly [Name in OptionalNames]: T[Name] | undefined;
};

/** Every option with its default applied; frozen. */
export interface ResolvedOptions extends NumericOptions, NullableNumericOptions {
  readonly database: Postgres;
  readonly listenDatabase: PgListener | undefined;
  readonly resolveActor: SyncServerOptions['resolveActor'];
  readonly registeredTables: readonly RegisteredTableConfig[];
  readonly appName: string;
  readonly metadataSchema: string;
  readonly bindSourcesToUser: boolean;
  readonly reservedSourceIds: ReadonlySet<string>;
  readonly compression: { readonly enabled: boolean; readonly minBytes: number };
  readonly retry: { readonly attempts: number; readonly baseMs: number };
  readonly watch: Resolved<WatchOptions, 'authorize'>;
  readonly maintenance: Resolved<MaintenanceOptions>;
  readonly adoption: 'auto' | 'refuse';
  readonly bootstrapPolicy: 'apply' | 'check';
  readonly ops: Resolved<OpsOptions, 'authorize' | 'metrics'>;
  readonly onEvent: ((event: ServerEvent) => void) | undefined;
  readonly logger: Logger;
}
