import { join } from 'node:path';

import type { SqliteDriver } from '@oversync/client';
import { createBetterSqlite3Driver } from '@oversync/client/better-sqlite3';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import { createNodeSqlite3WasmDriver } from '@oversync/client/node-sqlite3-wasm';
import { createSqliteWasmDriver } from '@oversync/client/sqlite-wasm';
import sqlite3InitModule from '@sqlite.org/sqlite-wasm';

/** A driver that can be closed. */
export type TestDriver = SqliteDriver & { close(): void };

/** One way to reach SQLite. */
export interface DriverKind {
  readonly name: string;
  /** Databases in memory end with their connection. */
  readonly isFileBased: boolean;
  open(file: string): TestDriver;
}

const sqlite3 = await sqlite3InitModule();

/** Every driver of the package that runs under Node. */
export const DRIVER_KINDS: readonly DriverKind[] = [
  { name: 'node:sqlite', isFileBased: true, open: createNodeSqliteDriver },
  { name: 'better-sqlite3', isFileBased: true, open: createBetterSqlite3Driver },
  { name: 'node-sqlite3-wasm', isFileBased: true, open: createNodeSqlite3WasmDriver },
  { name: 'the official WASM build', isFileBased: false, open: () => createSqliteWasmDriver({ sqlite3 }) },
];

/** Path of a database in a folder. */
export function databaseIn(folder: string, name: string): string {
  return join(folder, `${name}.db`);
}
