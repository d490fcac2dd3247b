import { realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import type { Database } from 'node-sqlite3-wasm';

import type { PlatformPorts } from '../ports/platform.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { DatabaseUsers, removeLockFolder } from './database-users.ts';
import { createNodeContext } from './node-caller-context.ts';
import { createNodePlatform } from './node-platform.ts';
import { handleId } from './sync/handle-id.ts';
import { SyncDriver } from './sync/sync-driver.ts';
import { connectWasm } from './wasm-files/connection.ts';
import type { WasmConnection } from './wasm-files/connection.ts';

/** A `SqliteDriver` over node-sqlite3-wasm that can also be closed. */
export interface NodeSqlite3WasmDriver extends SqliteDriver {
  /**
   * The connection, for the application's own SQL. Writes made through it directly are captured, but not announced: announce them with
   * `client.notifyTablesChanged`, or write with `client.write` or the driver.
   */
  readonly database: Database;
  /** Calls `listener` with the lower-case names of the tables that a commit of the driver wrote. */
  onCommit(listener: (tables: readonly string[]) => void): () => void;
  /** Closes the connection. */
  close(): void;
}

/**
 * Opens a file (or `:memory:`) with node-sqlite3-wasm: SQLite on real files without a native module.
 *
 * There is no WAL, and its lock is a folder `<file>.lock`, which a crash leaves behind. The driver removes a folder that a dead process has
 * left: when it is opened, and when a client becomes the owner, provided that no other process has the database open through this driver.
 * All processes must therefore open the file through it. Text ends at U+0000, so a parameter with that character is refused.
 *
 * @example
 * ```ts
 * const driver = createNodeSqlite3WasmDriver('app.db');
 * const client = createSyncClient({ driver, ...options });
 * ```
 */
export function createNodeSqlite3WasmDriver(file: string): NodeSqlite3WasmDriver {
  if (file === ':memory:' || file === '') return new FileDriver(connectWasm(file), null, null);
  const path = join(realpathSync(dirname(file)), basename(file));
  const databaseFile = realPath(path);
  const users = new DatabaseUsers(databaseFile);
  users.whenAlone(() => removeLockFolder(databaseFile));
  users.join();
  return new FileDriver(connectWasm(databaseFile), databaseFile, users);
}

/** The file may not exist yet. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

class FileDriver extends SyncDriver implements NodeSqlite3WasmDriver {
  readonly database: Database;
  readonly #users: DatabaseUsers | null;

  constructor(connection: WasmConnection, file: string | null, users: DatabaseUsers | null) {
    super({
      connection,
      databaseId: () => file ?? handleId(connection.database),
      context: createNodeContext(),
      platform: file === null || users === null ? createNodePlatform(null) : recoveringPlatform(file, users, connection),
      hasRunMany: false,
    });
    this.database = connection.database;
    this.#users = users;
  }

  close(): void {
    this.release();
    if (this.database.isOpen) this.database.close();
    this.#users?.leave();
  }
}

/** Whoever becomes the owner may follow one that was killed in a transaction. An own open transaction holds the folder rightly. */
function recoveringPlatform(file: string, users: DatabaseUsers, connection: WasmConnection): PlatformPorts {
  const platform = createNodePlatform(file);
  const { lock } = platform;
  if (lock === undefined) return platform;
  return {
    ...platform,
    lock: {
      acquire: async (name, request) => {
        const held = await lock.acquire(name, request);
        if (held !== null && !connection.isTransaction) users.whenAlone(() => removeLockFolder(file));
        return held;
      },
    },
  };
}
