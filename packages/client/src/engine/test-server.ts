import {
  RowHasher,
  canonicalJson,
  committedRowText,
  createJsonObject,
  isJsonObject,
  parseJson,
  requestRowText,
  stringifyJson,
} from '@oversync/protocol';
import type { JsonObject, JsonValue, RowOp } from '@oversync/protocol';

import { verifyBody, verifyRowsBody } from './test-verify.ts';
import type { VerifiableRow } from './test-verify.ts';

/** One request as the test server saw it. */
export interface SeenRequest {
  readonly operation: string;
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly sourceId: string;
  readonly body: JsonValue;
  readonly headers: Headers;
}

export type Override = (request: SeenRequest, answer: () => Promise<Response>) => Response | Promise<Response>;

interface StoredRow {
  readonly table: string;
  readonly key: JsonObject;
  readonly version: bigint;
  readonly payload: JsonObject | null;
}

interface BundleRow {
  readonly table: string;
  readonly key: JsonObject;
  readonly op: RowOp;
  readonly payload: JsonObject | null;
}

interface Bundle {
  readonly seq: bigint;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
  readonly requestHash: string;
  readonly hash: string;
  readonly rows: readonly BundleRow[];
}

interface PushSession {
  readonly id: string;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
  readonly planned: number;
  readonly hash: string;
  rows: (BundleRow & { readonly base: bigint })[];
}

interface Snapshot {
  readonly id: string;
  readonly seq: bigint;
  readonly rowTexts: readonly string[];
}

/**
 * A server of one scope, in memory: the contract of protocol.md as far as a well-behaved client sees it. Tests change single answers with
 * `override`; everything else stays consistent, so that a test shows only what it is about.
 */
export class TestServer {
  readonly seen: SeenRequest[] = [];
  features: Record<string, boolean> = {
    connect_lifecycle: true,
    idempotent_push_chunks: true,
    push_session_status: true,
    push_chunks_ahead: true,
    push_violations: true,
    push_conflict_list: true,
    gzip_request_bodies: false,
  };
  limits: Record<string, number> = {
    default_rows_per_snapshot_chunk: 1000,
    max_rows_per_snapshot_chunk: 4000,
    default_bytes_per_snapshot_chunk: 4194304,
    max_bytes_per_snapshot_chunk: 16777216,
    max_bytes_per_snapshot_row: 4194304,
    max_concurrent_snapshot_builds: 2,
    max_concurrent_snapshot_chunk_requests: 8,
  };
  protocolVersion: JsonValue = 'v1';
  retainedFloor = 0n;
  isInitialized = false;
  lease: { readonly id: string; readonly sourceId: string } | null = null;
  snapshotTtlMs = 900_000;
  /** What triggers of the server do to a pushed row. */
  effect: (payload: JsonObject) => JsonObject = (payload) => payload;
  readonly retired = new Map<string, string | null>();
  /** Columns that the tables have got since, with the value of rows from before. */
  readonly #added: { readonly table: string; readonly columns: JsonObject }[] = [];
  readonly #tables: readonly { readonly table: string; readonly key: string }[];
  readonly #rows = new Map<string, StoredRow>();
  readonly #bundles: Bundle[] = [];
  readonly #sessions = new Map<string, PushSession>();
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #overrides: { readonly operation: string; readonly answer: Override; times: number }[] = [];

  constructor(tables: readonly { readonly table: string; readonly key: string }[]) {
    this.#tables = tables;
  }

  /** A server of its own in the same state. */
  clone(): TestServer {
    const copy = new TestServer(this.#tables);
    const { features, limits, protocolVersion, retainedFloor, isInitialized, lease, snapshotTtlMs, effect } = this;
    Object.assign(copy, { features: { ...features }, limits: { ...limits } });
    Object.assign(copy, { protocolVersion, retainedFloor, isInitialized, lease, snapshotTtlMs, effect });
    for (const [sourceId, successor] of this.retired) copy.retired.set(sourceId, successor);
    for (const [name, row] of this.#rows) copy.#rows.set(name, row);
    for (const [id, session] of this.#sessions) copy.#sessions.set(id, { ...session });
    for (const [id, snapshot] of this.#snapshots) copy.#snapshots.set(id, snapshot);
    copy.#bundles.push(...this.#bundles);
    copy.#added.push(...this.#added);
    copy.#overrides.push(...this.#overrides.map((override) => ({ ...override })));
    return copy;
  }

  get head(): bigint {
    return this.#bundles.at(-1)?.seq ?? 0n;
  }

  /** Live payloads of a table by key value. */
  rowsOf(table: string): Readonly<Record<string, JsonObject>> {
    const live = [...this.#rows.values()].filter((row) => row.table === table && row.payload !== null);
    return Object.fromEntries(live.map((row) => [keyValue(row.key), this.#shown(table, row.payload ?? {})]));
  }

  count(operation: string): number {
    return this.seen.filter((request) => request.operation === operation).length;
  }

  operations(): readonly string[] {
    return this.seen.map((request) => request.operation);
  }

  /** Replaces the next `times` answers of an operation. */
  override(operation: string, answer: Override, times = 1): void {
    this.#overrides.push({ operation, answer, times });
  }

  /** Answers everything itself again. */
  forgetOverrides(): void {
    this.#overrides.length = 0;
  }

  /** Commits rows of another writer. */
  write(
    rows: readonly { readonly table: string; readonly id: string; readonly payload: JsonObject | null }[],
    sourceId = 'peer',
  ): bigint {
    this.isInitialized = true;
    const bundleRows = rows.map(({ table, id, payload }): BundleRow => {
      const key = { [this.#keyOf(table)]: id };
      const known = this.#rows.get(rowName(table, key));
      const op = payload === null ? 'DELETE' : (known?.payload ?? null) === null ? 'INSERT' : 'UPDATE';
      return { table, key, op, payload };
    });
    const sourceBundleId = BigInt(this.#bundles.filter((bundle) => bundle.sourceId === sourceId).length + 1);
    return this.#append(sourceId, sourceBundleId, '', bundleRows).seq;
  }

  /** Gives a table more columns: every row that is served from now on has them, except in own bundles, which stay as they were hashed. */
  addColumns(table: string, columns: JsonObject): void {
    this.#added.push({ table, columns });
  }

  #shown(table: string, payload: JsonObject): JsonObject {
    return this.#added.reduce((row, added) => (added.table === table ? { ...added.columns, ...row } : row), payload);
  }

  /** Forgets history up to a sequence. */
  prune(floor: bigint): void {
    this.retainedFloor = floor;
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    const seen = await see(request);
    this.seen.push(seen);
    const answer = async (): Promise<Response> => this.#answer(seen);
    const override = this.#overrides.find((entry) => entry.operation === seen.operation && entry.times > 0);
    if (override === undefined) return answer();
    override.times -= 1;
    return override.answer(seen, answer);
  };

  #keyOf(table: string): string {
    return this.#tables.find((entry) => entry.table === table)?.key ?? 'id';
  }

  #append(sourceId: string, sourceBundleId: bigint, requestHash: string, rows: readonly BundleRow[]): Bundle {
    const seq = this.head + 1n;
    const hasher = new RowHasher();
    rows.forEach((row, ordinal) => hasher.addRow(committedRowText({ schema: 'main', ...row, row_version: seq }, ordinal)));
    for (const row of rows)
      this.#rows.set(rowName(row.table, row.key), { table: row.table, key: row.key, version: seq, payload: row.payload });
    const bundle = { seq, sourceId, sourceBundleId, requestHash, hash: hasher.digestHex(), rows };
    this.#bundles.push(bundle);
    return bundle;
  }

  #answer(request: SeenRequest): Response {
    const [, id = ''] = /\/(?:push-sessions|snapshot-sessions|committed-bundles)\/([^/]+)/.exec(request.path) ?? [];
    const body = isJsonObject(request.body) ? request.body : {};
    switch (request.operation) {
      case 'capabilities':
        return json(200, this.#capabilities());
      case 'connect':
        return json(200, this.#connect(request.sourceId, body['has_local_pending_rows'] === true));
      case 'push_session_create':
        return this.#create(request.sourceId, body);
      case 'push_session_status':
        return this.#status(id);
      case 'push_session_chunk':
        return this.#chunk(id, body);
      case 'push_session_commit':
        return this.#commit(id);
      case 'push_session_delete':
        return this.#sessions.delete(id) ? new Response(null, { status: 204 }) : refuse(404, 'push_session_not_found');
      case 'committed_rows':
        return this.#committedRows(BigInt(id), request.query);
      case 'pull':
        return this.#pull(request.query);
      case 'snapshot_session_create':
        return this.#createSnapshot(request.sourceId, body);
      case 'snapshot_chunk':
        return this.#snapshotChunk(id, request.query);
      case 'snapshot_session_delete':
        return this.#snapshots.delete(id) ? new Response(null, { status: 204 }) : refuse(404, 'snapshot_session_not_found');
      case 'verify':
        return this.#verify(body, verifyBody);
      case 'verify_rows':
        return this.#verify(body, verifyRowsBody);
      default:
        return refuse(404, 'not_found');
    }
  }

  #capabilities(): JsonObject {
    return {
      protocol_version: this.protocolVersion,
      schema_version: 1,
      registered_table_specs: this.#tables.map(({ table, key }) => ({ schema: 'main', table, sync_key_columns: [key] })),
      features: { ...this.features },
      bundle_limits: { ...this.limits },
    };
  }

  #connect(sourceId: string, hasPending: boolean): JsonObject {
    if (this.isInitialized) return { resolution: 'remote_authoritative' };
    if (this.lease !== null && this.lease.sourceId !== sourceId) {
      return { resolution: 'retry_later', retry_after_seconds: 7, lease_expires_at: '2099-01-01T00:00:00Z' };
    }
    if (!hasPending) {
      this.isInitialized = true;
      this.lease = null;
      return { resolution: 'initialize_empty' };
    }
    this.lease = { id: crypto.randomUUID(), sourceId };
    return { resolution: 'initialize_local', initialization_id: this.lease.id, lease_expires_at: '2099-01-01T00:00:00Z' };
  }

  #create(sourceId: string, body: JsonObject): Response {
    const sourceBundleId = integer(body['source_bundle_id']);
    const committed = this.#bundles.find((bundle) => bundle.sourceId === sourceId && bundle.sourceBundleId === sourceBundleId);
    const hash = asText(body['canonical_request_hash']);
    if (committed !== undefined && committed.seq > this.retainedFloor) {
      return committed.requestHash === hash
        ? json(200, { status: 'already_committed', ...commitBody(committed) })
        : refuse(400, 'push_session_invalid');
    }
    const lease = body['initialization_id'];
    if (this.isInitialized && lease !== undefined) return refuse(400, 'push_session_invalid');
    if (!this.isInitialized && lease === undefined) return refuse(409, 'scope_uninitialized');
    if (!this.isInitialized && lease !== this.lease?.id) return refuse(409, 'initialization_stale');
    const retired = this.retired.get(sourceId);
    if (retired !== undefined) {
      return refuse(409, 'source_retired', {
        source_id: sourceId,
        ...(retired === null ? {} : { replaced_by_source_id: retired }),
      });
    }
    const expected = BigInt(this.#bundles.filter((bundle) => bundle.sourceId === sourceId).length + 1);
    if (sourceBundleId < expected) return refuse(409, 'history_pruned');
    if (sourceBundleId > expected) return refuse(409, 'source_sequence_out_of_order');
    const session = {
      id: crypto.randomUUID(),
      sourceId,
      sourceBundleId,
      planned: Number(integer(body['planned_row_count'])),
      hash,
      rows: [],
    };
    this.#sessions.set(session.id, session);
    return json(200, sessionBody(session));
  }

  #status(id: string): Response {
    const session = this.#sessions.get(id);
    if (session === undefined) return refuse(404, 'push_session_not_found');
    return json(200, { ...sessionBody(session), expires_at: '2099-01-01T00:00:00Z' });
  }

  #chunk(id: string, body: JsonObject): Response {
    const session = this.#sessions.get(id);
    if (session === undefined) return refuse(404, 'push_session_not_found');
    const start = Number(integer(body['start_row_ordinal']));
    const rows = Array.isArray(body['rows']) ? body['rows'].filter((row) => isJsonObject(row)) : [];
    if (start + rows.length <= session.rows.length)
      return json(200, { push_id: id, next_expected_row_ordinal: start + rows.length });
    if (start !== session.rows.length) return refuse(409, 'push_chunk_out_of_order');
    session.rows = [...session.rows, ...rows.map(pushedRow)];
    return json(200, { push_id: id, next_expected_row_ordinal: session.rows.length });
  }

  #commit(id: string): Response {
    const session = this.#sessions.get(id);
    if (session === undefined) return refuse(404, 'push_session_not_found');
    const hasher = new RowHasher();
    session.rows.forEach((row, ordinal) =>
      hasher.addRow(requestRowText({ schema: 'main', ...row, base_row_version: row.base }, ordinal)),
    );
    if (session.rows.length !== session.planned || hasher.digestHex() !== session.hash) return refuse(400, 'push_commit_invalid');
    const conflicts = session.rows.flatMap((row, ordinal) => this.#conflictOf(row, ordinal));
    const [first] = conflicts;
    if (first !== undefined)
      return refuse(409, 'push_conflict', { conflict: first, conflicts, conflict_count: conflicts.length });
    this.#sessions.delete(id);
    this.isInitialized = true;
    this.lease = null;
    const stored = (table: string, payload: JsonObject): JsonObject => this.effect(this.#shown(table, payload));
    const rows = session.rows.map((row) => ({ ...row, payload: row.payload === null ? null : stored(row.table, row.payload) }));
    return json(200, commitBody(this.#append(session.sourceId, session.sourceBundleId, session.hash, rows)));
  }

  #conflictOf(row: BundleRow & { readonly base: bigint }, ordinal: number): readonly JsonObject[] {
    const known = this.#rows.get(rowName(row.table, row.key));
    const isLive = known !== undefined && known.payload !== null;
    const accepts =
      row.op === 'INSERT' ? !isLive && (known === undefined || known.version === row.base) : isLive && known.version === row.base;
    if (accepts) return [];
    const conflict: JsonObject = {
      row_ordinal: ordinal,
      schema: 'main',
      table: row.table,
      key: row.key,
      op: row.op,
      base_row_version: Number(row.base),
      server_row_version: Number(known?.version ?? 0n),
      server_row_deleted: known !== undefined && known.payload === null,
      server_row: known === undefined || known.payload === null ? null : this.#shown(row.table, known.payload),
    };
    return [conflict];
  }

  #committedRows(seq: bigint, query: Readonly<Record<string, string>>): Response {
    if (seq <= this.retainedFloor) return refuse(409, 'history_pruned');
    const bundle = this.#bundles.find((candidate) => candidate.seq === seq);
    if (bundle === undefined) return refuse(404, 'committed_bundle_not_found');
    const from = query['after_row_ordinal'] === undefined ? 0 : Number(query['after_row_ordinal']) + 1;
    const rows = bundle.rows.slice(from, from + Number(query['max_rows'] ?? '1000'));
    const next = from + rows.length;
    return json(200, {
      ...commitBody(bundle),
      rows: rows.map((row) => wireRow(row, seq)),
      next_row_ordinal: next - 1,
      has_more: next < bundle.rows.length,
    });
  }

  #pull(query: Readonly<Record<string, string>>): Response {
    if (!this.isInitialized) return refuse(409, this.lease === null ? 'scope_uninitialized' : 'scope_initializing');
    const after = BigInt(query['after_bundle_seq'] ?? '0');
    if (after < this.retainedFloor) return refuse(409, 'history_pruned');
    if (after > this.head) return refuse(409, 'checkpoint_ahead');
    const stable = query['target_bundle_seq'] === undefined ? this.head : BigInt(query['target_bundle_seq']);
    const all = this.#bundles.filter((bundle) => bundle.seq > after && bundle.seq <= stable);
    const bundles = all.slice(0, Number(query['max_bundles'] ?? '1000'));
    return json(200, {
      stable_bundle_seq: Number(stable),
      bundles: bundles.map((bundle) => ({
        ...commitBody(bundle),
        rows: bundle.rows.map((row) => this.#wireRow(row, bundle.seq)),
      })),
      has_more: bundles.length < all.length,
    });
  }

  #wireRow(row: BundleRow, version: bigint): JsonObject {
    return wireRow({ ...row, payload: row.payload === null ? null : this.#shown(row.table, row.payload) }, version);
  }

  #createSnapshot(sourceId: string, body: JsonObject): Response {
    if (!this.isInitialized) return refuse(409, 'scope_uninitialized');
    const replacement = body['source_replacement'];
    if (isJsonObject(replacement)) {
      const successor = asText(replacement['new_source_id']);
      const known = this.retired.get(sourceId);
      if (typeof known === 'string' && known !== successor)
        return refuse(409, 'source_retired', { source_id: sourceId, replaced_by_source_id: known });
      this.retired.set(sourceId, successor);
    }
    const live = [...this.#rows.values()].filter((row) => row.payload !== null);
    const rowTexts = live.map((row) => {
      const payload = canonicalJson(this.#shown(row.table, row.payload ?? {}));
      return `{"schema":"main","table":"${row.table}","key":${canonicalJson(row.key)},"row_version":${row.version},"payload":${payload}}`;
    });
    const snapshot = { id: crypto.randomUUID(), seq: this.head, rowTexts };
    this.#snapshots.set(snapshot.id, snapshot);
    return json(200, {
      snapshot_id: snapshot.id,
      snapshot_bundle_seq: Number(snapshot.seq),
      row_count: rowTexts.length,
      byte_count: byteLength(rowTexts),
      expires_at: new Date(Date.now() + this.snapshotTtlMs).toISOString(),
    });
  }

  #snapshotChunk(id: string, query: Readonly<Record<string, string>>): Response {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) return refuse(404, 'snapshot_session_not_found');
    const after = Number(query['after_row_ordinal']);
    const texts = snapshot.rowTexts.slice(after, after + Number(query['max_rows']));
    const next = after + texts.length;
    const head = `"snapshot_id":"${id}","snapshot_bundle_seq":${snapshot.seq},"rows":[${texts.join(',')}],"next_row_ordinal":${next}`;
    return text(200, `{${head},"has_more":${next < snapshot.rowTexts.length},"byte_count":${byteLength(texts)}}`);
  }

  #verify(body: JsonObject, answer: (rows: readonly VerifiableRow[], seq: bigint, body: JsonObject) => JsonObject): Response {
    if (integer(body['bundle_seq']) !== this.head) return refuse(409, 'verify_out_of_date');
    const rows = [...this.#rows.values()].flatMap(({ table, key, version, payload: stored }) => {
      if (stored === null || table !== body['table']) return [];
      const payload = this.#shown(table, stored);
      const snapshotRow = { schema: 'main', table, key, row_version: Number(version), payload };
      return [{ key: keyValue(key), version, payload, snapshotRow }];
    });
    return json(
      200,
      answer(
        rows.toSorted((a, b) => (a.key < b.key ? -1 : 1)),
        this.head,
        body,
      ),
    );
  }
}

function byteLength(texts: readonly string[]): number {
  return texts.reduce((sum, entry) => sum + new TextEncoder().encode(entry).length, 0);
}

function asText(value: JsonValue | undefined): string {
  if (typeof value !== 'string') throw new Error('a string was expected');
  return value;
}

function keyValue(key: JsonObject): string {
  return asText(Object.values(key)[0]);
}

function rowName(table: string, key: JsonObject): string {
  return `${table} ${keyValue(key)}`;
}

function integer(value: JsonValue | undefined): bigint {
  return BigInt(typeof value === 'number' ? value : -1);
}

function pushedRow(row: JsonObject): BundleRow & { readonly base: bigint } {
  const { op, table, key, payload } = row;
  if (op !== 'INSERT' && op !== 'UPDATE' && op !== 'DELETE') throw new Error('op');
  return {
    table: asText(table),
    key: isJsonObject(key) ? key : createJsonObject(),
    op,
    payload: isJsonObject(payload) ? payload : null,
    base: integer(row['base_row_version']),
  };
}

function wireRow(row: BundleRow, version: bigint): JsonObject {
  const payload = row.payload === null ? {} : { payload: row.payload };
  return { schema: 'main', table: row.table, key: row.key, op: row.op, row_version: Number(version), ...payload };
}

function commitBody(bundle: Bundle): JsonObject {
  return {
    bundle_seq: Number(bundle.seq),
    source_id: bundle.sourceId,
    source_bundle_id: Number(bundle.sourceBundleId),
    row_count: bundle.rows.length,
    bundle_hash: bundle.hash,
    canonical_request_hash: bundle.requestHash,
  };
}

function sessionBody(session: PushSession): JsonObject {
  return {
    push_id: session.id,
    status: 'staging',
    planned_row_count: session.planned,
    next_expected_row_ordinal: session.rows.length,
    canonical_request_hash: session.hash,
  };
}

/** A JSON answer. */
export function json(status: number, body: JsonObject, headers: Readonly<Record<string, string>> = {}): Response {
  return text(status, stringifyJson(body), headers);
}

/** An answer with this very text. */
export function text(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(body, { status, headers: { 'Content-Type': 'application/json', ...headers } });
}

/** An error answer. */
export function refuse(
  status: number,
  code: string,
  members: JsonObject = {},
  headers: Readonly<Record<string, string>> = {},
): Response {
  return json(status, { error: code, message: 'refused', ...members }, headers);
}

const OPERATIONS: readonly (readonly [RegExp, string])[] = [
  [/^GET .*\/sync\/capabilities$/, 'capabilities'],
  [/^POST .*\/sync\/connect$/, 'connect'],
  [/^POST .*\/sync\/push-sessions$/, 'push_session_create'],
  [/^GET .*\/sync\/push-sessions\/[^/]+$/, 'push_session_status'],
  [/^DELETE .*\/sync\/push-sessions\/[^/]+$/, 'push_session_delete'],
  [/^POST .*\/chunks$/, 'push_session_chunk'],
  [/^POST .*\/commit$/, 'push_session_commit'],
  [/^GET .*\/sync\/committed-bundles\//, 'committed_rows'],
  [/^GET .*\/sync\/pull$/, 'pull'],
  [/^GET .*\/sync\/watch$/, 'watch'],
  [/^POST .*\/sync\/snapshot-sessions$/, 'snapshot_session_create'],
  [/^GET .*\/sync\/snapshot-sessions\/[^/]+$/, 'snapshot_chunk'],
  [/^DELETE .*\/sync\/snapshot-sessions\/[^/]+$/, 'snapshot_session_delete'],
  [/^POST .*\/sync\/verify$/, 'verify'],
  [/^POST .*\/sync\/verify\/rows$/, 'verify_rows'],
];

async function see(request: Request): Promise<SeenRequest> {
  const url = new URL(request.url);
  const line = `${request.method} ${url.pathname}`;
  const body = await bodyText(request);
  return {
    operation: OPERATIONS.find(([pattern]) => pattern.test(line))?.[1] ?? 'unknown',
    method: request.method,
    path: url.pathname,
    query: Object.fromEntries(url.searchParams),
    sourceId: request.headers.get('Oversync-Source-ID') ?? '',
    body: body === '' ? null : parseJson(body, { depthMax: 100 }),
    headers: request.headers,
  };
}

async function bodyText(request: Request): Promise<string> {
  if (request.headers.get('content-encoding') !== 'gzip' || request.body === null) return request.text();
  return new Response(request.body.pipeThrough(new DecompressionStream('gzip'))).text();
}
