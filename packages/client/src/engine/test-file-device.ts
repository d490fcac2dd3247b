import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { NodeSqliteDriver } from '../drivers/node-sqlite.ts';
import { eagerClock } from '../ports/test-clock.ts';
import type { SyncClientOptions } from './options.ts';
import { USER_TABLES } from './test-device.ts';
import type { TestServer } from './test-server.ts';

const SCHEMA = `
CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, body TEXT);`;

/** A device with a database file, beside which a snapshot can be staged. */
export interface FileDevice {
  readonly driver: NodeSqliteDriver;
  readonly client: SyncClient;
  readonly stageFile: string;
  /** First column of every row, as text. */
  readonly list: (sql: string) => readonly string[];
}

/** A folder for the files of the devices of one test. */
export class DeviceFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'oversync-stage-'));
  readonly #drivers: NodeSqliteDriver[] = [];

  /** A device on the file of this name; with the tables if the file is new. */
  device(server: TestServer, name: string, options: Partial<SyncClientOptions> = {}): FileDevice {
    const path = join(this.path, name);
    const isNew = !existsSync(path);
    const driver = createNodeSqliteDriver(path);
    this.#drivers.push(driver);
    if (isNew) driver.database.exec(SCHEMA);
    const client = createSyncClient({
      driver,
      baseUrl: 'https://sync.test',
      headers: () => ({}),
      schema: 'main',
      tables: USER_TABLES.map(({ table, key }) => ({ tableName: table, syncKeyColumnName: key })),
      snapshotChunkRows: 2,
      ...options,
      ports: { http: server.fetch, clock: eagerClock(), ...options.ports },
    });
    const list = (sql: string): readonly string[] =>
      driver.database
        .prepare(sql)
        .all()
        .map((row) => String(Object.values(row)[0]));
    return { driver, client, stageFile: `${driver.database.location() ?? ''}-oversync-stage`, list };
  }

  remove(): void {
    for (const driver of this.#drivers.splice(0)) driver.close();
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Rows of `users` for a server. */
export function manyUsers(count: number) {
  return Array.from({ length: count }, (_, index) => ({
    table: 'users',
    id: `u${index}`,
    payload: { id: `u${index}`, name: `n${index}` },
  }));
}
