import { checkScope, invalidateHistory, repairScope } from './engine/admin.ts';
import type { ScopeCheck, ScopeRepair } from './engine/admin.ts';
import type { AdoptionReport } from './engine/adopt.ts';
import type { BootstrapResult } from './engine/bootstrap.ts';
import { execWrite, withinSyncBundle } from './engine/exec-write.ts';
import type { ExecWriteOptions, SyncBundleOptions, SyncBundleResult } from './engine/exec-write.ts';
import type { MaintenanceReport } from './engine/maintenance.ts';
import type { ActorIdentity, SyncServerOptions } from './engine/options.ts';
import { resolveOptions } from './engine/resolve-options.ts';
import { ServerCore } from './engine/server-core.ts';
import type { ServerWriteResult } from './engine/server-write.ts';
import type { WriteCallback } from './engine/write-transaction.ts';
import { registerAnswerer } from './http/answerers.ts';
import { handleOpsRequest } from './http/ops-handler.ts';
import { answerSyncRequest, handleSyncRequest } from './http/sync-handler.ts';
import { webGzip } from './ports/gzip.ts';
import type { Gzip } from './ports/gzip.ts';

/** What an adapter can do better than the Web platform. */
export interface FetchPlatform {
  /** Compresses response bodies; default is the platform's CompressionStream. */
  readonly gzip?: Gzip;
}

/** Writes of the host's own code that clients receive like any other. */
export interface SyncScopes {
  /**
   * Runs `fn` in one bundle transaction of the scope and commits what it changed in registered tables. A scope that nobody has used yet
   * is initialized by it. `fn` may run again after a rollback (serialization failure, deadlock, lock time-out), so it must have no
   * effects outside `tx`; what it throws rolls everything back and is passed on. Deferrable constraints are checked after `fn`.
   *
   * @throws SyncError `no_captured_changes` when no registered row was touched (everything is rolled back, other tables included);
   * `push_commit_invalid` with `details.violation` for data that PostgreSQL refuses, with `details.limit_exceeded` for a bundle above
   * the limits; `callback_violation` for a statement that belongs to the library; `scope_initializing` while a client seeds the
   * scope; `operation_replay_changed` for an `operationId` that was used with another `operationHash`; `source_retired`;
   * `service_unavailable` after transient faults outlasted the retries; `commit_outcome_unknown` when the connection broke at COMMIT:
   * calling again with the same `operationId` finds out.
   *
   * @example
   * ```ts
   * const { bundle } = await server.scopes.execWrite('tenant-7', { writerId: 'billing' }, async (tx) => {
   *   await tx.query('UPDATE business.invoices SET paid = true WHERE _sync_scope_id = $1 AND id = $2', ['tenant-7', invoiceId]);
   * });
   * ```
   */
  readonly execWrite: (scopeId: string, options: ExecWriteOptions, fn: WriteCallback) => Promise<ServerWriteResult>;
}

/** What operators do. */
export interface SyncAdmin {
  /** Compares the rows of a scope with their versions. Locks nothing, reads every key of the scope. */
  readonly checkScope: (scopeId: string) => Promise<ScopeCheck>;
  /** Writes one bundle that makes clients see what the tables hold: rows without a version, and versions without a row. */
  readonly repairScope: (scopeId: string, options: { readonly writerId: string }) => Promise<ScopeRepair>;
  /**
   * Makes every client of the scope rebuild from a snapshot: for use after a backup was restored, before clients come back.
   *
   * @throws SyncError `scope_uninitialized` for a scope without history.
   */
  readonly invalidateHistory: (scopeId: string) => Promise<{ readonly headBundleSeq: bigint }>;
  /**
   * Adopts populated tables now, whatever the option `adoption` says; works before `bootstrap()`, so that a deployment can run it on
   * its own. Resumable: a call after an interrupted one continues.
   *
   * @throws SyncError `schema_violation` as `bootstrap()` does.
   */
  readonly adopt: () => Promise<AdoptionReport>;
}

/** A sync server: handlers to mount, and the life cycle around them. */
export interface SyncServer {
  /**
   * Checks the database, installs or migrates the metadata and opens the server for operations. Idempotent, and safe in many processes
   * at once; until it has resolved, operations answer 503.
   *
   * @throws SyncError `schema_violation` with all violations, and the statements that repair them, in `details`.
   */
  readonly bootstrap: () => Promise<BootstrapResult>;
  /** Answers every request whose path contains `/sync/…`, below any prefix. Never rejects. */
  readonly fetch: (request: Request, platform?: FetchPlatform) => Promise<Response>;
  /** Health and status, mounted by the host where it wants, also on another port. */
  readonly ops: { readonly fetch: (request: Request, platform?: FetchPlatform) => Promise<Response> };
  readonly scopes: SyncScopes;
  /**
   * As `scopes.execWrite`, for callers that number the bundles of their source themselves. The scope has to be initialized; `userId` is
   * for events only. A tuple that
   * is committed already is not run again: the result of the first call comes back with `replayed: true`.
   *
   * @throws SyncError as `scopes.execWrite`, and `scope_uninitialized`; `source_sequence_out_of_order` for an id above the next one;
   * `operation_history_unavailable` for an id whose bundle is no longer retained or has another `operationHash`.
   */
  readonly withinSyncBundle: (actor: ActorIdentity, options: SyncBundleOptions, fn: WriteCallback) => Promise<SyncBundleResult>;
  readonly admin: SyncAdmin;
  /** One maintenance run, for hosts that schedule it themselves. Resolves to the rows removed per kind of work. */
  readonly maintain: () => Promise<MaintenanceReport>;
  /**
   * Ends streams and timers, waits for running operations up to `timeoutMs` (default 30 seconds), then aborts them. The host's pool
   * stays open. Calling it again awaits the first call.
   */
  readonly close: (options?: { readonly timeoutMs?: number }) => Promise<void>;
}

/**
 * Makes a sync server from its options. Opens nothing: call `bootstrap()` before or while requests come in.
 *
 * @throws SyncError `options_invalid`; `details.problems` lists every fault.
 *
 * @example
 * ```ts
 * const server = createSyncServer({
 *   database: createPgDatabase(pool),
 *   registeredTables: [{ schema: 'business', table: 'notes', syncKeyColumn: 'id' }],
 *   resolveActor: async (request) => ({ scopeId: await verifyToken(request.headers.get('authorization')) }),
 * });
 * await server.bootstrap();
 * ```
 */
export function createSyncServer(options: SyncServerOptions): SyncServer {
  const core = new ServerCore(resolveOptions(options));
  const fetch = (request: Request, platform?: FetchPlatform): Promise<Response> =>
    handleSyncRequest(core, request, platform?.gzip ?? webGzip);
  return {
    bootstrap: () => core.bootstrap(),
    fetch: registerAnswerer(fetch, (incoming, gzip) => answerSyncRequest(core, incoming, gzip)),
    ops: { fetch: (request, platform) => handleOpsRequest(core, request, platform?.gzip ?? webGzip) },
    scopes: {
      execWrite: (scopeId, writeOptions, fn) => core.runForHost({ scopeId }, (ctx) => execWrite(ctx, scopeId, writeOptions, fn)),
    },
    withinSyncBundle: (actor, bundleOptions, fn) =>
      core.runForHost(actor, (ctx) => withinSyncBundle(ctx, actor, bundleOptions, fn)),
    admin: {
      checkScope: (scopeId) => core.runForHost({ scopeId }, (ctx) => checkScope(ctx, scopeId)),
      repairScope: (scopeId, repairOptions) => core.runForHost({ scopeId }, (ctx) => repairScope(ctx, scopeId, repairOptions)),
      invalidateHistory: (scopeId) => core.runForHost({ scopeId }, (ctx) => invalidateHistory(ctx, scopeId)),
      adopt: () => core.adopt(),
    },
    maintain: () => core.maintain(),
    close: (closeOptions) => core.close(closeOptions?.timeoutMs),
  };
}
