import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { PgFault } from '../ports/postgres.ts';
import type { PgTransaction, Postgres } from '../ports/postgres.ts';
import type { Actor } from './context.ts';
import { commitPush } from './push-commit.ts';
import { initializeScope, openPushFixture, openSession, refusal, stagePush } from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `CREATE TABLE users (_sync_scope_id text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id));`;
const ROWS: readonly TestRow[] = [{ table: 'users', key: { id: 'a' }, op: 'INSERT', payload: { id: 'a' } }];

/** What the network does to the next write transactions. */
type Weather =
  | 'reply of COMMIT lost, status forgotten'
  | 'calm'
  | 'reply of COMMIT lost'
  | 'COMMIT lost'
  | 'COMMIT lost, database unreachable'
  | 'serialization failure'
  | 'always busy';

/** Statements that would commit as they are sent go without COMMIT. */
function withoutLastCommit(tx: PgTransaction): PgTransaction {
  return {
    query: tx.query.bind(tx),
    script: tx.script.bind(tx),
    copyFrom: tx.copyFrom.bind(tx),
    copyTo: tx.copyTo.bind(tx),
  };
}

describe('a commit whose connection breaks', () => {
  let fixture: PushFixture;
  let actor: Actor;
  let weather: Weather = 'calm';

  /** Breaks at COMMIT the way a driver reports it: the fault says whether COMMIT was sent. */
  function breakConnections(db: Postgres): Postgres {
    return {
      features: db.features,
      query: async (sql, params) => {
        if (weather === 'COMMIT lost, database unreachable') throw new PgFault('unreachable', { sqlState: '08006' });
        if (weather === 'reply of COMMIT lost, status forgotten' && sql.includes('pg_xact_status'))
          return { rows: [[null]], rowCount: 1 };
        return db.query(sql, params);
      },
      transaction: async (begin, fn) => {
        if (weather === 'always busy') throw new PgFault('too many connections', { sqlState: '53300' });
        if (weather === 'calm' || begin.readOnly === true) return db.transaction(begin, fn);
        const fault = new PgFault('connection lost', { sqlState: '08006', commitSent: true });
        if (weather.startsWith('reply of COMMIT lost')) {
          await db.transaction(begin, fn);
          throw fault;
        }
        const isSerialization = weather === 'serialization failure';
        const rollBack = new Error('rolled back');
        await db
          .transaction(begin, async (tx) => {
            await fn(withoutLastCommit(tx));
            throw rollBack;
          })
          .catch((error: unknown) => {
            if (error !== rollBack) throw error;
          });
        if (weather !== 'COMMIT lost, database unreachable') weather = 'calm';
        throw isSerialization ? new PgFault('could not serialize', { sqlState: '40001' }) : fault;
      },
    };
  }

  beforeAll(async () => {
    fixture = await openPushFixture({
      schema: SCHEMA,
      tables: [{ table: 'users', syncKeyColumn: 'id' }],
      wrap: breakConnections,
    });
  });
  afterAll(() => fixture.close());
  beforeEach(async () => {
    weather = 'calm';
    actor = { scopeId: randomUUID(), sourceId: 'device-a' };
    await initializeScope(fixture.pg, actor.scopeId);
  });

  const countUsers = async (): Promise<unknown> =>
    (await fixture.pg.query('SELECT count(*) FROM users WHERE _sync_scope_id=$1', [actor.scopeId])).rows[0]?.[0];

  it.each(['reply of COMMIT lost', 'reply of COMMIT lost, status forgotten'] as const)(
    'after it became durable answers as if nothing had happened (%s)',
    async (fault) => {
      const pushId = await stagePush(fixture.ctx, actor, ROWS);
      weather = fault;
      const reply = await commitPush(fixture.ctx, actor, pushId);
      weather = 'calm';
      expect(reply).toMatchObject({ bundle_seq: 1n, row_count: 1 });
      const { rows } = await fixture.pg.query(
        'SELECT b.canonical_bytes FROM sync.bundle b JOIN sync.scope s USING (scope_pk) WHERE s.scope_id=$1',
        [actor.scopeId],
      );
      const told = fixture.events.findLast(({ name }) => name === 'pushCommitted');
      expect(told).toMatchObject({ bytes: Number(rows[0]?.[0]) });
      expect(await openSession(fixture.ctx, actor, ROWS)).toEqual({ status: 'already_committed', ...reply });
      expect(await countUsers()).toBe('1');
    },
  );

  it('before it became durable is tried again', async () => {
    const pushId = await stagePush(fixture.ctx, actor, ROWS);
    weather = 'COMMIT lost';
    expect(await commitPush(fixture.ctx, actor, pushId)).toMatchObject({ bundle_seq: 1n });
    expect(fixture.events.at(-1)).toMatchObject({ name: 'pushCommitted', attempts: 2 });
    expect(await countUsers()).toBe('1');
  });

  it('with no way to find out says that the outcome is unknown, and create with the same tuple tells it later', async () => {
    const pushId = await stagePush(fixture.ctx, actor, ROWS);
    weather = 'COMMIT lost, database unreachable';
    expect(await refusal(commitPush(fixture.ctx, actor, pushId))).toEqual({ code: 'commit_outcome_unknown' });
    expect(fixture.events.at(-1)).toMatchObject({ name: 'commitOutcomeUnknown', operation: 'push_session_commit' });
    weather = 'calm';
    expect(await openSession(fixture.ctx, actor, ROWS)).toMatchObject({ status: 'staging' });
  });

  it('[E2] before COMMIT was sent is retried, and only then answered with 503', async () => {
    const pushId = await stagePush(fixture.ctx, actor, ROWS);
    weather = 'always busy';
    expect(await refusal(commitPush(fixture.ctx, actor, pushId))).toEqual({ code: 'service_unavailable' });
    expect(await refusal(openSession(fixture.ctx, actor, ROWS))).toEqual({ code: 'service_unavailable' });
    weather = 'serialization failure';
    expect(await commitPush(fixture.ctx, actor, pushId)).toMatchObject({ bundle_seq: 1n });
  });
});
