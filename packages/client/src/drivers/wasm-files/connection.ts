import nodeSqlite3Wasm from 'node-sqlite3-wasm';
import type { Database } from 'node-sqlite3-wasm';

import type { SyncConnection } from '../sync/sync-connection.ts';
import { FaultCodes } from './fault-codes.ts';
import { WasmFileStatement } from './statement.ts';

/** A connection of node-sqlite3-wasm. */
export interface WasmConnection extends SyncConnection {
  readonly database: Database;
}

/** The lock of a file lets nobody read beside a writer, and nobody write beside a reader: waiting is the rule here. */
const BUSY_TIMEOUT_MS = 5000;

let isChecked = false;

/** Opens a connection. Throws when the package is of a version whose rows cannot be read in column order. */
export function connectWasm(file: string): WasmConnection {
  checkPackage();
  const database = new nodeSqlite3Wasm.Database(file);
  database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
  return connectionOf(database);
}

function connectionOf(database: Database): WasmConnection {
  const codes = new FaultCodes(database);
  return {
    database,
    get isOpen() {
      return database.isOpen;
    },
    get isTransaction() {
      return database.isOpen && database.inTransaction;
    },
    prepare: (sql) => new WasmFileStatement(database, sql),
    exec: (sql) => database.exec(sql),
    resultCodeOf: (error) => (error instanceof nodeSqlite3Wasm.SQLite3Error ? codes.codeOf(error) : null),
  };
}

/** In memory, because the file may be locked. */
function checkPackage(): void {
  if (isChecked) return;
  const database = new nodeSqlite3Wasm.Database();
  const statement = connectionOf(database).prepare('SELECT 1 AS a, 2 AS a');
  const rows = statement.all([]);
  statement.finalize?.();
  database.close();
  if (rows[0]?.join() !== '1,2') throw new Error('this version of node-sqlite3-wasm is not supported');
  isChecked = true;
}
