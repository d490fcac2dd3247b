import { stringifyJson } from '@oversync/protocol';

/** Names of the requests, as `headers({operation})` and `SyncError.operation` give them. */
export type RequestOperation =
  | 'capabilities'
  | 'connect'
  | 'push_session_create'
  | 'push_session_chunk'
  | 'push_session_commit'
  | 'push_session_delete'
  | 'push_session_status'
  | 'committed_rows'
  | 'pull'
  | 'watch'
  | 'snapshot_session_create'
  | 'snapshot_chunk'
  | 'snapshot_session_delete'
  | 'verify'
  | 'verify_rows';

/** A request body as it goes out. */
export interface EncodedBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly isGzip: boolean;
}

/** One request as data: everything but credentials, source id and base URL. */
export interface RequestSpec {
  readonly operation: RequestOperation;
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Path segments below the base URL, not yet escaped. */
  readonly path: readonly string[];
  readonly query: readonly (readonly [name: string, value: string])[];
  /** JSON text, or `null` for a request without one. */
  readonly body: string | null;
  /** The body instead of `body`, where it was encoded ahead. */
  readonly encodedBody?: EncodedBody;
  /** True where a server works for minutes before it answers (commit, snapshot creation). */
  readonly isBulk: boolean;
}

type SpecParts = Pick<RequestSpec, 'operation' | 'method' | 'path'> & Partial<RequestSpec>;

function spec(parts: SpecParts): RequestSpec {
  return { query: [], body: null, isBulk: false, ...parts };
}

/** `GET /sync/capabilities` (protocol.md 4.1). */
export function capabilitiesRequest(): RequestSpec {
  return spec({ operation: 'capabilities', method: 'GET', path: ['sync', 'capabilities'] });
}

/** `POST /sync/connect` (protocol.md 8.1). */
export function connectRequest(hasLocalPendingRows: boolean): RequestSpec {
  const body = `{"has_local_pending_rows":${hasLocalPendingRows}}`;
  return spec({ operation: 'connect', method: 'POST', path: ['sync', 'connect'], body });
}

export interface PushSessionCreateArgs {
  readonly sourceBundleId: bigint;
  readonly plannedRowCount: number;
  readonly canonicalRequestHash: string;
  /** The lease of the first seed; '' when there is none. */
  readonly initializationId: string;
}

/** `POST /sync/push-sessions` (protocol.md 8.2). */
export function createPushSessionRequest(args: PushSessionCreateArgs): RequestSpec {
  const lease = args.initializationId === '' ? '' : `,"initialization_id":${JSON.stringify(args.initializationId)}`;
  const hash = JSON.stringify(args.canonicalRequestHash);
  const body = `{"source_bundle_id":${args.sourceBundleId},"planned_row_count":${args.plannedRowCount},"canonical_request_hash":${hash}${lease}}`;
  return spec({ operation: 'push_session_create', method: 'POST', path: ['sync', 'push-sessions'], body });
}

/** `POST /sync/push-sessions/{push_id}/chunks` (protocol.md 8.3). `rowTexts` are ready JSON objects. */
export function pushChunkRequest(pushId: string, startRowOrdinal: number, rowTexts: readonly string[]): RequestSpec {
  return spec({ ...encodedChunkRequest(pushId), body: pushChunkText(startRowOrdinal, rowTexts.join(',')) });
}

/** The same with a body of {@link pushChunkText} that was encoded ahead. */
export function encodedChunkRequest(pushId: string, encodedBody?: EncodedBody): RequestSpec {
  const parts = { operation: 'push_session_chunk', method: 'POST', path: ['sync', 'push-sessions', pushId, 'chunks'] } as const;
  return spec(encodedBody === undefined ? parts : { ...parts, encodedBody });
}

/** Body of a chunk. `rowsText` is ready JSON objects joined with commas. */
export function pushChunkText(startRowOrdinal: number, rowsText: string): string {
  return `{"start_row_ordinal":${startRowOrdinal},"rows":[${rowsText}]}`;
}

/** `POST /sync/push-sessions/{push_id}/commit` (protocol.md 8.4). */
export function commitPushRequest(pushId: string): RequestSpec {
  return spec({
    operation: 'push_session_commit',
    method: 'POST',
    path: ['sync', 'push-sessions', pushId, 'commit'],
    isBulk: true,
  });
}

/** `DELETE /sync/push-sessions/{push_id}` (protocol.md 8.5). */
export function deletePushSessionRequest(pushId: string): RequestSpec {
  return spec({ operation: 'push_session_delete', method: 'DELETE', path: ['sync', 'push-sessions', pushId] });
}

/** `GET /sync/push-sessions/{push_id}` (protocol.md 8.6). */
export function pushSessionStatusRequest(pushId: string): RequestSpec {
  return spec({ operation: 'push_session_status', method: 'GET', path: ['sync', 'push-sessions', pushId] });
}

/** `GET /sync/committed-bundles/{bundle_seq}/rows` (protocol.md 8.7). The first page names no ordinal. */
export function committedRowsRequest(bundleSeq: bigint, afterRowOrdinal: number | null, maxRows: number): RequestSpec {
  const after = afterRowOrdinal === null ? [] : [['after_row_ordinal', String(afterRowOrdinal)] as const];
  const query = [...after, ['max_rows', String(maxRows)] as const];
  return spec({
    operation: 'committed_rows',
    method: 'GET',
    path: ['sync', 'committed-bundles', String(bundleSeq), 'rows'],
    query,
  });
}

/** `GET /sync/pull` (protocol.md 8.8). The first request of a call has no target. */
export function pullRequest(afterBundleSeq: bigint, maxBundles: number, targetBundleSeq: bigint | null): RequestSpec {
  const target = targetBundleSeq === null ? [] : [['target_bundle_seq', String(targetBundleSeq)] as const];
  const query = [['after_bundle_seq', String(afterBundleSeq)] as const, ['max_bundles', String(maxBundles)] as const, ...target];
  return spec({ operation: 'pull', method: 'GET', path: ['sync', 'pull'], query });
}

/** `GET /sync/watch` (protocol.md 8.9). */
export function watchRequest(afterBundleSeq: bigint): RequestSpec {
  return spec({
    operation: 'watch',
    method: 'GET',
    path: ['sync', 'watch'],
    query: [['after_bundle_seq', String(afterBundleSeq)]],
  });
}

export interface SourceReplacement {
  readonly previousSourceId: string;
  readonly newSourceId: string;
  readonly reason: string;
}

/** `POST /sync/snapshot-sessions` (protocol.md 8.10). Without a replacement there is no body. */
export function createSnapshotSessionRequest(replacement: SourceReplacement | null): RequestSpec {
  const body =
    replacement === null
      ? null
      : JSON.stringify({
          source_replacement: {
            previous_source_id: replacement.previousSourceId,
            new_source_id: replacement.newSourceId,
            reason: replacement.reason,
          },
        });
  return spec({ operation: 'snapshot_session_create', method: 'POST', path: ['sync', 'snapshot-sessions'], body, isBulk: true });
}

export interface SnapshotChunkArgs {
  readonly snapshotId: string;
  /** Rows already consumed. */
  readonly afterRowOrdinal: number;
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** `GET /sync/snapshot-sessions/{snapshot_id}` (protocol.md 8.11). */
export function snapshotChunkRequest(args: SnapshotChunkArgs): RequestSpec {
  return spec({
    operation: 'snapshot_chunk',
    method: 'GET',
    path: ['sync', 'snapshot-sessions', args.snapshotId],
    query: [
      ['after_row_ordinal', String(args.afterRowOrdinal)],
      ['max_rows', String(args.maxRows)],
      ['max_bytes', String(args.maxBytes)],
    ],
  });
}

/** `DELETE /sync/snapshot-sessions/{snapshot_id}` (protocol.md 8.12). */
export function deleteSnapshotSessionRequest(snapshotId: string): RequestSpec {
  return spec({ operation: 'snapshot_session_delete', method: 'DELETE', path: ['sync', 'snapshot-sessions', snapshotId] });
}

/** Which rows a verification is about: the table as the device has it, at its checkpoint. */
export interface VerifyTarget {
  readonly bundleSeq: bigint;
  readonly schema: string;
  readonly table: string;
}

/** Keys after `after` up to and including `through`, in wire form; a missing end is open. */
export interface KeyRange {
  readonly after?: string;
  readonly through?: string;
}

export interface VerifyArgs extends VerifyTarget {
  readonly columns: readonly string[];
  readonly parts: number;
  readonly ranges: readonly KeyRange[];
  readonly excludedKeys: readonly string[];
}

/** `POST /sync/verify`, an addition of this product. */
export function verifyRequest(args: VerifyArgs): RequestSpec {
  const { columns, parts, ranges, excludedKeys } = args;
  const body = stringifyJson({
    ...targetMembers(args),
    columns,
    parts,
    ranges: ranges.map(rangeMembers),
    excluded_keys: excludedKeys,
  });
  return spec({ operation: 'verify', method: 'POST', path: ['sync', 'verify'], body, isBulk: true });
}

/** `POST /sync/verify/rows`, an addition of this product. */
export function verifyRowsRequest(target: VerifyTarget, range: KeyRange, maxRows: number): RequestSpec {
  const body = stringifyJson({ ...targetMembers(target), ...rangeMembers(range), max_rows: maxRows });
  return spec({ operation: 'verify_rows', method: 'POST', path: ['sync', 'verify', 'rows'], body });
}

function targetMembers({ bundleSeq, schema, table }: VerifyTarget) {
  return { bundle_seq: bundleSeq, schema, table };
}

function rangeMembers({ after, through }: KeyRange) {
  return { after, through };
}

/** URL of a request: the path prefix of the base is kept, a slash at its end does not matter, every segment is escaped on its own. */
export function requestUrl(baseUrl: URL, request: RequestSpec): URL {
  const url = new URL(baseUrl);
  const prefix = url.pathname.replace(/\/+$/, '');
  url.pathname = `${prefix}/${request.path.map(encodeURIComponent).join('/')}`;
  url.search = new URLSearchParams(request.query.map(([name, value]) => [name, value])).toString();
  url.hash = '';
  return url;
}
