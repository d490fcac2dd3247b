import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { isSyncError } from '@oversync/protocol';

import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { FaultPoint, FaultPoints } from '../ports/fault-points.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { SqliteFault } from '../ports/sqlite-fault.ts';
import { eagerClock } from '../ports/test-clock.ts';
import type { HttpTransport } from '../ports/transport.ts';
import type { SyncClientOptions } from './options.ts';
import { USER_TABLES, createTestServer } from './test-device.ts';
import type { TestServer } from './test-server.ts';
import { refuse } from './test-server.ts';

const APP_SCHEMA = `
CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, body TEXT);`;

/** A file system in memory where there is one: thousands of files are opened, and none outlives its test. */
const FOLDERS = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** SQLite's code for a disk that fails. */
const IO_ERROR = 10;

/** Rounds after which a device that is not in step will never be. */
const ROUNDS_MAX = 8;

/** How a client of this world differs from the usual one. */
export interface ClientChange {
  readonly driver?: (inner: SqliteDriver) => SqliteDriver;
  readonly http?: (inner: HttpTransport) => HttpTransport;
  readonly faultPoints?: FaultPoints;
}

/** A world as it was when its state had been reached. */
export interface SavedWorld {
  readonly userId: string;
  readonly options: Partial<SyncClientOptions>;
  readonly file: Uint8Array;
  readonly servers: ReadonlyMap<string, TestServer>;
}

/** One database file, its client, and a server per user. */
export class CrashWorld {
  /** Who is signed in; decides which server answers. */
  userId = 'user-1';
  options: Partial<SyncClientOptions> = {};
  readonly #folder = mkdtempSync(join(FOLDERS, 'oversync-crash-'));
  readonly #servers = new Map<string, TestServer>();
  #database: DatabaseSync | null = null;
  #path = join(this.#folder, 'app-0.db');
  #copies = 0;
  /** The file as it was at the moment of death. */
  #remains: string | null = null;
  #failing: FaultPoint | null = null;

  get server(): TestServer {
    return this.serverOf(this.userId);
  }

  serverOf(userId: string): TestServer {
    const known = this.#servers.get(userId) ?? createTestServer();
    this.#servers.set(userId, known);
    return known;
  }

  static from(saved: SavedWorld): CrashWorld {
    const world = new CrashWorld();
    world.userId = saved.userId;
    world.options = saved.options;
    for (const [userId, server] of saved.servers) world.#servers.set(userId, server.clone());
    writeFileSync(world.#path, saved.file);
    return world;
  }

  /** Ends the world and keeps its state. */
  save(): SavedWorld {
    this.database.close();
    this.#database = null;
    const { userId, options } = this;
    const saved = { userId, options, file: readFileSync(this.#path), servers: this.#servers };
    this.close();
    return saved;
  }

  /** The connection of the application. */
  get database(): DatabaseSync {
    if (this.#database !== null) return this.#database;
    const isNew = !existsSync(this.#path);
    const database = new DatabaseSync(this.#path);
    database.exec('PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY');
    if (isNew) database.exec(APP_SCHEMA);
    this.#database = database;
    return database;
  }

  open(change: ClientChange = {}): SyncClient {
    const inner = createNodeSqliteDriver(this.database);
    const transport: HttpTransport = (request) => this.serverOf(request.headers.get('Authorization') ?? '').fetch(request);
    return createSyncClient({
      driver: change.driver?.(inner) ?? inner,
      baseUrl: 'https://sync.test',
      headers: () => ({ Authorization: this.userId }),
      schema: 'main',
      tables: USER_TABLES.map(({ table, key }) => ({ tableName: table, syncKeyColumnName: key })),
      resolver: () => ({ kind: 'keepLocal' }),
      uploadLimit: 1,
      downloadLimit: 1,
      applyBatchRows: 2,
      snapshotChunkRows: 2,
      snapshotApplyBatchRows: 2,
      maxRowsPerPush: 2,
      retryPolicy: { enabled: false },
      ...this.options,
      ports: {
        clock: eagerClock(),
        http: change.http?.(transport) ?? transport,
        ...(change.faultPoints === undefined ? {} : { faultPoints: change.faultPoints }),
      },
    });
  }

  /** The process dies now: what is in its files is what the next one finds, half-written transactions included. */
  die(): void {
    this.#copies += 1;
    const remains = join(this.#folder, `app-${this.#copies}.db`);
    for (const suffix of ['', '-wal', '-oversync-stage']) {
      if (existsSync(`${this.#path}${suffix}`)) copyFileSync(`${this.#path}${suffix}`, `${remains}${suffix}`);
    }
    this.#remains = remains;
  }

  /** The next process finds the file of the one that died, or of one that ended without a word. */
  reopenFile(): void {
    if (this.#remains === null) this.die();
    this.#database?.close();
    this.#database = null;
    this.#path = this.#remains ?? this.#path;
    this.#remains = null;
  }

  sql(text: string): void {
    this.database.exec(text);
  }

  list(text: string): readonly string[] {
    return this.database
      .prepare(text)
      .all()
      .map((row) => String(Object.values(row)[0]));
  }

  /** Rows of a table by their key. */
  rowsOf(table: string): Readonly<Record<string, unknown>> {
    const rows = this.database.prepare(`SELECT * FROM ${table}`).all();
    return Object.fromEntries(rows.map((row) => [String(row['id']), { ...row }]));
  }

  /** The next commit is refused because of one row. */
  refuseRow(id: string, kind = 'check'): void {
    const violation = { kind, schema: 'main', table: 'users', column: 'name', key: { id } };
    this.server.override('push_session_commit', () => refuse(400, 'push_commit_invalid', { violation }));
  }

  /** The disk fails when a client that asks comes to this point next. */
  failAt(point: FaultPoint): void {
    this.#failing = point;
  }

  /** A client is at this point. */
  pass(point: FaultPoint): void {
    if (point !== this.#failing) return;
    this.#failing = null;
    throw new SqliteFault('io', IO_ERROR);
  }

  /** The next request of an operation never arrives. */
  loseRequest(operation: string): void {
    this.server.override(operation, () => Promise.reject(new TypeError('connection reset')));
  }

  /** The next request of an operation is carried out, but its answer is lost. */
  loseAnswer(operation: string): void {
    this.server.override(operation, async (_request, answer) => {
      await answer();
      throw new TypeError('connection reset');
    });
  }

  close(): void {
    this.#database?.close();
    rmSync(this.#folder, { recursive: true });
  }
}

/** Carries on as an application does that looks at `recovery` alone, until everything is in step. */
export async function settle(world: CrashWorld, client: SyncClient): Promise<void> {
  const failures: string[] = [];
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    try {
      await client.open();
      const attached = await client.attach(world.userId);
      if (attached.status === 'retry_later') continue;
      await client.sync();
      const { pendingRowCount } = await client.pendingSyncStatus();
      if (pendingRowCount === 0 && (await client.lastBundleSeqSeen()) === world.server.head) return;
    } catch (error) {
      if (!isSyncError(error)) throw error;
      failures.push(error.code);
      if (error.recovery === 'rebuild') await client.rebuild();
      else if (error.recovery !== 'retry') throw error;
    }
  }
  throw new Error(`never in step: ${failures.join(', ')}`);
}
