import { RowHasher, committedRowText } from '@oversync/protocol';
import type { JsonObject } from '@oversync/protocol';

import { numberOf, objectOf, refusal, reply, rowsOf, textOf } from './wire.ts';
import type { ScriptRequest } from './wire.ts';

interface Session {
  readonly sourceId: string;
  readonly sourceBundleId: number;
  readonly requestHash: string;
  readonly plannedRowCount: number;
  readonly rows: JsonObject[];
}

interface Bundle {
  readonly head: JsonObject;
  readonly rows: readonly JsonObject[];
}

/** Answers that a script puts in the place of the ordinary ones; `null` lets the ordinary answer through. */
export interface PushHooks {
  create?(request: ScriptRequest): Response | null;
  commit?(rows: readonly JsonObject[]): Response | null;
  committedRows?(): Response | null;
  /** Changes a commit reply or the head of a committed rows page. */
  head?(head: JsonObject, place: 'commit' | 'rows'): JsonObject;
}

/** A server that takes every push and answers with the rows as they came: one bundle per push, the bundle's number as row version. */
export class PushService {
  readonly createRequests: ScriptRequest[] = [];
  readonly hooks: PushHooks;
  nextBundleSeq = 1;
  readonly #sessions = new Map<string, Session>();
  readonly #bundles: Bundle[] = [];

  constructor(hooks: PushHooks = {}) {
    this.hooks = hooks;
  }

  /** Rows of the last committed push, as `table:OP:key`. */
  get uploadedRows(): readonly string[] {
    return (this.#bundles.at(-1)?.rows ?? []).map((row) => {
      const key = Object.values(objectOf(row['key']))[0];
      return `${textOf(row['table'])}:${textOf(row['op'])}:${textOf(key)}`;
    });
  }

  get bundles(): readonly Bundle[] {
    return this.#bundles;
  }

  create(request: ScriptRequest): Response {
    this.createRequests.push(request);
    const changed = this.hooks.create?.(request) ?? null;
    if (changed !== null) return changed;
    const { body, sourceId } = request;
    const requestHash = textOf(body['canonical_request_hash']);
    const plannedRowCount = numberOf(body['planned_row_count']);
    const id = crypto.randomUUID();
    const sourceBundleId = numberOf(body['source_bundle_id']);
    this.#sessions.set(id, { sourceId, sourceBundleId, requestHash, plannedRowCount, rows: [] });
    const counts = { planned_row_count: plannedRowCount, next_expected_row_ordinal: 0 };
    return reply(200, { push_id: id, status: 'staging', ...counts, canonical_request_hash: requestHash });
  }

  chunk(request: ScriptRequest): Response {
    const session = this.#sessions.get(request.id);
    if (session === undefined) return refusal(404, 'push_session_not_found');
    if (numberOf(request.body['start_row_ordinal']) !== session.rows.length) return refusal(409, 'push_chunk_out_of_order');
    session.rows.push(...rowsOf(request.body['rows']));
    return reply(200, { push_id: request.id, next_expected_row_ordinal: session.rows.length });
  }

  commit(request: ScriptRequest): Response {
    const session = this.#sessions.get(request.id);
    if (session === undefined) return refusal(404, 'push_session_not_found');
    const changed = this.hooks.commit?.(session.rows) ?? null;
    if (changed !== null) return changed;
    this.#sessions.delete(request.id);
    const seq = this.nextBundleSeq;
    const rows = session.rows.map((row) => committedRow(row, seq));
    const head = this.append({ ...session, seq, rows });
    return reply(200, this.hooks.head?.(head, 'commit') ?? head);
  }

  /** Stores a bundle and returns what a commit answers for it. */
  append(bundle: {
    readonly seq: number;
    readonly sourceId: string;
    readonly sourceBundleId: number;
    readonly requestHash: string;
    readonly rows: readonly JsonObject[];
  }): JsonObject {
    const head: JsonObject = {
      bundle_seq: bundle.seq,
      source_id: bundle.sourceId,
      source_bundle_id: bundle.sourceBundleId,
      row_count: bundle.rows.length,
      bundle_hash: bundleHash(bundle.rows),
      canonical_request_hash: bundle.requestHash,
    };
    this.#bundles.push({ head, rows: bundle.rows });
    this.nextBundleSeq = bundle.seq + 1;
    return head;
  }

  committedRows(request: ScriptRequest): Response {
    const changed = this.hooks.committedRows?.() ?? null;
    if (changed !== null) return changed;
    const bundle = this.#bundles.find((candidate) => candidate.head['bundle_seq'] === Number(request.id));
    if (bundle === undefined) return refusal(404, 'committed_bundle_not_found');
    const from = request.query['after_row_ordinal'] === undefined ? 0 : Number(request.query['after_row_ordinal']) + 1;
    const rows = bundle.rows.slice(from, from + Number(request.query['max_rows'] ?? '1000'));
    const next = from + rows.length;
    const head = this.hooks.head?.(bundle.head, 'rows') ?? bundle.head;
    return reply(200, { ...head, rows: [...rows], next_row_ordinal: next - 1, has_more: next < bundle.rows.length });
  }

  pull(request: ScriptRequest): Response {
    const after = Number(request.query['after_bundle_seq'] ?? '0');
    const stable = Number(request.query['target_bundle_seq'] ?? this.nextBundleSeq - 1);
    const bundles = this.#bundles.filter(
      ({ head }) => Number(head['bundle_seq']) > after && Number(head['bundle_seq']) <= stable,
    );
    const body = bundles.map(({ head, rows }): JsonObject => ({ ...head, rows: [...rows] }));
    return reply(200, { stable_bundle_seq: stable, bundles: body, has_more: false });
  }
}

function committedRow(row: JsonObject, seq: number): JsonObject {
  const { schema, table, key, op, payload } = row;
  const identity = { schema: textOf(schema), table: textOf(table), key: objectOf(key), op: textOf(op), row_version: seq };
  return payload === undefined || payload === null ? identity : { ...identity, payload };
}

function bundleHash(rows: readonly JsonObject[]): string {
  const hasher = new RowHasher();
  rows.forEach((row, ordinal) => {
    const { schema, table, key, op, payload = null, row_version: version } = row;
    if (op !== 'INSERT' && op !== 'UPDATE' && op !== 'DELETE') throw new Error('unknown op');
    const hashed = {
      schema: textOf(schema),
      table: textOf(table),
      key: objectOf(key),
      payload: payload === null ? null : objectOf(payload),
      row_version: BigInt(numberOf(version)),
    };
    hasher.addRow(committedRowText({ ...hashed, op }, ordinal));
  });
  return hasher.digestHex();
}
