import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { connect } from './connect.ts';
import type { Actor, SyncContext } from './context.ts';
import { commitPush } from './push-commit.ts';
import { createPushSession } from './push-create.ts';
import { deletePushSession, loadPushSessionStatus } from './push-session.ts';
import {
  initializeScope,
  openPushFixture,
  openSession,
  push,
  refusal,
  requirePushId,
  stagePush,
  toRequestHash,
} from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `CREATE TABLE users (_sync_scope_id text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id));`;
const TABLES = [{ table: 'users', syncKeyColumn: 'id' }];
const HASH = 'a'.repeat(64);

function rows(...ids: string[]): readonly TestRow[] {
  return ids.map((id) => ({ table: 'users', key: { id }, op: 'INSERT', payload: { id, name: id } }));
}

function usesOf(ctx: SyncContext, actor: Actor, pushId: string): readonly (() => Promise<unknown>)[] {
  return [
    () => commitPush(ctx, actor, pushId),
    () => deletePushSession(ctx, actor, pushId),
    () => loadPushSessionStatus(ctx, actor, pushId),
  ];
}

describe('creating a push session', () => {
  let fixture: PushFixture;
  let actor: Actor;
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: TABLES, options: { maxPushSessionsPerScope: 2 } });
  });
  afterAll(() => fixture.close());
  beforeEach(async () => {
    actor = { scopeId: randomUUID(), sourceId: 'device-a' };
    await initializeScope(fixture.pg, actor.scopeId);
  });

  function create(
    facts: { id?: bigint; planned?: bigint; hash?: string; lease?: string } = {},
    who: Actor = actor,
  ): Promise<unknown> {
    return createPushSession(fixture.ctx, who, {
      source_bundle_id: facts.id ?? 1n,
      planned_row_count: facts.planned ?? 1n,
      canonical_request_hash: facts.hash ?? HASH,
      initialization_id: facts.lease,
    });
  }

  it('answers with an empty stage that the status shows', async () => {
    const reply = await openSession(fixture.ctx, actor, rows('a', 'b'));
    const pushId = requirePushId(reply);
    const facts = {
      push_id: pushId,
      status: 'staging',
      planned_row_count: 2,
      next_expected_row_ordinal: 0,
      canonical_request_hash: toRequestHash(rows('a', 'b')),
    };
    expect(reply).toEqual(facts);
    expect(pushId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const status = await loadPushSessionStatus(fixture.ctx, actor, pushId);
    expect(status).toEqual({ ...facts, expires_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) });
    const leftMs = Date.parse(status.expires_at) - Date.now();
    expect(leftMs).toBeGreaterThan(890_000);
    expect(leftMs).toBeLessThan(910_000);
  });

  it.each([
    ['a bundle id of 0', { id: 0n }],
    ['a negative bundle id', { id: -1n }],
    ['no rows', { planned: 0n }],
    ['a hash in upper case', { hash: 'A'.repeat(64) }],
    ['no hash', { hash: '' }],
    ['an initialization id that is no UUID', { lease: 'nope' }],
    ['an initialization id in upper case', { lease: '6DF0D8DD-A84B-43B6-BBCA-8DE70432922A' }],
  ])('refuses %s', async (_, facts) => {
    expect(await refusal(create(facts))).toEqual({ code: 'push_session_invalid' });
  });

  it('[S1] refuses more rows than a bundle may have, naming the limit', async () => {
    expect(await refusal(create({ planned: 1_000_001n }))).toEqual({
      code: 'push_session_invalid',
      limit_exceeded: { name: 'maxPlannedRowsPerPush', limit: 1_000_000, actual: 1_000_001n },
    });
  });

  it('[I3] [C12] finds the committed tuple before it looks at the scope: a seed whose reply was lost is told so', async () => {
    const scopeId = randomUUID();
    const seeder = { scopeId, sourceId: 'seeder' };
    const lease = await connect(fixture.ctx, seeder, { hasLocalPendingRows: true });
    if (lease.resolution !== 'initialize_local') throw new Error('a fresh scope is seeded');
    const seed = { initializationId: lease.initialization_id };
    const reply = await push(fixture.ctx, seeder, rows('a'), seed);
    const again = await openSession(fixture.ctx, seeder, rows('a'), seed);
    expect(again).toEqual({ status: 'already_committed', ...reply });
    expect(fixture.events.at(-1)).toEqual({ name: 'pushReplayed' });
  });

  it('refuses a committed tuple with other content', async () => {
    await push(fixture.ctx, actor, rows('a'));
    expect(await refusal(create())).toEqual({ code: 'push_session_invalid' });
  });

  it('waits for a commit of the same tuple that is still in flight', async () => {
    const { ctx, pg } = fixture;
    const peer = await fixture.createPeer();
    const pushId = await stagePush(ctx, actor, rows('a'));
    const answers = await pg
      .transaction(async (tx) => {
        await tx.query('SELECT FROM sync.scope WHERE scope_id=$1 FOR NO KEY UPDATE', [actor.scopeId]);
        const commit = commitPush(ctx, actor, pushId);
        const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname=current_database() AND wait_event_type='Lock'`;
        while ((await pg.query(waiting)).rows[0]?.[0] !== '1') await new Promise((resolve) => setTimeout(resolve, 5));
        const create = openSession(peer, actor, rows('a'));
        while ((await pg.query(waiting)).rows[0]?.[0] !== '2') await new Promise((resolve) => setTimeout(resolve, 5));
        return { both: Promise.all([commit, create]) };
      })
      .then(({ both }) => both);
    expect(answers).toEqual([expect.objectContaining({ bundle_seq: 1n }), { status: 'already_committed', ...answers[0] }]);
  });

  it('tells a scope that nobody initialized from one that is being seeded by another source', async () => {
    const scopeId = randomUUID();
    const seeder = { scopeId, sourceId: 'seeder' };
    expect(await refusal(create({}, seeder))).toEqual({ code: 'scope_uninitialized' });
    expect(await refusal(create({ lease: randomUUID() }, seeder))).toEqual({ code: 'initialization_expired' });
    const lease = await connect(fixture.ctx, seeder, { hasLocalPendingRows: true });
    if (lease.resolution !== 'initialize_local') throw new Error('a fresh scope is seeded');
    expect(await refusal(create({}, seeder))).toEqual({ code: 'push_session_invalid' });
    expect(await refusal(create({ lease: randomUUID() }, seeder))).toEqual({ code: 'initialization_stale' });
    expect(await refusal(create({ lease: lease.initialization_id }, { scopeId, sourceId: 'guest' }))).toEqual({
      code: 'initialization_stale',
    });
    expect(await refusal(create({ lease: lease.initialization_id }, seeder))).toEqual({ code: 'accepted' });
  });

  it('[E8] answers an expired seed lease with 410 and renews a live one', async () => {
    const seeder = { scopeId: randomUUID(), sourceId: 'seeder' };
    const lease = await connect(fixture.ctx, seeder, { hasLocalPendingRows: true });
    if (lease.resolution !== 'initialize_local') throw new Error('a fresh scope is seeded');
    const endLease = (sql: string): Promise<unknown> =>
      fixture.pg.query(`UPDATE sync.scope SET lease_expires_at=${sql} WHERE scope_id=$1`, [seeder.scopeId]);
    await endLease(`now()+interval '1 minute'`);
    await create({ lease: lease.initialization_id }, seeder);
    const { rows: renewed } = await fixture.pg.query(
      `SELECT lease_expires_at>now()+interval '14 minutes' FROM sync.scope WHERE scope_id=$1`,
      [seeder.scopeId],
    );
    expect(renewed).toEqual([['t']]);
    await endLease('now()');
    expect(await refusal(create({ lease: lease.initialization_id }, seeder))).toEqual({ code: 'initialization_expired' });
  });

  it('asks for the next id of the source', async () => {
    await push(fixture.ctx, actor, rows('a'));
    expect(await refusal(create({ id: 3n }))).toEqual({ code: 'source_sequence_out_of_order' });
    expect(await refusal(create({ id: 2n }))).toEqual({ code: 'accepted' });
    await fixture.pg.query('UPDATE sync.scope SET floor=1 WHERE scope_id=$1', [actor.scopeId]);
    expect(await refusal(create({ id: 1n }))).toEqual({ code: 'history_pruned' });
  });

  it('refuses a retired source and names what replaced it, but still knows what it committed', async () => {
    const reply = await push(fixture.ctx, actor, rows('a'));
    await fixture.pg.query(
      `UPDATE sync.source s SET state='retired', replaced_by_source_id='device-b' FROM sync.scope c WHERE c.scope_pk=s.scope_pk AND c.scope_id=$1`,
      [actor.scopeId],
    );
    expect(await refusal(create({ id: 2n }))).toEqual({
      code: 'source_retired',
      source_id: 'device-a',
      replaced_by_source_id: 'device-b',
    });
    expect(await openSession(fixture.ctx, actor, rows('a'))).toEqual({ status: 'already_committed', ...reply });
  });

  it('[S1] allows only so many open sessions in a scope, not counting those that are over', async () => {
    await create({}, { ...actor, sourceId: 's1' });
    await create({}, { ...actor, sourceId: 's2' });
    expect(await refusal(create({}, { ...actor, sourceId: 's3' }))).toEqual({
      code: 'push_session_capacity',
      limit_exceeded: { name: 'maxPushSessionsPerScope', limit: 2, actual: 3 },
    });
    expect(await refusal(create({}, { ...actor, sourceId: 's2' }))).toEqual({ code: 'accepted' });
    await fixture.pg.query(
      `UPDATE sync.push_session p SET expires_at=now() FROM sync.scope c WHERE c.scope_pk=p.scope_pk AND c.scope_id=$1 AND source_id='s1'`,
      [actor.scopeId],
    );
    expect(await refusal(create({}, { ...actor, sourceId: 's3' }))).toEqual({ code: 'accepted' });
  });

  it('discards the open session of the same source with its rows', async () => {
    const first = await stagePush(fixture.ctx, actor, rows('a'));
    const second = requirePushId(await openSession(fixture.ctx, actor, rows('b')));
    expect(second).not.toBe(first);
    expect(await refusal(commitPush(fixture.ctx, actor, first))).toEqual({ code: 'push_session_not_found' });
    const { rows: left } = await fixture.pg.query('SELECT count(*) FROM sync.push_row WHERE push_id=$1', [first]);
    expect(left).toEqual([['0']]);
  });

  it('[S5] binds the source to its first user and refuses every other', async () => {
    const ctx = await fixture.createPeer({ bindSourcesToUser: true });
    const owner = { ...actor, userId: 'user-1' };
    const other = { ...actor, userId: 'user-2' };
    const pushId = await stagePush(ctx, owner, rows('a'));
    for (const who of [other, actor]) {
      const uses = [...usesOf(ctx, who, pushId), () => openSession(ctx, who, rows('a'))];
      for (const use of uses) expect(await refusal(use())).toEqual({ code: 'source_forbidden' });
    }
    expect(await refusal(commitPush(ctx, owner, pushId))).toEqual({ code: 'accepted' });
  });

  it('refuses an id that the server writes with, without saying so', async () => {
    await fixture.pg.query(
      `INSERT INTO sync.source (scope_pk,source_id,state,kind,watermark) SELECT scope_pk,'device-a','active','server',0 FROM sync.scope WHERE scope_id=$1`,
      [actor.scopeId],
    );
    expect(await refusal(create())).toEqual({ code: 'invalid_request' });
  });
});

describe('an open push session', () => {
  let fixture: PushFixture;
  const actor = { scopeId: 'one', sourceId: 'device-a' };
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: TABLES });
    await initializeScope(fixture.pg, 'one');
    await initializeScope(fixture.pg, 'two');
  });
  afterAll(() => fixture.close());

  it.each([
    '',
    'x',
    "11111111-1111-4111-8111-11111111111'",
    '11111111-1111-4111-8111-111111111111',
    'A1111111-1111-4111-8111-111111111111',
  ])('[E4] is not found under the id %j', async (pushId) => {
    const { ctx } = fixture;
    for (const use of usesOf(ctx, actor, pushId)) {
      expect(await refusal(use())).toEqual({ code: 'push_session_not_found' });
    }
  });

  it('[S5] belongs to its source and its scope', async () => {
    const { ctx } = fixture;
    const pushId = await stagePush(ctx, actor, rows('a'));
    for (const who of [
      { scopeId: 'one', sourceId: 'device-b' },
      { scopeId: 'two', sourceId: 'device-a' },
      { scopeId: 'nobody', sourceId: 'device-a' },
    ]) {
      for (const use of usesOf(ctx, who, pushId)) {
        expect(await refusal(use())).toEqual({ code: 'push_session_forbidden' });
      }
    }
  });

  it('is gone when it is deleted, and its rows with it', async () => {
    const { ctx, pg } = fixture;
    const pushId = await stagePush(ctx, actor, rows('a'));
    await deletePushSession(ctx, actor, pushId);
    expect(await refusal(deletePushSession(ctx, actor, pushId))).toEqual({ code: 'push_session_not_found' });
    expect((await pg.query('SELECT count(*) FROM sync.push_row WHERE push_id=$1', [pushId])).rows).toEqual([['0']]);
  });

  it('[E7] [O6] is over when the clock of the database says so, and a failed request does not change that', async () => {
    const { ctx, pg } = fixture;
    const pushId = await stagePush(ctx, actor, rows('a'));
    await pg.query('UPDATE sync.push_session SET expires_at=now() WHERE push_id=$1', [pushId]);
    for (let round = 0; round < 2; round += 1) {
      for (const use of usesOf(ctx, actor, pushId)) {
        expect(await refusal(use())).toEqual({ code: 'push_session_expired' });
      }
    }
  });
});
