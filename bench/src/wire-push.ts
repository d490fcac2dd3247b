import { randomUUID } from 'node:crypto';

import { canonicalJson, createJsonObject, formatFloat, type JsonObject, requestRowText, RowHasher } from '@oversync/protocol';

import type { BenchRow } from './bench-rows.ts';
import { KeepAlivePost } from './keep-alive-post.ts';

/** Bytes at the end of a snapshot chunk that hold what follows its rows. */
const CHUNK_TAIL_BYTES = 120;

/** Rows of one upload request. */
const CHUNK_ROWS = 5000;

/** A push as it travels, made before the clock starts: what is measured is the server. */
export interface WirePush {
  readonly hash: string;
  readonly rowCount: number;
  /** Bodies of the upload requests, in order. */
  readonly chunks: readonly Uint8Array[];
}

/** `baseRowVersion` is the bundle in which the rows were written last; 0 for new ones. */
export function encodeWirePush(
  rows: readonly BenchRow[],
  op: 'INSERT' | 'UPDATE' | 'DELETE' = 'INSERT',
  baseRowVersion = 0n,
): WirePush {
  const hasher = new RowHasher();
  const texts = rows.map((row, ordinal) => {
    const payload = op === 'DELETE' ? undefined : encodeWirePayload(row);
    const key = `{"id":"${row.id}"}`;
    hasher.addRow(
      requestRowText({ schema: 'business', table: 'places', key, op, payload, base_row_version: baseRowVersion }, ordinal),
    );
    const rest = payload === undefined ? '' : `,"payload":${payload}`;
    return `{"schema":"business","table":"places","key":${key},"op":"${op}","base_row_version":${baseRowVersion}${rest}}`;
  });
  const chunks: Uint8Array[] = [];
  for (let from = 0; from < texts.length; from += CHUNK_ROWS) {
    const body = `{"start_row_ordinal":${from},"rows":[${texts.slice(from, from + CHUNK_ROWS).join(',')}]}`;
    chunks.push(Buffer.from(body));
  }
  return { hash: hasher.digestHex(), rowCount: rows.length, chunks };
}

/** A source that has connected to an empty scope and staged a push: ready for its commit. */
export class WireSource {
  readonly #serverUrl: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #connection: KeepAlivePost;

  constructor(serverUrl: string, token: string) {
    this.#serverUrl = serverUrl;
    this.#headers = { Authorization: `Bearer ${token}`, 'Oversync-Source-ID': randomUUID(), 'Content-Type': 'application/json' };
    this.#connection = new KeepAlivePost(serverUrl, this.#headers);
  }

  /** Makes the scope usable without seed push. */
  async connectEmpty(): Promise<void> {
    await this.#post('/sync/connect', '{"has_local_pending_rows":false}');
  }

  /** Creates the session and uploads every chunk. Returns the push id. */
  async stage(push: WirePush, sourceBundleId = 1): Promise<string> {
    const body = { source_bundle_id: sourceBundleId, planned_row_count: push.rowCount, canonical_request_hash: push.hash };
    const created = await this.#post('/sync/push-sessions', JSON.stringify(body));
    const pushId = String(created['push_id']);
    for (const chunk of push.chunks) await this.#post(`/sync/push-sessions/${pushId}/chunks`, chunk);
    return pushId;
  }

  async commit(pushId: string): Promise<void> {
    await this.#post(`/sync/push-sessions/${pushId}/commit`, '');
  }

  /** Opens a snapshot session; returns its number of rows. */
  async createSnapshot(): Promise<bigint> {
    return BigInt(String((await this.#post('/sync/snapshot-sessions', ''))['row_count']));
  }

  /** Opens a snapshot session, reads all of it chunk by chunk, and throws it away. */
  async readSnapshot(): Promise<void> {
    const session = await this.#post('/sync/snapshot-sessions', '');
    const path = `${this.#serverUrl}/sync/snapshot-sessions/${String(session['snapshot_id'])}`;
    const headers = { ...this.#headers, 'Accept-Encoding': 'identity' };
    for (let next = '0', hasMore = true; hasMore;) {
      const query = `?after_row_ordinal=${next}&max_rows=5000&max_bytes=16777216`;
      const response = await fetch(`${path}${query}`, { headers });
      if (response.status !== 200) throw new Error(`a snapshot chunk was answered with ${response.status}`);
      const tail = Buffer.from(await response.arrayBuffer())
        .subarray(-CHUNK_TAIL_BYTES)
        .toString('latin1');
      next = /"next_row_ordinal":(\d+)/.exec(tail)?.[1] ?? next;
      hasMore = tail.includes('"has_more":true');
    }
  }

  async #post(path: string, body: string | Uint8Array): Promise<Readonly<Record<string, unknown>>> {
    const { status, text } = await this.#connection.post(path, typeof body === 'string' ? Buffer.from(body) : body);
    if (status !== 200) throw new Error(`${path} was answered with ${status}: ${text}`);
    return JSON.parse(text) as Readonly<Record<string, unknown>>;
  }
}

/** The canonical wire payload of a row. */
export function encodeWirePayload(row: BenchRow): string {
  return canonicalJson(toPayload(row));
}

function toPayload(row: BenchRow): JsonObject {
  const payload = createJsonObject();
  payload['id'] = row.id;
  payload['name'] = row.name;
  payload['country'] = row.country;
  payload['admin1'] = row.admin1;
  payload['admin2'] = null;
  payload['lat'] = row.lat;
  payload['lng'] = formatFloat(row.lng);
  payload['rating'] = String(row.rating);
  payload['visited'] = row.visited ? '1' : '0';
  payload['note'] = row.note;
  payload['updated_at'] = row.updatedAt;
  return payload;
}
