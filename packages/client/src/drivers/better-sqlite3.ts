import { Buffer } from 'node:buffer';
import { realpathSync } from 'node:fs';

import Database from 'better-sqlite3';

import type { SqliteDriver, SqlValue } from '../ports/sqlite-driver.ts';
import { observeDirectCalls } from './direct-calls.ts';
import type { NativeCalls } from './direct-calls.ts';
import { createNodeContext } from './node-caller-context.ts';
import { createNodePlatform } from './node-platform.ts';
import { misuse } from './sync/driver-fault.ts';
import { handleId } from './sync/handle-id.ts';
import { RESULT_CODES } from './sync/result-codes.ts';
import type { SyncConnection, SyncStatement } from './sync/sync-connection.ts';
import { SyncDriver } from './sync/sync-driver.ts';

/** A `SqliteDriver` over better-sqlite3 that can also be closed. */
export interface BetterSqlite3Driver extends SqliteDriver {
  /**
   * The connection, for the application's own SQL. A write through it throws while a transaction of the driver is open, because it would
   * become a part of that transaction; `driver.run`, `driver.transaction` and `client.write` wait for their turn instead.
   */
  readonly database: Database.Database;
  /** Calls `listener` with the lower-case names of the tables that a commit wrote, through the driver or through `database`. */
  onCommit(listener: (tables: readonly string[]) => void): () => void;
  /** Closes the connection if the driver opened it; a connection that was handed in stays open. */
  close(): void;
}

/**
 * Wraps a database of better-sqlite3 (13 or newer, Node ≥ 22: its binaries come with the package and need no install script).
 *
 * Parameters are plain `?`: better-sqlite3 takes `?1` for a name. Writes made directly through `database` are captured, and announced with
 * statements prepared after this call; they throw while a transaction of the driver is open.
 *
 * @param target Path of the file (or `:memory:`), or a connection that is already open. One connection must have one driver.
 *
 * @example
 * ```ts
 * const driver = createBetterSqlite3Driver('app.db');
 * const client = createSyncClient({ driver, ...options });
 * ```
 */
export function createBetterSqlite3Driver(target: string | Database.Database): BetterSqlite3Driver {
  return typeof target === 'string' ? new BetterDriver(new Database(target), true) : new BetterDriver(target, false);
}

class BetterDriver extends SyncDriver implements BetterSqlite3Driver {
  readonly database: Database.Database;
  readonly #isOwned: boolean;

  constructor(database: Database.Database, isOwned: boolean) {
    const file = database.memory ? null : realpathSync(database.name);
    const native = nativeCalls(database);
    super({
      connection: connectionOf(database, native),
      databaseId: () => file ?? handleId(database),
      context: createNodeContext(),
      platform: createNodePlatform(file),
      hasRunMany: true,
    });
    this.database = database;
    this.#isOwned = isOwned;
    observeDirectCalls(database, native, {
      statement: (sql, native) => this.directStatement(sql, native),
      script: (sql, native) => this.directScript(sql, native),
    });
  }

  close(): void {
    this.release();
    if (this.#isOwned && this.database.open) this.database.close();
  }
}

type Statement = Database.Statement;

type Native = NativeCalls<Statement, [sql: string]>;

/** The methods of the class, which stay what they are when those of the connection are covered. */
function nativeCalls(database: Database.Database): Native {
  return {
    exec: (sql) => {
      Database.prototype.exec.call(database, sql);
    },
    prepare: (sql) => Database.prototype.prepare.call(database, sql),
    sourceOf: (statement) => statement.source,
  };
}

function connectionOf(database: Database.Database, native: Native): SyncConnection {
  const countChanges = native.prepare('SELECT changes()').pluck();
  return {
    get isOpen() {
      return database.open;
    },
    get isTransaction() {
      return database.inTransaction;
    },
    exec: native.exec,
    prepare: (sql) => statementOf(native.prepare(sql), () => Number(countChanges.get())),
    resultCodeOf: (error) => {
      if (!(error instanceof Database.SqliteError)) return null;
      return RESULT_CODES.get(error.code) ?? 1;
    },
  };
}

/** A statement that returns rows cannot be run, and one that returns none has no rows to ask for. */
function statementOf(statement: Statement, countChanges: () => number): SyncStatement {
  if (!statement.reader) {
    return {
      run: (params) => statement.run(...params).changes,
      all: (params) => {
        statement.run(...params);
        return [];
      },
      columnNames: () => [],
    };
  }
  statement.raw(true).safeIntegers(true);
  return {
    run: (params) => {
      statement.all(...params);
      return countChanges();
    },
    all: (params) => statement.all(...params).map(rowValues),
    columnNames: () => statement.columns().map(({ name }) => name),
  };
}

/** A BLOB arrives as a Buffer, whose methods are not those of the Uint8Array that the port promises. */
function rowValues(row: unknown): SqlValue[] {
  if (!isArrayOfValues(row)) throw misuse('rows must arrive as arrays');
  for (const [index, value] of row.entries()) {
    if (Buffer.isBuffer(value)) row[index] = new Uint8Array(value.buffer, value.byteOffset, value.length);
  }
  return row;
}

function isArrayOfValues(row: unknown): row is SqlValue[] {
  return Array.isArray(row);
}
