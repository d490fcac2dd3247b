import { PROTOCOL_VERSION, SyncError, isJsonObject, parseInt64 } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';

/** One table as both sides describe it. */
export interface TableContract {
  readonly schema: string;
  readonly table: string;
  readonly keyColumn: string;
}

/** What the client wants of snapshots before it knows the server. */
export interface SnapshotWishes {
  readonly chunkRows: number;
  readonly chunkBytes: number;
  /** `snapshotApplyBatchBytes`: the largest row that can be applied. */
  readonly applyBatchBytes: number;
}

/** Limits of the server that a call works with. `null` = the server does not say. */
export interface ServerLimits {
  readonly maxRowsPerBundle: number | null;
  readonly maxBytesPerBundle: number | null;
  readonly maxBundlesPerPull: number | null;
  readonly maxRowsPerPushChunk: number | null;
  readonly maxBytesPerPushChunk: number | null;
  readonly maxRowsPerCommittedBundleChunk: number | null;
  readonly maxBytesPerSnapshotRow: number;
}

/** Capabilities that passed the gate of protocol.md 4.4. */
export interface ServerCapabilities {
  readonly schemaVersion: bigint;
  readonly features: ReadonlySet<string>;
  readonly limits: ServerLimits;
  /** Rows and bytes that snapshot chunks are asked with. */
  readonly snapshotChunk: { readonly rows: number; readonly bytes: number };
}

const INT32_MAX = 2_147_483_647n;

/** Checks capabilities in the order of protocol.md 4.4 and negotiates. Throws the code of the first gate that fails. */
export function checkCapabilities(
  capabilities: JsonObject,
  local: readonly TableContract[],
  wishes: SnapshotWishes,
): ServerCapabilities {
  if (capabilities['protocol_version'] !== PROTOCOL_VERSION)
    throw new SyncError('protocol_version_mismatch', versionDetails(capabilities));
  const schemaVersion = parseInt64(capabilities['schema_version']);
  if (schemaVersion === null) throw invalid('schema_version');
  checkTableContract(local, parseTableSpecs(capabilities['registered_table_specs']));
  const features = parseFeatures(capabilities['features']);
  const limits = capabilities['bundle_limits'];
  if (!isJsonObject(limits)) throw unsupportedLimits('bundle_limits');
  return { schemaVersion, features, ...negotiate(limits, wishes) };
}

function versionDetails(capabilities: JsonObject): { readonly details: { readonly actual: string } } {
  const actual = capabilities['protocol_version'];
  return { details: { actual: typeof actual === 'string' && /^[A-Za-z0-9_.-]{1,63}$/.test(actual) ? actual : '' } };
}

function invalid(member: string): SyncError {
  return new SyncError('capabilities_invalid', { details: { member } });
}

function unsupportedLimits(member: string): SyncError {
  return new SyncError('snapshot_limits_unsupported', { details: { member } });
}

/** The table list of the server. Throws `capabilities_invalid` unless it is a list of distinct tables with exactly one key each. */
export function parseTableSpecs(value: JsonValue | undefined): readonly TableContract[] {
  if (!Array.isArray(value)) throw invalid('registered_table_specs');
  const seen = new Set<string>();
  return value.map((entry) => {
    const contract = isJsonObject(entry) ? tableContract(entry) : null;
    if (contract === null || seen.has(qualifiedName(contract))) throw invalid('registered_table_specs');
    seen.add(qualifiedName(contract));
    return contract;
  });
}

function tableContract(entry: JsonObject): TableContract | null {
  const { schema, table, sync_key_columns: columns } = entry;
  if (!isName(schema) || !isName(table) || !Array.isArray(columns)) return null;
  const [keyColumn] = columns;
  return isName(keyColumn) && columns.length === 1 ? { schema, table, keyColumn } : null;
}

function isName(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value.trim() !== '';
}

function qualifiedName(contract: TableContract): string {
  return `${contract.schema}.${contract.table}`;
}

/** Throws `table_contract_mismatch` with sorted lists unless both sides manage the same tables under the same keys. */
export function checkTableContract(local: readonly TableContract[], server: readonly TableContract[]): void {
  const localKeys = new Map(local.map((contract) => [qualifiedName(contract), contract.keyColumn]));
  const serverKeys = new Map(server.map((contract) => [qualifiedName(contract), contract.keyColumn]));
  const serverOnly = [...serverKeys.keys()].filter((name) => !localKeys.has(name)).sort();
  const clientOnly = [...localKeys.keys()].filter((name) => !serverKeys.has(name)).sort();
  const keyMismatches = [...localKeys]
    .filter(([name, key]) => serverKeys.has(name) && serverKeys.get(name) !== key)
    .map(([table, clientKey]) => ({ table, clientKey, serverKey: serverKeys.get(table) ?? '' }))
    .sort((a, b) => (a.table < b.table ? -1 : 1));
  if (serverOnly.length + clientOnly.length + keyMismatches.length === 0) return;
  throw new SyncError('table_contract_mismatch', { details: { serverOnly, clientOnly, keyMismatches } });
}

function parseFeatures(value: JsonValue | undefined): ReadonlySet<string> {
  if (!isJsonObject(value)) throw invalid('features');
  const entries = Object.entries(value);
  if (entries.some(([, enabled]) => typeof enabled !== 'boolean')) throw invalid('features');
  return new Set(entries.filter(([, enabled]) => enabled === true).map(([name]) => name));
}

function negotiate(limits: JsonObject, wishes: SnapshotWishes): Pick<ServerCapabilities, 'limits' | 'snapshotChunk'> {
  const rowsMax = requiredLimit(limits, 'max_rows_per_snapshot_chunk', INT32_MAX);
  const bytesMax = requiredLimit(limits, 'max_bytes_per_snapshot_chunk', null);
  const rowBytesMax = requiredLimit(limits, 'max_bytes_per_snapshot_row', null);
  if (requiredLimit(limits, 'default_rows_per_snapshot_chunk', INT32_MAX) > rowsMax)
    throw unsupportedLimits('default_rows_per_snapshot_chunk');
  if (requiredLimit(limits, 'default_bytes_per_snapshot_chunk', null) > bytesMax)
    throw unsupportedLimits('default_bytes_per_snapshot_chunk');
  requiredLimit(limits, 'max_concurrent_snapshot_builds', INT32_MAX);
  requiredLimit(limits, 'max_concurrent_snapshot_chunk_requests', INT32_MAX);
  if (rowBytesMax > bytesMax) throw unsupportedLimits('max_bytes_per_snapshot_row');
  const bytes = Math.min(wishes.chunkBytes, bytesMax);
  if (bytes < rowBytesMax || wishes.applyBatchBytes < rowBytesMax) throw unsupportedLimits('max_bytes_per_snapshot_row');
  return { snapshotChunk: { rows: Math.min(wishes.chunkRows, rowsMax), bytes }, limits: serverLimits(limits, rowBytesMax) };
}

function serverLimits(limits: JsonObject, maxBytesPerSnapshotRow: number): ServerLimits {
  return {
    maxRowsPerBundle: optionalLimit(limits, 'max_rows_per_bundle'),
    maxBytesPerBundle: optionalLimit(limits, 'max_bytes_per_bundle'),
    maxBundlesPerPull: optionalLimit(limits, 'max_bundles_per_pull'),
    maxRowsPerPushChunk: optionalLimit(limits, 'max_rows_per_push_chunk'),
    maxBytesPerPushChunk: optionalLimit(limits, 'max_bytes_per_push_chunk'),
    maxRowsPerCommittedBundleChunk: optionalLimit(limits, 'max_rows_per_committed_bundle_chunk'),
    maxBytesPerSnapshotRow,
  };
}

/** A limit that has to be there and positive. A 64-bit limit above 2^53 bounds nothing a client could hold, so it counts as 2^53 − 1. */
function requiredLimit(limits: JsonObject, name: string, max: bigint | null): number {
  const value = parseInt64(limits[name]);
  if (value === null || value <= 0n || (max !== null && value > max)) throw unsupportedLimits(name);
  return toNumber(value);
}

/** Zero is what the Go server sends for "no limit". */
function optionalLimit(limits: JsonObject, name: string): number | null {
  const value = parseInt64(limits[name]);
  return value === null || value <= 0n ? null : toNumber(value);
}

function toNumber(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}
