import { AsyncLocalStorage } from 'node:async_hooks';
import { realpathSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';

import type { PlatformPorts } from '../ports/platform.ts';
import { SqliteFault, sqliteFaultKind } from '../ports/sqlite-fault.ts';
import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { createNodePlatform } from './node-platform.ts';
import { nativeExec, nativePrepare, observeDirectCalls } from './direct-calls.ts';
import { WrittenTables, eachStatement, endsTransaction, isRollback } from './written-tables.ts';

/** Prepared statements kept per connection; the engine uses about twenty per table, and the least recently used one is dropped. */
const STATEMENTS_MAX = 400;

/** `SQLITE_MAX_VARIABLE_NUMBER` of the SQLite that Node bundles. */
const VARIABLES_MAX = 32_766;

/** Rows of one INSERT when many are written: a statement per row costs a quarter more. */
const GROUP_ROWS = 100;

/** The one row of places of an INSERT. */
const PLACES = /\bVALUES (\((?:\?(?:, )?)+\))/g;

/** Result code of a call that the port forbids. */
const SQLITE_MISUSE = 21;

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

interface OpenTransaction {
  isOpen: boolean;
}

class NodeDriver implements NodeSqliteDriver {
  readonly database: DatabaseSync;
  readonly limits = { variables: VARIABLES_MAX };
  readonly platform: PlatformPorts;
  readonly #connection: Connection;
  readonly #isOwned: boolean;
  readonly #inTransaction = new AsyncLocalStorage<OpenTransaction>();
  readonly #commitListeners = new Set<(tables: readonly string[]) => void>();
  #tail: Promise<unknown> = Promise.resolve();
  /** Looks at direct statements while a transaction is open. */
  #inspector: WrittenTables | null = null;
  #isTransactionOpen = false;

  constructor(database: DatabaseSync, isOwned: boolean) {
    this.database = database;
    this.#connection = new Connection(database);
    this.#isOwned = isOwned;
    observeDirectCalls(database, {
      statement: (sql, native) => this.#direct(sql, native),
      script: (sql, native) => this.#directScript(sql, native),
    });
    const location = database.location();
    this.platform = createNodePlatform(location === null ? null : realpathSync(location));
  }

  databaseId(): Promise<string> {
    const location = this.database.location();
    return Promise.resolve(location === null ? memoryId(this.database) : realpathSync(location));
  }

  exec(sql: string): Promise<void> {
    return this.#alone(() => this.#announcing(() => this.#connection.exec(sql)));
  }

  run(sql: string, params: readonly SqlValue[] = []): Promise<{ readonly changes: number }> {
    return this.#alone(() => this.#announcing(() => this.#connection.run(sql, params)));
  }

  all(sql: string, params: readonly SqlValue[] = []): Promise<SqlValue[][]> {
    return this.#alone(() => this.#announcing(() => this.#connection.all(sql, params)));
  }

  runMany(sql: string, rows: readonly (readonly SqlValue[])[]): Promise<void> {
    return this.#alone(() => this.#announcing(() => this.#connection.runMany(sql, rows)));
  }

  transaction<T>(mode: 'deferred' | 'immediate', fn: (tx: SqliteTx) => Promise<T>): Promise<T> {
    return this.#alone(() => this.#transaction(mode, fn));
  }

  batch(steps: readonly { readonly sql: string; readonly params?: readonly SqlValue[] }[]): Promise<SqlValue[][][]> {
    return this.transaction('immediate', async (tx) => {
      const results: SqlValue[][][] = [];
      for (const step of steps) results.push(await tx.all(step.sql, step.params));
      return results;
    });
  }

  onCommit(listener: (tables: readonly string[]) => void): () => void {
    this.#commitListeners.add(listener);
    this.#connection.writes ??= new WrittenTables(this.database);
    return () => {
      this.#commitListeners.delete(listener);
      if (this.#commitListeners.size === 0) this.#connection.writes = null;
    };
  }

  close(): void {
    this.#connection.forgetStatements();
    if (this.#isOwned && this.database.isOpen) this.database.close();
  }

  /** Runs when everything called before has ended. A call from inside a transaction would wait for itself and is refused. */
  #alone<T>(work: () => T | Promise<T>): Promise<T> {
    if (this.#inTransaction.getStore()?.isOpen === true) {
      return Promise.reject(misuse('a transaction may call only its own handle'));
    }
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  #announcing<T>(work: () => T): T {
    try {
      return work();
    } finally {
      this.#announce();
    }
  }

  /** Tells what the last commit wrote. A listener that throws must not make a committed write look failed. */
  #announce(): void {
    const { writes } = this.#connection;
    if (writes === null || !this.database.isOpen || this.database.isTransaction) return;
    const tables = writes.take();
    if (tables.length === 0) return;
    for (const listener of this.#commitListeners) {
      try {
        listener(tables);
      } catch {
        continue;
      }
    }
  }

  async #transaction<T>(mode: 'deferred' | 'immediate', fn: (tx: SqliteTx) => Promise<T>): Promise<T> {
    const connection = this.#connection;
    const state: OpenTransaction = { isOpen: true };
    connection.run(mode === 'immediate' ? 'BEGIN IMMEDIATE' : 'BEGIN', []);
    this.#isTransactionOpen = true;
    try {
      const result = await this.#inTransaction.run(state, () => fn(new Transaction(connection, state)));
      connection.run('COMMIT', []);
      this.#isTransactionOpen = false;
      this.#announce();
      return result;
    } catch (error) {
      if (this.database.isTransaction) connection.run('ROLLBACK', []);
      connection.writes?.forget();
      throw error;
    } finally {
      state.isOpen = false;
      this.#isTransactionOpen = false;
    }
  }

  #direct<T>(sql: string, native: () => T): T {
    return this.#announcing(() => this.#directStatement(sql, native));
  }

  #directScript(sql: string, native: () => void): void {
    if (this.#connection.writes === null && !this.#isTransactionOpen) {
      native();
      return;
    }
    this.#announcing(() => {
      for (const statement of eachStatement(this.database, sql))
        this.#directStatement(statement.sourceSQL, () => statement.run());
    });
  }

  #directStatement<T>(sql: string, native: () => T): T {
    this.#checkDirect(sql);
    const { writes } = this.#connection;
    writes?.note(sql);
    const result = native();
    if (writes !== null && isRollback(sql)) writes.forget();
    return result;
  }

  /** A write between two awaits of the engine would be committed, rolled back and taken for the engine's own. */
  #checkDirect(sql: string): void {
    if (!this.#isTransactionOpen) return;
    this.#inspector ??= new WrittenTables(this.database);
    if (!endsTransaction(sql) && this.#inspector.tablesOf(sql).length === 0) return;
    throw misuse('the driver is inside a transaction: use client.write or the driver, which wait for their turn');
  }
}

class Transaction implements SqliteTx {
  readonly #connection: Connection;
  readonly #state: OpenTransaction;

  constructor(connection: Connection, state: OpenTransaction) {
    this.#connection = connection;
    this.#state = state;
  }

  async exec(sql: string): Promise<void> {
    this.#live().exec(sql);
  }

  async run(sql: string, params: readonly SqlValue[] = []): Promise<{ readonly changes: number }> {
    return this.#live().run(sql, params);
  }

  async all(sql: string, params: readonly SqlValue[] = []): Promise<SqlValue[][]> {
    return this.#live().all(sql, params);
  }

  async runMany(sql: string, rows: readonly (readonly SqlValue[])[]): Promise<void> {
    this.#live().runMany(sql, rows);
  }

  #live(): Connection {
    if (!this.#state.isOpen) throw misuse('the transaction has ended');
    return this.#connection;
  }
}

/** The synchronous calls, with faults translated and statements prepared once. */
class Connection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Set while somebody listens to commits. */
  writes: WrittenTables | null = null;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  exec(sql: string): void {
    translating(() => (this.writes === null ? nativeExec(this.#database, sql) : this.#execNoting(this.writes, sql)));
  }

  run(sql: string, params: readonly SqlValue[]): { readonly changes: number } {
    return translating(() => ({ changes: Number(this.#noted(sql).run(...params).changes) }));
  }

  all(sql: string, params: readonly SqlValue[]): SqlValue[][] {
    return translating(() =>
      this.#noted(sql)
        .all(...params)
        .map(rowValues),
    );
  }

  runMany(sql: string, rows: readonly (readonly SqlValue[])[]): void {
    translating(() => {
      const width = rows[0]?.length ?? 0;
      const grouped = rows.length >= GROUP_ROWS && width * GROUP_ROWS <= VARIABLES_MAX ? groupedInsert(sql) : null;
      const groupEnd = grouped === null ? 0 : rows.length - (rows.length % GROUP_ROWS);
      for (let start = 0; grouped !== null && start < groupEnd; start += GROUP_ROWS) {
        this.#noted(grouped).run(...rows.slice(start, start + GROUP_ROWS).flat());
      }
      const statement = this.#noted(sql);
      for (const row of rows.slice(groupEnd)) statement.run(...row);
    });
  }

  forgetStatements(): void {
    this.#statements.clear();
  }

  #execNoting(writes: WrittenTables, sql: string): void {
    for (const statement of eachStatement(this.#database, sql)) {
      writes.note(statement.sourceSQL);
      statement.run();
    }
  }

  #noted(sql: string): StatementSync {
    this.writes?.note(sql);
    return this.#prepared(sql);
  }

  #prepared(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) {
      this.#statements.delete(sql);
      this.#statements.set(sql, known);
      return known;
    }
    const statement = nativePrepare(this.#database, sql);
    statement.setReadBigInts(true);
    statement.setReturnArrays(true);
    this.#statements.set(sql, statement);
    if (this.#statements.size > STATEMENTS_MAX) this.#forgetOldest();
    return statement;
  }

  #forgetOldest(): void {
    const oldest = this.#statements.keys().next();
    if (oldest.done !== true) this.#statements.delete(oldest.value);
  }
}

const groupedInserts = new Map<string, string | null>();

/** The same INSERT for `GROUP_ROWS` rows; `null` when the statement is no such INSERT. */
function groupedInsert(sql: string): string | null {
  const known = groupedInserts.get(sql);
  if (known !== undefined) return known;
  const matches = [...sql.matchAll(PLACES)];
  const places = matches[0]?.[1];
  const isPlain = matches.length === 1 && places !== undefined && sql.trimStart().startsWith('INSERT');
  const grouped = isPlain
    ? sql.replace(PLACES, () => `VALUES ${Array.from({ length: GROUP_ROWS }, () => places).join(', ')}`)
    : null;
  groupedInserts.set(sql, grouped);
  return grouped;
}

/** The type of Node describes rows as objects whatever `setReturnArrays` says. */
function rowValues(row: unknown): SqlValue[] {
  if (!isArrayOfValues(row)) throw misuse('rows must arrive as arrays');
  return row;
}

function isArrayOfValues(row: unknown): row is SqlValue[] {
  return Array.isArray(row);
}

function misuse(why: string): SqliteFault {
  return new SqliteFault('misuse', SQLITE_MISUSE, new Error(why));
}

function translating<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const resultCode = resultCodeOf(error);
    if (resultCode === null) throw error;
    throw new SqliteFault(sqliteFaultKind(resultCode), resultCode, error);
  }
}

function resultCodeOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('errcode' in error)) return null;
  return typeof error.errcode === 'number' ? error.errcode : null;
}

const memoryIds = new WeakMap<DatabaseSync, string>();
let memoryCount = 0;

function memoryId(database: DatabaseSync): string {
  const known = memoryIds.get(database);
  if (known !== undefined) return known;
  memoryCount += 1;
  const id = `memory:${memoryCount}`;
  memoryIds.set(database, id);
  return id;
}
