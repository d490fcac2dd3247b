import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { Actor, SyncContext } from './context.ts';
import { stagePushChunk } from './push-chunk.ts';
import { commitPush } from './push-commit.ts';
import { deletePushSession } from './push-session.ts';
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
} from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `CREATE TABLE users (_sync_scope_id text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id));`;

function rows(prefix: string, count = 3): readonly TestRow[] {
  return Array.from({ length: count }, (_, index) => ({
    table: 'users',
    key: { id: `${prefix}${index}` },
    op: 'INSERT' as const,
    payload: { name: `${prefix} ${index}` },
  }));
}

describe('pushes at the same time', () => {
  let fixture: PushFixture;
  let peer: SyncContext;
  let actor: Actor;
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: [{ table: 'users', syncKeyColumn: 'id' }] });
    peer = await fixture.createPeer();
  });
  afterAll(() => fixture.close());
  beforeEach(async () => {
    actor = { scopeId: randomUUID(), sourceId: 'device-a' };
    await initializeScope(fixture.pg, actor.scopeId);
  });

  it('commit a session once, however many processes are asked to', async () => {
    const { ctx } = fixture;
    const pushId = await stagePush(ctx, actor, rows('a'));
    const answers = await Promise.all([ctx, peer, ctx, peer].map((server) => refusal(commitPush(server, actor, pushId))));
    const codes = answers.map(({ code }) => code);
    expect(codes.filter((code) => code === 'accepted')).toHaveLength(1);
    expect(codes.filter((code) => code === 'push_session_not_found')).toHaveLength(3);
  });

  it('stage a chunk once, however often it arrives', async () => {
    const { ctx, pg } = fixture;
    const all = rows('a', 300);
    const pushId = requirePushId(await openSession(ctx, actor, all));
    const body = toChunkBody(all);
    const answers = await Promise.all(
      [ctx, peer, ctx, peer].map((server) => refusal(stagePushChunk(server, actor, { pushId, body }))),
    );
    expect(answers.map(({ code }) => code)).toEqual(['accepted', 'accepted', 'accepted', 'accepted']);
    expect((await pg.query('SELECT count(*) FROM sync.push_row WHERE push_id=$1', [pushId])).rows).toEqual([['300']]);
    expect(await refusal(commitPush(ctx, actor, pushId))).toEqual({ code: 'accepted' });
  });

  it('of many sources of one scope get consecutive sequences', async () => {
    const { ctx } = fixture;
    const sources = Array.from({ length: 8 }, (_, index) => ({ ...actor, sourceId: `device-${index}` }));
    const replies = await Promise.all(
      sources.map((source, index) => push(index % 2 === 0 ? ctx : peer, source, rows(`s${index}-`))),
    );
    expect(replies.map((reply) => reply.bundle_seq).toSorted((a, b) => Number(a - b))).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
  });

  it('of a row accept one writer, and tell the others what it wrote', async () => {
    const { ctx, pg } = fixture;
    const sources = Array.from({ length: 4 }, (_, index) => ({ ...actor, sourceId: `device-${index}` }));
    const row = (name: string): readonly TestRow[] => [{ table: 'users', key: { id: 'one' }, op: 'INSERT', payload: { name } }];
    const answers = await Promise.all(
      sources.map((source, index) => refusal(push(index % 2 === 0 ? ctx : peer, source, row(source.sourceId)))),
    );
    const winner = (await pg.query('SELECT name FROM users WHERE _sync_scope_id=$1', [actor.scopeId])).rows[0]?.[0];
    const lost = answers.filter(({ code }) => code === 'push_conflict');
    expect(lost).toHaveLength(3);
    for (const answer of lost)
      expect(answer).toMatchObject({ conflict: { server_row: { id: 'one', name: winner }, server_row_version: 1n } });
  });

  it('never cancel a commit by a delete', async () => {
    const { ctx, pg } = fixture;
    const pushId = await stagePush(ctx, actor, rows('a', 250));
    const [committed, deleted] = await Promise.all([
      refusal(commitPush(ctx, actor, pushId)),
      refusal(deletePushSession(peer, actor, pushId)),
    ]);
    const count = (await pg.query('SELECT count(*) FROM users WHERE _sync_scope_id=$1', [actor.scopeId])).rows[0]?.[0];
    const outcome = [committed['code'], deleted['code'], count];
    expect([
      ['accepted', 'push_session_not_found', '250'],
      ['push_session_not_found', 'accepted', '0'],
    ]).toContainEqual(outcome);
  });

  it('[P6] wait for their own scope only', async () => {
    const { ctx, pg } = fixture;
    const other = { scopeId: randomUUID(), sourceId: 'device-a' };
    await initializeScope(pg, other.scopeId);
    await pg.transaction(async (tx) => {
      await tx.query('SELECT FROM sync.scope WHERE scope_id=$1 FOR NO KEY UPDATE', [actor.scopeId]);
      expect(await push(ctx, other, rows('a'))).toMatchObject({ bundle_seq: 1n });
    });
  });

  it('[P6] [E2] give up waiting for their scope in time', async () => {
    const { pg } = fixture;
    const hasty = await fixture.createPeer({ lockTimeoutMs: 50 });
    await pg.transaction(async (tx) => {
      await tx.query('SELECT FROM sync.scope WHERE scope_id=$1 FOR NO KEY UPDATE', [actor.scopeId]);
      expect(await refusal(openSession(hasty, actor, rows('a')))).toEqual({ code: 'service_unavailable' });
    });
  });

  it('[C11] of thousands of rows over chunks and statements arrive in upload order', async () => {
    const { ctx, pg } = fixture;
    const all = Array.from({ length: 1500 }, (_, index): TestRow => {
      const id = `k${(index * 7919) % 1500}`;
      return { table: 'users', key: { id }, op: 'INSERT', payload: index % 3 === 0 ? {} : { name: id } };
    });
    const pushId = await stagePush(ctx, actor, all, { chunkRows: 400 });
    await commitPush(ctx, actor, pushId);
    const scopePk = (await pg.query('SELECT scope_pk FROM sync.scope WHERE scope_id=$1', [actor.scopeId])).rows[0]?.[0] ?? '';
    const found = await readBundle(pg, 1n, scopePk);
    expect(found.map((row) => row['key'])).toEqual(all.map((row) => row.key));
  });
});
