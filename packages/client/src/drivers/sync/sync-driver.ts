import type { PlatformPorts } from '../../ports/platform.ts';
import type { NamedRows, SqliteDriver, SqliteTx, SqlValue } from '../../ports/sqlite-driver.ts';
import { splitStatements } from '../../rules/split-statements.ts';
import type { CallerContext, OpenTransaction } from './caller-context.ts';
import { CommitListeners } from './commit-listeners.ts';
import type { CommitListener } from './commit-listeners.ts';
import { misuse } from './driver-fault.ts';
import { SyncCalls } from './sync-calls.ts';
import type { SyncConnection } from './sync-connection.ts';
import { SyncTransaction } from './sync-transaction.ts';
import { WrittenTables, endsTransaction, isRollback } from './written-tables.ts';

/** `SQLITE_MAX_VARIABLE_NUMBER` of every build that these drivers know. */
const VARIABLES_MAX = 32_766;

type Rows = readonly (readonly SqlValue[])[];

/** What makes one synchronous SQLite differ from another. */
export interface SyncDriverSetup {
  readonly connection: SyncConnection;
  readonly databaseId: () => string;
  readonly context: CallerContext;
  readonly platform?: PlatformPorts;
  /** True where a loop over a prepared statement beats one JSON parameter: natively, not in WASM. */
  readonly hasRunMany: boolean;
}

/**
 * The port over any synchronous SQLite. Calls run one after the other; those of a transaction run in it, all others wait until it has
 * ended. A driver is this class and a small `SyncConnection`.
 */
export class SyncDriver implements SqliteDriver {
  readonly limits = { variables: VARIABLES_MAX };
  readonly platform?: PlatformPorts;
  readonly runMany?: (sql: string, rows: Rows) => Promise<void>;
  readonly #setup: SyncDriverSetup;
  readonly #connection: SyncConnection;
  readonly #calls: SyncCalls;
  readonly #listeners = new CommitListeners();
  #tail: Promise<void> = Promise.resolve();
  #open: OpenTransaction | null = null;
  #isAnnouncementDue = false;
  /** Looks at direct statements while a transaction is open. */
  #inspector: WrittenTables | null = null;

  constructor(setup: SyncDriverSetup) {
    const { connection, platform, hasRunMany } = setup;
    this.#setup = setup;
    this.#connection = connection;
    this.#calls = new SyncCalls(connection, VARIABLES_MAX);
    if (platform !== undefined) this.platform = platform;
    if (hasRunMany) this.runMany = (sql, rows) => this.#single((calls) => calls.runMany(sql, rows));
  }

  databaseId(): Promise<string> {
    return Promise.resolve(this.#setup.databaseId());
  }

  exec(sql: string): Promise<void> {
    return this.#single((calls) => calls.exec(sql));
  }

  run(sql: string, params: readonly SqlValue[] = []): Promise<{ readonly changes: number }> {
    return this.#single((calls) => calls.run(sql, params));
  }

  all(sql: string, params: readonly SqlValue[] = []): Promise<SqlValue[][]> {
    return this.#single((calls) => calls.all(sql, params));
  }

  allNamed(sql: string, params: readonly SqlValue[] = []): Promise<NamedRows> {
    return this.#single((calls) => calls.allNamed(sql, params));
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

  onCommit(listener: CommitListener): () => void {
    this.#calls.writes ??= new WrittenTables(this.#connection);
    const end = this.#listeners.add(listener);
    return () => {
      end();
      if (!this.#listeners.isEmpty) return;
      this.#calls.writes?.close();
      this.#calls.writes = null;
    };
  }

  /** Gives the prepared statements back; the connection stays open. */
  protected release(): void {
    this.#calls.close();
    this.#inspector?.close();
    this.#inspector = null;
  }

  /** Runs a statement that the application makes on the connection itself. */
  protected directStatement<T>(sql: string, native: () => T): T {
    const { writes } = this.#calls;
    if (this.#open === null && (writes === null || (this.#isAnnouncementDue && writes.isRepeated(sql)))) {
      return this.#unlooked(native);
    }
    return this.#announcing(() => this.#direct(sql, native));
  }

  /** Runs a script likewise. */
  protected directScript(sql: string, native: () => void): void {
    if (this.#calls.writes === null && this.#open === null) {
      native();
      return;
    }
    this.#announcing(() => {
      for (const statement of splitStatements(sql)) this.#direct(statement, () => this.#connection.exec(statement));
    });
  }

  #single<T>(work: (calls: SyncCalls) => T): Promise<T> {
    return this.#alone(() => this.#announcing(() => work(this.#calls)));
  }

  /** Runs when everything called before has ended. A call from inside a transaction would wait for itself and is refused. */
  #alone<T>(work: () => T | Promise<T>): Promise<T> {
    const { context } = this.#setup;
    if (context.isInside()) return Promise.reject(waitsForItself());
    const turn = Promise.withResolvers<T>();
    let isGivenUp = false;
    const giveUp = (): void => {
      isGivenUp = true;
      turn.reject(waitsForItself());
    };
    const endWatch = this.#open === null ? undefined : context.watch?.(this.#open, giveUp);
    this.#tail = this.#tail.then(async () => {
      endWatch?.();
      if (isGivenUp) return;
      try {
        turn.resolve(await work());
      } catch (error) {
        turn.reject(error);
      }
    });
    return turn.promise;
  }

  #announcing<T>(work: () => T): T {
    try {
      return work();
    } finally {
      this.#announce();
    }
  }

  /** Tells what the last commit wrote. An open transaction of the application may be committed past this driver, but soon. */
  #announce(): void {
    const { writes } = this.#calls;
    if (writes === null || !this.#connection.isOpen) return;
    if (!this.#connection.isTransaction) this.#listeners.call(writes.take());
    else if (this.#open === null && !this.#isAnnouncementDue) this.#announceSoon();
  }

  #announceSoon(): void {
    this.#isAnnouncementDue = true;
    queueMicrotask(() => {
      this.#isAnnouncementDue = false;
      if (this.#connection.isOpen && !this.#connection.isTransaction) this.#announce();
    });
  }

  async #transaction<T>(mode: 'deferred' | 'immediate', fn: (tx: SqliteTx) => Promise<T>): Promise<T> {
    const calls = this.#calls;
    const state: OpenTransaction = { isOpen: true, callCount: 0 };
    calls.run(mode === 'immediate' ? 'BEGIN IMMEDIATE' : 'BEGIN', []);
    this.#open = state;
    try {
      const handle = new SyncTransaction(calls, state, this.runMany !== undefined);
      const result = await this.#setup.context.enter(state, () => fn(handle));
      calls.run('COMMIT', []);
      this.#open = null;
      this.#announce();
      return result;
    } catch (error) {
      if (this.#connection.isTransaction) calls.run('ROLLBACK', []);
      calls.writes?.forget();
      throw error;
    } finally {
      state.isOpen = false;
      this.#open = null;
    }
  }

  /**
   * A statement of which nothing new is to be learned: its tables are noted and the announcement of its transaction is due. A failure may
   * have ended the transaction.
   */
  #unlooked<T>(native: () => T): T {
    try {
      return native();
    } catch (error) {
      this.#announce();
      throw error;
    }
  }

  #direct<T>(sql: string, native: () => T): T {
    this.#checkDirect(sql);
    const { writes } = this.#calls;
    writes?.note(sql);
    const result = native();
    if (writes !== null && isRollback(sql)) writes.forget();
    return result;
  }

  /** A write between two awaits of the engine would be committed, rolled back and taken for the engine's own. */
  #checkDirect(sql: string): void {
    if (this.#open === null) return;
    this.#inspector ??= new WrittenTables(this.#connection);
    if (!endsTransaction(sql) && this.#inspector.tablesOf(sql).length === 0) return;
    throw misuse('the driver is inside a transaction: use client.write or the driver, which wait for their turn');
  }
}

function waitsForItself(): Error {
  return misuse('a transaction may call only its own handle');
}
