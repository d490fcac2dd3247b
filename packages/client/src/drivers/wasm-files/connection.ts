import nodeSqlite3Wasm from 'node-sqlite3-wasm';
import type { Database } from 'node-sqlite3-wasm';

import type { SyncConnection } from '../sync/sync-connection.ts';
import { FaultCodes } from './fault-codes.ts';
import { WasmFileStatement } from './statement.ts';

/** A connection of node-sqlite3-wasm. */
export interface WasmConnection extends SyncConnection {
  readonly database: Database;
}

/** Opens a connection. Throws when the package is of a version whose rows cannot be read in column order. */
export function connectWasm(file: string): WasmConnection {
  const database = new nodeSqlite3Wasm.Database(file);
  const codes = new FaultCodes(database);
  const connection: WasmConnection = {
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
  checkRows(connection);
  return connection;
}

function checkRows(connection: WasmConnection): void {
  const statement = connection.prepare('SELECT 1 AS a, 2 AS a');
  const rows = statement.all([]);
  statement.finalize?.();
  if (rows[0]?.join() !== '1,2') throw new Error('this version of node-sqlite3-wasm is not supported');
}
