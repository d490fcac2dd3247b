import { realpathSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';

import type { SqliteDriver, SqlValue } from '../ports/sqlite-driver.ts';
import { observeDirectCalls } from './direct-calls.ts';
import type { NativeCalls } from './direct-calls.ts';
import { createNodeContext } from './node-caller-context.ts';
import { createNodePlatform } from './node-platform.ts';
import { misuse } from './sync/driver-fault.ts';
import { handleId } from './sync/handle-id.ts';
import type { SyncConnection, SyncStatement } from './sync/sync-connection.ts';
import { SyncDriver } from './sync/sync-driver.ts';

/** A `SqliteDriver` over `node:sqlite` that can also be closed. */
export interface NodeSqliteDriver extends SqliteDriver {
  /**
   * The connection, for the application's own SQL. A write through it throws while a transaction of the driver is open, because it would
   * become a part of that transaction; `driver.run`, `driver.transaction` and `client.write` wait for their turn instead.
   */
  readonly database: DatabaseSync;
  /** Calls `listener` with the lower-case names of the tables that a commit wrote, through the driver or through `database`. */
  onCommit(listener: (tables: readonly string[]) => void): () => void;
  /** Closes the connection if the driver opened it; a connection that was handed in stays open. */
  close(): void;
}

/**
 * Wraps a database of `node:sqlite`.
 *
 * Writes made directly through `database` are captured and announced like any other write, with statements prepared after this call.
 * They throw while a transaction of the driver is open. That is the case between two `await`s of the engine, so an application that
 * writes at any time uses `client.write` or the driver, which wait for their turn.
 *
 * @param target Path of the file (or `:memory:`), or a connection that is already open. One connection must have one driver.
 *
 * @example
 * ```ts
 * const driver = createNodeSqliteDriver('app.db');
 * const client = createSyncClient({ driver, ...options });
 * ```
 */
export function createNodeSqliteDriver(target: string | DatabaseSync): NodeSqliteDriver {
  return typeof target === 'string' ? new NodeDriver(new DatabaseSync(target), true) : new NodeDriver(target, false);
}

class NodeDriver extends SyncDriver implements NodeSqliteDriver {
  readonly database: DatabaseSync;
  readonly #isOwned: boolean;

  constructor(database: DatabaseSync, isOwned: boolean) {
    super({
      connection: connectionOf(database),
      databaseId: () => realLocation(database) ?? handleId(database),
      context: createNodeContext(),
      platform: createNodePlatform(realLocation(database)),
      hasRunMany: true,
    });
    this.database = database;
    this.#isOwned = isOwned;
    observeDirectCalls(database, nativeCalls(database), {
      statement: (sql, native) => this.directStatement(sql, native),
      script: (sql, native) => this.directScript(sql, native),
    });
  }

  close(): void {
    this.release();
    if (this.#isOwned && this.database.isOpen) this.database.close();
  }
}

function realLocation(database: DatabaseSync): string | null {
  const location = database.location();
  return location === null ? null : realpathSync(location);
}

/** The methods of the class, which stay what they are when those of the connection are covered. */
function nativeCalls(database: DatabaseSync): NativeCalls<StatementSync, Parameters<DatabaseSync['prepare']>> {
  return {
    exec: (sql) => DatabaseSync.prototype.exec.call(database, sql),
    prepare: (...args) => DatabaseSync.prototype.prepare.apply(database, args),
    sourceOf: (statement) => statement.sourceSQL,
  };
}

function connectionOf(database: DatabaseSync): SyncConnection {
  const native = nativeCalls(database);
  return {
    get isOpen() {
      return database.isOpen;
    },
    get isTransaction() {
      return database.isTransaction;
    },
    exec: native.exec,
    prepare: (sql) => statementOf(native.prepare(sql)),
    resultCodeOf: (error) => {
      if (!(error instanceof Error) || !('errcode' in error)) return null;
      return typeof error.errcode === 'number' ? error.errcode : null;
    },
  };
}

function statementOf(statement: StatementSync): SyncStatement {
  statement.setReadBigInts(true);
  statement.setReturnArrays(true);
  return {
    run: (params) => Number(statement.run(...params).changes),
    all: (params) => statement.all(...params).map(rowValues),
    columnNames: () => statement.columns().map(({ name }) => name),
  };
}

/** The type of Node describes rows as objects whatever `setReturnArrays` says. */
function rowValues(row: unknown): SqlValue[] {
  if (!isArrayOfValues(row)) throw misuse('rows must arrive as arrays');
  return row;
}

function isArrayOfValues(row: unknown): row is SqlValue[] {
  return Array.isArray(row);
}
