import * as v from 'valibot';
import { SyncError } from '../errors/sync-error.ts';
import type { ErrorCode } from '../errors/error-table.ts';
import type { JsonValue } from '../json/json-value.ts';
import { isJsonObject } from '../json/json-value.ts';
import { LIMITS, PROTOCOL_VERSION } from '../limits.ts';
import {
  absent,
  ByteLimitSchema,
  FeaturesSchema,
  Int64Schema,
  Limit32Schema,
  NotBlankSchema,
  PositiveInt64Schema,
} from './schemas.ts';

const INT32_MIN = -2_147_483_648n;

/** One registered table: the names both sides compare byte for byte. */
export const TableSpecSchema = v.object({
  schema: NotBlankSchema,
  table: NotBlankSchema,
  sync_key_columns: v.pipe(v.array(NotBlankSchema), v.length(1)),
});

/** Names of a table and its key column as the server sends them. */
export type TableSpec = v.InferOutput<typeof TableSpecSchema>;

const TableSpecsSchema = v.pipe(
  v.array(TableSpecSchema),
  v.check((specs) => new Set(specs.map((spec) => JSON.stringify([spec.schema, spec.table]))).size === specs.length),
);

/** Limits every server of the contract sends; without them it is an older generation. */
export const REQUIRED_LIMITS = [
  'default_rows_per_snapshot_chunk',
  'max_rows_per_snapshot_chunk',
  'default_bytes_per_snapshot_chunk',
  'max_bytes_per_snapshot_chunk',
  'max_bytes_per_snapshot_row',
  'max_concurrent_snapshot_builds',
  'max_concurrent_snapshot_chunk_requests',
] as const;

/** Member `bundle_limits`; members that are not known are ignored. */
export const BundleLimitsSchema = v.pipe(
  v.object({
    default_rows_per_snapshot_chunk: Limit32Schema,
    max_rows_per_snapshot_chunk: Limit32Schema,
    default_bytes_per_snapshot_chunk: ByteLimitSchema,
    max_bytes_per_snapshot_chunk: ByteLimitSchema,
    max_bytes_per_snapshot_row: ByteLimitSchema,
    max_concurrent_snapshot_builds: Limit32Schema,
    max_concurrent_snapshot_chunk_requests: Limit32Schema,
    snapshot_materialization_batch_rows: v.optional(Limit32Schema),
    snapshot_materialization_batch_bytes: v.optional(ByteLimitSchema),
    max_rows_per_snapshot_session: v.optional(PositiveInt64Schema),
    max_bytes_per_snapshot_session: v.optional(PositiveInt64Schema),
    max_rows_per_bundle: v.optional(Limit32Schema),
    max_bytes_per_bundle: v.optional(Limit32Schema),
    max_bundles_per_pull: v.optional(Limit32Schema),
    default_rows_per_push_chunk: v.optional(Limit32Schema),
    max_rows_per_push_chunk: v.optional(Limit32Schema),
    max_bytes_per_push_chunk: v.optional(ByteLimitSchema),
    default_rows_per_committed_bundle_chunk: v.optional(Limit32Schema),
    max_rows_per_committed_bundle_chunk: v.optional(Limit32Schema),
    push_session_ttl_seconds: v.optional(Limit32Schema),
    snapshot_session_ttl_seconds: v.optional(Limit32Schema),
    initialization_lease_ttl_seconds: v.optional(Limit32Schema),
  }),
  v.check((limits) => limits.default_rows_per_snapshot_chunk <= limits.max_rows_per_snapshot_chunk),
  v.check((limits) => limits.default_bytes_per_snapshot_chunk <= limits.max_bytes_per_snapshot_chunk),
  v.check((limits) => limits.max_bytes_per_snapshot_row <= limits.max_bytes_per_snapshot_chunk),
);

/** Limits of a server. 64-bit limits are bigint; those that are absent are off or not told. */
export type BundleLimits = v.InferOutput<typeof BundleLimitsSchema>;

const SchemaVersionSchema = v.pipe(Int64Schema, v.minValue(INT32_MIN), v.maxValue(BigInt(LIMITS.int32Max)), v.transform(Number));

/** Reply of `GET /sync/capabilities`. It may carry more members. */
export const CapabilitiesSchema = v.object({
  protocol_version: v.literal(PROTOCOL_VERSION),
  schema_version: SchemaVersionSchema,
  app_name: absent(v.string()),
  registered_tables: absent(v.array(v.string())),
  registered_table_specs: TableSpecsSchema,
  features: FeaturesSchema,
  bundle_limits: BundleLimitsSchema,
});

/** What a server offers. */
export type Capabilities = v.InferOutput<typeof CapabilitiesSchema>;

/** The members that gates look at, in the order in which a client has to check them. */
export type CapabilitiesGate = 'protocol_version' | 'schema_version' | 'registered_table_specs' | 'features' | 'bundle_limits';

/** A member that is missing or unusable. */
export interface CapabilitiesProblem {
  readonly gate: CapabilitiesGate;
  readonly code: 'protocol_version_mismatch' | 'capabilities_invalid' | 'snapshot_limits_unsupported';
  /** The member itself, or the limit at fault inside `bundle_limits`. */
  readonly member: string;
}

/** Capabilities of which every member is judged alone: what is usable is there, the rest is in `problems`. */
export interface CapabilitiesReading {
  readonly protocol_version: string | undefined;
  readonly schema_version: number | undefined;
  readonly registered_table_specs: readonly TableSpec[] | undefined;
  readonly features: Readonly<Record<string, boolean>> | undefined;
  readonly bundle_limits: BundleLimits | undefined;
  /** In gate order; empty when the whole body is usable. */
  readonly problems: readonly CapabilitiesProblem[];
}

/**
 * Reads capabilities without giving up at the first fault, so that a client can run its own checks between those of
 * the members: a wrong version comes before everything, a table mismatch before missing features and limits.
 */
export function readCapabilities(json: JsonValue): CapabilitiesReading {
  const body = isJsonObject(json) ? json : {};
  const problems: CapabilitiesProblem[] = [];
  const read = <TOutput>(
    gate: CapabilitiesGate,
    schema: v.BaseSchema<unknown, TOutput, v.BaseIssue<unknown>>,
    code: CapabilitiesProblem['code'] = 'capabilities_invalid',
  ): TOutput | undefined => {
    const result = v.safeParse(schema, body[gate], { abortEarly: true });
    if (result.success) return result.output;
    problems.push({ gate, code, member: limitOf(result.issues[0]) ?? gate });
    return undefined;
  };
  const version = body['protocol_version'];
  read('protocol_version', v.literal(PROTOCOL_VERSION), 'protocol_version_mismatch');
  return {
    protocol_version: typeof version === 'string' ? version : undefined,
    schema_version: read('schema_version', SchemaVersionSchema),
    registered_table_specs: read('registered_table_specs', TableSpecsSchema),
    features: read('features', FeaturesSchema),
    bundle_limits: read('bundle_limits', BundleLimitsSchema, 'snapshot_limits_unsupported'),
    problems,
  };
}

/** The limit at fault, if its name is one of ours; names chosen by the server are not repeated. */
function limitOf(issue: v.BaseIssue<unknown>): string | undefined {
  const key = issue.path?.[0].key;
  return typeof key === 'string' && Object.hasOwn(BundleLimitsSchema.pipe[0].entries, key) ? key : undefined;
}

/**
 * Reads capabilities that are usable as a whole.
 *
 * @throws SyncError with the code of the first gate at fault: `protocol_version_mismatch`, `capabilities_invalid`,
 * `snapshot_limits_unsupported`
 */
export function parseCapabilities(json: JsonValue): Capabilities {
  const [problem] = readCapabilities(json).problems;
  if (problem !== undefined) throw capabilitiesError(problem.code, problem.member);
  const result = v.safeParse(CapabilitiesSchema, json, { abortEarly: true });
  if (result.success) return result.output;
  throw capabilitiesError('capabilities_invalid', 'registered_tables');
}

function capabilitiesError(code: ErrorCode, member: string): SyncError {
  return new SyncError(code, { details: { member } });
}
