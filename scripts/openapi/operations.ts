import type { WireErrorCode } from '../../packages/protocol/src/errors/error-table.ts';
import type { ParameterName } from './parameters.ts';

/** What one successful answer carries. */
export type Success =
  | { readonly kind: 'json'; readonly schema: string; readonly description: string }
  | { readonly kind: 'empty'; readonly description: string }
  | { readonly kind: 'events'; readonly description: string }
  | { readonly kind: 'text'; readonly description: string };

/** One operation of the contract, as a table row. */
export interface OperationEntry {
  readonly id: string;
  readonly method: 'get' | 'post' | 'delete';
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description: string;
  readonly parameters: readonly ParameterName[];
  readonly body?: { readonly schema: string; readonly required: boolean };
  readonly success: Success;
  /** A second status with the schema of the success. */
  readonly alsoStatus?: { readonly status: number; readonly description: string };
  /** Codes of this operation, the common ones left out. */
  readonly errors: readonly WireErrorCode[];
}

/** Every `/sync/*` operation can answer these. */
const COMMON: readonly WireErrorCode[] = [
  'invalid_request',
  'authentication_failed',
  'not_found',
  'method_not_allowed',
  'service_unavailable',
];
const WITH_BODY: readonly WireErrorCode[] = ['request_too_large', 'unsupported_content_encoding'];
const OPS: readonly WireErrorCode[] = ['authentication_failed', 'not_found', 'method_not_allowed'];
const PUSH_SESSION: readonly WireErrorCode[] = ['push_session_not_found', 'push_session_forbidden', 'push_session_expired'];
const SEED_LEASE: readonly WireErrorCode[] = ['initialization_stale', 'initialization_expired'];
const SCOPE_STATE: readonly WireErrorCode[] = ['scope_uninitialized', 'scope_initializing'];

/** All codes that an operation can answer. */
export function listErrors(entry: OperationEntry): readonly WireErrorCode[] {
  if (entry.path.startsWith('/syncx/')) return [...OPS, ...entry.errors];
  const binding: readonly WireErrorCode[] = entry.id === 'capabilities' ? [] : ['source_forbidden'];
  return [...COMMON, ...binding, ...(entry.body === undefined ? [] : WITH_BODY), ...entry.errors];
}

/** The table of operations; ids are those of the server's events and logs. */
export const OPERATIONS: readonly OperationEntry[] = [
  {
    id: 'capabilities',
    method: 'get',
    path: '/sync/capabilities',
    tag: 'Handshake',
    summary: 'What the server offers',
    description:
      'Version, registered tables, features and limits. Clients check them before every remote operation. Answered before the server is ready, too.',
    parameters: [],
    success: { kind: 'json', schema: 'Capabilities', description: 'The capabilities.' },
    errors: ['capabilities_failed'],
  },
  {
    id: 'connect',
    method: 'post',
    path: '/sync/connect',
    tag: 'Handshake',
    summary: 'Decide who seeds the scope',
    description:
      'Tells a device whether the data of the scope comes from the server, from this device, or from another one that is seeding it now.',
    parameters: [],
    body: { schema: 'ConnectRequest', required: true },
    success: {
      kind: 'json',
      schema: 'ConnectReply',
      description: 'One of four resolutions; waiting is one of them, not an error.',
    },
    errors: ['connect_invalid', 'connect_failed'],
  },
  {
    id: 'push_session_create',
    method: 'post',
    path: '/sync/push-sessions',
    tag: 'Push',
    summary: 'Announce a push',
    description:
      'Opens a session for a frozen push. When the tuple of scope, source and source bundle id is committed already, the answer is that bundle. An open session of the same source is discarded.',
    parameters: [],
    body: { schema: 'PushSessionRequest', required: true },
    success: { kind: 'json', schema: 'PushSessionReply', description: 'A session to upload into, or the committed bundle.' },
    errors: [
      'push_session_invalid',
      ...SCOPE_STATE,
      ...SEED_LEASE,
      'history_pruned',
      'source_sequence_out_of_order',
      'source_retired',
      'push_session_capacity',
      'push_session_create_failed',
      'source_retired_invalid',
      'commit_outcome_unknown',
    ],
  },
  {
    id: 'push_session_status',
    method: 'get',
    path: '/sync/push-sessions/{push_id}',
    tag: 'Push',
    summary: 'How far a push session has come',
    description: 'Lets a client go on after the reply of a chunk was lost.',
    parameters: ['PushId'],
    success: { kind: 'json', schema: 'PushSessionStatus', description: 'The staged rows and the end of the session.' },
    errors: [...PUSH_SESSION, 'push_session_status_failed'],
  },
  {
    id: 'push_session_delete',
    method: 'delete',
    path: '/sync/push-sessions/{push_id}',
    tag: 'Push',
    summary: 'Give up a push session',
    description: 'Removes the session and its staged rows. Never cancels a commit that is running.',
    parameters: ['PushId'],
    success: { kind: 'empty', description: 'The session is gone.' },
    errors: ['push_chunk_invalid', ...PUSH_SESSION, 'push_session_delete_failed'],
  },
  {
    id: 'push_chunk',
    method: 'post',
    path: '/sync/push-sessions/{push_id}/chunks',
    tag: 'Push',
    summary: 'Upload rows of a push',
    description:
      'Stages the next rows in upload order. A chunk that was staged before is accepted again when it is the same. With the feature `push_chunks_ahead` [+] the chunk behind may be sent before the answer: it waits for that.',
    parameters: ['PushId'],
    body: { schema: 'PushChunkRequest', required: true },
    success: { kind: 'json', schema: 'PushChunkReply', description: 'The rows are staged.' },
    errors: [
      'push_chunk_invalid',
      ...PUSH_SESSION,
      ...SEED_LEASE,
      'push_chunk_out_of_order',
      'push_chunk_failed',
      'commit_outcome_unknown',
    ],
  },
  {
    id: 'push_session_commit',
    method: 'post',
    path: '/sync/push-sessions/{push_id}/commit',
    tag: 'Push',
    summary: 'Commit a push',
    description:
      'Applies all staged rows in one transaction, or none. A body is ignored. After success the session is gone; after a failure it stays.',
    parameters: ['PushId'],
    success: { kind: 'json', schema: 'CommitReply', description: 'The committed bundle.' },
    errors: [
      'push_commit_invalid',
      ...PUSH_SESSION,
      ...SEED_LEASE,
      'source_sequence_changed',
      'source_retired',
      'push_conflict',
      'push_session_commit_failed',
      'source_retired_invalid',
      'commit_outcome_unknown',
    ],
  },
  {
    id: 'committed_bundle_rows',
    method: 'get',
    path: '/sync/committed-bundles/{bundle_seq}/rows',
    tag: 'Push',
    summary: 'Rows of a committed bundle',
    description:
      'The same rows, order and hash for every request while the bundle is retained. A page may end before `max_rows`.',
    parameters: ['BundleSeq', 'CommittedAfterRowOrdinal', 'CommittedMaxRows'],
    success: { kind: 'json', schema: 'CommittedRowsPage', description: 'One page of rows.' },
    errors: ['committed_bundle_chunk_invalid', 'history_pruned', 'committed_bundle_not_found', 'committed_bundle_rows_failed'],
  },
  {
    id: 'pull',
    method: 'get',
    path: '/sync/pull',
    tag: 'Pull',
    summary: 'Bundles after a checkpoint',
    description: 'Whole bundles in ascending order. Repeat with the first `stable_bundle_seq` as target until it is reached.',
    parameters: ['AfterBundleSeq', 'MaxBundles', 'TargetBundleSeq'],
    success: { kind: 'json', schema: 'PullPage', description: 'One page of bundles.' },
    errors: [...SCOPE_STATE, 'history_pruned', 'checkpoint_ahead', 'pull_failed'],
  },
  {
    id: 'bundle_change_watch',
    method: 'get',
    path: '/sync/watch',
    tag: 'Pull',
    summary: 'Hints that there is something to pull',
    description:
      'A stream of server-sent events that stays open. Each event of the name `bundle` carries a `WatchEvent`; comments are heartbeats. Neither the stream nor its errors are ever compressed.',
    parameters: ['AfterBundleSeq'],
    success: { kind: 'events', description: 'The stream; the server may end it at any time.' },
    errors: [
      'bundle_change_watch_forbidden',
      ...SCOPE_STATE,
      'bundle_change_watch_capacity',
      'bundle_change_watch_failed',
      'bundle_change_watch_disabled',
    ],
  },
  {
    id: 'snapshot_session_create',
    method: 'post',
    path: '/sync/snapshot-sessions',
    tag: 'Snapshot',
    summary: 'Freeze an image of the scope',
    description:
      'Later commits, pruning and schema changes do not alter the image. Replaces the source id of the caller in the same transaction when asked to.',
    parameters: [],
    body: { schema: 'SnapshotSessionRequest', required: false },
    success: { kind: 'json', schema: 'SnapshotSession', description: 'The image and its sums.' },
    errors: [
      'snapshot_session_invalid',
      ...SCOPE_STATE,
      'source_retired',
      'source_replacement_invalid',
      'snapshot_session_limit_exceeded',
      'snapshot_build_capacity',
      'snapshot_session_create_failed',
      'source_retired_invalid',
    ],
  },
  {
    id: 'snapshot_chunk',
    method: 'get',
    path: '/sync/snapshot-sessions/{snapshot_id}',
    tag: 'Snapshot',
    summary: 'Rows of a frozen image',
    description:
      'The same request gives the same bytes. The cost of a row is the UTF-8 length of its text as it stands in the answer.',
    parameters: ['SnapshotId', 'SnapshotAfterRowOrdinal', 'SnapshotMaxRows', 'SnapshotMaxBytes'],
    success: { kind: 'json', schema: 'SnapshotChunk', description: 'Some rows.' },
    errors: [
      'snapshot_chunk_invalid',
      'snapshot_chunk_too_small',
      'snapshot_session_not_found',
      'snapshot_session_forbidden',
      'snapshot_session_expired',
      'snapshot_chunk_capacity',
      'snapshot_chunk_failed',
    ],
  },
  {
    id: 'snapshot_session_delete',
    method: 'delete',
    path: '/sync/snapshot-sessions/{snapshot_id}',
    tag: 'Snapshot',
    summary: 'Give up a frozen image',
    description: 'Ends the session at once; may be repeated.',
    parameters: ['SnapshotId'],
    success: { kind: 'empty', description: 'The session is retired.' },
    errors: [
      'snapshot_chunk_invalid',
      'snapshot_session_not_found',
      'snapshot_session_forbidden',
      'snapshot_session_delete_failed',
    ],
  },
  {
    id: 'verify',
    method: 'post',
    path: '/sync/verify',
    tag: 'Verification',
    summary: 'Hashes of ranges of a table [+]',
    description:
      'An addition to the contract [+], announced by the feature `range_verification`. Every range is cut into parts of nearly equal row counts, each with its hash as of exactly the sequence of the request. A device compares them with its own rows and asks again, for smaller ranges, where they differ. The hash of a part is the SHA-256 of the hexadecimal SHA-256 of its rows, joined in the order of the key bytes; a row is its version, a space, and the JSON object of the requested columns in the order of their names, without white space between them, booleans as `"0"` or `"1"`.',
    parameters: [],
    body: { schema: 'VerifyRequest', required: true },
    success: { kind: 'json', schema: 'VerifyReply', description: 'The parts of every range, in the order of the request.' },
    errors: [
      'verify_invalid',
      ...SCOPE_STATE,
      'checkpoint_ahead',
      'verify_out_of_date',
      'snapshot_build_capacity',
      'verify_failed',
    ],
  },
  {
    id: 'verify_rows',
    method: 'post',
    path: '/sync/verify/rows',
    tag: 'Verification',
    summary: 'Rows of a range of a table [+]',
    description:
      'An addition to the contract [+]. The rows of one range as of exactly the sequence of the request, in the order of their key bytes. A page may end before `max_rows`.',
    parameters: [],
    body: { schema: 'VerifyRowsRequest', required: true },
    success: { kind: 'json', schema: 'VerifyRowsReply', description: 'Some rows.' },
    errors: ['verify_invalid', ...SCOPE_STATE, 'checkpoint_ahead', 'verify_out_of_date', 'verify_failed'],
  },
  {
    id: 'health',
    method: 'get',
    path: '/syncx/health',
    tag: 'Operations',
    summary: 'Whether this server can work',
    description: 'For load balancers. Needs no credentials unless the host adds a check, and no source id.',
    parameters: [],
    success: { kind: 'json', schema: 'Status', description: 'The server is healthy.' },
    alsoStatus: { status: 503, description: 'The server is unhealthy.' },
    errors: ['health_failed'],
  },
  {
    id: 'status',
    method: 'get',
    path: '/syncx/status',
    tag: 'Operations',
    summary: 'Health and counters',
    description: 'The body of health, always with status 200.',
    parameters: [],
    success: { kind: 'json', schema: 'Status', description: 'Health and counters.' },
    errors: ['status_failed'],
  },
  {
    id: 'metrics',
    method: 'get',
    path: '/syncx/metrics',
    tag: 'Operations',
    summary: 'Figures for Prometheus',
    description: 'Present only when the host has configured a source of metrics; not found otherwise.',
    parameters: [],
    success: { kind: 'text', description: 'Text exposition format of Prometheus.' },
    errors: ['status_failed'],
  },
];
