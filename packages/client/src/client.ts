import { SyncError } from '@oversync/protocol';

import { runAttach } from './engine/attach.ts';
import type { LoopHandle } from './engine/automatic/loop.ts';
import type { AutomaticOptions } from './engine/automatic/resolve-loop-options.ts';
import { Automation } from './engine/automation.ts';
import type { AttachResult, LocalDataPolicy } from './engine/attach.ts';
import { runDetach, runUninstall } from './engine/detach.ts';
import type { DetachResult, UninstallResult } from './engine/detach.ts';
import { createEngine, runExclusive, runRead } from './engine/engine.ts';
import type { CallOptions, Engine } from './engine/engine.ts';
import type { SyncEventListener } from './engine/events.ts';
import type { LiveQuery, LiveQueryOptions } from './engine/live-query/live-query.ts';
import { closeEngine, openEngine } from './engine/open.ts';
import type { OpenResult } from './engine/open.ts';
import { resolveOptions } from './engine/options.ts';
import type { SyncClientOptions } from './engine/options.ts';
import type { RemoteReport } from './engine/pull.ts';
import type { PushReport } from './engine/push.ts';
import type { ReplacementChoice } from './engine/rebuild.ts';
import { discardedRows, forgetDiscarded, outcomesOf, prepareConnection, quarantineOf } from './engine/review.ts';
import type { Outcomes, Quarantine } from './engine/review.ts';
import { loadCheckpoint, loadPendingStatus, loadSourceInfo, loadSyncStatus } from './engine/status.ts';
import type { PendingSyncStatus, SourceInfo, SyncStatus } from './engine/status.ts';
import { syncOnce } from './engine/sync-once.ts';
import type { SyncOnceOptions, SyncOnceReport } from './engine/sync-once.ts';
import { pullToStable, pushPending, rebuild, sync, syncThenDetach } from './engine/sync.ts';
import type { PauseState, SyncReport, SyncThenDetachReport } from './engine/sync.ts';
import type { TableChangeListener } from './engine/table-changes.ts';
import { repair, verify } from './engine/verify.ts';
import type { RepairReport, VerifyOptions, VerifyReport } from './engine/verify.ts';
import type { SqliteDriver, SqliteTx, SqlValue } from './ports/sqlite-driver.ts';
import type { DiscardedRow } from './store/quarantine-review.ts';
import type { SchemaWarning } from './rules/local-schema.ts';

export interface AttachOptions extends CallOptions {
  /** What happens to unsent local rows when the server already has rows. Default `replace`: they are set aside. */
  readonly localData?: LocalDataPolicy;
}

export interface DiscardOptions extends CallOptions {
  /** Give unsent and quarantined rows up instead of being blocked by them. */
  readonly discardPending?: boolean;
}

export interface PausableOptions extends CallOptions {
  /** Do nothing, with outcome `skipped_paused`, while the loop's uploads or downloads are paused. Default: explicit calls run. */
  readonly respectPause?: boolean;
}

export interface RebuildOptions extends CallOptions {
  /** A way out when the reserved successor of a lost source cannot be used. */
  readonly replacement?: ReplacementChoice;
}

/** A managed table, which editors can offer, or another one. */
export type AnyTable<Name extends string> = Name | (string & Record<never, never>);

/**
 * A local SQLite database that is kept in step with a server.
 *
 * Every method that changes something runs alone: a second one fails with `operation_in_progress`, or waits with `whenBusy: 'wait'`.
 * Reads never wait. Every method rejects with a `SyncError`; an `AbortSignal` ends it with `aborted`, leaving a state from which the next
 * call continues.
 */
export interface SyncClient<Name extends string = string> {
  /** Prepares the local database: sync tables, triggers, first capture. No network. Calling it again only reads. */
  open(options?: CallOptions): Promise<OpenResult>;
  /** Binds the database to a user. Without network for the user it is bound to already. */
  attach(userId: string, options?: AttachOptions): Promise<AttachResult>;
  /** Sends unsent rows, resolves conflicts, sets refused rows aside. */
  pushPending(options?: PausableOptions): Promise<PushReport>;
  /** Applies everything the server had committed when the call began. */
  pullToStable(options?: PausableOptions): Promise<RemoteReport>;
  /** One push, then one pull. */
  sync(options?: CallOptions): Promise<SyncReport>;
  /** Replaces the local rows by a snapshot and keeps unsent changes. Rotates the source where the server demands it. */
  rebuild(options?: RebuildOptions): Promise<RemoteReport>;
  /**
   * Pulls, then compares every synced table with the server by hashes of ranges of keys. Changes no row and downloads none.
   *
   * Rows with unsent changes are left out and counted. Rejects with `not_supported` where the server has no such endpoint,
   * `dirty_state_rejected` where too much is unsent, `verify_out_of_date` where the server never stands still.
   */
  verify(options?: VerifyOptions): Promise<VerifyReport>;
  /**
   * Verifies, downloads only the ranges that differ, and makes them equal in one transaction; unsent changes stay. Rejects as `verify`
   * does, and with `rebuild_required` where a constraint of the local tables refuses the rows of the server.
   */
  repair(options?: VerifyOptions): Promise<RepairReport>;
  /** Unbinds the database and empties it. Blocked by unsent rows unless `discardPending` is set. Works offline. */
  detach(options?: DiscardOptions): Promise<DetachResult>;
  /** Syncs until nothing is unsent, at most three times, then detaches. */
  syncThenDetach(options?: CallOptions): Promise<SyncThenDetachReport>;
  /** Removes triggers and sync tables, keeps the rows, and closes the client. */
  uninstallSync(options?: DiscardOptions): Promise<UninstallResult>;
  /** Counts of unsent and quarantined rows. */
  pendingSyncStatus(): Promise<PendingSyncStatus>;
  /** Where the local data stands. Needs an attached database. */
  syncStatus(): Promise<SyncStatus>;
  /** The source id of this database and whether it has to recover. */
  sourceInfo(): Promise<SourceInfo>;
  /** The checkpoint: the highest bundle applied without gaps; 0 when nothing was applied or nobody is attached. */
  lastBundleSeqSeen(): Promise<bigint>;
  /** Calls `listener` with progress and changes. Returns the function that ends it. */
  subscribe(listener: SyncEventListener): () => void;
  /**
   * Starts the background loop: uploads after local writes, downloads by an interval or a watch stream, recovery. One loop per client: a
   * second call returns the same handle. Throws `open_required`, `client_closed`, `config_invalid`.
   */
  start(options?: AutomaticOptions): LoopHandle;
  /** One sync, and a recovery where it needs one, within the time a platform grants to a background task. */
  syncOnce(options?: SyncOnceOptions): Promise<SyncOnceReport>;
  /** Keeps the loop from uploading; explicit calls run unless they say `respectPause`. Not stored. */
  pauseUploads(): void;
  resumeUploads(): void;
  /** Keeps the loop from downloading; explicit calls run unless they say `respectPause`. Not stored. */
  pauseDownloads(): void;
  resumeDownloads(): void;
  /** Calls `listener` once after each commit that changed rows, of this client, of the application, or of another tab. Returns the end. */
  onTableChange(listener: TableChangeListener): () => void;
  /** Announces a commit that the driver does not see, made through another connection, so that queries and uploads follow. */
  notifyTablesChanged(tables: readonly AnyTable<Name>[]): void;
  /** Runs a write of the application in one transaction; `tables` spares a driver without a change hook from finding them. */
  write<T>(fn: (tx: SqliteTx) => Promise<T>, tables?: readonly AnyTable<Name>[]): Promise<T>;
  /** A query that runs again whenever a commit touched one of its tables. Works before `open`. Throws `invalid_argument`. */
  liveQuery(sql: string, params?: readonly SqlValue[], options?: LiveQueryOptions): LiveQuery;
  /** Rows that were set aside, and what to do about them. */
  readonly quarantine: Quarantine;
  /** What became of local writes: the newest `outcomeLimit` decisions. */
  readonly outcomes: Outcomes;
  /** Unsent rows that the last attach set aside when it took over the server's rows. */
  discardedRows(page?: { readonly limit?: number; readonly offset?: number }): Promise<readonly DiscardedRow[]>;
  /** Forgets them. */
  clearDiscarded(options?: CallOptions): Promise<void>;
  /** Sets what a second connection to the same database needs before it writes managed tables. */
  prepareConnection(driver: SqliteDriver): Promise<void>;
  /** The managed tables as they were configured; their names are known to the compiler. */
  readonly tableNames: readonly Name[];
  /** What `open` found that works, but perhaps not as expected. */
  readonly warnings: readonly SchemaWarning[];
  /** Ends network waits, lets a running transaction finish, gives the database up; the driver stays open. Later calls fail with `client_closed`. */
  close(): Promise<void>;
}

/**
 * Creates a client. Validates the options and has no other effect: no SQL, no request, no lock.
 *
 * @throws SyncError `config_invalid`, with the name of the option in `details.option`.
 *
 * @example
 * ```ts
 * const client = createSyncClient({
 *   driver: createNodeSqliteDriver('app.db'),
 *   baseUrl: 'https://api.example.com',
 *   headers: async () => ({ Authorization: `Bearer ${await getToken()}` }),
 *   schema: 'business',
 *   tables: [{ tableName: 'notes', syncKeyColumnName: 'id' }],
 * });
 * await client.open();
 * await client.attach(userId);
 * await client.sync();
 * ```
 */
export function createSyncClient<const Name extends string = string>(options: SyncClientOptions<Name>): SyncClient<Name> {
  const engine = createEngine(resolveOptions(options));
  return clientOf(
    engine,
    options.tables.map(({ tableName }) => tableName),
  );
}

function pausesFor({ pauses }: Automation, { respectPause = false }: PausableOptions): PauseState {
  return { uploads: respectPause && pauses.areUploadsPaused, downloads: respectPause && pauses.areDownloadsPaused };
}

function clientOf<Name extends string>(engine: Engine, tableNames: readonly Name[]): SyncClient<Name> {
  const automation = new Automation(engine);
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= automation.close().then(() => closeEngine(engine));
    return closing;
  };
  return {
    ...automaticMethods(engine, automation),
    open: async (options = {}) => {
      const result = await openEngine(engine, options);
      automation.opened();
      return result;
    },
    attach: (userId, options = {}) => attach(engine, automation, userId, options),
    pushPending: (options = {}) =>
      runExclusive(engine, 'pushPending', options, (call) => pushPending(call, pausesFor(automation, options).uploads)),
    pullToStable: (options = {}) =>
      runExclusive(engine, 'pullToStable', options, (call) => pullToStable(call, pausesFor(automation, options))),
    sync: (options = {}) => runExclusive(engine, 'sync', options, sync),
    rebuild: (options = {}) => runExclusive(engine, 'rebuild', options, (call) => rebuild(call, options.replacement)),
    verify: (options = {}) => runExclusive(engine, 'verify', options, (call) => verify(call, options)),
    repair: (options = {}) => runExclusive(engine, 'repair', options, (call) => repair(call, options)),
    detach: async (options = {}) => {
      const result = await runExclusive(engine, 'detach', options, (call) => runDetach(call, options.discardPending === true));
      if (result.outcome === 'detached') automation.attachments.detached();
      return result;
    },
    syncThenDetach: async (options = {}) => {
      const report = await automation.withoutLoop(() => runExclusive(engine, 'syncThenDetach', options, syncThenDetach));
      if (report.detach.outcome === 'detached') automation.attachments.detached();
      return report;
    },
    uninstallSync: async (options = {}) => {
      const run = (call: Parameters<typeof runUninstall>[0]) => runUninstall(call, options.discardPending === true);
      const result = await runExclusive(engine, 'uninstallSync', options, run);
      if (result.outcome === 'uninstalled') await close();
      return result;
    },
    pendingSyncStatus: () => runRead(engine, 'pendingSyncStatus', () => loadPendingStatus(engine)),
    syncStatus: () => runRead(engine, 'syncStatus', () => loadSyncStatus(engine)),
    sourceInfo: () => runRead(engine, 'sourceInfo', () => loadSourceInfo(engine)),
    lastBundleSeqSeen: () => runRead(engine, 'lastBundleSeqSeen', () => loadCheckpoint(engine)),
    subscribe: (listener) => engine.events.subscribe(listener),
    quarantine: quarantineOf(engine),
    outcomes: outcomesOf(engine),
    discardedRows: (page = {}) => discardedRows(engine, page),
    clearDiscarded: (options = {}) => forgetDiscarded(engine, options),
    prepareConnection,
    tableNames,
    get warnings() {
      return engine.memory.warnings;
    },
    close,
  };
}

type AutomaticMethods = Pick<
  SyncClient,
  | 'start'
  | 'syncOnce'
  | 'pauseUploads'
  | 'resumeUploads'
  | 'pauseDownloads'
  | 'resumeDownloads'
  | 'onTableChange'
  | 'notifyTablesChanged'
  | 'write'
  | 'liveQuery'
>;

function automaticMethods(engine: Engine, automation: Automation): AutomaticMethods {
  const { pauses, changes } = automation;
  return {
    start: (options = {}) => automation.start(options),
    syncOnce: (options = {}) => syncOnce(engine, options),
    pauseUploads: () => pauses.setUploadsPaused(true),
    resumeUploads: () => pauses.setUploadsPaused(false),
    pauseDownloads: () => pauses.setDownloadsPaused(true),
    resumeDownloads: () => pauses.setDownloadsPaused(false),
    onTableChange: (listener) => changes.subscribe(listener),
    notifyTablesChanged: (tables) => changes.announceLocal(tables),
    write: (fn, tables) => automation.write(fn, tables),
    liveQuery: (sql, params = [], options = {}) => automation.liveQuery(sql, params, options),
  };
}

async function attach(engine: Engine, automation: Automation, userId: string, options: AttachOptions): Promise<AttachResult> {
  const result = await runExclusive(engine, 'attach', options, (call) => {
    if (typeof userId !== 'string' || userId.trim() === '')
      throw new SyncError('invalid_argument', { details: { argument: 'userId' } });
    return runAttach(call, userId, options.localData ?? 'replace');
  });
  if (result.status === 'connected') automation.attachments.attached(userId);
  return result;
}
