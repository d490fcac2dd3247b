import { randomUUID } from 'node:crypto';

import type { JsonObject } from '@oversync/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { Actor } from './context.ts';
import { commitPush } from './push-commit.ts';
import { initializeScope, openPushFixture, push, refusal, stagePush } from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE TABLE users (
  _sync_scope_id text NOT NULL, id text NOT NULL, email text, nick text, age int4, ratio float8, score numeric, required text NOT NULL DEFAULT 'x',
  PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT users_email UNIQUE (_sync_scope_id, email),
  CONSTRAINT users_nick UNIQUE (_sync_scope_id, nick) DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT users_age CHECK (age < 150));
CREATE TABLE posts (
  _sync_scope_id text NOT NULL, id text NOT NULL, author_id text, PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT posts_author FOREIGN KEY (_sync_scope_id, author_id) REFERENCES users (_sync_scope_id, id) DEFERRABLE INITIALLY DEFERRED);
CREATE INDEX ON posts (_sync_scope_id, author_id);
CREATE TABLE badges (
  _sync_scope_id text NOT NULL, id text NOT NULL, owner_id text, PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT badges_owner FOREIGN KEY (owner_id, _sync_scope_id) REFERENCES users (id, _sync_scope_id) ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED);
CREATE INDEX ON badges (_sync_scope_id, owner_id);
CREATE TABLE rooms (
  _sync_scope_id text NOT NULL, id text NOT NULL, door int4, opens timestamptz, closes timestamptz, PRIMARY KEY (_sync_scope_id, id),
  CONSTRAINT rooms_door EXCLUDE USING gist (_sync_scope_id WITH =, door WITH =));
CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  CASE NEW.nick
    WHEN 'raise' THEN RAISE EXCEPTION 'secret %', NEW.email;
    WHEN 'state' THEN RAISE EXCEPTION 'no' USING ERRCODE = 'insufficient_privilege';
    WHEN 'nan' THEN NEW.ratio := 'NaN';
    WHEN 'inf' THEN NEW.score := 'Infinity';
    WHEN 'null' THEN NEW.required := NULL;
    WHEN 'elsewhere' THEN INSERT INTO posts (_sync_scope_id, id) VALUES ('elsewhere', 'p');
    ELSE NULL;
  END CASE;
  RETURN NEW; END $$;
CREATE TRIGGER judge BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION judge();
CREATE FUNCTION judge_later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'too late'; END $$;
CREATE CONSTRAINT TRIGGER judge_later AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.nick = 'late') EXECUTE FUNCTION judge_later();`;
const TABLES = ['users', 'posts', 'badges', 'rooms'].map((table) => ({ table, syncKeyColumn: 'id' }));

function row(table: string, id: string, payload: JsonObject | null = {}, base = 0n, op: TestRow['op'] = 'INSERT'): TestRow {
  return {
    table,
    key: { id },
    op: payload === null ? 'DELETE' : op,
    base,
    ...(payload === null ? {} : { payload: { id, ...payload } }),
  };
}

describe('a violation while committing', () => {
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

  /** Pushes on top of some users and checks that nothing of it stays. */
  async function violationOf(rows: readonly TestRow[]): Promise<unknown> {
    const { ctx, pg } = fixture;
    await push(ctx, actor, [
      row('users', 'u1', { email: 'a, (b)=c@x', nick: 'one' }),
      row('users', 'u2'),
      row('badges', 'b1', { owner_id: 'u2' }),
      row('rooms', 'r1', { door: '1' }),
    ]);
    const pushId = await stagePush(ctx, actor, rows, { sourceBundleId: 2n });
    const found = await refusal(commitPush(ctx, actor, pushId));
    const again = await refusal(commitPush(ctx, actor, pushId));
    expect(again).toEqual(found);
    const counts = `SELECT (SELECT count(*) FROM users WHERE _sync_scope_id=$1), (SELECT count(*) FROM posts WHERE _sync_scope_id=$1), head FROM sync.scope WHERE scope_id=$1`;
    expect((await pg.query(counts, [actor.scopeId])).rows).toEqual([['2', '0', '1']]);
    return found;
  }

  function violation(kind: string, table: string, rowOrdinal: number, id: string, facts: object = {}): unknown {
    return {
      code: 'push_commit_invalid',
      violation: { kind, schema: 'public', table, row_ordinal: rowOrdinal, key: { id }, ...facts },
    };
  }

  it('[E1] of a unique constraint names the row that repeats the value', async () => {
    const rows = [row('users', 'n1', { email: 'new' }), row('users', 'n2', { email: 'a, (b)=c@x' })];
    expect(await violationOf(rows)).toEqual(violation('unique', 'users', 1, 'n2', { constraint: 'users_email' }));
  });

  it('[E1] of a unique constraint inside the push names the later row', async () => {
    const rows = [row('users', 'n1', { email: 'e' }), row('users', 'n2', { email: 'e' })];
    expect(await violationOf(rows)).toEqual(violation('unique', 'users', 1, 'n2', { constraint: 'users_email' }));
  });

  it('[E1] of a deferred unique constraint is found at the end', async () => {
    const rows = [row('users', 'n1'), row('users', 'u2', { nick: 'one' }, 1n, 'UPDATE')];
    expect(await violationOf(rows)).toEqual(violation('unique', 'users', 1, 'u2', { constraint: 'users_nick' }));
  });

  it('[E1] of an exclusion constraint', async () => {
    const rows = [row('rooms', 'n1', { door: '2' }), row('rooms', 'n2', { door: '1' })];
    expect(await violationOf(rows)).toEqual(violation('exclusion', 'rooms', 1, 'n2', { constraint: 'rooms_door' }));
  });

  it('[E1] of a foreign key names the child without a parent', async () => {
    const rows = [row('posts', 'p1', { author_id: 'u1' }), row('posts', 'p2', { author_id: 'nobody' })];
    expect(await violationOf(rows)).toEqual(violation('foreign_key', 'posts', 1, 'p2', { constraint: 'posts_author' }));
  });

  it('[E1] of RESTRICT names the parent that cannot go, whatever the order of the constraint columns', async () => {
    const rows = [row('users', 'n1'), row('users', 'u2', null, 1n)];
    expect(await violationOf(rows)).toEqual({
      code: 'push_commit_invalid',
      violation: {
        kind: 'foreign_key',
        schema: 'public',
        table: 'badges',
        constraint: 'badges_owner',
        row_ordinal: 1,
        key: { id: 'u2' },
      },
    });
  });

  it('[E1] of a check constraint', async () => {
    const rows = [
      row('users', 'n1'),
      row('users', 'n2', { age: '149' }),
      row('users', 'n3', { age: '150' }),
      row('users', 'n4', { age: '151' }),
    ];
    expect(await violationOf(rows)).toEqual(violation('check', 'users', 2, 'n3', { constraint: 'users_age' }));
  });

  it('[E1] of NOT NULL that only a trigger breaks', async () => {
    const rows = [row('users', 'n1'), row('users', 'n2', { nick: 'null' })];
    expect(await violationOf(rows)).toEqual(violation('not_null', 'users', 1, 'n2', { column: 'required' }));
  });

  it('[E1] raised by a trigger tells the row, and nothing that the trigger says', async () => {
    const rows = [row('users', 'n1'), row('users', 'n2', { nick: 'raise', email: 'e' })];
    expect(await violationOf(rows)).toEqual(violation('rejected_by_trigger', 'users', 1, 'n2'));
    const state = [row('users', 'n1'), row('users', 'n2', { nick: 'state' })];
    const pushId = await stagePush(fixture.ctx, actor, state, { sourceBundleId: 2n });
    await expect(commitPush(fixture.ctx, actor, pushId)).rejects.toThrow('row was refused by a trigger of the application');
  });

  it('[E1] raised by a deferred trigger belongs to no row that could be named', async () => {
    expect(await violationOf([row('users', 'n1', { nick: 'late' })])).toEqual({
      code: 'push_commit_invalid',
      violation: { kind: 'rejected_by_trigger', schema: '', table: '' },
    });
  });

  it('[C7] of a trigger that writes to another scope', async () => {
    expect(await violationOf([row('users', 'n1', { nick: 'elsewhere' })])).toMatchObject({
      violation: { kind: 'rejected_by_trigger' },
    });
  });

  it.each([
    ['nan', 'ratio'],
    ['inf', 'score'],
  ])('[E1] of a value that a trigger stored and clients cannot read (%s)', async (nick, column) => {
    const rows = [row('users', 'n1'), row('users', 'n2', { nick })];
    expect(await violationOf(rows)).toEqual(violation('not_representable', 'users', 1, 'n2', { column }));
  });

  it('[E1] of a key that no index can hold', async () => {
    const id = Array.from({ length: 3000 }, (_, index) => String.fromCodePoint(0x4e00 + ((index * 7919) % 20_000))).join('');
    expect(await violationOf([row('users', id)])).toMatchObject({
      code: 'push_commit_invalid',
      violation: { kind: 'out_of_range' },
    });
  });
});
