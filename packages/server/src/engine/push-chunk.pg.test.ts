import { randomUUID } from 'node:crypto';

import type { JsonObject } from '@oversync/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { connect } from './connect.ts';
import type { Actor } from './context.ts';
import { stagePushChunk } from './push-chunk.ts';
import { commitPush } from './push-commit.ts';
import { loadPushSessionStatus } from './push-session.ts';
import { ScopeQueue } from './scope-queue.ts';
import {
  initializeScope,
  openPushFixture,
  openSession,
  readBundle,
  refusal,
  requirePushId,
  stagePush,
  toChunkBody,
} from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN short_code AS varchar(4) CHECK (VALUE ~ '^[a-z]+$');
CREATE DOMAIN present_text AS text NOT NULL;
CREATE TABLE items (
  _sync_scope_id text NOT NULL, id text NOT NULL, title varchar(10), price numeric(6,2), ratio float4, mood mood, code short_code,
  seen timestamptz, day date, ip inet, doc jsonb, owner uuid, big int8, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE shifting (_sync_scope_id text NOT NULL, id text NOT NULL, hidden text, title text, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE domains (
  _sync_scope_id text NOT NULL, id text NOT NULL, label present_text DEFAULT 'none', note varchar(3), hidden present_text DEFAULT 'hidden', PRIMARY KEY (_sync_scope_id, id));`;
const TABLES = [
  { table: 'items', syncKeyColumn: 'id' },
  { table: 'domains', syncKeyColumn: 'id', excludeColumns: ['hidden'] },
  { table: 'shifting', syncKeyColumn: 'id', columns: ['title'] },
];

function item(id: string, payload: JsonObject = {}): TestRow {
  return { table: 'items', key: { id }, op: 'INSERT', payload: { id, ...payload } };
}

describe('a chunk of a push', () => {
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

  const open = async (rows: readonly TestRow[]): Promise<string> => requirePushId(await openSession(fixture.ctx, actor, rows));
  const stage = (pushId: string, rows: readonly TestRow[], start = 0): Promise<unknown> =>
    stagePushChunk(fixture.ctx, actor, { pushId, body: toChunkBody(rows, start) });
  const staged = async (pushId: string): Promise<string | null | undefined> =>
    (await fixture.pg.query('SELECT count(*) FROM sync.push_row WHERE push_id=$1', [pushId])).rows[0]?.[0];

  it('moves the expected ordinal and renews the session', async () => {
    const rows = [item('a'), item('b'), item('c')];
    const pushId = await open(rows);
    await fixture.pg.query(`UPDATE sync.push_session SET expires_at=now()+interval '1 minute' WHERE push_id=$1`, [pushId]);
    expect(await stage(pushId, rows.slice(0, 2))).toEqual({ push_id: pushId, next_expected_row_ordinal: 2 });
    const status = await loadPushSessionStatus(fixture.ctx, actor, pushId);
    expect(status.next_expected_row_ordinal).toBe(2);
    expect(Date.parse(status.expires_at) - Date.now()).toBeGreaterThan(800_000);
  });

  it('of many rows is staged by a server that has not opened the session', async () => {
    const rows = Array.from({ length: 300 }, (_, index) =>
      item(`k${String(index)}`, { title: index === 7 ? '\u0001"é\n\u0002' : null }),
    );
    const pushId = await open(rows);
    const other = { ...fixture.ctx, queue: new ScopeQueue(10) };
    await stagePushChunk(other, actor, { pushId, body: toChunkBody(rows, 0) });
    const { rows: found } = await fixture.pg.query(
      `SELECT count(*), count(DISTINCT key_text), count(*) FILTER (WHERE scope_pk = (SELECT scope_pk FROM sync.scope WHERE scope_id = $2)) FROM sync.push_row WHERE push_id=$1`,
      [pushId, actor.scopeId],
    );
    expect(found).toEqual([['300', '300', '300']]);
    await commitPush(fixture.ctx, actor, pushId);
    const title = await fixture.pg.query(`SELECT title FROM items WHERE _sync_scope_id=$1 AND id='k7'`, [actor.scopeId]);
    expect(title.rows).toEqual([['\u0001"é\n\u0002']]);
  });

  it('of many rows is judged like one of few: rows first, then the session, then its place', async () => {
    const rows = Array.from({ length: 300 }, (_, index) => item(`k${String(index)}`));
    const broken = rows.map((row, index) => (index === 299 ? item('k299', { price: true }) : row));
    const violation = { code: 'push_chunk_invalid', violation: { row_ordinal: 299, column: 'price' } };
    expect(await refusal(stage(randomUUID(), broken))).toMatchObject(violation);
    expect(await refusal(stage(randomUUID(), rows))).toMatchObject({ code: 'push_session_not_found' });
    const pushId = await open(rows);
    expect(await refusal(stage(pushId, broken))).toMatchObject(violation);
    expect(await refusal(stage(pushId, rows, 5))).toMatchObject({ code: 'push_chunk_out_of_order' });
    const tooMany = [...rows, item('k300')];
    expect(await refusal(stage(pushId, tooMany))).toMatchObject({ code: 'push_chunk_invalid' });
    const badDate = rows.map((row, index) => (index === 250 ? item('k250', { day: 'no day' }) : row));
    expect(await refusal(stage(pushId, badDate))).toMatchObject({
      violation: { row_ordinal: 250, column: 'day', key: { id: 'k250' } },
    });
    expect(await staged(pushId)).toBe('0');
    await stage(pushId, rows);
    expect(await stage(pushId, rows)).toEqual({ push_id: pushId, next_expected_row_ordinal: 300 });
    expect(fixture.events.at(-1)).toEqual({ name: 'chunkReplayed' });
    expect(await staged(pushId)).toBe('300');
  });

  it('[E6] that was staged already is accepted again and changes nothing', async () => {
    const rows = [item('a'), item('b'), item('c')];
    const pushId = await open(rows);
    await stage(pushId, rows.slice(0, 2));
    expect(await stage(pushId, rows.slice(0, 2))).toEqual({ push_id: pushId, next_expected_row_ordinal: 2 });
    expect(fixture.events.at(-1)).toEqual({ name: 'chunkReplayed' });
    expect(await stage(pushId, rows.slice(1, 2), 1)).toEqual({ push_id: pushId, next_expected_row_ordinal: 2 });
    await stage(pushId, rows.slice(2), 2);
    expect(await stage(pushId, rows.slice(0, 2))).toEqual({ push_id: pushId, next_expected_row_ordinal: 2 });
    expect(await staged(pushId)).toBe('3');
    expect(await refusal(commitPush(fixture.ctx, actor, pushId))).toEqual({ code: 'accepted' });
  });

  it('[E6] that is out of order, or differs from what is staged, is refused', async () => {
    const rows = [item('a'), item('b'), item('c')];
    const pushId = await open(rows);
    await stage(pushId, rows.slice(0, 2));
    const outOfOrder = { code: 'push_chunk_out_of_order' };
    expect(await refusal(stage(pushId, [item('a', { title: 'other' }), item('b')]))).toEqual(outOfOrder);
    expect(await refusal(stage(pushId, rows.slice(1), 1))).toEqual(outOfOrder);
    expect(await refusal(stage(pushId, rows.slice(2), 3))).toEqual(outOfOrder);
    expect(await staged(pushId)).toBe('2');
  });

  it('beyond the planned rows is refused', async () => {
    const pushId = await open([item('a')]);
    expect(await refusal(stage(pushId, [item('a'), item('b')]))).toEqual({ code: 'push_chunk_invalid' });
    expect(await staged(pushId)).toBe('0');
  });

  it('[E4] [S5] for a session that is unknown, expired or of another source is refused after its rows were judged', async () => {
    const { ctx, pg } = fixture;
    const pushId = await open([item('a')]);
    const body = toChunkBody([item('a')]);
    const bad = toChunkBody([{ ...item('a'), table: 'nobody' }]);
    const stranger = { ...actor, sourceId: 'device-b' };
    expect(await refusal(stagePushChunk(ctx, actor, { pushId: 'nope', body: bad }))).toEqual({ code: 'push_session_not_found' });
    expect(await refusal(stagePushChunk(ctx, stranger, { pushId, body: bad }))).toMatchObject({ code: 'push_chunk_invalid' });
    expect(await refusal(stagePushChunk(ctx, stranger, { pushId, body }))).toEqual({ code: 'push_session_forbidden' });
    expect(await refusal(stagePushChunk(ctx, actor, { pushId: randomUUID(), body }))).toEqual({ code: 'push_session_not_found' });
    await pg.query('UPDATE sync.push_session SET expires_at=now() WHERE push_id=$1', [pushId]);
    expect(await refusal(stagePushChunk(ctx, actor, { pushId, body }))).toEqual({ code: 'push_session_expired' });
  });

  it('[E8] of a seed needs its live lease and renews it', async () => {
    const { ctx, pg } = fixture;
    const seeder = { scopeId: randomUUID(), sourceId: 'seeder' };
    const lease = await connect(ctx, seeder, { hasLocalPendingRows: true });
    if (lease.resolution !== 'initialize_local') throw new Error('a fresh scope is seeded');
    const rows = [item('a'), item('b'), item('c')];
    const pushId = requirePushId(await openSession(ctx, seeder, rows, { initializationId: lease.initialization_id }));
    const set = (sql: string): Promise<unknown> => pg.query(`UPDATE sync.scope SET ${sql} WHERE scope_id=$1`, [seeder.scopeId]);
    const stageSeed = (start: number): Promise<unknown> =>
      stagePushChunk(ctx, seeder, { pushId, body: toChunkBody(rows.slice(start, start + 1), start) });
    await set(`lease_expires_at=now()+interval '1 minute'`);
    await stageSeed(0);
    const { rows: renewed } = await pg.query(
      `SELECT lease_expires_at>now()+interval '14 minutes' FROM sync.scope WHERE scope_id=$1`,
      [seeder.scopeId],
    );
    expect(renewed).toEqual([['t']]);
    await set('lease_expires_at=now()');
    expect(await refusal(stageSeed(1))).toEqual({ code: 'initialization_expired' });
    await set(`lease_expires_at=now()+interval '1 minute', initialization_id='${randomUUID()}'`);
    expect(await refusal(stageSeed(1))).toEqual({ code: 'initialization_stale' });
    await connect(ctx, seeder, { hasLocalPendingRows: false });
    expect(await refusal(stageSeed(1))).toEqual({ code: 'initialization_stale' });
  });

  it.each([
    ['varchar too long', { title: 'x'.repeat(11) }, { kind: 'out_of_range', column: 'title' }],
    ['numeric too large', { price: '10000.00' }, { kind: 'out_of_range', column: 'price' }],
    ['enum value', { mood: 'angry' }, { kind: 'invalid_text', column: 'mood' }],
    ['domain length', { code: 'abcde' }, { kind: 'out_of_range', column: 'code' }],
    ['domain check', { code: 'A1' }, { kind: 'check', column: 'code', constraint: 'short_code_check' }],
    ['timestamp text', { seen: 'yesterday at noon' }, { kind: 'invalid_text', column: 'seen' }],
    ['date out of range', { day: '2026-02-30' }, { kind: 'out_of_range', column: 'day' }],
    ['address', { ip: '300.1.1.1' }, { kind: 'invalid_text', column: 'ip' }],
    ['uuid', { owner: 'nope' }, { kind: 'invalid_text', column: 'owner' }],
  ])('[E1] with a bad %s names row and column, and stages nothing', async (_, payload, expected) => {
    const rows = [item('a', { title: 'fine' }), item('b'), item('c', { title: 'ok', ...payload }), item('d', payload)];
    const pushId = await open(rows);
    expect(await refusal(stage(pushId, rows))).toEqual({
      code: 'push_chunk_invalid',
      violation: { schema: 'public', table: 'items', row_ordinal: 2, key: { id: 'c' }, ...expected },
    });
    expect(await staged(pushId)).toBe('0');
    expect((await loadPushSessionStatus(fixture.ctx, actor, pushId)).next_expected_row_ordinal).toBe(0);
  });

  it('[E1] names the first failing row of a large chunk over all tables', async () => {
    const rows = Array.from({ length: 900 }, (_, index): TestRow =>
      index % 2 === 0 ? item(`k${index}`) : { table: 'domains', key: { id: `k${index}` }, op: 'INSERT', payload: { note: 'ok' } },
    );
    rows[700] = item('k700', { mood: 'angry' });
    rows[613] = { table: 'domains', key: { id: 'k613' }, op: 'INSERT', payload: { note: 'too long' } };
    const pushId = await open(rows);
    expect(await refusal(stage(pushId, rows))).toEqual({
      code: 'push_chunk_invalid',
      violation: { kind: 'out_of_range', schema: 'public', table: 'domains', row_ordinal: 613, key: { id: 'k613' } },
    });
    expect(await staged(pushId)).toBe('0');
  });

  it('may leave out a column whose type refuses NULL', async () => {
    const { ctx, pg } = fixture;
    const rows: readonly TestRow[] = [
      { table: 'domains', key: { id: 'a' }, op: 'INSERT', payload: { note: 'x"\\' } },
      { table: 'domains', key: { id: 'b' }, op: 'INSERT', payload: { label: 'set', note: null } },
    ];
    const reply = await commitPush(ctx, actor, await stagePush(ctx, actor, rows));
    expect((await readBundle(pg, reply.bundle_seq)).length).toBeGreaterThan(0);
    const { rows: stored } = await pg.query('SELECT id,label,note,hidden FROM domains WHERE _sync_scope_id=$1 ORDER BY id', [
      actor.scopeId,
    ]);
    expect(stored).toEqual([
      ['a', 'none', 'x"\\', 'hidden'],
      ['b', 'set', null, 'hidden'],
    ]);
  });

  it('[S3] that makes the push larger than a bundle may be is refused as soon as that is known', async () => {
    const ctx = await fixture.createPeer({ maxBytesPerBundle: 2000 });
    const rows = Array.from({ length: 12 }, (_, index) => item(`k${index}`, { doc: 'x'.repeat(200) }));
    const pushId = requirePushId(await openSession(ctx, actor, rows));
    const first = stagePushChunk(ctx, actor, { pushId, body: toChunkBody(rows.slice(0, 5)) });
    expect(await refusal(first)).toEqual({ code: 'accepted' });
    const second = await refusal(stagePushChunk(ctx, actor, { pushId, body: toChunkBody(rows.slice(5), 5) }));
    expect(second).toMatchObject({ code: 'push_chunk_invalid', limit_exceeded: { name: 'maxBytesPerBundle', limit: 2000 } });
  });

  it('staged before a table changed is applied in the new layout', async () => {
    const { ctx, pg } = fixture;
    await pg.run(`CREATE TABLE IF NOT EXISTS ignored (x int)`);
    const rows = [item('a', { title: 'first', day: '2026-01-01' }), item('b', { title: 'second', day: '2026-01-02' })];
    const pushId = await open(rows);
    await stage(pushId, rows.slice(0, 1));
    await pg.run('ALTER TABLE items ADD COLUMN later text');
    await stage(pushId, rows.slice(1), 1);
    await pg.run('ALTER TABLE items DROP COLUMN later; ALTER TABLE items ADD COLUMN latest text');
    await commitPush(ctx, actor, pushId);
    const { rows: stored } = await pg.query('SELECT id,title,day,latest FROM items WHERE _sync_scope_id=$1 ORDER BY id', [
      actor.scopeId,
    ]);
    expect(stored).toEqual([
      ['a', 'first', '2026-01-01', null],
      ['b', 'second', '2026-01-02', null],
    ]);
    await pg.run('ALTER TABLE items DROP COLUMN latest');
  });

  it('is not misread when an unpublished column goes and another one comes before anybody has noticed', async () => {
    const { ctx, pg } = fixture;
    const pushId = await stagePush(ctx, actor, [
      { table: 'shifting', key: { id: 'a' }, op: 'INSERT', payload: { title: 'mine' } },
    ]);
    await pg.run('ALTER TABLE shifting DROP COLUMN hidden; ALTER TABLE shifting ADD COLUMN added text');
    await commitPush(ctx, actor, pushId);
    const { rows: stored } = await pg.query('SELECT title,added FROM shifting WHERE _sync_scope_id=$1', [actor.scopeId]);
    expect(stored).toEqual([['mine', null]]);
  });

  it('[O1] of a changed table is committed also when another request was the first to notice the change', async () => {
    const { ctx, pg } = fixture;
    const pushId = await stagePush(ctx, actor, [
      { table: 'shifting', key: { id: 'b' }, op: 'INSERT', payload: { title: 'mine too' } },
    ]);
    await pg.run('ALTER TABLE shifting ADD COLUMN later text');
    // By the time that this commit looks, the other request has replaced the catalog, and nothing is new any more.
    const second = { ...ctx, refreshCatalog: async () => (await ctx.refreshCatalog(), false) };
    await commitPush(second, actor, pushId);
    const { rows: stored } = await pg.query('SELECT title,later FROM shifting WHERE _sync_scope_id=$1', [actor.scopeId]);
    expect(stored).toEqual([['mine too', null]]);
  });

  it('that names a column dropped meanwhile is refused as unknown', async () => {
    const { ctx, pg } = fixture;
    await pg.run('ALTER TABLE items ADD COLUMN short_lived text');
    await ctx.refreshCatalog();
    const rows = [item('a', { short_lived: 'x' })];
    const pushId = await stagePush(ctx, actor, rows);
    await pg.run('ALTER TABLE items DROP COLUMN short_lived');
    expect(await refusal(commitPush(ctx, actor, pushId))).toEqual({
      code: 'push_commit_invalid',
      violation: {
        kind: 'unknown_column',
        schema: 'public',
        table: 'items',
        column: 'short_lived',
        row_ordinal: 0,
        key: { id: 'a' },
      },
    });
  });
});
