import type { Sha256Factory } from '@oversync/protocol';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { ConflictContext, Resolution, Resolver, RowOp } from '../rules/conflict-types.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { ClientState, Outbox, StagedSession } from './client-state.ts';
import type { MatchedRun } from './frozen-match.ts';

/** Bounds of one page of rows: whichever is reached first; a single row always fits. */
export interface PageBounds {
  readonly rowsMax: number;
  readonly bytesMax: number;
}

/** A row that has been set aside. `key` is the wire form. */
export interface QuarantineRef {
  readonly table: string;
  readonly key: string;
  readonly op: RowOp;
  readonly origin: QuarantineOrigin;
  readonly code: string;
}

export type QuarantineOrigin = 'freeze' | 'push' | 'pull' | 'rebuild' | 'resolver';

export interface FreezeInput {
  /** Soft end of the frozen bundle (`maxRowsPerPush`, `maxBytesPerPush`). */
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** Hard limits of the server; `null` when it has none. */
  readonly bundleRowsMax: number | null;
  readonly bundleBytesMax: number | null;
  /** `max_bytes_per_snapshot_row`: a larger wire row is quarantined as `row_too_large`. */
  readonly rowBytesMax: number;
  /** Only dirty rows with an ordinal up to this one; `null` = all that are there now. */
  readonly ordinalMax: bigint | null;
  /** Lease to send with the bundle. */
  readonly initializationId: string | null;
  readonly sourceId: string;
  readonly page: PageBounds;
  /** Rows this call may quarantine before it fails with `quarantine_limit_reached`. */
  readonly quarantineMax: number;
  /** Bisecting: cut exactly at `rowsMax`, also inside a foreign-key group. */
  readonly cutsGroups?: boolean;
  /** Tables whose deletes go ahead of their upserts (retry after a `unique` violation). */
  readonly deletesFirst?: ReadonlySet<string>;
  readonly sha256?: Sha256Factory;
}

export interface FreezeResult {
  readonly outbox: Extract<Outbox, { readonly state: 'none' | 'prepared' }>;
  /** Dirty rows within `ordinalMax` are left for a further part. */
  readonly hasMore: boolean;
  /** Highest dirty ordinal when the freeze began; 0 when nothing was dirty. Hand it to the freezes of the further parts. */
  readonly ordinalMax: bigint;
  readonly quarantined: readonly QuarantineRef[];
  /** Tables whose rows were written (server images of records that became no-ops). */
  readonly tables: readonly string[];
}

export interface OutboxChunk {
  /** Row objects of the upload body joined with commas, without the brackets. */
  readonly rowsText: string;
  readonly rowCount: number;
  /** Ordinal after the last row of the chunk. */
  readonly nextOrdinal: number;
}

/** A bundle handed over in memory, or one whose rows all lie in `_oversync_bundle_stage`. */
export type BundleRows = { readonly rows: readonly CheckedRow[] } | { readonly staged: true };

export interface ReplayInput {
  /** The committed outbox that the rows belong to; compared with the stored one inside the transaction. */
  readonly outbox: Extract<Outbox, { readonly state: 'committed_remote' }>;
  /** The committed rows, all of them or those that are not in `matched`. */
  readonly bundle: BundleRows;
  /** Rows that the server has committed as they were frozen. */
  readonly matched?: readonly MatchedRun[];
  readonly page: PageBounds;
  readonly quarantineMax: number;
  readonly outcomeLimit: number;
}

export interface ReplayResult {
  readonly committedRowCount: number;
  /** Uploaded rows that were edited meanwhile and queued again. */
  readonly requeuedRowCount: number;
  readonly contestedRowCount: number;
  readonly quarantined: readonly QuarantineRef[];
  readonly lastBundleSeqSeen: bigint;
  /** Wire names of the tables of all committed rows. */
  readonly tables: readonly string[];
}

export type PulledBundle = { readonly bundleSeq: bigint } & BundleRows;

export interface ApplyInput {
  readonly page: PageBounds;
  readonly quarantineMax: number;
  readonly outcomeLimit: number;
  /** `reject` = refuse inside the transaction when dirty or outbox rows exist (client.md 7.3). */
  readonly pullWithPending: 'rebase' | 'reject';
}

/**
 * Why a pulled bundle waits for the next push: a parent that it needs is deleted here and not pushed yet, or a frozen row holds a unique
 * value that it brings.
 */
export type DeferReason = 'pending_local_delete' | 'pending_push';

export interface ApplyResult {
  /** The checkpoint after the call: that of the last bundle which was applied. */
  readonly lastBundleSeqSeen: bigint;
  readonly appliedBundleCount: number;
  readonly contestedRowCount: number;
  readonly quarantined: readonly QuarantineRef[];
  readonly tables: readonly string[];
  /** Set when a bundle could not be applied now; earlier bundles stay applied. `apply_failed` asks for a rebuild. */
  readonly stopped: { readonly reason: DeferReason | 'apply_failed'; readonly bundleSeq: bigint } | null;
}

export interface SnapshotApplyInput {
  /** State read before staging began; any difference is `snapshot_gate_failed`. Dirty rows may differ. */
  readonly pinned: ClientState;
  readonly session: StagedSession;
  readonly target: {
    readonly userId: string;
    /** Source after the apply; another one than the current rotates. */
    readonly sourceId: string;
  };
  readonly page: PageBounds;
  readonly quarantineMax: number;
  readonly outcomeLimit: number;
  readonly signal?: AbortSignal;
  /** Called after each applied page with the rows done so far. */
  readonly onPage?: (rowsDone: number, tx: SqliteTx) => void | Promise<void>;
}

export interface SnapshotApplyResult {
  readonly bundleSeq: bigint;
  readonly rowCount: bigint;
  readonly quarantined: readonly QuarantineRef[];
  readonly contestedRowCount: number;
  readonly tables: readonly string[];
}

/** One entry of a `push_conflict` answer after its shape has been checked. */
export interface ServerConflict {
  readonly table: string;
  readonly keyJson: string;
  readonly op: RowOp;
  readonly baseRowVersion: bigint;
  readonly serverRowVersion: bigint;
  readonly serverRowDeleted: boolean;
  /** JSON text of `server_row`. */
  readonly serverPayload: string | null;
}

export interface ResolveInput {
  readonly resolverFor: (table: string) => Resolver;
  readonly origin: ConflictContext['origin'];
  /** Which decision of this call it is for the key: 1 for the first. Called once per conflict. */
  readonly attemptOf: (table: string, keyJson: string) => number;
  readonly quarantineMax: number;
  readonly outcomeLimit: number;
  readonly page: PageBounds;
}

export interface ConflictSummary {
  readonly table: string;
  readonly key: string;
  readonly localOp: RowOp;
  readonly resolution: Resolution['kind'];
  readonly serverRowVersion: bigint;
}

export interface ResolveResult {
  readonly conflicts: readonly ConflictSummary[];
  readonly quarantined: readonly QuarantineRef[];
  /** Tables whose rows were written. */
  readonly tables: readonly string[];
}

export interface PendingCounts {
  readonly dirty: number;
  readonly outbox: number;
  readonly quarantined: number;
}
