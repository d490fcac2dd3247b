import type { Database, PreparedStatement, Sqlite3Static } from '@sqlite.org/sqlite-wasm';

import type { PlatformPorts } from '../ports/platform.ts';
import type { SqliteDriver, SqlValue } from '../ports/sqlite-driver.ts';
import { splitStatements } from '../rules/split-statements.ts';
import { createPortableContext } from './sync/caller-context.ts';
import { handleId } from './sync/handle-id.ts';
import type { SyncConnection, SyncStatement } from './sync/sync-connection.ts';
import { SyncDriver } from './sync/sync-driver.ts';
import { createWebLock } from './web-lock.ts';

/** What `createSqliteWasmDriver` needs. */
export interface SqliteWasmOptions {
  /** The module, as its `sqlite3InitModule()` resolves. */
  readonly sqlite3: Sqlite3Static;
  /** A connection that is already open, for example one of the OPFS pool in a worker. Default: a database in memory. */
  readonly database?: Database;
  /** Id of the database where it is not to be `<vfs>:<file name>`. */
  readonly databaseId?: string;
  /** What the surroundings do better than the portable defaults. Default for a file: a Web Lock, where the platform has them. */
  readonly platform?: PlatformPorts;
}

/** A `SqliteDriver` over the official WASM build that can also be closed. */
export interface SqliteWasmDriver extends SqliteDriver {
  /**
   * The connection, for the application's own SQL. Writes made through it directly are captured, but not announced: announce them with
   * `client.notifyTablesChanged`, or write with `client.write` or the driver.
   */
  readonly database: Database;
  /** Calls `listener` with the lower-case names of the tables that a commit of the driver wrote. */
  onCommit(listener: (tables: readonly string[]) => void): () => void;
  /** Closes the connection if the driver opened it; a connection that was handed in stays open. */
  close(): void;
}

/**
 * Wraps a connection of `@sqlite.org/sqlite-wasm`, in whichever thread it lives: in memory anywhere, over OPFS in a dedicated worker.
 *
 * @example
 * ```ts
 * const driver = createSqliteWasmDriver({ sqlite3: await sqlite3InitModule() });
 * const client = createSyncClient({ driver, ...options });
 * ```
 */
export function createSqliteWasmDriver(options: SqliteWasmOptions): SqliteWasmDriver {
  return new WasmDriver(options);
}

class WasmDriver extends SyncDriver implements SqliteWasmDriver {
  readonly database: Database;
  readonly #isOwned: boolean;

  constructor({ sqlite3, database: given, databaseId, platform: givenPlatform }: SqliteWasmOptions) {
    const database = given ?? new sqlite3.oo1.DB(':memory:');
    const platform = givenPlatform ?? defaultPlatform(database);
    super({
      connection: connectionOf(sqlite3, database),
      databaseId: () => databaseId ?? defaultId(database),
      context: createPortableContext(),
      ...(platform === undefined ? {} : { platform }),
      hasRunMany: false,
    });
    this.database = database;
    this.#isOwned = given === undefined;
  }

  close(): void {
    this.release();
    if (this.#isOwned) this.database.close();
  }
}

function defaultId(database: Database): string {
  return isInMemory(database) ? handleId(database) : `${database.dbVfsName() ?? ''}:${database.filename}`;
}

function defaultPlatform(database: Database): PlatformPorts | undefined {
  const lock = isInMemory(database) ? null : createWebLock();
  return lock === null ? undefined : { lock };
}

function isInMemory({ filename }: Database): boolean {
  return filename === '' || filename === ':memory:';
}

/** A failed call of the C interface: `oo1` would write each failure to the console, and most of them are rows that do not fit. */
class WasmSqliteError extends Error {
  readonly resultCode: number;

  constructor(resultCode: number, message: string) {
    super(message);
    this.name = 'WasmSqliteError';
    this.resultCode = resultCode;
  }
}

function connectionOf(sqlite3: Sqlite3Static, database: Database): SyncConnection {
  const prepare = (sql: string): SyncStatement => new WasmStatement(sqlite3, database, database.prepare(sql));
  return {
    get isOpen() {
      return database.isOpen();
    },
    get isTransaction() {
      return sqlite3.capi.sqlite3_get_autocommit(database) === 0;
    },
    prepare,
    exec: (script) => {
      for (const sql of splitStatements(script)) {
        const statement = prepare(sql);
        try {
          statement.run([]);
        } finally {
          statement.finalize?.();
        }
      }
    },
    resultCodeOf: (error) => {
      if (!(error instanceof Error) || !('resultCode' in error)) return null;
      return typeof error.resultCode === 'number' ? error.resultCode : null;
    },
  };
}

class WasmStatement implements SyncStatement {
  readonly #sqlite3: Sqlite3Static;
  readonly #database: Database;
  readonly #statement: PreparedStatement;
  #columnNames: readonly string[] = [];

  constructor(sqlite3: Sqlite3Static, database: Database, statement: PreparedStatement) {
    this.#sqlite3 = sqlite3;
    this.#database = database;
    this.#statement = statement;
  }

  run(params: readonly SqlValue[]): number {
    this.#each(params, () => undefined);
    return this.#database.changes(false, false);
  }

  all(params: readonly SqlValue[]): SqlValue[][] {
    const rows: SqlValue[][] = [];
    this.#each(params, () => rows.push(this.#row()));
    return rows;
  }

  columnNames(): readonly string[] {
    return this.#columnNames;
  }

  finalize(): void {
    if (this.#database.isOpen()) this.#statement.finalize();
  }

  #each(params: readonly SqlValue[], onRow: () => void): void {
    const { capi } = this.#sqlite3;
    const statement = this.#statement;
    this.#bind(params);
    try {
      let code: number = capi.sqlite3_step(statement);
      this.#noteColumns();
      for (; code === capi.SQLITE_ROW; code = capi.sqlite3_step(statement)) onRow();
      if (code !== capi.SQLITE_DONE) throw new WasmSqliteError(code, capi.sqlite3_errmsg(this.#database));
    } finally {
      capi.sqlite3_reset(statement);
    }
  }

  /** `oo1` binds an integral number as INTEGER, and turns one beyond 2^53 into another number; the C call keeps every bit. */
  #bind(params: readonly SqlValue[]): void {
    const { capi } = this.#sqlite3;
    const statement = this.#statement;
    statement.clearBindings();
    for (const [index, value] of params.entries()) {
      if (typeof value === 'number') capi.sqlite3_bind_double(statement, index + 1, value);
      else statement.bind(index + 1, value);
    }
  }

  /** After the first step, because that is when SQLite notices a changed table. */
  #noteColumns(): void {
    const { capi } = this.#sqlite3;
    const count = capi.sqlite3_column_count(this.#statement);
    this.#columnNames = Array.from({ length: count }, (_, index) => capi.sqlite3_column_name(this.#statement, index));
  }

  #row(): SqlValue[] {
    return this.#columnNames.map((_, index) => this.#value(index));
  }

  #value(index: number): SqlValue {
    const { capi } = this.#sqlite3;
    const value = capi.sqlite3_column_js(this.#statement, index);
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') return value;
    if (value instanceof Uint8Array) return value;
    return capi.sqlite3_column_type(this.#statement, index) === capi.SQLITE_BLOB ? new Uint8Array() : null;
  }
}
