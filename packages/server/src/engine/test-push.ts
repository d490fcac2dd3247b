/** What the tests of pushes share: a server context on a real database, and a client that speaks in whole pushes. */
import { createSha256, isJsonObject, isSyncError, parseJson, requestRowText, RowHasher, stringifyJson } from '@oversync/protocol';
import type { CommitReply, JsonObject, JsonOutput, JsonValue, PushSessionReply } from '@oversync/protocol';

import type { Postgres } from '../ports/postgres.ts';
import type { RegisteredTableConfig } from '../rules/table-description.ts';
import { metadataNames } from '../store/metadata.sql.ts';
import { CountingPostgres } from '../test-counting-postgres.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';
import { ByteBudget } from './byte-budget.ts';
import type { Actor, CommitNotice, SyncContext } from './context.ts';
import type { ServerEvent } from './events.ts';
import { Lifecycle } from './lifecycle.ts';
import type { SyncServerOptions } from './options.ts';
import { Permits } from './permits.ts';
import { stagePushChunk } from './push-chunk.ts';
import { commitPush } from './push-commit.ts';
import { createPushSession } from './push-create.ts';
import { resolveOptions } from './resolve-options.ts';
import { ScopeQueue } from './scope-queue.ts';
import { createSessionTokens } from './session-tokens.ts';

/** A pushed row as a client writes it. */
export interface TestRow {
  readonly schema?: string;
  readonly table: string;
  readonly key: JsonObject;
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly base?: bigint;
  readonly payload?: JsonObject;
}

export interface PushFixture {
  readonly pg: PgFixture;
  readonly ctx: SyncContext;
  readonly events: ServerEvent[];
  readonly notices: CommitNotice[];
  readonly counting: CountingPostgres;
  /** Another server process on the same database. */
  createPeer(options?: Partial<SyncServerOptions>): Promise<SyncContext>;
  close(): Promise<void>;
}

export interface PushFixtureOptions {
  readonly schema: string;
  readonly tables: readonly RegisteredTableConfig[];
  readonly options?: Partial<SyncServerOptions>;
  /** Stands between the server and the driver. */
  readonly wrap?: (db: Postgres) => Postgres;
}

export async function openPushFixture(setup: PushFixtureOptions): Promise<PushFixture> {
  const pg = await openPgFixture();
  await pg.run(setup.schema);
  const db = new CountingPostgres(setup.wrap?.(pg.db) ?? pg.db);
  const events: ServerEvent[] = [];
  const notices: CommitNotice[] = [];
  const createContext = async (overrides: Partial<SyncServerOptions>): Promise<SyncContext> => {
    let { catalog } = await pg.bootstrap(setup.tables);
    const options = resolveOptions({
      database: db,
      registeredTables: setup.tables,
      resolveActor: () => null,
      retry: { attempts: 3, baseMs: 1 },
      ...setup.options,
      ...overrides,
    });
    const tokens = createSessionTokens(catalog.tokenSecret);
    const lifecycle = new Lifecycle();
    lifecycle.markBootstrapped();
    return {
      options,
      db,
      names: metadataNames('sync'),
      lifecycle,
      queue: new ScopeQueue(options.scopeQueueLength),
      snapshotQueue: new ScopeQueue(options.scopeQueueLength),
      buffers: new ByteBudget(options.maxBufferedResponseBytes),
      permits: { snapshotBuild: new Permits(8), snapshotChunk: new Permits(4) },
      logger: options.logger,
      takesShortWay: process.env['OVERSYNC_TEST_SMALL_PUSHES'] !== 'off',
      catalog: () => catalog,
      refreshCatalog: async () => {
        const before = catalog;
        ({ catalog } = await pg.bootstrap(setup.tables));
        if (before.rowLayout !== catalog.rowLayout || before.shapeSet !== catalog.shapeSet) return true;
        catalog = before;
        return false;
      },
      tokens: () => tokens,
      emit: (event) => void events.push(event),
      publishCommit: (notice) => void notices.push(notice),
    };
  };
  return {
    pg,
    ctx: await createContext({}),
    events,
    notices,
    counting: db,
    createPeer: (options = {}) => createContext(options),
    close: () => pg.close(),
  };
}

/** A scope that clients can push to without a seed. */
export async function initializeScope(pg: PgFixture, scopeId: string): Promise<void> {
  await pg.query(`INSERT INTO sync.scope (scope_pk,scope_id,state) VALUES (nextval('sync.scope_pk_seq'),$1,'initialized')`, [
    scopeId,
  ]);
}

export function toRequestHash(rows: readonly TestRow[]): string {
  const hasher = new RowHasher(createSha256);
  rows.forEach((row, ordinal) => {
    const hashed = {
      schema: row.schema ?? 'public',
      table: row.table,
      key: row.key,
      op: row.op,
      base_row_version: row.base ?? 0n,
      payload: row.payload ?? null,
    };
    hasher.addRow(requestRowText(hashed, ordinal));
  });
  return hasher.digestHex();
}

/** The body of a chunk as the server parses it from the wire. */
export function toChunkBody(rows: readonly TestRow[], startRowOrdinal = 0): JsonValue {
  const body: JsonOutput = {
    start_row_ordinal: startRowOrdinal,
    rows: rows.map((row) => ({
      schema: row.schema ?? 'public',
      table: row.table,
      key: row.key,
      op: row.op,
      base_row_version: row.base ?? 0n,
      payload: row.payload,
    })),
  };
  return parseJson(stringifyJson(body), { depthMax: 100 });
}

export interface PushOptions {
  readonly sourceBundleId?: bigint;
  readonly chunkRows?: number;
  readonly initializationId?: string;
}

/** Opens a session and stages all rows. */
export async function stagePush(
  ctx: SyncContext,
  actor: Actor,
  rows: readonly TestRow[],
  options: PushOptions = {},
): Promise<string> {
  const pushId = requirePushId(await openSession(ctx, actor, rows, options));
  const chunkRows = options.chunkRows ?? rows.length;
  for (let start = 0; start < rows.length; start += chunkRows) {
    await stagePushChunk(ctx, actor, { pushId, body: toChunkBody(rows.slice(start, start + chunkRows), start) });
  }
  return pushId;
}

export function openSession(
  ctx: SyncContext,
  actor: Actor,
  rows: readonly TestRow[],
  options: PushOptions = {},
): Promise<PushSessionReply> {
  return createPushSession(ctx, actor, {
    source_bundle_id: options.sourceBundleId ?? 1n,
    planned_row_count: BigInt(rows.length),
    canonical_request_hash: toRequestHash(rows),
    initialization_id: options.initializationId,
  });
}

export function requirePushId(reply: PushSessionReply): string {
  if (reply.status !== 'staging') throw new Error('the push is already committed');
  return reply.push_id;
}

/** A whole push. */
export async function push(
  ctx: SyncContext,
  actor: Actor,
  rows: readonly TestRow[],
  options: PushOptions = {},
): Promise<CommitReply> {
  return commitPush(ctx, actor, await stagePush(ctx, actor, rows, options));
}

/** Rows of a committed bundle as clients read them; without a scope, of the only bundle with this number. */
export async function readBundle(pg: PgFixture, bundleSeq: bigint, scopePk?: string): Promise<readonly JsonObject[]> {
  const { rows } = await pg.query(
    'SELECT row_texts FROM sync.bundle_block WHERE bundle_seq=$1 AND ($2::int8 IS NULL OR scope_pk=$2::int8) ORDER BY scope_pk,first_row_ordinal',
    [String(bundleSeq), scopePk ?? null],
  );
  const parsed = parseJson(`[${rows.map(([texts]) => texts ?? '').join(',')}]`, { depthMax: 100 });
  if (!Array.isArray(parsed)) throw new Error('a bundle is a list of rows');
  return parsed.filter(isJsonObject);
}

/** The refusal of an operation as a client sees it: code and structured members. */
export async function refusal(operation: Promise<unknown>): Promise<Record<string, unknown>> {
  try {
    await operation;
  } catch (error) {
    if (isSyncError(error)) return { code: error.code, ...error.details };
    throw error;
  }
  return { code: 'accepted' };
}
