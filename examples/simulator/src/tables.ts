/** How the values of a column are brought into one text on both sides. */
export type ColumnKind = 'uuid' | 'blobUuid' | 'text' | 'number' | 'float' | 'boolean' | 'bytes' | 'time';

/** The tables of the business schema and what their columns hold. */
export const TABLES = {
  users: { id: 'uuid', name: 'text', email: 'text', created_at: 'time', updated_at: 'time' },
  posts: { id: 'uuid', title: 'text', content: 'text', author_id: 'uuid', created_at: 'time', updated_at: 'time' },
  categories: { id: 'uuid', name: 'text', parent_id: 'uuid' },
  teams: { id: 'uuid', name: 'text', captain_member_id: 'uuid' },
  team_members: { id: 'uuid', name: 'text', team_id: 'uuid' },
  files: { id: 'blobUuid', name: 'text', data: 'bytes' },
  file_reviews: { id: 'blobUuid', review: 'text', file_id: 'blobUuid' },
  typed_rows: {
    id: 'uuid',
    name: 'text',
    note: 'text',
    count_value: 'number',
    small_count: 'number',
    medium_count: 'number',
    exact_amount: 'number',
    enabled_flag: 'boolean',
    rating: 'float',
    float4_value: 'float',
    data: 'bytes',
    created_at: 'time',
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, ColumnKind>>>>;

export type TableName = keyof typeof TABLES;

export const TABLE_NAMES: readonly TableName[] = [
  'users',
  'posts',
  'categories',
  'teams',
  'team_members',
  'files',
  'file_reviews',
  'typed_rows',
];

/** The same tables on the device; files and their reviews have binary keys. */
export const DEVICE_SCHEMA_SQL = `
CREATE TABLE users (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE TABLE posts (
  id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, content TEXT NOT NULL,
  author_id TEXT REFERENCES users(id) DEFERRABLE INITIALLY DEFERRED, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE INDEX posts_author_id ON posts(author_id);
CREATE TABLE categories (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL,
  parent_id TEXT REFERENCES categories(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX categories_parent_id ON categories(parent_id);
CREATE TABLE teams (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL,
  captain_member_id TEXT REFERENCES team_members(id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX teams_captain_member_id ON teams(captain_member_id);
CREATE TABLE team_members (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL,
  team_id TEXT NOT NULL REFERENCES teams(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX team_members_team_id ON team_members(team_id);
CREATE TABLE files (id BLOB PRIMARY KEY NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE file_reviews (
  id BLOB PRIMARY KEY NOT NULL, review TEXT NOT NULL,
  file_id BLOB NOT NULL REFERENCES files(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX file_reviews_file_id ON file_reviews(file_id);
CREATE TABLE typed_rows (
  id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, note TEXT, count_value INTEGER, small_count INTEGER, medium_count INTEGER,
  exact_amount TEXT, enabled_flag INTEGER NOT NULL, rating REAL, float4_value REAL, data BLOB, created_at TEXT
);`;
