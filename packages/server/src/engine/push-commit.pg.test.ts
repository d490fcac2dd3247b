import { randomUUID } from 'node:crypto';

import { RowHasher, committedRowText, isJsonObject, parseInt64 } from '@oversync/protocol';
import type { JsonObject } from '@oversync/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { bundleContextSettings } from '../store/capture.sql.ts';
import { connect } from './connect.ts';
import type { Actor } from './context.ts';
import { stagePushChunk } from './push-chunk.ts';
import { commitPush } from './push-commit.ts';
import { createPushSession } from './push-create.ts';
import {
  initializeScope,
  openPushFixture,
  openSession,
  push,
  readBundle,
  refusal,
  requirePushId,
  stagePush,
  toChunkBody,
  toRequestHash,
} from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `
CREATE TABLE authors (_sync_scope_id text NOT NULL, id text NOT NULL, name text, handle text, PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT authors_handle UNIQUE (_sync_scope_id, handle));
CREATE TABLE posts (_sync_scope_id text NOT NULL, id text NOT NULL, author_id text, title text, PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT posts_author_fk FOREIGN KEY (_sync_scope_id, author_id) REFERENCES authors (_sync_scope_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY IMMEDIATE);
CREATE INDEX ON posts (_sync_scope_id, author_id);
CREATE TABLE audited (_sync_scope_id text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id));
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.name = 'skip' THEN RETURN NULL; END IF;
  IF NEW.name = 'shout' THEN NEW.name := 'SHOUT'; END IF;
  RETURN NEW; END $$;
CREATE TRIGGER audit BEFORE INSERT OR UPDATE ON audited FOR EACH ROW EXECUTE FUNCTION audit();
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO authors (_sync_scope_id, id, name) VALUES (NEW._sync_scope_id, 'made-by-' || NEW.id, 'late');
  RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER follow AFTER INSERT ON audited DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.name = 'follow') EXECUTE FUNCTION follow();`;
const TABLES = ['authors', 'posts', 'audited'].map((table) => ({ table, syncKeyColumn: 'id' }));

function row(table: string, id: string, op: TestRow['op'] = 'INSERT', payload: JsonObject = {}, base = 0n): TestRow {
  return { table, key: { id }, op, base, ...(op === 'DELETE' ? {} : { payload: { id, ...payload } }) };
}

function textOf(row: JsonObject, name: string): string {
  const value = row[name];
  if (typeof value !== 'string') throw new Error(`${name} is no string`);
  return value;
}

describe('committing a push', () => {
  let fixture: PushFixture;
  let actor: Actor;
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: TABLES });
  });
  afterAll(() => fixture.close());
  beforeEach(async () => {
    actor = { scopeId: randomUUID(), sourceId: 'device-a' };
    await initializeScope(fixture.pg, actor.scopeId);
  });

  /** Op, table and key of each row, in order. */
  async function effects(bundleSeq: bigint): Promise<readonly string[]> {
    return (await bundleRows(bundleSeq)).map(
      (found) => `${textOf(found, 'op')} ${textOf(found, 'table')} ${JSON.stringify(found['key'])}`,
    );
  }

  async function bundleRows(bundleSeq: bigint): Promise<readonly JsonObject[]> {
    const { rows } = await fixture.pg.query('SELECT scope_pk FROM sync.scope WHERE scope_id=$1', [actor.scopeId]);
    return readBundle(fixture.pg, bundleSeq, rows[0]?.[0] ?? '');
  }

  it('answers with the bundle, and its hash is that of the rows that clients read', async () => {
    const reply = await push(fixture.ctx, actor, [
      row('authors', 'a', 'INSERT', { name: 'Ada' }),
      row('posts', 'p', 'INSERT', { author_id: 'a' }),
    ]);
    expect(reply).toMatchObject({ bundle_seq: 1n, source_id: 'device-a', source_bundle_id: 1n, row_count: 2 });
    const hasher = new RowHasher();
    for (const [ordinal, found] of (await bundleRows(1n)).entries()) {
      const { payload, key } = found;
      hasher.addRow(
        committedRowText(
          {
            schema: textOf(found, 'schema'),
            table: textOf(found, 'table'),
            key: isJsonObject(key) ? key : {},
            op: 'INSERT',
            row_version: parseInt64(found['row_version']) ?? 0n,
            payload: isJsonObject(payload) ? payload : null,
          },
          ordinal,
        ),
      );
    }
    expect(hasher.digestHex()).toBe(reply.bundle_hash);
  });

  it('ends the session and its staged rows', async () => {
    const { ctx, pg } = fixture;
    const pushId = await stagePush(ctx, actor, [row('authors', 'a')]);
    await commitPush(ctx, actor, pushId);
    expect(await refusal(commitPush(ctx, actor, pushId))).toEqual({ code: 'push_session_not_found' });
    expect((await pg.query('SELECT count(*) FROM sync.push_row WHERE push_id=$1', [pushId])).rows).toEqual([['0']]);
    expect((await pg.query('SELECT count(*) FROM sync.capture')).rows).toEqual([['0']]);
  });

  it('tells the watch hub and the metrics after it is durable, and not before', async () => {
    const { ctx, pg, notices, events } = fixture;
    const pushId = await stagePush(ctx, actor, [row('authors', 'a')]);
    const before = notices.length;
    await commitPush(ctx, actor, pushId);
    expect(notices.slice(before)).toEqual([
      {
        scopeId: actor.scopeId,
        scopePk: (await pg.query('SELECT scope_pk FROM sync.scope WHERE scope_id=$1', [actor.scopeId])).rows[0]?.[0],
        bundleSeq: 1n,
        sourceId: 'device-a',
        sourceBundleId: 1n,
      },
    ]);
    expect(events.at(-1)).toMatchObject({ name: 'pushCommitted', rows: 1, effects: 0, attempts: 1 });
  });

  it('refuses rows that are not all there, repeated across chunks, or other than announced', async () => {
    const { ctx } = fixture;
    const rows = [row('authors', 'a'), row('authors', 'b'), row('authors', 'a', 'DELETE')];
    const pushId = requirePushId(await openSession(ctx, actor, rows));
    await stagePushChunk(ctx, actor, { pushId, body: toChunkBody(rows.slice(0, 2)) });
    expect(await refusal(commitPush(ctx, actor, pushId))).toEqual({ code: 'push_commit_invalid' });
    await stagePushChunk(ctx, actor, { pushId, body: toChunkBody(rows.slice(2), 2) });
    expect(await refusal(commitPush(ctx, actor, pushId))).toEqual({
      code: 'push_commit_invalid',
      violation: { kind: 'duplicate_row', schema: 'public', table: 'authors', row_ordinal: 2, key: { id: 'a' } },
    });
    const other = requirePushId(await openSession(ctx, actor, [row('authors', 'x')]));
    await stagePushChunk(ctx, actor, { pushId: other, body: toChunkBody([row('authors', 'y')]) });
    expect(await refusal(commitPush(ctx, actor, other))).toEqual({ code: 'push_commit_invalid' });
    expect((await fixture.pg.query('SELECT count(*) FROM authors WHERE _sync_scope_id=$1', [actor.scopeId])).rows).toEqual([
      ['0'],
    ]);
  });

  it('computes the request hash itself when another process staged the rows', async () => {
    const { ctx } = fixture;
    const peer = await fixture.createPeer();
    const rows = [row('authors', 'a', 'INSERT', { name: 'é\u{1F600} "q" \\ \u0001' }), row('authors', 'b'), row('authors', 'c')];
    const pushId = requirePushId(await openSession(ctx, actor, rows));
    await stagePushChunk(ctx, actor, { pushId, body: toChunkBody(rows.slice(0, 1)) });
    await stagePushChunk(peer, actor, { pushId, body: toChunkBody(rows.slice(1, 2), 1) });
    await stagePushChunk(ctx, actor, { pushId, body: toChunkBody(rows.slice(2), 2) });
    expect(await commitPush(ctx, actor, pushId)).toMatchObject({ canonical_request_hash: toRequestHash(rows) });
    const wrong = requirePushId(
      await createPushSession(ctx, actor, {
        source_bundle_id: 2n,
        planned_row_count: 1n,
        canonical_request_hash: 'b'.repeat(64),
        initialization_id: undefined,
      }),
    );
    await stagePushChunk(ctx, actor, { pushId: wrong, body: toChunkBody([row('authors', 'd')]) });
    expect(await refusal(commitPush(peer, actor, wrong))).toEqual({ code: 'push_commit_invalid' });
  });

  it('computes the request hash outside PostgreSQL when the rows are too many for it', async () => {
    const { ctx, pg } = fixture;
    const peer = await fixture.createPeer();
    const rows = Array.from({ length: 700 }, (_, index) =>
      row('authors', `a${index}`, 'INSERT', { name: `é\u2028 "q" \\ \n ${'x'.repeat(index)}` }),
    );
    const pushId = await stagePush(ctx, actor, rows, { chunkRows: 350 });
    await pg.query('UPDATE sync.push_session SET staged_bytes=200000000 WHERE push_id=$1', [pushId]);
    expect(await commitPush(peer, actor, pushId)).toMatchObject({ canonical_request_hash: toRequestHash(rows) });
    const wrong = await stagePush(ctx, actor, [row('authors', 'b')], { sourceBundleId: 2n });
    await pg.query(`UPDATE sync.push_session SET staged_bytes=200000000, canonical_request_hash=$2 WHERE push_id=$1`, [
      wrong,
      'c'.repeat(64),
    ]);
    expect(await refusal(commitPush(peer, actor, wrong))).toEqual({ code: 'push_commit_invalid' });
  });

  it('[E8] of a seed initializes the scope under its own live lease only', async () => {
    const { ctx, pg, events } = fixture;
    const seeder = { scopeId: randomUUID(), sourceId: 'seeder' };
    const lease = await connect(ctx, seeder, { hasLocalPendingRows: true });
    if (lease.resolution !== 'initialize_local') throw new Error('a fresh scope is seeded');
    const pushId = await stagePush(ctx, seeder, [row('authors', 'a')], { initializationId: lease.initialization_id });
    const set = (sql: string): Promise<unknown> => pg.query(`UPDATE sync.scope SET ${sql} WHERE scope_id=$1`, [seeder.scopeId]);
    await set('lease_expires_at=now()');
    expect(await refusal(commitPush(ctx, seeder, pushId))).toEqual({ code: 'initialization_expired' });
    await set(`lease_expires_at=now()+interval '1 minute', lease_source_id='thief'`);
    expect(await refusal(commitPush(ctx, seeder, pushId))).toEqual({ code: 'initialization_stale' });
    await set(`lease_source_id='seeder'`);
    expect(await commitPush(ctx, seeder, pushId)).toMatchObject({ bundle_seq: 1n });
    expect((await pg.query('SELECT state,lease_source_id FROM sync.scope WHERE scope_id=$1', [seeder.scopeId])).rows).toEqual([
      ['initialized', null],
    ]);
    expect(events.map(({ name }) => name)).toContain('scopeInitialized');
  });

  it('checks the source once more: retired, or gone on meanwhile', async () => {
    const { ctx, pg } = fixture;
    const pushId = await stagePush(ctx, actor, [row('authors', 'a')]);
    const set = (state: string, watermark: number): Promise<unknown> =>
      pg.query(
        `INSERT INTO sync.source (scope_pk,source_id,state,kind,watermark,replaced_by_source_id) SELECT scope_pk,'device-a',$2,'client',$3::int8,$4 FROM sync.scope WHERE scope_id=$1
         ON CONFLICT (scope_pk,source_id) DO UPDATE SET state=excluded.state, watermark=excluded.watermark, replaced_by_source_id=excluded.replaced_by_source_id`,
        [actor.scopeId, state, String(watermark), state === 'retired' ? 'device-b' : null],
      );
    await set('active', 4);
    expect(await refusal(commitPush(ctx, actor, pushId))).toEqual({ code: 'source_sequence_changed' });
    await set('retired', 0);
    expect(await refusal(commitPush(ctx, actor, pushId))).toEqual({
      code: 'source_retired',
      source_id: 'device-a',
      replaced_by_source_id: 'device-b',
    });
  });

  it('[C11] keeps the upload order over all tables and operations', async () => {
    const { ctx } = fixture;
    await push(ctx, actor, [row('authors', 'a1'), row('authors', 'a2'), row('posts', 'p1')]);
    const rows = [
      row('posts', 'p9', 'INSERT', { author_id: 'a9' }),
      row('authors', 'a2', 'UPDATE', { name: 'two' }, 1n),
      row('posts', 'p1', 'DELETE', {}, 1n),
      row('authors', 'a9'),
      row('authors', 'a1', 'UPDATE', { name: 'one' }, 1n),
    ];
    const { bundle_seq: bundleSeq } = await push(ctx, actor, rows, { sourceBundleId: 2n, chunkRows: 2 });
    expect(await effects(bundleSeq)).toEqual([
      'INSERT posts {"id":"p9"}',
      'UPDATE authors {"id":"a2"}',
      'DELETE posts {"id":"p1"}',
      'INSERT authors {"id":"a9"}',
      'UPDATE authors {"id":"a1"}',
    ]);
  });

  it('lets a child move away from a parent that is deleted in the same push, whatever the order', async () => {
    const { ctx } = fixture;
    await push(ctx, actor, [row('authors', 'old'), row('posts', 'p', 'INSERT', { author_id: 'old' })]);
    const rows = [
      row('authors', 'old', 'DELETE', {}, 1n),
      row('posts', 'p', 'UPDATE', { author_id: 'new' }, 1n),
      row('authors', 'new'),
    ];
    await push(ctx, actor, rows, { sourceBundleId: 2n });
    expect(await effects(2n)).toEqual(['DELETE authors {"id":"old"}', 'UPDATE posts {"id":"p"}', 'INSERT authors {"id":"new"}']);
  });

  it('lets an insert reuse a unique value that an update or a delete of the same push frees', async () => {
    const { ctx } = fixture;
    await push(ctx, actor, [row('authors', 'a', 'INSERT', { handle: 'x' }), row('authors', 'b', 'INSERT', { handle: 'y' })]);
    const rows = [
      row('authors', 'c', 'INSERT', { handle: 'x' }),
      row('authors', 'd', 'INSERT', { handle: 'y' }),
      row('authors', 'a', 'UPDATE', { handle: 'z' }, 1n),
      row('authors', 'b', 'DELETE', {}, 1n),
    ];
    expect(await push(ctx, actor, rows, { sourceBundleId: 2n })).toMatchObject({ row_count: 4 });
  });

  it('leaves columns alone that an update does not name, and gives defaults on insert', async () => {
    const { ctx, pg } = fixture;
    await push(ctx, actor, [row('authors', 'a', 'INSERT', { name: 'Ada', handle: 'ada' })]);
    await push(ctx, actor, [row('authors', 'a', 'UPDATE', { name: null }, 1n)], { sourceBundleId: 2n });
    await push(ctx, actor, [row('authors', 'a', 'UPDATE', {}, 2n)], { sourceBundleId: 3n });
    expect((await pg.query('SELECT name,handle FROM authors WHERE _sync_scope_id=$1', [actor.scopeId])).rows).toEqual([
      [null, 'ada'],
    ]);
    expect(await effects(3n)).toEqual(['UPDATE authors {"id":"a"}']);
  });

  it('reports what cascades did after the pushed rows', async () => {
    const { ctx, events } = fixture;
    await push(ctx, actor, [
      row('authors', 'a'),
      row('posts', 'p1', 'INSERT', { author_id: 'a' }),
      row('posts', 'p2', 'INSERT', { author_id: 'a' }),
    ]);
    const reply = await push(ctx, actor, [row('authors', 'a', 'DELETE', {}, 1n)], { sourceBundleId: 2n });
    expect(reply.row_count).toBe(3);
    const found = await effects(2n);
    expect(found[0]).toBe('DELETE authors {"id":"a"}');
    expect(found.slice(1).toSorted()).toEqual(['DELETE posts {"id":"p1"}', 'DELETE posts {"id":"p2"}']);
    expect(events.at(-1)).toMatchObject({ name: 'pushCommitted', rows: 1, effects: 2 });
  });

  it('[C5] tells the writer what really became of a row that a trigger changed or suppressed', async () => {
    const { ctx, events } = fixture;
    const rows = [row('audited', 'loud', 'INSERT', { name: 'shout' }), row('audited', 'gone', 'INSERT', { name: 'skip' })];
    await push(ctx, actor, rows);
    expect(await bundleRows(1n)).toMatchObject([
      { op: 'INSERT', key: { id: 'loud' }, payload: { name: 'SHOUT' } },
      { op: 'DELETE', key: { id: 'gone' } },
    ]);
    expect(events.map(({ name }) => name)).toContain('driftRepaired');
  });

  it('[C5] heals a row that vanished behind the back of the sync as a delete', async () => {
    const { ctx, pg } = fixture;
    await push(ctx, actor, [row('audited', 'a')]);
    const scopePk = (await pg.query('SELECT scope_pk FROM sync.scope WHERE scope_id=$1', [actor.scopeId])).rows[0]?.[0] ?? '';
    await pg.transaction(
      (tx) => tx.script(`DELETE FROM audited WHERE _sync_scope_id='${actor.scopeId}'; DELETE FROM sync.capture`),
      bundleContextSettings({ scopeId: actor.scopeId, scopePk, captureToken: randomUUID() }),
    );
    await push(ctx, actor, [row('audited', 'a', 'UPDATE', { name: 'x' }, 1n)], { sourceBundleId: 2n });
    expect(await effects(2n)).toEqual(['DELETE audited {"id":"a"}']);
  });

  it('[C3] sends the effects of deferred triggers', async () => {
    await push(fixture.ctx, actor, [row('audited', 'a', 'INSERT', { name: 'follow' })]);
    expect(await effects(1n)).toEqual(['INSERT audited {"id":"a"}', 'INSERT authors {"id":"made-by-a"}']);
  });

  it('[S3] refuses a bundle that grows beyond its limits, and keeps nothing of it', async () => {
    const { ctx, pg } = fixture;
    const children = Array.from({ length: 6 }, (_, index) => row('posts', `p${index}`, 'INSERT', { author_id: 'a' }));
    await push(ctx, actor, [row('authors', 'a'), ...children]);
    const small = await fixture.createPeer({ maxRowsPerBundle: 5 });
    const pushId = await stagePush(small, actor, [row('authors', 'a', 'DELETE', {}, 1n)], { sourceBundleId: 2n });
    expect(await refusal(commitPush(small, actor, pushId))).toMatchObject({
      code: 'push_commit_invalid',
      limit_exceeded: { name: 'maxRowsPerBundle', limit: 5, actual: 7 },
    });
    expect((await pg.query('SELECT count(*) FROM posts WHERE _sync_scope_id=$1', [actor.scopeId])).rows).toEqual([['6']]);
  });

  it('[S1] refuses more distinct sets of columns than statements it is willing to run', async () => {
    const { ctx } = fixture;
    const pushId = await stagePush(ctx, actor, [row('authors', 'a')]);
    await fixture.pg.query(
      `INSERT INTO sync.push_row SELECT scope_pk,push_id,i,table_id,op,convert_to('k'||i,'UTF8'),'k'||i,0,'l'||to_hex(i*16+2),canonical_text,apply_text
       FROM sync.push_row, generate_series(1,2000) i WHERE push_id=$1`,
      [pushId],
    );
    await fixture.pg.query(
      `UPDATE sync.push_session SET next_row_ordinal=2001, planned_row_count=2001, canonical_request_hash=(SELECT encode(sha256(convert_to('['||string_agg(canonical_text,',' ORDER BY row_ordinal)||']','UTF8')),'hex') FROM sync.push_row WHERE push_id=$1) WHERE push_id=$1`,
      [pushId],
    );
    expect(await refusal(commitPush(ctx, actor, pushId))).toMatchObject({ limit_exceeded: { limit: 2000, actual: 2001 } });
  });

  it('never mixes scopes, not even through equal keys', async () => {
    const { ctx, pg } = fixture;
    const elsewhere = { scopeId: `${actor.scopeId}'; DROP TABLE authors; --`, sourceId: 'device-a' };
    await initializeScope(pg, elsewhere.scopeId);
    await push(ctx, actor, [row('authors', 'a', 'INSERT', { name: 'mine' })]);
    await push(ctx, elsewhere, [row('authors', 'a', 'INSERT', { name: 'theirs' })]);
    await push(ctx, elsewhere, [row('authors', 'a', 'UPDATE', { name: 'changed' }, 1n)], { sourceBundleId: 2n });
    await push(ctx, elsewhere, [row('authors', 'a', 'DELETE', {}, 2n)], { sourceBundleId: 3n });
    expect((await pg.query('SELECT name FROM authors WHERE _sync_scope_id=$1', [actor.scopeId])).rows).toEqual([['mine']]);
    expect((await pg.query('SELECT count(*) FROM authors WHERE _sync_scope_id=$1', [elsewhere.scopeId])).rows).toEqual([['0']]);
  });
});
