import type { RegisteredTableConfig } from '@oversync/server';

/**
 * The business tables of the example: an ordinary schema with the one hidden column that sync needs, `_sync_scope_id`. Each kind of
 * value is there: a UUID key, text, an exact decimal, a binary float, a 64-bit integer, a boolean, and a point in time.
 */
export const EXAMPLE_SCHEMA_SQL = `
CREATE SCHEMA IF NOT EXISTS business;
CREATE TABLE IF NOT EXISTS business.places (
  _sync_scope_id text NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  country text NOT NULL,
  admin1 text,
  admin2 text,
  lat numeric(8, 5) NOT NULL,
  lng double precision NOT NULL,
  rating bigint NOT NULL DEFAULT 0,
  visited boolean NOT NULL DEFAULT false,
  note text,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (_sync_scope_id, id)
);
`;

/** What the server synchronises. */
export const REGISTERED_TABLES: readonly RegisteredTableConfig[] = [{ schema: 'business', table: 'places', syncKeyColumn: 'id' }];
