/**
 * The port through which the engine reaches SQLite (client.md 12). Asynchronous, because a WASM worker and React Native can be
 * reached in no other way; a synchronous driver wraps its calls. One call carries one page of rows, never one row.
 */

import type { PlatformPorts } from './platform.ts';

/** A value bound to or read from SQLite: `number` is REAL, `bigint` is INTEGER. Integers above 2^53 − 1 are read as text by the engine. */
export type SqlValue = null | string | bigint | number | Uint8Array;

/** Rows with the names of their columns, in the same order; names may repeat. */
export interface NamedRows {
  readonly columns: readonly string[];
  readonly rows: SqlValue[][];
}

export interface SqliteTx {
  /** Several statements without parameters. */
  exec(sql: string): Promise<void>;
  run(sql: string, params?: readonly SqlValue[]): Promise<{ readonly changes: number }>;
  /** Rows as arrays in column order. INTEGER arrives as bigint or, where the driver cannot, as a number. */
  all(sql: string, params?: readonly SqlValue[]): Promise<SqlValue[][]>;
  /** `all` with the names of the columns, for query builders that make objects of rows. Optional; the engine does not use it. */
  allNamed?(sql: string, params?: readonly SqlValue[]): Promise<NamedRows>;
  /** The same statement for many rows in one call. Optional: where absent, the engine expands a JSON parameter with `json_each`. */
  runMany?(sql: string, rows: readonly (readonly SqlValue[])[]): Promise<void>;
}

export interface SqliteDriver extends SqliteTx {
  /** Stable id of the database: absolute, symlink-free path; for memory databases an id of the handle. */
  databaseId(): Promise<string>;
  /**
   * Runs `fn` in one transaction. Other calls wait until it has ended. A throw rolls back; a failed COMMIT rejects and leaves no open
   * transaction; a nested call rejects. `fn` may await only calls of `tx`.
   */
  transaction<T>(mode: 'deferred' | 'immediate', fn: (tx: SqliteTx) => Promise<T>): Promise<T>;
  /** Several statements in one round trip, inside one transaction. */
  batch?(steps: readonly { readonly sql: string; readonly params?: readonly SqlValue[] }[]): Promise<SqlValue[][][]>;
  /** Committed changes of any origin, once per transaction. Returns the unsubscribe function. */
  onCommit?(listener: (tables: readonly string[]) => void): () => void;
  readonly limits?: { readonly variables?: number };
  /** What the platform of this driver does better than the portable defaults. */
  readonly platform?: PlatformPorts;
}
