import { Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { createSyncServer } from '../create-sync-server.ts';
import { createPgDatabase } from '../drivers/pg.ts';
import { BOOTSTRAP_LOCK_SQL } from '../store/catalog.sql.ts';
import { newScope, NOTES_TABLE, openTestServer, pushNotes, pushRows } from '../test-server.ts';
import type { TestServer, WireRow } from '../test-server.ts';

const DDL = `
CREATE SCHEMA business;
CREATE TABLE business.notes (_sync_scope_id text NOT NULL, id text NOT NULL, title text NOT NULL, amount int8, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.teams (_sync_scope_id text NOT NULL, id text NOT NULL, captain_id text, parent_id text, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.members (_sync_scope_id text NOT NULL, id text NOT NULL, team_id text NOT NULL, PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, team_id) REFERENCES business.teams DEFERRABLE);
ALTER TABLE business.teams
  ADD FOREIGN KEY (_sync_scope_id, captain_id) REFERENCES business.members DEFERRABLE,
  ADD FOREIGN KEY (_sync_scope_id, parent_id) REFERENCES business.teams DEFERRABLE;
CREATE TABLE business.seen_locks (held int8 NOT NULL);
CREATE FUNCTION business.note_locks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO business.seen_locks SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
  RETURN NULL;
END $$;
CREATE TRIGGER note_locks AFTER INSERT ON business.notes EXECUTE FUNCTION business.note_locks();
CREATE SCHEMA archive;
CREATE TABLE archive.files (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id));`;

let target: TestServer;
beforeAll(async () => {
  const registeredTables = [
    NOTES_TABLE,
    { schema: 'business', table: 'members', syncKeyColumn: 'id' },
    { schema: 'business', table: 'teams', syncKeyColumn: 'id' },
  ];
  target = await openTestServer({ ddl: DDL, registeredTables });
});
afterAll(() => target.close());

function insert(table: string, payload: Readonly<Record<string, string | null>> & { readonly id: string }): WireRow {
  return { schema: 'business', table, key: { id: payload.id }, op: 'INSERT', base_row_version: 0, payload: { ...payload } };
}

test('[O9] no table order is needed: cycles, self-references and children ahead of their parents are committed as they come', async () => {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  const child = insert('teams', { id: 'child', captain_id: 'ann', parent_id: 'root' });
  const root = insert('teams', { id: 'root', captain_id: 'ben', parent_id: null });
  const people = [insert('members', { id: 'ann', team_id: 'child' }), insert('members', { id: 'ben', team_id: 'root' })];
  const committed = await pushRows(target, 1, [child, ...people, root], { scope });
  expect(committed.row_count).toBe(4);
  const deletes = [root, child, ...people].map((row) => ({
    schema: row.schema,
    table: row.table,
    key: row.key,
    op: 'DELETE' as const,
    base_row_version: 1,
  }));
  expect((await pushRows(target, 2, deletes, { scope })).row_count).toBe(4);
});

test('[S7] a push takes row locks only: no advisory lock can collide with those of the application', async () => {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  await pushNotes(target, 1, [{ op: 'INSERT', id: 'a' }], { scope });
  expect((await target.query('SELECT DISTINCT held::text FROM business.seen_locks')).rows).toStrictEqual([['0']]);
});

test('[S7] the one lock of bootstrap belongs to its metadata schema and holds nobody else up', async () => {
  const pool = new Pool({ connectionString: target.url, max: 2 });
  const other = createSyncServer({
    database: createPgDatabase(pool),
    metadataSchema: 'archive_sync',
    registeredTables: [{ schema: 'archive', table: 'files', syncKeyColumn: 'id' }],
    resolveActor: () => null,
    maintenance: { enabled: false },
  });
  try {
    await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
      await tx.query(BOOTSTRAP_LOCK_SQL, ['sync']);
      await other.bootstrap();
    });
    expect((await other.fetch(new Request('http://host.test/sync/capabilities'))).status).toBe(401);
  } finally {
    await other.close();
    await pool.end();
  }
});
