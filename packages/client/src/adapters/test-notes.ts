import sqlite3InitModule from '@sqlite.org/sqlite-wasm';

import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import { createBetterSqlite3Driver } from '../drivers/better-sqlite3.ts';
import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import { createSqliteWasmDriver } from '../drivers/sqlite-wasm.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';

const sqlite3 = await sqlite3InitModule();

/** Drivers that a query builder is tried on. */
export const DRIVERS = [
  { name: 'node:sqlite', open: () => createNodeSqliteDriver(':memory:') },
  { name: 'better-sqlite3', open: () => createBetterSqlite3Driver(':memory:') },
  { name: 'the official WASM build', open: () => createSqliteWasmDriver({ sqlite3 }) },
] as const;

const DDL = `
CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, stars INTEGER NOT NULL DEFAULT 0, score REAL, data BLOB);
CREATE TABLE tags (note_id TEXT NOT NULL REFERENCES notes(id) DEFERRABLE INITIALLY DEFERRED, id TEXT PRIMARY KEY NOT NULL)`;

/** A database with two managed tables, opened and never attached: captures everything, sends nothing. */
export async function openNotes(driver: SqliteDriver): Promise<SyncClient> {
  await driver.exec(DDL);
  const client = createSyncClient({
    driver,
    baseUrl: 'https://nowhere.example',
    headers: () => ({}),
    schema: 'main',
    tables: [
      { tableName: 'notes', syncKeyColumnName: 'id' },
      { tableName: 'tags', syncKeyColumnName: 'id' },
    ],
  });
  await client.open();
  return client;
}

/** What capture has noted: operation and key of each unsent row. */
export async function captured(driver: SqliteDriver): Promise<string[]> {
  const rows = await driver.all('SELECT op, key_json FROM _sync_dirty_rows ORDER BY dirty_ordinal');
  return rows.map(([op, key]) => `${String(op)} ${String(key)}`);
}
