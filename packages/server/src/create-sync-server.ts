import type { BootstrapResult } from './engine/bootstrap.ts';
import type { MaintenanceReport } from './engine/maintenance.ts';
import type { SyncServerOptions } from './engine/options.ts';
import { resolveOptions } from './engine/resolve-options.ts';
import { ServerCore } from './engine/server-core.ts';
import { handleOpsRequest } from './http/ops-handler.ts';
import { handleSyncRequest } from './http/sync-handler.ts';
import { webGzip } from './ports/gzip.ts';
import type { Gzip } from './ports/gzip.ts';

/** What an adapter can do better than the Web platform. */
export interface FetchPlatform {
  /** Compresses response bodies; default is the platform's CompressionStream. */
  readonly gzip?: Gzip;
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
  return {
    bootstrap: () => core.bootstrap(),
    fetch: (request, platform) => handleSyncRequest(core, request, platform?.gzip ?? webGzip),
    ops: { fetch: (request, platform) => handleOpsRequest(core, request, platform?.gzip ?? webGzip) },
    maintain: () => core.maintain(),
    close: (closeOptions) => core.close(closeOptions?.timeoutMs),
  };
}
