export { SyncError, isContention, isPrecondition, isSyncError } from '@oversync/protocol';
export type { ErrorCode, Recovery } from '@oversync/protocol';
export { createSyncClient } from './client.ts';
export type { AnyTable, AttachOptions, DiscardOptions, PausableOptions, RebuildOptions, SyncClient } from './client.ts';
export type { AttachResult, LocalDataPolicy } from './engine/attach.ts';
export type { LoopHandle } from './engine/automatic/loop.ts';
export type { LoopPending, LoopProgress } from './engine/automatic/loop-operations.ts';
export type { AutomaticOptions } from './engine/automatic/resolve-loop-options.ts';
export type { LoopStatus } from './engine/automatic/status-board.ts';
export type { BlockedByUnsynced, DetachResult, UninstallResult } from './engine/detach.ts';
export type { CallOptions } from './engine/engine.ts';
export type {
  ConflictsEvent,
  OperationName,
  OutcomesEvent,
  ProgressEvent,
  ProgressPhase,
  QuarantineReleasedEvent,
  QuarantinedEvent,
  SyncEvent,
  SyncEventListener,
  TablesChangedEvent,
} from './engine/events.ts';
export type { LiveQuery, LiveQueryOptions, QueryRow } from './engine/live-query/live-query.ts';
export type { OpenResult } from './engine/open.ts';
export type { ClientPorts, SyncClientOptions } from './engine/options.ts';
export type { RemoteReport } from './engine/pull.ts';
export type { PushReport, PushedBundle } from './engine/push.ts';
export type { ReplacementChoice, RestoreReport } from './engine/rebuild.ts';
export type { Outcomes, Quarantine } from './engine/review.ts';
export type { PendingSyncStatus, SourceInfo, SyncStatus } from './engine/status.ts';
export type { SyncOnceOptions, SyncOnceReport } from './engine/sync-once.ts';
export type { TableChange, TableChangeListener } from './engine/table-changes.ts';
export { releaseTablesForMigration } from './engine/schema-upgrade.ts';
export type { SyncReport, SyncThenDetachReport } from './engine/sync.ts';
export type { RepairReport, VerifyOptions, VerifyReport } from './engine/verify.ts';
export type { RangeDifference, TableVerification } from './engine/verify-table.ts';
export type { AcceptEncoding, HeadersContext, HeadersProvider } from './http/exchange.ts';
export type { RequestOperation } from './http/requests.ts';
export { createBroadcastChangeChannel } from './ports/channel.ts';
export type { ChangeChannel } from './ports/channel.ts';
export type { Clock, Random } from './ports/clock.ts';
export { alwaysOnline } from './ports/connectivity.ts';
export type { Connectivity } from './ports/connectivity.ts';
export type { FaultMoment, FaultPoint, FaultPoints, FaultStep } from './ports/fault-points.ts';
export type { HeldLock, LockRequest, OwnershipLock } from './ports/lock.ts';
export type { LogLevel, Logger } from './ports/logger.ts';
export type { NamedRows, SqlValue, SqliteDriver, SqliteTx } from './ports/sqlite-driver.ts';
export { SqliteFault, isConstraintFault, sqliteFaultKind } from './ports/sqlite-fault.ts';
export type { SqliteFaultKind } from './ports/sqlite-fault.ts';
export type { PlatformPorts } from './ports/platform.ts';
export type { StageFile } from './ports/stage-file.ts';
export type { GzipBytes, HttpTransport } from './ports/transport.ts';
export { alwaysVisible } from './ports/visibility.ts';
export type { Visibility } from './ports/visibility.ts';
export type { ColumnOf, ConflictContext, Resolution, Resolver, RowOp, RowValue, RowValues } from './rules/conflict-types.ts';
export { defineTables } from './rules/define-tables.ts';
export type { RowTypes, TableDefinition } from './rules/define-tables.ts';
export type { LocalPragmas, QueuedRow, RowUpgrader, SchemaWarning, TableConfig } from './rules/local-schema.ts';
export type { LoopStateName } from './rules/loop-status.ts';
export { clientWins, keepLocal, latestBy, mergeColumns, serverWins } from './rules/resolvers.ts';
export type { ColumnMerge, MergeOptions } from './rules/resolvers.ts';
export type { CapacityRetryPolicy, RetryPolicy } from './rules/retry.ts';
export type { Outcome, OutcomeName } from './store/outcomes.ts';
export type { DiscardedRow, QuarantineKey, QuarantinePage, QuarantinedRow } from './store/quarantine-review.ts';
export type { ConflictSummary, QuarantineRef } from './store/store-types.ts';
