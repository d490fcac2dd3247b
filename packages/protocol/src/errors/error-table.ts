/**
 * What a caller does about an error: `retry` later, `rebuild` from a snapshot, `resolve` by the application or its
 * user, `reauthenticate`, or `stop` because of a programming, version or set-up fault.
 */
export type Recovery = 'retry' | 'rebuild' | 'resolve' | 'reauthenticate' | 'stop';

/** One row of the error table. */
export interface ErrorEntry {
  /** HTTP status of the code; absent for codes that never travel. */
  readonly status?: number;
  readonly recovery: Recovery;
  /** Fixed text for developers. */
  readonly message: string;
  /** Members of `details` that the JSON error body carries; everything else stays in the process. */
  readonly wireMembers?: readonly string[];
}

const LIMIT = ['limit_exceeded'] as const;
const VIOLATION = ['violation', 'limit_exceeded'] as const;

/** Codes a server sends. Some of them are raised by clients too, under the same name and with the same recovery. */
const WIRE_ERRORS = {
  invalid_request: { status: 400, recovery: 'stop', message: 'the request is malformed', wireMembers: LIMIT },
  push_session_invalid: { status: 400, recovery: 'resolve', message: 'the push cannot be created as asked', wireMembers: LIMIT },
  push_chunk_invalid: { status: 400, recovery: 'resolve', message: 'the chunk holds an invalid row', wireMembers: VIOLATION },
  push_commit_invalid: { status: 400, recovery: 'resolve', message: 'the push cannot be committed', wireMembers: VIOLATION },
  connect_invalid: { status: 400, recovery: 'stop', message: 'the connect request is invalid' },
  committed_bundle_chunk_invalid: { status: 400, recovery: 'stop', message: 'the committed rows request is invalid' },
  snapshot_session_invalid: { status: 400, recovery: 'stop', message: 'the snapshot session request is invalid' },
  snapshot_chunk_invalid: { status: 400, recovery: 'stop', message: 'the snapshot chunk request is invalid' },
  snapshot_chunk_too_small: {
    status: 400,
    recovery: 'stop',
    message: 'the next snapshot row is larger than the requested chunk',
    wireMembers: ['required_byte_count'],
  },
  verify_invalid: { status: 400, recovery: 'stop', message: 'the verification request is invalid', wireMembers: LIMIT },
  authentication_failed: { status: 401, recovery: 'reauthenticate', message: 'authentication failed' },
  push_session_forbidden: { status: 403, recovery: 'reauthenticate', message: 'the push session belongs to another writer' },
  snapshot_session_forbidden: {
    status: 403,
    recovery: 'reauthenticate',
    message: 'the snapshot session belongs to another scope',
  },
  bundle_change_watch_forbidden: { status: 403, recovery: 'reauthenticate', message: 'watching is not allowed for this actor' },
  source_forbidden: { status: 403, recovery: 'reauthenticate', message: 'the source belongs to another user' },
  push_session_not_found: { status: 404, recovery: 'retry', message: 'the push session does not exist' },
  committed_bundle_not_found: { status: 404, recovery: 'retry', message: 'the committed bundle does not exist' },
  snapshot_session_not_found: { status: 404, recovery: 'retry', message: 'the snapshot session does not exist' },
  not_found: { status: 404, recovery: 'stop', message: 'no such path' },
  method_not_allowed: { status: 405, recovery: 'stop', message: 'the method is not allowed for this path' },
  scope_uninitialized: { status: 409, recovery: 'retry', message: 'the scope is not initialized' },
  scope_initializing: { status: 409, recovery: 'retry', message: 'the scope is being initialized by another source' },
  initialization_stale: { status: 409, recovery: 'retry', message: 'the initialization lease is no longer current' },
  history_pruned: { status: 409, recovery: 'rebuild', message: 'the requested history is no longer retained' },
  checkpoint_ahead: { status: 409, recovery: 'rebuild', message: 'the checkpoint is ahead of the committed history' },
  verify_out_of_date: { status: 409, recovery: 'retry', message: 'the checkpoint to verify is not the newest sequence any more' },
  source_sequence_out_of_order: {
    status: 409,
    recovery: 'rebuild',
    message: 'the source bundle id is not the next one of this source',
  },
  source_sequence_changed: { status: 409, recovery: 'rebuild', message: 'another push of this source was committed meanwhile' },
  source_retired: {
    status: 409,
    recovery: 'rebuild',
    message: 'the source is retired',
    wireMembers: ['source_id', 'replaced_by_source_id'],
  },
  source_replacement_invalid: { status: 409, recovery: 'resolve', message: 'the source cannot be replaced by this id' },
  push_chunk_out_of_order: { status: 409, recovery: 'retry', message: 'the chunk does not start at the next expected row' },
  push_conflict: {
    status: 409,
    recovery: 'resolve',
    message: 'row was changed by another writer',
    wireMembers: ['conflict', 'conflict_count', 'conflicts'],
  },
  snapshot_session_limit_exceeded: {
    status: 409,
    recovery: 'stop',
    message: 'the snapshot exceeds a configured limit',
    wireMembers: ['dimension', 'actual', 'limit'],
  },
  push_session_expired: { status: 410, recovery: 'retry', message: 'the push session has expired' },
  initialization_expired: { status: 410, recovery: 'retry', message: 'the initialization lease has expired' },
  snapshot_session_expired: { status: 410, recovery: 'retry', message: 'the snapshot session has expired' },
  request_too_large: { status: 413, recovery: 'stop', message: 'the request body is too large', wireMembers: LIMIT },
  unsupported_content_encoding: {
    status: 415,
    recovery: 'stop',
    message: 'the content encoding of the request is not supported',
  },
  snapshot_build_capacity: { status: 429, recovery: 'retry', message: 'too many snapshots are being built', wireMembers: LIMIT },
  snapshot_chunk_capacity: {
    status: 429,
    recovery: 'retry',
    message: 'too many snapshot chunks are being read',
    wireMembers: LIMIT,
  },
  push_session_capacity: { status: 429, recovery: 'retry', message: 'too many push sessions are open', wireMembers: LIMIT },
  bundle_change_watch_capacity: {
    status: 429,
    recovery: 'retry',
    message: 'too many watch streams are open',
    wireMembers: LIMIT,
  },
  connect_failed: { status: 500, recovery: 'retry', message: 'connect failed' },
  push_session_create_failed: { status: 500, recovery: 'retry', message: 'the push session could not be created' },
  push_chunk_failed: { status: 500, recovery: 'retry', message: 'the chunk could not be staged' },
  push_session_commit_failed: { status: 500, recovery: 'retry', message: 'the push could not be committed' },
  push_session_delete_failed: { status: 500, recovery: 'retry', message: 'the push session could not be deleted' },
  push_session_status_failed: { status: 500, recovery: 'retry', message: 'the push session could not be read' },
  committed_bundle_rows_failed: { status: 500, recovery: 'retry', message: 'the committed rows could not be read' },
  pull_failed: { status: 500, recovery: 'retry', message: 'the pull failed' },
  snapshot_session_create_failed: { status: 500, recovery: 'retry', message: 'the snapshot session could not be created' },
  snapshot_chunk_failed: { status: 500, recovery: 'retry', message: 'the snapshot chunk could not be read' },
  snapshot_session_delete_failed: { status: 500, recovery: 'retry', message: 'the snapshot session could not be deleted' },
  verify_failed: { status: 500, recovery: 'retry', message: 'the ranges could not be verified' },
  bundle_change_watch_failed: { status: 500, recovery: 'retry', message: 'the watch stream could not be opened' },
  capabilities_failed: { status: 500, recovery: 'retry', message: 'the capabilities could not be read' },
  status_failed: { status: 500, recovery: 'retry', message: 'the status could not be read' },
  health_failed: { status: 500, recovery: 'retry', message: 'the health could not be read' },
  source_retired_invalid: { status: 500, recovery: 'stop', message: 'the stored lineage of the source is inconsistent' },
  service_unavailable: { status: 503, recovery: 'retry', message: 'the service is not available now' },
  commit_outcome_unknown: { status: 503, recovery: 'retry', message: 'the outcome of the commit is not known' },
  bundle_change_watch_disabled: { status: 503, recovery: 'stop', message: 'watching is switched off on this server' },
} as const satisfies Readonly<Record<string, ErrorEntry & { readonly status: number }>>;

/** Codes that only a client raises. */
const CLIENT_ERRORS = {
  config_invalid: { recovery: 'stop', message: 'the configuration is invalid' },
  invalid_argument: { recovery: 'stop', message: 'an argument of the call is invalid' },
  open_required: { recovery: 'stop', message: 'open() has to be called first' },
  attach_required: { recovery: 'stop', message: 'attach() has to be called first' },
  client_closed: { recovery: 'stop', message: 'the client is closed' },
  database_owned: { recovery: 'stop', message: 'another client owns this database' },
  operation_in_progress: { recovery: 'retry', message: 'another operation of this client is running' },
  aborted: { recovery: 'retry', message: 'the operation was aborted by its caller' },
  storage_failed: { recovery: 'retry', message: 'the local database failed' },
  local_state_conflict: { recovery: 'stop', message: 'the local database already holds sync state of other rows' },
  outbox_corrupt: { recovery: 'rebuild', message: 'the frozen push in the local database is inconsistent' },
  protocol_version_mismatch: { recovery: 'stop', message: 'the server speaks another protocol version' },
  capabilities_invalid: { recovery: 'stop', message: 'the capabilities of the server are invalid' },
  snapshot_limits_unsupported: { recovery: 'stop', message: 'the snapshot limits of the server do not fit this client' },
  attach_unsupported: { recovery: 'stop', message: 'the server does not support attach' },
  table_contract_mismatch: { recovery: 'stop', message: 'client and server manage different tables or keys' },
  protocol_violation: { recovery: 'retry', message: 'the answer of the server breaks the contract' },
  response_too_large: { recovery: 'stop', message: 'the response body is too large' },
  encoding_unsupported: { recovery: 'stop', message: 'the content encoding of the response is not supported' },
  payload_column_missing: { recovery: 'stop', message: 'a row of the server lacks a local column' },
  payload_value_invalid: { recovery: 'stop', message: 'a value of a server row does not fit the local column' },
  table_unknown: { recovery: 'stop', message: 'a row of the server belongs to a table that is not managed here' },
  bundle_hash_mismatch: { recovery: 'retry', message: 'the committed rows do not give the announced bundle hash' },
  attach_binding_conflict: { recovery: 'resolve', message: 'the database is attached to another user' },
  attach_local_state_conflict: { recovery: 'resolve', message: 'the database is being attached to another user' },
  initialization_lost: { recovery: 'retry', message: 'the initialization lease was lost' },
  scope_lost: { recovery: 'resolve', message: 'the server no longer knows the scope' },
  rebuild_required: { recovery: 'rebuild', message: 'the local data has to be rebuilt from a snapshot' },
  source_recovery_required: { recovery: 'rebuild', message: 'the source has to be replaced by a rebuild' },
  source_recovery_reason_invalid: { recovery: 'stop', message: 'the stored reason of the source recovery is unknown' },
  checkpoint_recovery_blocked: { recovery: 'rebuild', message: 'the checkpoint recovery waits for local changes' },
  source_replacement_diverged: { recovery: 'resolve', message: 'the server names another replacement than the stored one' },
  source_replacement_not_fresh: { recovery: 'resolve', message: 'the replacement id was used before' },
  snapshot_gate_failed: { recovery: 'retry', message: 'the local state changed while the snapshot was downloaded' },
  snapshot_too_old: { recovery: 'retry', message: 'the snapshot is older than the last own commit' },
  snapshot_session_lost: { recovery: 'retry', message: 'the snapshot session was lost while downloading' },
  snapshot_row_too_large: { recovery: 'stop', message: 'a snapshot row is larger than the local apply batch' },
  source_sequence_mismatch: { recovery: 'rebuild', message: 'the server committed other content under this source bundle id' },
  conflict_resolution_invalid: { recovery: 'resolve', message: 'the resolver returned an invalid resolution' },
  resolver_failed: { recovery: 'resolve', message: 'the resolver threw' },
  conflict_retry_exhausted: { recovery: 'resolve', message: 'a row kept conflicting after all automatic retries' },
  quarantine_limit_reached: { recovery: 'resolve', message: 'too many rows would have to be quarantined' },
  bundle_too_large: { recovery: 'resolve', message: 'one group of dependent rows exceeds the bundle limits' },
  dirty_state_rejected: { recovery: 'retry', message: 'unsent local rows block this operation' },
  pending_push_replay: { recovery: 'retry', message: 'a frozen push blocks this operation' },
  forbidden: { recovery: 'reauthenticate', message: 'the server forbids this request' },
  transport_failed: { recovery: 'retry', message: 'the network request failed' },
  timeout: { recovery: 'retry', message: 'the server did not answer in time' },
  retry_exhausted: { recovery: 'retry', message: 'all attempts failed' },
  capacity_exhausted: { recovery: 'retry', message: 'the server had no capacity within the waiting budget' },
  rate_limited: { recovery: 'retry', message: 'the server limits the rate of requests' },
  http_error: { recovery: 'stop', message: 'the server answered with an unexpected status' },
  not_supported: { recovery: 'stop', message: 'the server or this database does not support the operation' },
} as const satisfies Readonly<Record<string, ErrorEntry>>;

/** Codes that only the server's own API raises. */
const SERVER_ERRORS = {
  options_invalid: { recovery: 'stop', message: 'the server options are invalid' },
  schema_violation: { recovery: 'stop', message: 'the database does not fit the registered tables' },
  bootstrap_failed: { recovery: 'retry', message: 'the bootstrap could not be completed' },
  no_captured_changes: { recovery: 'stop', message: 'the write touched no registered row and was rolled back' },
  callback_violation: { recovery: 'stop', message: 'the write callback used a statement that belongs to the library' },
  operation_history_unavailable: { recovery: 'stop', message: 'the result of the earlier operation is no longer retained' },
  operation_replay_changed: { recovery: 'stop', message: 'the operation id was used with other content' },
} as const satisfies Readonly<Record<string, ErrorEntry>>;

const ALL_ERRORS = { ...WIRE_ERRORS, ...CLIENT_ERRORS, ...SERVER_ERRORS } as const;

/** Every error code of the library: what servers send, what clients raise, what the server API throws. */
export type ErrorCode = keyof typeof ALL_ERRORS;

/** The codes that appear in the `error` member of a response. */
export type WireErrorCode = keyof typeof WIRE_ERRORS;

/** The one table of error codes: status where a code travels, recovery, fixed message. */
export const ERROR_TABLE: Readonly<Record<ErrorCode, ErrorEntry>> = ALL_ERRORS;

/** True for the codes a server may send, as opposed to codes that stay inside one process. */
export function isWireErrorCode(code: string): code is WireErrorCode {
  return Object.hasOwn(WIRE_ERRORS, code);
}

/** True for every code of {@link ERROR_TABLE}. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ALL_ERRORS, code);
}
