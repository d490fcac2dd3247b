import type { SqlValue } from '../../ports/sqlite-driver.ts';

/** One prepared statement of a synchronous SQLite. Parameters follow the rule of the port: `number` is REAL, `bigint` is INTEGER. */
export interface SyncStatement {
  /** Runs to the end and tells how many rows changed. */
  run(params: readonly SqlValue[]): number;
  /** Rows as arrays in column order; none for a statement that returns no rows. */
  all(params: readonly SqlValue[]): SqlValue[][];
  /** Names of the result columns, as they are after the last `all`. */
  columnNames(): readonly string[];
  /** Gives its memory back, where the garbage collector does not. */
  finalize?(): void;
  /** True when the statement must be prepared anew for every use. */
  readonly isOnce?: boolean;
}

/** What a driver has to know of a synchronous SQLite; everything else is shared. */
export interface SyncConnection {
  readonly isOpen: boolean;
  /** A transaction is open, whoever began it. */
  readonly isTransaction: boolean;
  /** Prepares exactly one statement, past anything that observes the application's calls. */
  prepare(sql: string): SyncStatement;
  /** Runs a script, likewise. */
  exec(sql: string): void;
  /** SQLite's extended result code of an error; `null` for an error that is not SQLite's. */
  resultCodeOf(error: unknown): number | null;
}
