import { DatabaseSync } from 'node:sqlite';

import { createSyncClient } from '@oversync/client';
import type { SyncClient } from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';

import { signIn } from './server-process.ts';

const LOCAL_SCHEMA_SQL = `
CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE posts (
  id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, content TEXT NOT NULL,
  author_id TEXT REFERENCES users(id) DEFERRABLE INITIALLY DEFERRED, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE TABLE categories (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL,
  parent_id TEXT REFERENCES categories(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE teams (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL,
  captain_member_id TEXT REFERENCES team_members(id) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE team_members (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL,
  team_id TEXT NOT NULL REFERENCES teams(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE files (id BLOB PRIMARY KEY NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE file_reviews (
  id BLOB PRIMARY KEY NOT NULL, review TEXT NOT NULL,
  file_id BLOB NOT NULL REFERENCES files(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE typed_rows (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, note TEXT, count_value INTEGER, small_count INTEGER, medium_count INTEGER,
  exact_amount TEXT, enabled_flag INTEGER NOT NULL, rating REAL, float4_value REAL, data BLOB, created_at TEXT
);`;

export const RICH_TABLE_NAMES = [
  'users',
  'posts',
  'categories',
  'teams',
  'team_members',
  'files',
  'file_reviews',
  'typed_rows',
] as const;

/** A device with the eight tables in memory. */
export interface RichDevice {
  readonly client: SyncClient;
  run(sql: string, ...values: readonly (string | bigint | number | Uint8Array | null)[]): void;
  rows(sql: string): readonly Readonly<Record<string, unknown>>[];
  close(): Promise<void>;
}

export async function openRichDevice(url: string, user: string): Promise<RichDevice> {
  const database = new DatabaseSync(':memory:');
  database.exec(LOCAL_SCHEMA_SQL);
  const headers = await signIn(url, user);
  const client = createSyncClient({
    driver: createNodeSqliteDriver(database),
    baseUrl: url,
    headers: () => headers,
    schema: 'business',
    tables: RICH_TABLE_NAMES.map((tableName) => ({ tableName, syncKeyColumnName: 'id' })),
  });
  await client.open();
  await client.attach(user);
  return {
    client,
    run: (sql, ...values) => void database.prepare(sql).run(...values),
    rows: (sql) => {
      const statement = database.prepare(sql);
      statement.setReadBigInts(true);
      return statement.all();
    },
    close: async () => {
      await client.close();
      database.close();
    },
  };
}
