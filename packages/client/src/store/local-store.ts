import type { Sha256Factory } from '@oversync/protocol';
import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { Random } from '../ports/clock.ts';
import type { CheckedRow, IncomingRow } from '../rules/incoming-row.ts';
import type { LocalSchema, LocalSchemaConfig, SchemaWarning } from '../rules/local-schema.ts';
import type { ClientState, LifecycleState, Outbox, SourceRecord } from './client-state.ts';
import type * as T from './store-types.ts';

/*
 * What the engine calls. Every name below is exported by the module named beside it, with exactly this signature.
 *
 * `driver` functions run their own transactions; `tx` functions run inside the caller's.
 * SQLite faults arrive as `SyncError('storage_failed')` from `driver` functions and as `SqliteFault` from `tx` functions;
 * `withTransaction` maps them.
 */
export interface LocalStore {
  // store/transaction.ts
  withTransaction<R>(driver: SqliteDriver, operation: string, fn: (tx: SqliteTx) => Promise<R>): Promise<R>;
  /** The same with `PRAGMA synchronous = FULL` for its duration. */
  withDurableTransaction<R>(driver: SqliteDriver, operation: string, fn: (tx: SqliteTx) => Promise<R>): Promise<R>;

  // store/open-local-schema.ts
  openLocalSchema(
    driver: SqliteDriver,
    config: LocalSchemaConfig,
    random: Random,
  ): Promise<{ readonly schema: LocalSchema; readonly warnings: readonly SchemaWarning[]; readonly state: ClientState }>;
  /** client.md 4.6: the same object while `PRAGMA schema_version` is unchanged, else validated and installed again. */
  refreshLocalSchema(driver: SqliteDriver, config: LocalSchemaConfig, schema: LocalSchema): Promise<LocalSchema>;

  // rules/check-incoming.ts
  /** Throws `table_unknown`, `payload_column_missing`, `payload_value_invalid`, `protocol_violation`. */
  checkIncomingRows(schema: LocalSchema, rows: readonly IncomingRow[]): CheckedRow[];
  /** The same for one row. */
  checkIncomingRow(schema: LocalSchema, row: IncomingRow): CheckedRow;

  // store/client-state.ts
  loadClientState(tx: SqliteTx): Promise<ClientState>;
  /** Writes attachment and operation. */
  saveLifecycle(tx: SqliteTx, schemaName: string, state: LifecycleState): Promise<void>;
  loadSource(tx: SqliteTx, sourceId: string): Promise<SourceRecord | null>;
  insertSource(tx: SqliteTx, sourceId: string): Promise<void>;
  /** Only rises. */
  raiseSourceCounter(tx: SqliteTx, sourceId: string, nextSourceBundleId: bigint): Promise<void>;
  markSourceReplaced(tx: SqliteTx, sourceId: string, replacedBySourceId: string): Promise<void>;

  // store/counts.ts
  countPending(tx: SqliteTx): Promise<T.PendingCounts>;
  countContested(tx: SqliteTx): Promise<number>;
  hasLiveRowState(tx: SqliteTx): Promise<boolean>;

  // store/meta.ts
  loadMeta(tx: SqliteTx, name: string): Promise<string | null>;
  saveMeta(tx: SqliteTx, name: string, value: string | null): Promise<void>;

  // store/freeze.ts
  freezeOutbox(driver: SqliteDriver, schema: LocalSchema, input: T.FreezeInput): Promise<T.FreezeResult>;
  /** client.md 6.2 step 1 alone, as detach needs it. Returns the tables written. */
  dropNoOpRecords(tx: SqliteTx, schema: LocalSchema): Promise<readonly string[]>;

  // store/outbox.ts
  loadOutboxChunk(tx: SqliteTx, fromOrdinal: number, bounds: T.PageBounds): Promise<T.OutboxChunk>;
  storeCommittedRemote(
    driver: SqliteDriver,
    outbox: Extract<Outbox, { readonly state: 'prepared' }>,
    commit: { readonly bundleSeq: bigint; readonly bundleHash: string },
  ): Promise<Extract<Outbox, { readonly state: 'committed_remote' }>>;
  /** Returns the rows that went back. */
  unfreezeOutbox(tx: SqliteTx): Promise<number>;
  clearOutbox(tx: SqliteTx): Promise<void>;
  /** Throws `outbox_corrupt` when client.md 3.2 rule 1, 2 or 3 is broken. */
  verifyOutbox(tx: SqliteTx, schema: LocalSchema, sha256?: Sha256Factory): Promise<void>;

  // store/bundle-stage.ts
  stageBundleRows(tx: SqliteTx, bundleSeq: bigint, firstOrdinal: number, rows: readonly CheckedRow[]): Promise<void>;
  clearBundleStage(tx: SqliteTx): Promise<void>;

  // store/replay.ts
  replayCommittedBundle(driver: SqliteDriver, schema: LocalSchema, input: T.ReplayInput): Promise<T.ReplayResult>;

  // store/apply-bundles.ts
  /** Groups small bundles into one transaction; bundles ascend. */
  applyBundles(
    driver: SqliteDriver,
    schema: LocalSchema,
    bundles: readonly T.PulledBundle[],
    input: T.ApplyInput,
  ): Promise<T.ApplyResult>;

  // store/snapshot-stage.ts
  clearSnapshotStage(tx: SqliteTx): Promise<void>;
  /** `afterRowOrdinal` = rows staged so far. */
  stageSnapshotChunk(tx: SqliteTx, snapshotId: string, afterRowOrdinal: bigint, rows: readonly CheckedRow[]): Promise<void>;
  countStagedRows(tx: SqliteTx, snapshotId: string): Promise<bigint>;

  // store/snapshot-apply.ts
  applySnapshot(driver: SqliteDriver, schema: LocalSchema, input: T.SnapshotApplyInput): Promise<T.SnapshotApplyResult>;

  // store/conflicts.ts
  /** Unfreezes the rejected bundle, then resolves. */
  resolveConflicts(
    driver: SqliteDriver,
    schema: LocalSchema,
    conflicts: readonly T.ServerConflict[],
    input: T.ResolveInput,
  ): Promise<T.ResolveResult>;
  resolveContested(driver: SqliteDriver, schema: LocalSchema, input: T.ResolveInput): Promise<T.ResolveResult>;

  // store/quarantine.ts
  /** Moves one dirty row, as after a `violation` of the server (the outbox is unfrozen before). `null` when it is not dirty any more. */
  quarantineDirtyRow(
    tx: SqliteTx,
    schema: LocalSchema,
    row: {
      readonly table: string;
      readonly keyJson: string;
      readonly origin: T.QuarantineOrigin;
      readonly code: string;
      readonly detail: string | null;
    },
  ): Promise<T.QuarantineRef | null>;

  // store/detach.ts
  /** client.md 5.5 step 4 without the lifecycle row. Returns the wire names of the cleared tables. */
  clearForDetach(tx: SqliteTx, schema: LocalSchema): Promise<readonly string[]>;
  uninstall(tx: SqliteTx, schema: LocalSchema): Promise<void>;
  moveDirtyToDiscarded(tx: SqliteTx): Promise<number>;
  restoreDiscarded(tx: SqliteTx): Promise<number>;
  clearDiscarded(tx: SqliteTx): Promise<void>;
  /** client.md 9.5 `reseed`: forgets row state and queues every live row as INSERT base 0. */
  reseedLocalRows(tx: SqliteTx, schema: LocalSchema): Promise<void>;

  // drivers/node-sqlite.ts: createNodeSqliteDriver
}
