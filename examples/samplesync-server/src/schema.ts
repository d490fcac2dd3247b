import type { RegisteredTableConfig } from '@oversync/server';

/**
 * The tables of the app. What sync asks of them: a column `_sync_scope_id` that leads the primary key, every unique constraint and every
 * reference, and references that are deferrable, because the rows of one push come in any order.
 *
 * Each tenant is a scope. An e-mail address is unique within its tenant, and two tenants may know the same one.
 */
export const SCHEMA_SQL = `
CREATE SCHEMA IF NOT EXISTS app;
CREATE TABLE IF NOT EXISTS app.person (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  email text NOT NULL,
  is_active boolean NOT NULL DEFAULT true,
  height_m double precision,
  points bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT person_email_key UNIQUE (_sync_scope_id, email) DEFERRABLE INITIALLY DEFERRED
);
CREATE TABLE IF NOT EXISTS app.person_address (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  person_id uuid NOT NULL,
  street text NOT NULL,
  city text NOT NULL,
  is_primary boolean NOT NULL DEFAULT false,
  latitude double precision,
  longitude double precision,
  PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, person_id) REFERENCES app.person (_sync_scope_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX IF NOT EXISTS person_address_person_id_idx ON app.person_address (_sync_scope_id, person_id);
CREATE TABLE IF NOT EXISTS app.comment (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  person_id uuid NOT NULL,
  body text NOT NULL,
  likes bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, person_id) REFERENCES app.person (_sync_scope_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX IF NOT EXISTS comment_person_id_idx ON app.comment (_sync_scope_id, person_id);
`;

export const TABLES: readonly RegisteredTableConfig[] = ['person', 'person_address', 'comment'].map((table) => ({
  schema: 'app',
  table,
  syncKeyColumn: 'id',
}));
