import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { initializeScope, openPushFixture, push } from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';
import { isOldestServer } from '../test-server-version.ts';

/** Autovacuum never looks at these, as if every scope had grown a moment ago. */
const SCHEMA = `
CREATE TABLE users (_sync_scope_id text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id)) WITH (autovacuum_enabled = off);
CREATE TABLE notes (_sync_scope_id text NOT NULL, id uuid NOT NULL, body text, user_id text, PRIMARY KEY (_sync_scope_id, id)) WITH (autovacuum_enabled = off);
CREATE TABLE audit (_sync_scope_id text NOT NULL, id text NOT NULL, body text, PRIMARY KEY (_sync_scope_id, id)) WITH (autovacuum_enabled = off);
CREATE FUNCTION note_users() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO audit (id, body) SELECT gen_random_uuid()::text, r.name FROM new_rows r; RETURN NULL; END $$;
CREATE TRIGGER note_users AFTER INSERT ON users REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_users();`;

const METADATA_TABLES = ['push_row', 'row_state', 'bundle_block', 'tombstone', 'capture'];
const ROWS = 2000;
const ROUNDS = 3;

/** Rows of every table that a push may look at more than once: look-ups, the scan of an index, the delete at the end. */
const READS_PER_ROW_MAX = 16;

function pushedRows(op: TestRow['op'], round: number, base: bigint): readonly TestRow[] {
  return Array.from({ length: ROWS }, (_, index) => {
    const key = round * ROWS + index;
    const [table, id] =
      index % 2 === 0 ? ['users', `u${key}`] : ['notes', `00000000-0000-4000-8000-${String(key).padStart(12, '0')}`];
    const payload = table === 'users' ? { id, name: `${op} ${key}` } : { id, body: `${op} ${key}` };
    return { table, key: { id }, op, base, ...(op === 'DELETE' ? {} : { payload }) };
  });
}

// PostgreSQL 14 tells the figures of a connection when it likes to.
describe.skipIf(isOldestServer)('[P3] plans without statistics', () => {
  let fixture: PushFixture;
  beforeAll(async () => {
    const tables = ['users', 'notes', 'audit'].map((table) => ({ table, syncKeyColumn: 'id' }));
    fixture = await openPushFixture({ schema: SCHEMA, tables, options: { maxRowsPerPushChunk: ROWS } });
    for (const table of METADATA_TABLES) await fixture.pg.run(`ALTER TABLE sync.${table} SET (autovacuum_enabled = off)`);
  });
  afterAll(() => fixture.close());

  async function countReads(): Promise<ReadonlyMap<string, number>> {
    // The figures of a connection reach the view when the connection is told to, or is idle for a while.
    await Promise.all(Array.from({ length: 4 }, () => fixture.pg.run('SELECT pg_stat_force_next_flush(), pg_sleep(0.05)')));
    const { rows } = await fixture.pg.query(
      `SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = ANY ($1)`,
      [['users', 'notes', 'audit', ...METADATA_TABLES]],
    );
    return new Map(rows.map(([name, reads]) => [name ?? '', Number(reads)]));
  }

  it('read each table a bounded number of times per pushed row, however large the scope has grown', async () => {
    const actor = { scopeId: 'unknown to the planner', sourceId: 'device-a' };
    await initializeScope(fixture.pg, actor.scopeId);
    let sourceBundleId = 0n;
    for (const op of ['INSERT', 'UPDATE', 'DELETE'] as const) {
      for (let round = 0; round < ROUNDS; round += 1) {
        const base = op === 'INSERT' ? 0n : sourceBundleId + 1n - BigInt(ROUNDS);
        sourceBundleId += 1n;
        const before = await countReads();
        await push(fixture.ctx, actor, pushedRows(op, round, base), { sourceBundleId });
        const after = await countReads();
        for (const [table, reads] of after) {
          expect((reads - (before.get(table) ?? 0)) / ROWS, `${op} ${round}: ${table}`).toBeLessThan(READS_PER_ROW_MAX);
        }
      }
    }
  });
});
