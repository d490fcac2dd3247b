import type { Postgres } from '../ports/postgres.ts';
import type { Catalog } from '../rules/table-description.ts';
import type { MetadataNames } from '../store/metadata.sql.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { Logger, ServerEvent } from './events.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { ResolvedOptions } from './options.ts';
import type { Permits } from './permits.ts';
import type { ScopeQueue } from './scope-queue.ts';
import type { SessionTokens } from './session-tokens.ts';

/** Who calls: the scope and user come from the host's authentication, the source id from the header. */
export interface Actor {
  readonly scopeId: string;
  readonly userId?: string;
  readonly sourceId: string;
}

/** What a committed bundle tells the watch hub. `sourceBundleId` and `bundleSeq` are 64-bit counters. */
export interface CommitNotice {
  readonly scopeId: string;
  readonly scopePk: string;
  readonly bundleSeq: bigint;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
}

/**
 * Everything an operation needs. One per server; operation functions are `(ctx, actor, input) => Promise<body>` and throw
 * `SyncError`.
 */
export interface SyncContext {
  readonly options: ResolvedOptions;
  readonly db: Postgres;
  /** Qualified, quoted names of the metadata tables. */
  readonly names: MetadataNames;
  readonly lifecycle: Lifecycle;
  /** Admits one writer per scope before a connection is taken. */
  readonly queue: ScopeQueue;
  /** Lets requests for the same scope's snapshot wait for the one that builds the image. */
  readonly snapshotQueue: ScopeQueue;
  /** What responses may hold in memory together. */
  readonly buffers: ByteBudget;
  readonly permits: { readonly snapshotBuild: Permits; readonly snapshotChunk: Permits };
  readonly logger: Logger;
  /** False sends small pushes the ordinary way too; by default the short one is tried first. */
  readonly takesShortWay?: boolean;
  /** False applies every push step by step; by default one statement is tried where it can be enough. */
  readonly commitsDirectly?: boolean;
  /** Rows of one part of a large direct push; has a default. */
  readonly directPartRows?: number;
  /** Aborts when the operation has to end: shutdown, or for reads also a client that went away. Undefined outside requests. */
  readonly signal?: AbortSignal | undefined;
  /** The registered tables as last read from PostgreSQL. Throws `service_unavailable` before bootstrap is complete. */
  catalog(): Catalog;
  /** Reads the catalog again after a statement failed on a changed table; resolves to whether it changed. */
  refreshCatalog(): Promise<boolean>;
  /** Makes and checks `push_id` and `snapshot_id`. Throws `service_unavailable` before bootstrap is complete. */
  tokens(): SessionTokens;
  /** Inside a request, scope, user and correlation id are added. */
  emit(event: ServerEvent): void;
  /** Call after COMMIT has succeeded, never before. Does not throw and does not wait. */
  publishCommit(notice: CommitNotice): void;
}
