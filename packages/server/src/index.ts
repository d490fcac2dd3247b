export { isSyncError, SyncError } from '@oversync/protocol';
export type { ErrorCode } from '@oversync/protocol';

export { createSyncServer } from './create-sync-server.ts';
export type { FetchPlatform, SyncAdmin, SyncScopes, SyncServer } from './create-sync-server.ts';
export type { KeyDifference, ScopeCheck, ScopeRepair, TableDifference } from './engine/admin.ts';
export type { AdoptionReport } from './engine/adopt.ts';
export type { BootstrapResult } from './engine/bootstrap.ts';
export type { EventScope, Logger, Operation, ServerEvent } from './engine/events.ts';
export type { ExecWriteOptions, SyncBundleOptions, SyncBundleResult } from './engine/exec-write.ts';
export type { StatusBody } from './engine/health.ts';
export type { MaintenanceReport } from './engine/maintenance.ts';
export type {
  ActorIdentity,
  MaintenanceOptions,
  MetricsPage,
  NullableNumericOptions,
  NumericOptions,
  OpsOptions,
  SyncServerOptions,
  WatchOptions,
} from './engine/options.ts';
export type { ServerWriteResult } from './engine/server-write.ts';
export type { WriteCallback, WriteTransaction } from './engine/write-transaction.ts';
export type { Gzip } from './ports/gzip.ts';
export { PgFault } from './ports/postgres.ts';
export type { PgBegin, PgListener, PgResult, PgRow, Postgres, PgTransaction, PgValue } from './ports/postgres.ts';
export type { RegisteredTableConfig } from './rules/table-description.ts';
export type { WrittenBundle } from './store/write-receipt.ts';
export type { RowExample, SchemaReport, SchemaViolation, SchemaWarning } from './rules/schema-violation.ts';
