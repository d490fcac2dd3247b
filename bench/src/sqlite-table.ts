import { DatabaseSync } from 'node:sqlite';

import type { BenchRow } from './bench-rows.ts';

/* Nothing here needs PostgreSQL: processes whose memory is measured load it. */

/** The table of a device. */
export const SQLITE_TABLE = `CREATE TABLE places (
  id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, country TEXT NOT NULL, admin1 TEXT, admin2 TEXT, lat TEXT NOT NULL,
  lng REAL NOT NULL, rating INTEGER NOT NULL, visited BOOLEAN NOT NULL, note TEXT, updated_at TEXT NOT NULL)`;

/** What every connection to a device's file is set to, the same with and without triggers. */
export const SQLITE_PRAGMAS =
  'PRAGMA journal_mode = wal; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON;';

export const SQLITE_INSERT =
  'INSERT INTO places (id, name, country, admin1, admin2, lat, lng, rating, visited, note, updated_at) VALUES (?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, ?)';

/** Opens a new file with the table of a device and no triggers. */
export function createDevice(path: string): DatabaseSync {
  const device = new DatabaseSync(path);
  device.exec(SQLITE_PRAGMAS);
  device.exec(SQLITE_TABLE);
  return device;
}

/** Inserts rows with one prepared statement in one transaction. */
export function insertInOneTransaction(device: DatabaseSync, rows: readonly BenchRow[]): void {
  const insert = device.prepare(SQLITE_INSERT);
  device.exec('BEGIN IMMEDIATE');
  for (const row of rows) insert.run(...toSqliteValues(row));
  device.exec('COMMIT');
}

/** Inserts rows with one prepared statement, each in a transaction of its own. */
export function insertOneByOne(device: DatabaseSync, rows: readonly BenchRow[]): void {
  const insert = device.prepare(SQLITE_INSERT);
  for (const row of rows) insert.run(...toSqliteValues(row));
}

/** In the order of the columns. */
export function toSqliteValues(row: BenchRow): (string | number | bigint)[] {
  const { id, name, country, admin1, lat, lng, rating, visited, note, updatedAt } = row;
  return [id, name, country, admin1, lat, lng, rating, visited ? 1n : 0n, note, updatedAt];
}
