import { asArray, asObject, asString } from '../json.ts';
import type { FixtureObject } from '../json.ts';
import type { ContractTable } from './contract-server.ts';

const USERS = 'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);';

/** The schemas that the fixtures name. */
const SCHEMAS: Readonly<Record<string, string>> = {
  users: USERS,
  'users-posts': `${USERS}
    CREATE TABLE posts (id TEXT PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users(id), title TEXT NOT NULL);`,
  'typed-rows': `
    CREATE TABLE typed_rows (
      id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, note TEXT, count_value INTEGER, enabled_flag INTEGER NOT NULL, rating REAL,
      data BLOB, created_at TEXT
    );`,
  'immediate-authors-profiles-cycle': `
    CREATE TABLE authors (id TEXT PRIMARY KEY NOT NULL, profile_id TEXT NOT NULL REFERENCES profiles(id), name TEXT NOT NULL);
    CREATE TABLE profiles (id TEXT PRIMARY KEY NOT NULL, author_id TEXT NOT NULL REFERENCES authors(id), bio TEXT NOT NULL);`,
};

export interface CaseSchema {
  readonly sql: string;
  readonly tables: readonly ContractTable[];
}

/** The schema of a case and the tables it synchronises; `users` where it names none. Throws for an unknown name. */
export function schemaOf(fixture: FixtureObject): CaseSchema {
  const alias = asString(fixture['schema'] ?? 'users');
  const sql = SCHEMAS[alias];
  if (sql === undefined) throw new Error(`unknown schema: ${alias}`);
  const tables = asArray(fixture['syncTables'] ?? [{ tableName: 'users', syncKeyColumnName: 'id' }]).map((entry) => {
    const { tableName, syncKeyColumnName } = asObject(entry);
    return { tableName: asString(tableName), syncKeyColumnName: asString(syncKeyColumnName) };
  });
  return { sql, tables };
}
