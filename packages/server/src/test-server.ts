/** A whole server on a database of its own, spoken to as a client does: Web requests in, JSON out. */
import { createHash, randomUUID } from 'node:crypto';

import { createTestDatabase } from '@oversync/dev-postgres/testing';
import { requestRowText } from '@oversync/protocol';
import type { JsonObject } from '@oversync/protocol';

import { createSyncServer } from './create-sync-server.ts';
import type { SyncServer } from './create-sync-server.ts';
import type { ServerEvent } from './engine/events.ts';
import type { SyncServerOptions } from './engine/options.ts';
import type { PgResult, PgValue, Postgres } from './ports/postgres.ts';
import { CountingPostgres } from './test-counting-postgres.ts';
import { openTestDriver } from './test-driver.ts';

export const NOTES_DDL = `
CREATE SCHEMA business;
CREATE TABLE business.notes (
  _sync_scope_id text NOT NULL,
  id text NOT NULL,
  title text NOT NULL,
  amount int8,
  PRIMARY KEY (_sync_scope_id, id)
);`;

export const NOTES_TABLE = { schema: 'business', table: 'notes', syncKeyColumn: 'id' } as const;

export interface CallOptions {
  readonly scope?: string;
  readonly source?: string;
  readonly user?: string;
  readonly body?: unknown;
  readonly rawBody?: BodyInit;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: AnswerJson;
}

export interface AnswerRow {
  readonly key: { readonly id: string };
}

export interface AnswerBundle {
  readonly bundle_seq: number;
  readonly row_count: number;
  readonly rows: readonly AnswerRow[];
}

/** Members that the tests look at, over all kinds of answers; which of them exist is what the tests find out. */
export interface AnswerJson {
  readonly error: string;
  readonly message: string;
  readonly resolution: string;
  readonly initialization_id: string;
  readonly lease_expires_at: string;
  readonly retry_after_seconds: number;
  readonly push_id: string;
  readonly status: string;
  readonly stable_bundle_seq: number;
  readonly bundles: readonly AnswerBundle[];
  readonly rows: readonly AnswerRow[];
  readonly has_more: boolean;
  readonly next_row_ordinal: number;
  readonly snapshot_id: string;
  readonly row_count: number;
  readonly byte_count: number;
  readonly required_byte_count: number;
  readonly dimension: string;
  readonly actual: number;
  readonly limit: number;
  readonly limit_exceeded: { readonly name: string };
  readonly features: { readonly bundle_change_watch: boolean };
  readonly bundle_limits: object;
}

export interface TestServer {
  readonly server: SyncServer;
  readonly events: ServerEvent[];
  readonly db: Postgres;
  readonly counting: CountingPostgres;
  readonly url: string;
  readonly query: (sql: string, params?: readonly PgValue[]) => Promise<PgResult>;
  readonly script: (sql: string) => Promise<void>;
  readonly call: (method: string, path: string, options?: CallOptions) => Promise<Answer>;
  readonly raw: (method: string, path: string, options?: CallOptions) => Promise<Response>;
  /** A second server on the same database. */
  readonly second: (overrides?: Partial<SyncServerOptions>) => Promise<SyncServer>;
  readonly close: () => Promise<void>;
}

export interface TestServerOptions extends Partial<SyncServerOptions> {
  readonly ddl?: string;
  readonly skipsBootstrap?: boolean;
  readonly poolMax?: number;
  readonly preparedStatements?: boolean;
}

/** Credentials of the tests: `scope` or `scope/user` in the Authorization header. */
export async function openTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { ddl = NOTES_DDL, skipsBootstrap = false, poolMax = 6, preparedStatements = false, ...overrides } = options;
  const database = await createTestDatabase();
  const { db, end } = openTestDriver(database.url, { max: poolMax, preparedStatements });
  const counting = new CountingPostgres(db);
  const events: ServerEvent[] = [];
  const create = (more: Partial<SyncServerOptions>): SyncServer =>
    createSyncServer({
      database: counting,
      registeredTables: [NOTES_TABLE],
      resolveActor: resolveTestActor,
      maintenance: { enabled: false },
      onEvent: (event) => events.push(event),
      ...overrides,
      ...more,
    });
  await db.transaction({ isolation: 'read committed' }, (tx) => tx.script(ddl));
  const server = create({});
  if (!skipsBootstrap) await server.bootstrap();
  const others: SyncServer[] = [];
  const raw = (method: string, path: string, call: CallOptions = {}): Promise<Response> =>
    server.fetch(createRequest(method, path, call));
  return {
    server,
    events,
    db,
    counting,
    url: database.url,
    query: (sql, params) => db.query(sql, params),
    script: async (sql) => {
      await db.transaction({ isolation: 'read committed' }, (tx) => tx.script(sql));
    },
    raw,
    call: async (method, path, call) => readAnswer(await raw(method, path, call)),
    second: async (more = {}) => {
      const other = create(more);
      others.push(other);
      await other.bootstrap();
      return other;
    },
    close: async () => {
      await Promise.all([server, ...others].map((one) => one.close({ timeoutMs: 1000 })));
      await end();
      await database.drop();
    },
  };
}

function resolveTestActor(request: Request) {
  const [scopeId, userId] = (request.headers.get('authorization') ?? '').split('/');
  if (scopeId === undefined || scopeId === '') return null;
  return userId === undefined ? { scopeId } : { scopeId, userId };
}

export function createRequest(method: string, path: string, call: CallOptions = {}): Request {
  const headers = new Headers();
  const { scope = 'scope-1', source = 'device-a', user } = call;
  if (scope !== '') headers.set('authorization', user === undefined ? scope : `${scope}/${user}`);
  if (source !== '') headers.set('Oversync-Source-ID', source);
  for (const [name, value] of Object.entries(call.headers ?? {})) headers.set(name, value);
  const body = call.rawBody ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
  const init: RequestInit & { duplex?: 'half' } = { method, headers, duplex: 'half' };
  if (body !== undefined) init.body = body;
  if (call.signal !== undefined) init.signal = call.signal;
  return new Request(`http://host.test${path}`, init);
}

export async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text();
  const isJson = response.headers.get('content-type') === 'application/json';
  return { status: response.status, headers: response.headers, text, json: (isJson ? JSON.parse(text) : {}) as AnswerJson };
}

/** A row of `business.notes` as a push sends it. */
export interface NoteRow {
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly id: string;
  readonly base?: number;
  readonly title?: string;
  readonly amount?: string | null;
}

/** A row of any table as it stands in the body of a chunk. */
export interface WireRow {
  readonly schema: string;
  readonly table: string;
  readonly key: Readonly<Record<string, string>>;
  readonly op: NoteRow['op'];
  readonly base_row_version: number;
  readonly payload?: JsonObject;
}

function toWireRow(row: NoteRow): WireRow {
  const common = { schema: 'business', table: 'notes', key: { id: row.id }, op: row.op, base_row_version: row.base ?? 0 };
  if (row.op === 'DELETE') return common;
  return { ...common, payload: { id: row.id, title: row.title ?? `title of ${row.id}`, amount: row.amount ?? null } };
}

/** Pushes rows completely; returns the reply of the commit. */
export function pushNotes(
  target: Pick<TestServer, 'call'>,
  sourceBundleId: number,
  rows: readonly NoteRow[],
  options: CallOptions = {},
): Promise<AnswerJson> {
  return pushRows(target, sourceBundleId, rows.map(toWireRow), options);
}

/** {@link pushNotes} for rows of any table. */
export async function pushRows(
  target: Pick<TestServer, 'call'>,
  sourceBundleId: number,
  wireRows: readonly WireRow[],
  options: CallOptions = {},
): Promise<AnswerJson> {
  const canonical = wireRows.map((row, ordinal) =>
    requestRowText({ ...row, base_row_version: BigInt(row.base_row_version), payload: row.payload ?? null }, ordinal),
  );
  const hash = createHash('sha256')
    .update(`[${canonical.join(',')}]`)
    .digest('hex');
  const created = await target.call('POST', '/sync/push-sessions', {
    ...options,
    body: { source_bundle_id: sourceBundleId, planned_row_count: wireRows.length, canonical_request_hash: hash },
  });
  if (created.status !== 200 || created.json.status !== 'staging') throw new Error(`create: ${created.text}`);
  const pushPath = `/sync/push-sessions/${created.json.push_id}`;
  for (let start = 0; start < wireRows.length; start += 1000) {
    const body = { start_row_ordinal: start, rows: wireRows.slice(start, start + 1000) };
    const staged = await target.call('POST', `${pushPath}/chunks`, { ...options, body });
    if (staged.status !== 200) throw new Error(`chunk: ${staged.text}`);
  }
  const committed = await target.call('POST', `${pushPath}/commit`, options);
  if (committed.status !== 200) throw new Error(`commit: ${committed.text}`);
  return committed.json;
}

/** Inserts `count` notes with ids that sort in order. */
export function manyNotes(count: number, prefix = 'n'): NoteRow[] {
  return Array.from({ length: count }, (_, index) => ({ op: 'INSERT', id: `${prefix}-${String(index).padStart(6, '0')}` }));
}

export function newScope(): string {
  return `scope-${randomUUID()}`;
}
