import type { RegisteredTableConfig } from '@oversync/server';

/**
 * Eight business tables with every shape that sync has to cope with: a plain reference, a tree, a cycle of two tables, binary keys on the
 * device, and one table with a column of each kind of value. Every reference is deferrable, so that the rows of one push may come in any
 * order.
 */
export const RICH_SCHEMA_SQL = `
CREATE SCHEMA IF NOT EXISTS business;
CREATE TABLE IF NOT EXISTS business.users (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL CONSTRAINT users_name_not_empty CHECK (name <> ''),
  email text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT users_email_key UNIQUE (_sync_scope_id, email) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE IF NOT EXISTS business.posts (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  title text NOT NULL,
  content text NOT NULL,
  author_id uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, author_id) REFERENCES business.users (_sync_scope_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX IF NOT EXISTS posts_author_id_idx ON business.posts (_sync_scope_id, author_id);
CREATE TABLE IF NOT EXISTS business.categories (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  parent_id uuid,
  PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, parent_id) REFERENCES business.categories (_sync_scope_id, id)
    ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX IF NOT EXISTS categories_parent_id_idx ON business.categories (_sync_scope_id, parent_id);
CREATE TABLE IF NOT EXISTS business.teams (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  captain_member_id uuid,
  PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE IF NOT EXISTS business.team_members (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  team_id uuid NOT NULL,
  PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, team_id) REFERENCES business.teams (_sync_scope_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'business.teams'::regclass AND conname = 'teams_captain_fkey') THEN
    ALTER TABLE business.teams ADD CONSTRAINT teams_captain_fkey FOREIGN KEY (_sync_scope_id, captain_member_id)
      REFERENCES business.team_members (_sync_scope_id, id) DEFERRABLE INITIALLY DEFERRED;
  END IF;
END $$;
CREATE INDEX IF NOT EXISTS teams_captain_idx ON business.teams (_sync_scope_id, captain_member_id);
CREATE INDEX IF NOT EXISTS team_members_team_id_idx ON business.team_members (_sync_scope_id, team_id);
CREATE TABLE IF NOT EXISTS business.files (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE IF NOT EXISTS business.file_reviews (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  review text NOT NULL,
  file_id uuid NOT NULL,
  PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, file_id) REFERENCES business.files (_sync_scope_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX IF NOT EXISTS file_reviews_file_id_idx ON business.file_reviews (_sync_scope_id, file_id);
CREATE TABLE IF NOT EXISTS business.typed_rows (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  note text,
  count_value bigint,
  small_count smallint,
  medium_count integer,
  exact_amount numeric(30, 10),
  enabled_flag boolean NOT NULL,
  rating double precision,
  float4_value real,
  data bytea,
  created_at timestamptz,
  PRIMARY KEY (_sync_scope_id, id)
);
`;

const TABLE_NAMES = ['users', 'posts', 'categories', 'teams', 'team_members', 'files', 'file_reviews', 'typed_rows'] as const;

/** The eight tables for `registeredTables`. */
export const RICH_TABLES: readonly RegisteredTableConfig[] = TABLE_NAMES.map((table) => ({
  schema: 'business',
  table,
  syncKeyColumn: 'id',
}));
