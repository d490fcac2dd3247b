import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { BundleWriter } from '../test-bundles.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';

const SCHEMA = `
CREATE SCHEMA business;
CREATE TABLE business.notes (_sync_scope_id text NOT NULL, id text NOT NULL, body text, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.events (_sync_scope_id text NOT NULL, id text NOT NULL, body text, PRIMARY KEY (_sync_scope_id, id))
  PARTITION BY LIST (_sync_scope_id);
CREATE TABLE business.events_a PARTITION OF business.events FOR VALUES IN ('a');
CREATE TABLE business.events_rest PARTITION OF business.events DEFAULT;
CREATE TABLE business.journal (_sync_scope_id text NOT NULL, id text NOT NULL, body text, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.renamed (_sync_scope_id text NOT NULL, id text NOT NULL, body text, PRIMARY KEY (_sync_scope_id, id));
CREATE FUNCTION business.log_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO business.journal (id, body) VALUES ('log-' || NEW.id, NEW.body);
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER log_note AFTER INSERT ON business.notes DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION business.log_note();
CREATE FUNCTION business.rename() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := 'x-' || NEW.id; RETURN NEW; END $$;
CREATE TRIGGER rename BEFORE INSERT ON business.renamed FOR EACH ROW EXECUTE FUNCTION business.rename();`;

const TABLES = ['notes', 'events', 'journal', 'renamed'].map((table) => ({ schema: 'business', table, syncKeyColumn: 'id' }));

describe('capture', () => {
  let pg: PgFixture;
  let writer: BundleWriter;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(SCHEMA);
    writer = new BundleWriter(pg, (await pg.bootstrap(TABLES)).catalog);
  });
  afterAll(() => pg.close());

  async function countRefusals(): Promise<number> {
    const { rows } = await pg.query('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM sync.rejected_write_seq');
    return Number(rows[0]?.[0]);
  }

  it.each([
    ['INSERT', `INSERT INTO business.notes (id) VALUES ('n')`],
    ['INSERT with a scope', `INSERT INTO business.notes (_sync_scope_id, id) VALUES ('a', 'n')`],
    ['UPDATE', `UPDATE business.notes SET body = 'x'`],
    ['DELETE', `DELETE FROM business.notes`],
    ['write to a partition', `INSERT INTO business.events_a (_sync_scope_id, id) VALUES ('a', 'n')`],
    ['write to a partitioned table', `INSERT INTO business.events (_sync_scope_id, id) VALUES ('a', 'n')`],
  ])('refuses and counts an %s outside of a bundle transaction', async (_name, sql) => {
    const before = await countRefusals();
    await expect(pg.run(sql)).rejects.toMatchObject({ sqlState: 'OV001', schema: 'business' });
    expect(await countRefusals()).toBe(before + 1);
  });

  it('refuses and counts a write by another role that may write the table', async () => {
    const role = `oversync_other_${randomBytes(4).toString('hex')}`;
    await pg.run(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA business TO ${role}; GRANT INSERT ON business.notes TO ${role}`);
    const before = await countRefusals();
    const sql = `SET LOCAL ROLE ${role}; INSERT INTO business.notes (_sync_scope_id, id) VALUES ('a', 'n')`;
    await expect(pg.run(sql)).rejects.toMatchObject({ sqlState: 'OV001' });
    expect(await countRefusals()).toBe(before + 1);
    await pg.run(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  it('[I10] [C7] refuses TRUNCATE, of partitions too, also inside a bundle and under the replica role', async () => {
    for (const table of ['notes', 'events', 'events_a']) {
      await expect(pg.run(`TRUNCATE business.${table}`)).rejects.toMatchObject({ sqlState: 'OV001' });
      await expect(writer.write({ scopeId: 'a' }, (tx) => tx.script(`TRUNCATE business.${table}`))).rejects.toMatchObject({
        sqlState: 'OV001',
      });
    }
    await expect(pg.run(`SET LOCAL session_replication_role = replica; TRUNCATE business.notes`)).rejects.toMatchObject({
      sqlState: 'OV001',
    });
  });

  it('[C7] refuses what a replication apply worker does: rows written under the replica role', async () => {
    for (const table of ['notes', 'events', 'events_a']) {
      const sql = `SET LOCAL session_replication_role = replica; INSERT INTO business.${table} (_sync_scope_id, id) VALUES ('a', 'r')`;
      await expect(pg.run(sql)).rejects.toMatchObject({ sqlState: 'OV001', message: expect.stringContaining('replication') });
    }
  });

  it('[C7] refuses writes of a session whose statement triggers are off by the replica role alone', async () => {
    const sql = `SET LOCAL session_replication_role = replica; UPDATE business.notes SET body = 'x' WHERE false`;
    await expect(pg.run(sql)).rejects.toMatchObject({ sqlState: 'OV001' });
  });

  it.each([
    ['a row of another scope', `INSERT INTO business.notes (_sync_scope_id, id) VALUES ('other', 'n')`],
    ['a changed scope', `INSERT INTO business.notes (id) VALUES ('moved'); UPDATE business.notes SET _sync_scope_id = 'other'`],
  ])('refuses %s inside a bundle', async (_name, sql) => {
    await expect(writer.write({ scopeId: 'a' }, (tx) => tx.script(sql))).rejects.toMatchObject({ sqlState: 'OV001' });
  });

  it('[I13] refuses to touch rows of another scope', async () => {
    await writer.write({ scopeId: 'victim' }, (tx) => tx.script(`INSERT INTO business.notes (id) VALUES ('v')`));
    for (const sql of [`DELETE FROM business.notes WHERE id = 'v'`, `UPDATE business.notes SET body = '!' WHERE id = 'v'`]) {
      await expect(writer.write({ scopeId: 'a' }, (tx) => tx.script(sql))).rejects.toMatchObject({ sqlState: 'OV001' });
    }
  });

  it('[C3] includes the effects of deferred triggers', async () => {
    const bundle = await writer.write({ scopeId: 'deferred' }, (tx) =>
      tx.script(`INSERT INTO business.notes (id, body) VALUES ('1', 'one'), ('2', 'two')`),
    );
    const rows = await writer.rows('deferred', bundle.bundleSeq);
    expect(rows.map((row) => [row['table'], row['op']])).toEqual([
      ['notes', 'INSERT'],
      ['notes', 'INSERT'],
      ['journal', 'INSERT'],
      ['journal', 'INSERT'],
    ]);
  });

  it('captures writes to a partition, moves between partitions and writes through the root', async () => {
    await writer.write({ scopeId: 'a' }, (tx) =>
      tx.script(`INSERT INTO business.events_a (id) VALUES ('direct'); INSERT INTO business.events (id) VALUES ('root')`),
    );
    expect((await writer.states('a')).filter((state) => state.startsWith('events'))).toEqual([
      'events direct 1 false',
      'events root 1 false',
    ]);
  });

  it('[P4] skips only the top-level statements of a push on the table that it applies to', async () => {
    const push = [{ table: 'business.journal', op: 'INSERT', key: 'j' }] as const;
    await writer.write({ scopeId: 'skip', push }, async (tx) => {
      await writer.apply(tx, 'business.journal', `INSERT INTO business.journal (id) VALUES ('j')`);
      expect((await tx.query('SELECT count(*) FROM sync.capture')).rows).toEqual([['0']]);
      await writer.apply(tx, 'business.journal', `INSERT INTO business.notes (id) VALUES ('from elsewhere')`);
      expect((await tx.query('SELECT count(*) FROM sync.capture')).rows).toEqual([['1']]);
    });
  });

  it('captures pushed rows of a table whose keys the application may change', async () => {
    expect(writer.table('business.renamed').capturesPushes).toBe(true);
    expect(writer.table('business.notes').capturesPushes).toBe(false);
    const push = [{ table: 'business.renamed', op: 'INSERT', key: 'k' }] as const;
    const bundle = await writer.write({ scopeId: 'renamed', push }, (tx) =>
      writer.apply(tx, 'business.renamed', `INSERT INTO business.renamed (id) VALUES ('k')`),
    );
    const rows = await writer.rows('renamed', bundle.bundleSeq);
    expect(rows.map((row) => [row['key'], row['op']])).toEqual([
      [{ id: 'k' }, 'DELETE'],
      [{ id: 'x-k' }, 'INSERT'],
    ]);
    expect(bundle.lostRowCount).toBe(1);
  });

  it('[C5] reads pushed keys back even when no trigger saw them, so that a lost row heals as DELETE', async () => {
    await writer.write({ scopeId: 'drift' }, (tx) => tx.script(`INSERT INTO business.journal (id) VALUES ('lost')`));
    await pg.run(
      `ALTER TABLE business.journal DISABLE TRIGGER USER; DELETE FROM business.journal WHERE id = 'lost'; ALTER TABLE business.journal ENABLE TRIGGER USER`,
    );
    await pg.bootstrap(TABLES);
    const push = [{ table: 'business.journal', op: 'UPDATE', key: 'lost' }] as const;
    const bundle = await writer.write({ scopeId: 'drift', push }, (tx) =>
      writer.apply(tx, 'business.journal', `UPDATE business.journal SET body = 'x' WHERE id = 'lost'`),
    );
    expect(bundle).toMatchObject({ rowCount: 1, lostRowCount: 1 });
    expect(await writer.states('drift')).toEqual(['journal lost 2 true']);
  });

  it('closes the context with the bundle', async () => {
    const late = writer.write({ scopeId: 'late' }, async (tx) => {
      await tx.script(`INSERT INTO business.journal (id) VALUES ('1')`);
    });
    await expect(late).resolves.toMatchObject({ rowCount: 1 });
    expect((await pg.query('SELECT count(*) FROM sync.capture')).rows).toEqual([['0']]);
  });

  it('[C9] refuses a bundle that touched nothing', async () => {
    const write = writer.write({ scopeId: 'nothing' }, (tx) =>
      tx.script(`INSERT INTO business.journal (id) VALUES ('c9'); DELETE FROM business.journal WHERE id = 'c9'`),
    );
    await expect(write).rejects.toMatchObject({ code: 'no_captured_changes' });
    expect((await pg.query(`SELECT count(*) FROM sync.scope WHERE scope_id = 'nothing'`)).rows).toEqual([['0']]);
  });
});
