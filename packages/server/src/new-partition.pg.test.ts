import { randomBytes } from 'node:crypto';

import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { BundleWriter } from './test-bundles.ts';
import { openPgFixture } from './test-pg.ts';
import type { PgFixture } from './test-pg.ts';
import { isOldestServer } from './test-server-version.ts';
import { createRequest, openTestServer, readAnswer } from './test-server.ts';

const DDL = `CREATE SCHEMA business;
CREATE TABLE business.events (_sync_scope_id text NOT NULL, id text NOT NULL, body text, PRIMARY KEY (_sync_scope_id, id)) PARTITION BY LIST (_sync_scope_id);
CREATE TABLE business.events_a PARTITION OF business.events FOR VALUES IN ('a');
CREATE TABLE business.other (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id));`;
const EVENTS = { schema: 'business', table: 'events', syncKeyColumn: 'id' } as const;
const CREATED = `CREATE TABLE business.events_b PARTITION OF business.events FOR VALUES IN ('b')`;
const ATTACHED = `CREATE TABLE business.events_b (LIKE business.events INCLUDING ALL); ALTER TABLE business.events ATTACH PARTITION business.events_b FOR VALUES IN ('b')`;
const NESTED = `CREATE TABLE business.events_n PARTITION OF business.events FOR VALUES IN ('b') PARTITION BY HASH (id);
CREATE TABLE business.events_b PARTITION OF business.events_n FOR VALUES WITH (MODULUS 1, REMAINDER 0)`;

// PostgreSQL 14 lets only a superuser turn off what a partition was handed.
test.skipIf(isOldestServer).each([
  ['created', CREATED],
  ['attached', ATTACHED],
  ['nested', NESTED],
])(
  '[I10] [I11] a write to a partition that was just %s is refused outside of a bundle, and captured in one',
  async (_kind, ddl) => {
    const target = await openTestServer({ ddl: DDL, registeredTables: [EVENTS], catalogRefreshIntervalMs: 3_600_000 });
    const state = async () =>
      (
        await target.query(
          `SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'business.events_b'::regclass AND tgname LIKE 'oversync%' ORDER BY tgname`,
        )
      ).rows
        .flat()
        .join('');
    await target.script(ddl);
    const outside = `INSERT INTO business.events_b VALUES ('b', 'outside')`;
    await expect(target.script(outside)).rejects.toMatchObject({ sqlState: 'OV001' });
    await expect(target.script(`SET LOCAL session_replication_role = replica; ${outside}`)).rejects.toMatchObject({
      sqlState: 'OV001',
    });
    expect(await state()).toBe('A');
    const write = (sql: string) => target.server.scopes.execWrite('b', { writerId: 'w' }, (tx) => tx.query(sql));
    await write(`INSERT INTO business.events_b (id) VALUES ('direct'), ('gone')`);
    await write(`UPDATE business.events SET id = 'moved' WHERE _sync_scope_id = 'b' AND id = 'gone'`);
    await expect(write(`INSERT INTO business.events VALUES ('a', 'of another scope')`)).rejects.toMatchObject({
      code: 'push_commit_invalid',
    });
    await write(`INSERT INTO business.events VALUES ('b', 'root')`);
    const bundles = async () => {
      const answer = await readAnswer(await target.server.fetch(createRequest('GET', '/sync/pull', { scope: 'b' })));
      return answer.json.bundles.map(({ rows }) =>
        rows.map((row) => `${(row as { readonly op?: string }).op ?? ''} ${row.key.id}`),
      );
    };
    const before = [['INSERT direct', 'INSERT gone'], ['DELETE gone', 'INSERT moved'], ['INSERT root']];
    expect(await bundles()).toEqual(before);
    await target.second();
    expect(await state()).toBe('AADARA');
    await expect(target.script(outside)).rejects.toMatchObject({ sqlState: 'OV001' });
    await write(`DELETE FROM business.events_b WHERE id = 'direct'`);
    expect(await bundles()).toEqual([...before, ['DELETE direct']]);
    expect(await target.server.admin.checkScope('b')).toMatchObject({ isConsistent: true });
    await target.second({ registeredTables: [{ schema: 'business', table: 'other', syncKeyColumn: 'id' }] });
    expect(await state()).toBe('');
    await target.script(outside);
    await target.close();
  },
);

const MOVES_DDL = `CREATE SCHEMA business;
CREATE TABLE business.parents (_sync_scope_id text NOT NULL, id text NOT NULL, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.moves (
  _sync_scope_id text NOT NULL, id text NOT NULL, parent_id text, body text, PRIMARY KEY (_sync_scope_id, id),
  FOREIGN KEY (_sync_scope_id, parent_id) REFERENCES business.parents (_sync_scope_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
) PARTITION BY RANGE (id);
CREATE TABLE business.moves_a PARTITION OF business.moves FOR VALUES FROM ('a') TO ('b');`;
/** The columns of one partition stand in another order than those of its root. */
const MOVES_LATER = `CREATE TABLE business.moves_b (body text, id text NOT NULL, parent_id text, _sync_scope_id text NOT NULL);
ALTER TABLE business.moves ATTACH PARTITION business.moves_b FOR VALUES FROM ('b') TO ('c');
CREATE TABLE business.moves_c PARTITION OF business.moves FOR VALUES FROM ('c') TO ('e') PARTITION BY RANGE (id);
CREATE TABLE business.moves_c1 PARTITION OF business.moves_c FOR VALUES FROM ('c') TO ('d')`;
const MOVES_TABLES = ['moves', 'parents'].map((table) => ({ schema: 'business', table, syncKeyColumn: 'id' }));
const DETACH = 'ALTER TABLE business.moves DETACH PARTITION business.moves_b';
const STATEMENTS = [
  `INSERT INTO business.parents (id) VALUES ('p'), ('q')`,
  `INSERT INTO business.moves (id, parent_id) VALUES ('a1', 'p'), ('b1', 'p'), ('b2', 'q'), ('c1', 'q')`,
  `INSERT INTO business.moves (id, body) VALUES ('b1', 'again'), ('b3', 'new') ON CONFLICT (_sync_scope_id, id) DO UPDATE SET body = EXCLUDED.body`,
  `INSERT INTO business.moves (id) VALUES ('b1'), ('c9') ON CONFLICT DO NOTHING`,
  `MERGE INTO business.moves m USING (VALUES ('a1'), ('b1'), ('b2'), ('c2')) AS s (id) ON m.id = s.id AND m._sync_scope_id = current_setting('oversync.scope_id')
     WHEN MATCHED AND m.id = 'b2' THEN DELETE WHEN MATCHED THEN UPDATE SET body = 'merged' WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id)`,
  `UPDATE business.moves SET id = CASE id WHEN 'a1' THEN 'b8' WHEN 'b1' THEN 'c8' ELSE 'a8' END WHERE id IN ('a1', 'b1', 'c1') AND _sync_scope_id = current_setting('oversync.scope_id')`,
  `UPDATE business.moves SET body = 'twice' WHERE _sync_scope_id = current_setting('oversync.scope_id')`,
  `DELETE FROM business.parents WHERE id = 'p' AND _sync_scope_id = current_setting('oversync.scope_id')`,
];

describe.skipIf(isOldestServer)('a partition that the catalog has not seen yet', () => {
  let pg: PgFixture;
  let writer: BundleWriter;
  beforeEach(async () => {
    pg = await openPgFixture();
    await pg.run(MOVES_DDL);
    writer = new BundleWriter(pg, (await pg.bootstrap(MOVES_TABLES)).catalog);
  });
  afterEach(() => pg.close());

  async function readStates(): Promise<string> {
    const { rows } = await pg.query(
      `SELECT string_agg(c.relname || ' ' || t.tgenabled::text, ', ' ORDER BY c.relname) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgname = 'oversync_capture_row'`,
    );
    return rows[0]?.[0] ?? '';
  }

  /** What each of the statements left in its bundle. */
  async function runAll(scopeId: string): Promise<readonly (readonly string[])[]> {
    const bundles: (readonly string[])[] = [];
    for (const sql of STATEMENTS) {
      const { bundleSeq } = await writer.write({ scopeId }, (tx) => tx.script(sql));
      bundles.push(
        (await writer.rows(scopeId, bundleSeq)).map((row) => JSON.stringify([row['table'], row['op'], row['key']])).sort(),
      );
    }
    return bundles;
  }

  /** For what no transaction may hold; it gives up soon. */
  async function runAlone(sql: string): Promise<void> {
    const client = new Client({ connectionString: pg.url, statement_timeout: 200 });
    await client.connect();
    try {
      await client.query(sql);
    } finally {
      await client.end();
    }
  }

  test('[I11] [C5] captures of every kind of statement what one with its own triggers does', async () => {
    await pg.run(MOVES_LATER);
    expect(await readStates()).toBe('moves A, moves_a D, moves_b A, moves_c A, moves_c1 A');
    const before = await runAll('before');
    await pg.bootstrap(MOVES_TABLES);
    expect(await readStates()).toBe('moves A, moves_a D, moves_b D, moves_c A, moves_c1 D');
    const after = await runAll('after');
    expect(before).toEqual(after);
    expect(before.flat()).toHaveLength(28);
  });

  test('skips what a push applies itself, and refuses the replica role inside a bundle', async () => {
    await pg.run(MOVES_LATER);
    const push = [{ table: 'business.moves', op: 'INSERT', key: 'b1' }] as const;
    const insert = `INSERT INTO business.moves (id) VALUES ('b1')`;
    await writer.write({ scopeId: 's', push }, async (tx) => {
      await writer.apply(tx, 'business.moves', insert);
      expect((await tx.query('SELECT count(*) FROM sync.capture')).rows).toEqual([['0']]);
    });
    const replica = `SET LOCAL session_replication_role = replica; INSERT INTO business.moves_b (_sync_scope_id, id) VALUES ('s', 'b2')`;
    await expect(writer.write({ scopeId: 's' }, (tx) => tx.script(replica))).rejects.toMatchObject({
      sqlState: 'OV001',
      message: expect.stringContaining('replication'),
    });
  });

  test('is guarded also when a role made it that may not use the metadata schema', async () => {
    const role = `oversync_migrator_${randomBytes(4).toString('hex')}`;
    await pg.run(
      `CREATE ROLE ${role}; GRANT USAGE, CREATE ON SCHEMA business TO ${role}; ALTER TABLE business.moves OWNER TO ${role}`,
    );
    await pg.run(
      `SET LOCAL ROLE ${role}; CREATE TABLE business.moves_x PARTITION OF business.moves FOR VALUES FROM ('x') TO ('y')`,
    );
    const outside = `SET LOCAL ROLE ${role}; INSERT INTO business.moves_x (_sync_scope_id, id) VALUES ('s', 'x')`;
    await expect(pg.run(outside)).rejects.toMatchObject({ sqlState: 'OV001' });
    await pg.run(`REASSIGN OWNED BY ${role} TO CURRENT_USER; DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  test('is an ordinary table once it is detached, and guarded when it comes back', async () => {
    await pg.run(MOVES_LATER);
    await pg.run(`ALTER TABLE business.moves DETACH PARTITION business.moves_c; ${DETACH}`);
    expect(await readStates()).toBe('moves A, moves_a D');
    await pg.run(`INSERT INTO business.moves_b (_sync_scope_id, id) VALUES ('s', 'b1'); DELETE FROM business.moves_b`);
    await pg.run(`ALTER TABLE business.moves ATTACH PARTITION business.moves_c FOR VALUES FROM ('c') TO ('e')`);
    const outside = `INSERT INTO business.moves_c1 (_sync_scope_id, id) VALUES ('s', 'c1')`;
    await expect(pg.run(outside)).rejects.toMatchObject({ sqlState: 'OV001' });
    await pg.bootstrap(MOVES_TABLES);
    expect(await readStates()).toBe('moves A, moves_a D, moves_c A, moves_c1 D');
  });

  test('[O3] gets back what somebody has switched', async () => {
    await pg.run(MOVES_LATER);
    await pg.bootstrap(MOVES_TABLES);
    const before = await readStates();
    for (const table of ['moves_b', 'moves_c', 'moves']) {
      await pg.run(`ALTER TABLE business.${table} DISABLE TRIGGER USER; ALTER TABLE business.${table} ENABLE TRIGGER USER`);
      await pg.bootstrap(MOVES_TABLES);
      expect(await readStates()).toBe(before);
    }
    expect((await pg.bootstrap(MOVES_TABLES)).changedTables).toEqual([]);
  });

  test('[O3] does not stop a bootstrap while it is being detached', async () => {
    await pg.run(MOVES_LATER);
    await pg.bootstrap(MOVES_TABLES);
    await pg.transaction(async (tx) => {
      await tx.query('SELECT count(*) FROM business.moves');
      await expect(runAlone(`${DETACH} CONCURRENTLY`)).rejects.toMatchObject({ code: '57014' });
    });
    await pg.run('DROP TRIGGER oversync_capture_row ON business.moves');
    await pg.bootstrap(MOVES_TABLES);
    expect(await readStates()).toBe('moves A, moves_a D, moves_c A, moves_c1 D');
    await runAlone(`${DETACH} FINALIZE`);
    expect((await pg.bootstrap(MOVES_TABLES)).changedTables).toEqual([]);
  });
});
