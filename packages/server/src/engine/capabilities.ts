import { PROTOCOL_VERSION, stringifyJson } from '@oversync/protocol';

import { normaliseTable, tableName } from '../rules/normalise-tables.ts';
import { compareUtf16 } from '../rules/table-description.ts';
import type { ActorIdentity, ResolvedOptions } from './options.ts';

/** Features that this server always has; the false one is a promise that it does not exist. */
const FIXED_FEATURES = {
  bundle_pull: true,
  bundle_push: true,
  push_session_chunking: true,
  committed_bundle_row_fetch: true,
  snapshot_chunking: true,
  status_endpoint: true,
  graceful_shutdown: true,
  capabilities_endpoint: true,
  history_pruned_errors: true,
  structured_sync_keys: true,
  registered_write_rejection_enforced: true,
  accepted_push_replay_visibility: true,
  committed_bundle_visibility: true,
  retained_floor_visibility: true,
  retained_window_visibility: true,
  history_pruned_visibility: true,
  connect_lifecycle: true,
  scope_initialization_leases: true,
  server_checkpoint_tracking: false,
  idempotent_push_chunks: true,
  push_session_status: true,
  push_violations: true,
  push_conflict_list: true,
  gzip_request_bodies: true,
  range_verification: true,
  push_chunks_ahead: true,
} as const;

export type Features = Readonly<Record<keyof typeof FIXED_FEATURES | 'bundle_change_watch', boolean>>;

export function getFeatures(isWatchAllowed: boolean): Features {
  return { ...FIXED_FEATURES, bundle_change_watch: isWatchAllowed };
}

/** Whether this actor may watch; `false` as well when watching is off. */
export async function isWatchAllowed(options: ResolvedOptions, actor: ActorIdentity): Promise<boolean> {
  if (!options.watch.enabled) return false;
  return options.watch.authorize === undefined || (await options.watch.authorize(actor));
}

/**
 * Both texts of the capabilities, made once: clients ask before every operation, and the answer depends on nothing but the options,
 * so it touches neither the database nor the scope and is there before bootstrap.
 */
export class Capabilities {
  readonly #allowed: string;
  readonly #refused: string;

  constructor(options: ResolvedOptions) {
    this.#allowed = stringifyJson(formatCapabilities(options, true));
    this.#refused = stringifyJson(formatCapabilities(options, false));
  }

  getText(isWatchAllowed: boolean): string {
    return isWatchAllowed ? this.#allowed : this.#refused;
  }
}

function formatCapabilities(options: ResolvedOptions, isWatchAllowed: boolean) {
  const tables = options.registeredTables
    .map(normaliseTable)
    .sort((left, right) => compareUtf16(tableName(left), tableName(right)));
  return {
    protocol_version: PROTOCOL_VERSION,
    schema_version: options.schemaVersion,
    app_name: options.appName === '' ? undefined : options.appName,
    registered_tables: tables.length === 0 ? undefined : tables.map(tableName),
    registered_table_specs: tables.map(({ schema, table, keyColumn }) => ({ schema, table, sync_key_columns: [keyColumn] })),
    features: getFeatures(isWatchAllowed),
    bundle_limits: formatLimits(options),
  };
}

function formatLimits(options: ResolvedOptions) {
  return {
    max_rows_per_bundle: options.maxRowsPerBundle ?? undefined,
    max_bytes_per_bundle: options.maxBytesPerBundle ?? undefined,
    max_bundles_per_pull: options.maxBundlesPerPull,
    default_rows_per_push_chunk: options.defaultRowsPerPushChunk,
    max_rows_per_push_chunk: options.maxRowsPerPushChunk,
    max_bytes_per_push_chunk: Math.min(options.maxDecodedBodyBytes, options.maxRequestBodyBytes),
    push_session_ttl_seconds: toSeconds(options.pushSessionTtlMs),
    default_rows_per_committed_bundle_chunk: options.defaultRowsPerCommittedBundleChunk,
    max_rows_per_committed_bundle_chunk: options.maxRowsPerCommittedBundleChunk,
    default_rows_per_snapshot_chunk: options.defaultRowsPerSnapshotChunk,
    max_rows_per_snapshot_chunk: options.maxRowsPerSnapshotChunk,
    snapshot_session_ttl_seconds: toSeconds(options.snapshotSessionTtlMs),
    max_rows_per_snapshot_session: options.maxRowsPerSnapshotSession ?? undefined,
    max_bytes_per_snapshot_session: options.maxBytesPerSnapshotSession ?? undefined,
    default_bytes_per_snapshot_chunk: options.defaultBytesPerSnapshotChunk,
    max_bytes_per_snapshot_chunk: options.maxBytesPerSnapshotChunk,
    max_bytes_per_snapshot_row: options.maxBytesPerSnapshotRow,
    snapshot_materialization_batch_rows: options.snapshotBatchRows,
    snapshot_materialization_batch_bytes: options.snapshotBatchBytes,
    max_concurrent_snapshot_builds: options.maxConcurrentSnapshotBuilds,
    max_concurrent_snapshot_chunk_requests: options.maxConcurrentSnapshotChunkRequests,
    initialization_lease_ttl_seconds: toSeconds(options.initializationLeaseTtlMs),
  };
}

function toSeconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}
