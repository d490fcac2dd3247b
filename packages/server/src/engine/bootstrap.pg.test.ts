import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';

const SCHEMA = `
CREATE SCHEMA business;
CREATE TABLE business.users (
  _sync_scope_id text NOT NULL, id uuid NOT NULL, name text, age int4, PRIMARY KEY (_sync_scope_id, id)
);
CREATE TABLE business.posts (
  _sync_scope_id text NOT NULL, id text NOT NULL, author_id uuid, body text NOT NULL, meta jsonb,
  PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT posts_author_fk FOREIGN KEY (_sync_scope_id, author_id) REFERENCES business.users (_sync_scope_id, id)
    ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ON business.posts (_sync_scope_id, author_id);`;

const TABLES = [
  { schema: 'business', table: 'users', syncKeyColumn: 'id' },
  { schema: 'business', table: 'posts', syncKeyColumn: 'id' },
];

describe('bootstrap', () => {
  let pg: PgFixture;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(SCHEMA);
  });
  afterAll(() => pg.close());

  it('describes what it installed', async () => {
    const { catalog, appliedMigrations, changedTables, warnings } = await pg.bootstrap(TABLES);
    expect(appliedMigrations).toEqual([1]);
    expect(changedTables).toEqual(['business.posts', 'business.users']);
    expect(warnings).toEqual([]);
    expect([...catalog.tables.keys()]).toEqual(['business.posts', 'business.users']);
    expect(catalog.tables.get('business.posts')).toMatchObject({ keyKind: 'text', hasNestedJson: true, deletesFirst: true });
    expect(catalog.tables.get('business.users')).toMatchObject({ keyKind: 'uuid', hasNestedJson: false, deletesFirst: false });
  });

  it('[O3] changes nothing the second time', async () => {
    const again = await pg.bootstrap(TABLES, { bootstrapPolicy: 'check' });
    expect(again.appliedMigrations).toEqual([]);
    expect(again.changedTables).toEqual([]);
  });
});
