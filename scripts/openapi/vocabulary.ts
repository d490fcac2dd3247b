import { isRecord } from './json-schema.ts';
import type { JsonSchema } from './json-schema.ts';

/** What a member means, wherever it stands; `Component.member` where one name means two things. */
export const VOCABULARY: Readonly<Record<string, string>> = {
  accepted_push_replay_count: 'Pushes answered as committed before.',
  accepting_operations: 'Whether operations are taken now.',
  actual: 'What the request came to.',
  app_name: 'Name of the application; left out when it has none.',
  base_row_version: 'Version the client last saw for the key, 0 when it never saw one.',
  bundle_hash: 'SHA-256 of the canonical committed rows, 64 lower-case hexadecimal digits.',
  bundle_limits: 'Limits of the server. What is off is left out.',
  bundle_seq: 'Position of the bundle in the history of its scope, from 1, in commit order.',
  after: 'The range begins after this key, in the order of key bytes; left out at the first key.',
  bundles: 'Whole bundles in ascending order; own ones included.',
  byte_count: 'UTF-8 bytes of the row texts, without what separates them.',
  canonical_request_hash:
    'SHA-256 of the canonical rows as the client froze them; empty for bundles that the server wrote by itself.',
  category: 'What is wrong with a number.',
  column: 'The column at fault.',
  committed_bundle_bytes: 'Canonical bytes of all bundles ever committed.',
  committed_bundle_count: 'Bundles ever committed.',
  conflict: 'The first row in conflict, in upload order.',
  conflict_count: 'How many rows are in conflict, also when the list is cut.',
  conflicts: 'All rows in conflict in upload order, cut so that the body stays small.',
  constraint: 'The constraint at fault.',
  default_bytes_per_snapshot_chunk: 'Bytes of a snapshot chunk when the request names none.',
  default_rows_per_committed_bundle_chunk: 'Rows of a committed-rows page when the request names none.',
  default_rows_per_push_chunk: 'Rows of a push chunk that the server suggests.',
  default_rows_per_snapshot_chunk: 'Rows of a snapshot chunk when the request names none.',
  columns: 'The columns to hash, the key among them.',
  dimension: 'Which sum of the image is over its limit.',
  error: 'The stable code; clients decide by it.',
  excluded_keys: 'Keys that no range counts.',
  expires_at: 'End of the session, RFC 3339 in UTC.',
  features: 'What the server can do; names that are missing are off.',
  hash: 'SHA-256 of the hexadecimal row hashes in key order.',
  has_local_pending_rows: 'Whether the device holds rows that no server has seen.',
  has_more: 'Whether the same request with the next position gives more.',
  history_pruned_error_count: 'Requests refused because history is no longer retained.',
  inflight_operations: 'Operations that run now.',
  initialization_id: 'Token of the lease under which a device seeds the scope.',
  initialization_lease_ttl_seconds: 'How long a device may take to seed before another one may.',
  key: 'Exactly one member: the key column with its value as a string.',
  kind: 'Why the row was refused.',
  latest_bundle_seq_max: 'Highest bundle sequence of any scope.',
  lease_expires_at: 'When another device may seed, RFC 3339 in UTC.',
  lifecycle: 'Where the server is in its life.',
  limit: 'What is allowed.',
  limit_exceeded: 'The limit that was broken.',
  max_bundles_per_pull: 'Most bundles of a pull page.',
  max_bytes_per_bundle: 'Most canonical bytes of a committed bundle.',
  max_bytes_per_push_chunk: 'Most bytes of a chunk body after decoding.',
  max_bytes_per_snapshot_chunk: 'Most bytes of a snapshot chunk.',
  max_bytes_per_snapshot_row: 'Most bytes of one row in a snapshot.',
  max_bytes_per_snapshot_session: 'Most bytes of a whole image.',
  max_concurrent_snapshot_builds: 'Images that one process builds at a time.',
  max_concurrent_snapshot_chunk_requests: 'Snapshot chunks that one process reads at a time.',
  max_rows_per_bundle: 'Most rows of a committed bundle.',
  max_rows_per_committed_bundle_chunk: 'Most rows of a committed-rows page.',
  max_rows_per_push_chunk: 'Most rows of a push chunk.',
  max_rows_per_snapshot_chunk: 'Most rows of a snapshot chunk.',
  max_rows_per_snapshot_session: 'Most rows of a whole image.',
  max_rows: 'Most rows of the page.',
  message: 'For developers. Never holds values, keys or SQL.',
  name: 'Name of the server option.',
  new_source_id: 'The id that takes its place.',
  next_expected_row_ordinal: 'Number of rows staged so far.',
  op: 'What the row does to its key.',
  parts: 'Into how many parts each range is cut.',
  payload: 'Column names with wire values; absent for DELETE.',
  planned_row_count: 'Rows of the whole push.',
  previous_source_id: 'The id that is given up: that of the request.',
  protocol_version: 'Version of the protocol; clients refuse any other.',
  push_id: 'Token of the push session.',
  push_session_ttl_seconds: 'How long a push session lives after its last chunk.',
  ranges: 'Ranges of keys.',
  reason: 'Why the client gives up its source id.',
  registered_table_specs: 'The tables that are synchronised, sorted by name.',
  registered_tables: 'Their names as `schema.table`.',
  rejected_registered_write_count: 'Writes to registered tables past the library.',
  replaced_by_source_id: 'What took its place; left out when it is not known.',
  required_byte_count: 'Bytes that the next row needs.',
  resolution: 'What the caller has to do.',
  retained_bundle_floor_max: 'Highest floor of any scope.',
  retained_bundle_floor_min: 'Lowest floor of any scope.',
  retained_bundle_window_max: 'Most retained bundles of any scope.',
  retained_bundle_window_min: 'Fewest retained bundles of any scope.',
  retry_after_seconds: 'Whole seconds to wait, at least 1.',
  row_count: 'Number of rows.',
  row_ordinal: 'Position of the row in the push, from 0.',
  row_version: 'Sequence of the last bundle that touched the row.',
  rows: 'Rows in their order.',
  schema: 'Schema of the table.',
  schema_version: 'Version that the host gives its tables.',
  server_row: 'Full payload of the live row, `null` when there is none.',
  server_row_deleted: 'True only when the key was deleted.',
  server_row_version: 'Version of the live row or of the deletion, 0 when the server never had the key.',
  snapshot_bundle_seq: 'The image holds everything up to this bundle.',
  snapshot_id: 'Token of the snapshot session, opaque to clients.',
  snapshot_materialization_batch_bytes: 'A hint for the size of batches.',
  snapshot_materialization_batch_rows: 'A hint for the size of batches.',
  snapshot_session_ttl_seconds: 'How long an image lives.',
  source_bundle_id: 'Counter of the source: 1, 2, 3 … without gaps.',
  source_id: 'The client installation that wrote the bundle.',
  source_replacement: 'Asks to replace the source id of the caller.',
  stable_bundle_seq: 'Ceiling of the pull loop: the head of the scope, or the target that was asked for.',
  start_row_ordinal: 'Position of the first row of the chunk in the push, from 0.',
  stats_as_of: 'When the counters were taken.',
  status: 'Whether the server can work.',
  sync_key_columns: 'The one key column.',
  table: 'Name of the table.',
  through: 'The last key of the range; left out at the last key.',
  user_state_retention_floor_ahead_count: 'Always 0: this server keeps no floor per user.',
  version: 'Version of the protocol.',
  violation: 'The row that was refused.',
  'CommittedRowsPage.next_row_ordinal': 'Ordinal of the last row of the page; an empty page repeats the one it was asked for.',
  'CommittedRowsPage.rows': 'Rows of the bundle in their order, each with the version of the bundle.',
  'PushSessionReplyAlreadyCommitted.status': 'The tuple is committed; there is nothing to upload.',
  'PushSessionReplyStaging.status': 'The session waits for rows.',
  'PushSessionStatus.status': 'The session waits for rows.',
  'VerifyReply.parts': 'The parts of the range, which cover it without a gap.',
  'VerifyReply.ranges': 'In the order of the request.',
  'SnapshotChunk.next_row_ordinal': 'Number of rows consumed, those of this chunk included.',
  'VerifyReply.bundle_seq': 'The sequence that the hashes are of.',
  'VerifyRequest.bundle_seq': 'The checkpoint of the device.',
  'VerifyRowsReply.bundle_seq': 'The sequence that the rows are of.',
  'VerifyRowsRequest.bundle_seq': 'The checkpoint of the device.',
  'SourceRetiredError.source_id': 'The source of the request.',
};

/** Adds to each member what it means. A member that the vocabulary does not know is an error. */
export function describeMembers(schemas: Readonly<Record<string, JsonSchema>>): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(Object.entries(schemas).map(([component, schema]) => [component, describeSchema(schema, component)]));
}

function describeSchema(schema: JsonSchema, component: string): JsonSchema {
  const described = Object.entries(schema).map(([keyword, value]): [string, unknown] => {
    // Conditions only narrow members that are described already.
    if (keyword === 'if' || keyword === 'then' || keyword === 'else' || keyword === 'allOf') return [keyword, value];
    if (keyword === 'properties' && isRecord(value)) return [keyword, describeProperties(value, component)];
    return [keyword, describePart(value, component)];
  });
  return Object.fromEntries(described);
}

function describePart(value: unknown, component: string): unknown {
  if (Array.isArray(value)) return value.map((item: unknown) => describePart(item, component));
  return isRecord(value) ? describeSchema(value, component) : value;
}

function describeProperties(properties: Readonly<Record<string, unknown>>, component: string): JsonSchema {
  const described = Object.entries(properties).map(([name, property]): [string, unknown] => {
    if (!isRecord(property)) return [name, property];
    const description = VOCABULARY[`${component}.${name}`] ?? VOCABULARY[name];
    if (description === undefined) throw new Error(`the vocabulary does not know ${component}.${name}`);
    return [name, { description, ...describeSchema(property, component) }];
  });
  return Object.fromEntries(described);
}
