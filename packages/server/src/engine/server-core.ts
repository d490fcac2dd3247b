import { SyncError } from '@oversync/protocol';

import { CLOSE_COMMIT_GRACE_MS, CLOSE_TIMEOUT_MS, RETRY_AFTER_MS } from '../limits.ts';
import type { Catalog } from '../rules/table-description.ts';
import { metadataNames } from '../store/metadata.sql.ts';
import type { AdoptionReport } from './adopt.ts';
import { bootstrap } from './bootstrap.ts';
import type { BootstrapOptions, BootstrapResult } from './bootstrap.ts';
import { ByteBudget } from './byte-budget.ts';
import { Capabilities } from './capabilities.ts';
import type { Actor, CommitNotice, SyncContext } from './context.ts';
import { CountedEvents } from './counted-events.ts';
import { createEmitter } from './events.ts';
import type { ServerEvent } from './events.ts';
import { Health } from './health.ts';
import { Lifecycle } from './lifecycle.ts';
import { Maintenance } from './maintenance.ts';
import type { MaintenanceReport } from './maintenance.ts';
import { ObservedPostgres } from './observed-postgres.ts';
import type { ActorIdentity, ResolvedOptions } from './options.ts';
import { Permits } from './permits.ts';
import { queryAlone } from './query-alone.ts';
import { ScopeQueue } from './scope-queue.ts';
import { createSessionTokens } from './session-tokens.ts';
import type { SessionTokens } from './session-tokens.ts';
import { WatchHub } from './watch-hub.ts';
import { WatchNotifier } from './watch-notifier.ts';
import { WatchRelay } from './watch-relay.ts';
import { checkNotInWrite } from './write-context.ts';

/** What is known once bootstrap is complete. */
interface Ready {
  readonly catalog: Catalog;
  /** The metadata schema is of a newer release. */
  readonly follows: boolean;
  readonly tokens: SessionTokens;
}

/** Everything that one server owns: the context of its operations, its timers, its streams, and the order in which they end. */
export class ServerCore {
  readonly options: ResolvedOptions;
  readonly ctx: SyncContext;
  readonly capabilities: Capabilities;
  readonly hub: WatchHub;
  readonly health: Health;
  readonly counters = new CountedEvents();
  readonly #lifecycle = new Lifecycle();
  readonly #db: ObservedPostgres;
  readonly #notifier: WatchNotifier;
  readonly #relay: WatchRelay;
  readonly #maintenance: Maintenance;
  readonly #emit: (event: ServerEvent) => void;
  #ready: Ready | undefined;
  #bootstrapping: Promise<BootstrapResult> | undefined;
  #refreshing: Promise<boolean> | undefined;
  #nextRefresh: Promise<boolean> | undefined;
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ResolvedOptions) {
    this.options = options;
    const emitToHost = createEmitter(options.onEvent, options.logger);
    this.#emit = (event) => {
      this.counters.count(event);
      emitToHost(event);
    };
    this.capabilities = new Capabilities(options);
    this.hub = new WatchHub(options.watch);
    this.#db = new ObservedPostgres(options.database);
    this.ctx = this.#createContext();
    const { logger, watch } = options;
    const db = this.#db;
    this.#notifier = new WatchNotifier({ db, channel: watch.notifyChannel, debounceMs: watch.notifyDebounceMs, logger });
    this.#relay = new WatchRelay({
      hub: this.hub,
      query: (sql, params) => queryAlone(db, options, sql, params),
      names: this.ctx.names,
      listener: options.listenDatabase,
      channel: watch.notifyChannel,
      pollIntervalMs: watch.pollIntervalMs,
      logger,
      emit: this.#emit,
    });
    this.health = new Health(this.ctx, this.#db, this.counters);
    this.#maintenance = new Maintenance(this.ctx, this.counters, () => this.health.forget());
  }

  /** Idempotent; a failed bootstrap can be tried again. */
  bootstrap(): Promise<BootstrapResult> {
    this.#bootstrapping ??= this.#bootstrap().catch((error: unknown) => {
      this.#bootstrapping = undefined;
      throw error;
    });
    return this.#bootstrapping;
  }

  maintain(): Promise<MaintenanceReport> {
    this.#lifecycle.checkAccepting();
    return this.#maintenance.run();
  }

  /** A second call awaits the first. */
  close(timeoutMs: number = CLOSE_TIMEOUT_MS): Promise<void> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  /** The context of one request: its events name the actor, its transactions end with `signal`. */
  createRequestContext(actor: Actor, correlationId: string, signal: AbortSignal): SyncContext {
    const scope = { scopeId: actor.scopeId, correlationId, ...(actor.userId === undefined ? {} : { userId: actor.userId }) };
    return { ...this.ctx, signal, emit: (event) => this.#emit({ ...scope, ...event }) };
  }

  /**
   * Runs an operation that the host's own code asks for.
   *
   * @throws SyncError `service_unavailable` unless the server is running and bootstrapped, `callback_violation` inside a write callback.
   */
  async runForHost<T>(identity: ActorIdentity, fn: (ctx: SyncContext) => Promise<T>): Promise<T> {
    checkNotInWrite();
    const running = this.#lifecycle.enter();
    try {
      return await fn(this.createRequestContext({ ...identity, sourceId: '' }, crypto.randomUUID(), running.signal));
    } finally {
      running.leave();
    }
  }

  /** Gives rows from before registration their metadata, also where the options refuse to do it at start. */
  async adopt(): Promise<AdoptionReport> {
    checkNotInWrite();
    const options = { ...this.#bootstrapOptions(), adoption: 'auto', bootstrapPolicy: 'apply' } as const;
    const result = await bootstrap(options);
    if (this.#ready !== undefined) this.#accept(result);
    return result.adopted;
  }

  #createContext(): SyncContext {
    const { options } = this;
    return {
      options,
      db: this.#db,
      names: metadataNames(options.metadataSchema),
      lifecycle: this.#lifecycle,
      queue: new ScopeQueue(options.scopeQueueLength),
      snapshotQueue: new ScopeQueue(options.maxSnapshotSessionsPerScope),
      buffers: new ByteBudget(options.maxBufferedResponseBytes),
      permits: {
        snapshotBuild: new Permits(options.maxConcurrentSnapshotBuilds),
        snapshotChunk: new Permits(options.maxConcurrentSnapshotChunkRequests),
      },
      logger: options.logger,
      catalog: () => this.#getReady().catalog,
      refreshCatalog: () => this.#refreshCatalog(),
      tokens: () => this.#getReady().tokens,
      emit: (event) => this.#emit(event),
      publishCommit: (notice) => this.#publishCommit(notice),
    };
  }

  #getReady(): Ready {
    if (this.#ready !== undefined) return this.#ready;
    throw new SyncError('service_unavailable', { message: 'the server is still starting', retryAfterMs: RETRY_AFTER_MS });
  }

  async #bootstrap(): Promise<BootstrapResult> {
    const result = await bootstrap(this.#bootstrapOptions());
    this.#accept(result);
    for (const warning of result.warnings) this.options.logger.warn(warning.message, { code: warning.code });
    for (const version of result.appliedMigrations) this.#emit({ name: 'migrationApplied', version });
    // The server may have been closed while it was starting.
    if (this.#lifecycle.name !== 'running') return result;
    this.#lifecycle.markBootstrapped();
    this.#startTimers();
    return result;
  }

  #bootstrapOptions(): BootstrapOptions {
    return { ...this.options, onAdoptionProgress: (report) => this.#emit({ name: 'adoptionProgress', ...report }) };
  }

  #accept({ catalog, follows }: Pick<BootstrapResult, 'catalog' | 'follows'>): void {
    if (follows && this.#ready?.follows !== true) {
      const message =
        'the metadata are of a newer release: this server works with them, and leaves tables, triggers and adoption to it';
      this.options.logger.warn(message);
    }
    this.#ready = { catalog, follows, tokens: createSessionTokens(catalog.tokenSecret) };
  }

  #startTimers(): void {
    this.#scheduleRefresh();
    if (this.options.watch.enabled) this.#relay.start();
    if (this.options.maintenance.enabled) this.#maintenance.start();
  }

  #scheduleRefresh(): void {
    this.#refreshTimer = setTimeout(() => {
      void this.#refreshCatalog().finally(() => {
        if (this.#lifecycle.name === 'running') this.#scheduleRefresh();
      });
    }, this.options.catalogRefreshIntervalMs);
  }

  /**
   * Requests that notice a changed table at the same time share one look at the catalog: the next one, because a look that is under way
   * may have begun before the table changed.
   */
  #refreshCatalog(): Promise<boolean> {
    if (this.#refreshing === undefined) {
      this.#refreshing = this.#readCatalogAgain().finally(() => {
        this.#refreshing = undefined;
      });
      return this.#refreshing;
    }
    this.#nextRefresh ??= this.#refreshing.then(async (hasChanged) => {
      this.#nextRefresh = undefined;
      return (await this.#refreshCatalog()) || hasChanged;
    });
    return this.#nextRefresh;
  }

  async #readCatalogAgain(): Promise<boolean> {
    const before = this.#ready;
    try {
      const result = await bootstrap({ ...this.#bootstrapOptions(), keepsRegistrations: true });
      this.#lifecycle.setOutdated(false);
      const isSame = before !== undefined && isSameCatalog(before.catalog, result.catalog);
      if (isSame && before.follows === result.follows) return false;
      this.#accept(isSame ? { ...result, catalog: before.catalog } : result);
      for (const table of result.changedTables) this.#emit({ name: 'catalogChanged', table });
      return !isSame;
    } catch (cause) {
      if (isOutdated(cause)) this.#lifecycle.setOutdated(true);
      this.options.logger.error('the catalog could not be read again', { cause });
      return false;
    }
  }

  #publishCommit(notice: CommitNotice): void {
    if (!this.options.watch.enabled) return;
    const { scopePk, bundleSeq, sourceId, sourceBundleId } = notice;
    this.hub.publish(scopePk, { bundleSeq, source: { sourceId, sourceBundleId } });
    this.#notifier.notify({ scopePk, bundleSeq, sourceId, sourceBundleId });
  }

  async #close(timeoutMs: number): Promise<void> {
    this.#lifecycle.startShutdown();
    this.hub.endAll();
    this.ctx.permits.snapshotBuild.refuseWaiting();
    this.ctx.permits.snapshotChunk.refuseWaiting();
    clearTimeout(this.#refreshTimer);
    this.#notifier.stop();
    await Promise.all([this.#relay.stop(), this.#maintenance.stop(), this.#finishOperations(timeoutMs)]);
    this.#lifecycle.markClosed();
  }

  async #finishOperations(timeoutMs: number): Promise<void> {
    if (await this.#lifecycle.waitUntilIdle(timeoutMs)) return;
    this.#lifecycle.abortRunning();
    await this.#lifecycle.waitUntilIdle(CLOSE_COMMIT_GRACE_MS);
  }
}

/**
 * Shapes that another process has recorded count too: rows of them are stored from then on. So does everything else that is known of a
 * table, such as whether its triggers may change a row.
 */
function isSameCatalog(before: Catalog, now: Catalog): boolean {
  const isAlike =
    before.rowLayout === now.rowLayout && before.shapeSet === now.shapeSet && countShapes(before) === countShapes(now);
  return isAlike && describeTables(before) === describeTables(now);
}

/** Everything that a catalog says of its tables, as text to compare; the columns by name are the columns once more. */
function describeTables({ tables }: Catalog): string {
  return JSON.stringify([...tables.values()], (_name, value: unknown) => {
    if (value instanceof Map) return undefined;
    return typeof value === 'bigint' ? String(value) : value;
  });
}

function countShapes(catalog: Catalog): number {
  return [...catalog.shapes.values()].reduce((sum, shapes) => sum + shapes.size, 0);
}

/** The look at the catalog has found metadata that this release cannot work with. */
function isOutdated(cause: unknown): boolean {
  if (!(cause instanceof SyncError) || cause.code !== 'schema_violation') return false;
  const { violations } = cause.details;
  return Array.isArray(violations) && violations.some((found: unknown) => isNewerMetadata(found));
}

function isNewerMetadata(violation: unknown): boolean {
  return typeof violation === 'object' && violation !== null && Reflect.get(violation, 'code') === 'metadata_schema_newer';
}
