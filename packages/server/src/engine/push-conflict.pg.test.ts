import { randomUUID } from 'node:crypto';

import { encodeErrorBody, isSyncError, parseConflicts, stringifyJson } from '@oversync/protocol';
import type { JsonObject, SyncError } from '@oversync/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { CONFLICT_CASES } from '../rules/test-conflict-cases.ts';
import { createAcceptCondition } from '../store/conflict.sql.ts';
import type { Actor } from './context.ts';
import { commitPush } from './push-commit.ts';
import { initializeScope, openPushFixture, push, refusal, stagePush } from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `
CREATE TABLE users (_sync_scope_id text NOT NULL, id text NOT NULL, name text, age int8, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE devices (_sync_scope_id text NOT NULL, id uuid NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id));`;
const TABLES = [
  { table: 'users', syncKeyColumn: 'id' },
  { table: 'devices', syncKeyColumn: 'id' },
];
const DEVICE = '2f2d3f7a-cd1f-42b9-8d08-c4d2b45d9f88';

function user(id: string, op: TestRow['op'], base: bigint, payload: JsonObject = {}): TestRow {
  return { table: 'users', key: { id }, op, base, ...(op === 'DELETE' ? {} : { payload: { id, ...payload } }) };
}

describe('a conflict', () => {
  let fixture: PushFixture;
  let actor: Actor;
  let other: Actor;
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: TABLES });
  });
  afterAll(() => fixture.close());
  beforeEach(async () => {
    actor = { scopeId: randomUUID(), sourceId: 'device-a' };
    other = { ...actor, sourceId: 'device-b' };
    await initializeScope(fixture.pg, actor.scopeId);
  });

  async function findConflict(rows: readonly TestRow[], sourceBundleId = 1n): Promise<SyncError> {
    const pushId = await stagePush(fixture.ctx, actor, rows, { sourceBundleId });
    try {
      await commitPush(fixture.ctx, actor, pushId);
    } catch (error) {
      if (isSyncError(error)) return error;
      throw error;
    }
    throw new Error('the push was accepted');
  }

  it('is decided by PostgreSQL exactly as by the rule', async () => {
    const values = CONFLICT_CASES.map(({ row, key, floor }, index) => {
      const version = key.name === 'none' ? 'NULL' : String(key.version);
      const deleted = key.name === 'none' ? 'NULL' : String(key.name === 'tombstone');
      return `(${index},'${row.op}',${row.baseRowVersion},${version}::int8,${deleted}::boolean,${floor})`;
    });
    const accept = createAcceptCondition({
      op: 'c.op',
      baseRowVersion: 'c.base',
      version: 'c.version',
      deleted: 'c.deleted',
      floor: 'c.floor',
    });
    const { rows } = await fixture.pg.query(
      `SELECT ${accept} FROM (VALUES ${values.join(',')}) c(i,op,base,version,deleted,floor) ORDER BY c.i`,
    );
    expect(rows.map(([accepted]) => (accepted === 't' ? 'accept' : 'conflict'))).toEqual(
      CONFLICT_CASES.map(({ decision }) => decision),
    );
  });

  it('[I5] refuses the whole push, applies nothing, and leaves the session open', async () => {
    const { ctx, pg } = fixture;
    await push(ctx, other, [user('u1', 'INSERT', 0n, { name: 'Jane', age: '37' })]);
    const rows = [user('fresh', 'INSERT', 0n), user('u1', 'UPDATE', 9n, { name: 'Ada' })];
    const pushId = await stagePush(ctx, actor, rows);
    for (let round = 0; round < 2; round += 1) {
      expect(await refusal(commitPush(ctx, actor, pushId))).toMatchObject({
        code: 'push_conflict',
        conflict: {
          schema: 'public',
          table: 'users',
          key: { id: 'u1' },
          op: 'UPDATE',
          base_row_version: 9n,
          server_row_version: 1n,
          server_row_deleted: false,
          server_row: { id: 'u1', name: 'Jane', age: '37' },
        },
        conflict_count: 1,
      });
    }
    expect((await pg.query('SELECT id FROM users WHERE _sync_scope_id=$1', [actor.scopeId])).rows).toEqual([['u1']]);
  });

  it('[E5] is reported with all others in upload order, tombstones and unknown keys included', async () => {
    const { ctx } = fixture;
    await push(ctx, other, [
      user('live', 'INSERT', 0n, { age: '9007199254740993' }),
      user('dead', 'INSERT', 0n),
      { table: 'devices', key: { id: DEVICE }, op: 'INSERT', payload: { name: 'Phone' } },
    ]);
    await push(ctx, other, [user('dead', 'DELETE', 1n)], { sourceBundleId: 2n });
    const error = await findConflict([
      user('unknown', 'UPDATE', 3n),
      user('fine', 'INSERT', 0n),
      user('dead', 'INSERT', 0n),
      { table: 'devices', key: { id: DEVICE }, op: 'DELETE', base: 7n },
      user('live', 'INSERT', 0n),
    ]);
    const conflicts = [
      {
        row_ordinal: 0,
        schema: 'public',
        table: 'users',
        key: { id: 'unknown' },
        op: 'UPDATE',
        base_row_version: 3n,
        server_row_version: 0n,
        server_row_deleted: false,
        server_row: null,
      },
      {
        row_ordinal: 2,
        schema: 'public',
        table: 'users',
        key: { id: 'dead' },
        op: 'INSERT',
        base_row_version: 0n,
        server_row_version: 2n,
        server_row_deleted: true,
        server_row: null,
      },
      {
        row_ordinal: 3,
        schema: 'public',
        table: 'devices',
        key: { id: DEVICE },
        op: 'DELETE',
        base_row_version: 7n,
        server_row_version: 1n,
        server_row_deleted: false,
        server_row: { id: DEVICE, name: 'Phone' },
      },
      {
        row_ordinal: 4,
        schema: 'public',
        table: 'users',
        key: { id: 'live' },
        op: 'INSERT',
        base_row_version: 0n,
        server_row_version: 1n,
        server_row_deleted: false,
        server_row: { age: '9007199254740993', id: 'live', name: null },
      },
    ];
    const { row_ordinal: _, ...first } = conflicts[0] ?? {};
    expect(error.details).toEqual({ conflict: first, conflict_count: 4, conflicts });
    expect(parseConflicts(encodeErrorBody(error)['conflicts'])).toEqual(conflicts);
  });

  it('[E5] list is cut to what every client reads, and the count is not', async () => {
    const { ctx } = fixture;
    const ids = Array.from({ length: 700 }, (_, index) => `u${index}`);
    await push(
      ctx,
      other,
      ids.map((id) => user(id, 'INSERT', 0n, { name: 'x'.repeat(200) })),
    );
    const error = await findConflict(ids.map((id) => user(id, 'UPDATE', 5n)));
    expect(error.details['conflict_count']).toBe(700);
    const conflicts = parseConflicts(encodeErrorBody(error)['conflicts']);
    expect(conflicts.length).toBeGreaterThan(50);
    expect(conflicts.map((conflict) => conflict.row_ordinal)).toEqual(conflicts.map((_, index) => index));
    expect(conflicts.every((conflict) => conflict.server_row !== null)).toBe(true);
    expect(new TextEncoder().encode(stringifyJson(encodeErrorBody(error))).length).toBeLessThanOrEqual(65_536);
  });

  it('never replaces the row of the first conflict by null, however large it is', async () => {
    const { ctx } = fixture;
    const name = 'y'.repeat(200_000);
    await push(ctx, other, [user('big', 'INSERT', 0n, { name }), user('small', 'INSERT', 0n)]);
    const error = await findConflict([user('big', 'UPDATE', 9n), user('small', 'UPDATE', 9n)]);
    expect(error.details).toMatchObject({ conflict: { server_row: { name } }, conflict_count: 2, conflicts: [] });
  });

  it('[P12] is not seen where a purged tombstone may have been: an insert at or below the floor is taken at its word', async () => {
    const { ctx, pg } = fixture;
    await push(ctx, other, [user('u1', 'INSERT', 0n)]);
    await push(ctx, other, [user('u1', 'DELETE', 1n)], { sourceBundleId: 2n });
    await push(ctx, other, [user('u2', 'INSERT', 0n)], { sourceBundleId: 3n });
    const forget = `DELETE FROM sync.row_state r USING sync.scope s WHERE s.scope_pk=r.scope_pk AND s.scope_id=$1 AND r.deleted`;
    await pg.query(forget, [actor.scopeId]);
    await pg.query('UPDATE sync.scope SET floor=1 WHERE scope_id=$1', [actor.scopeId]);
    expect((await findConflict([user('u1', 'INSERT', 2n)])).code).toBe('push_conflict');
    await pg.query('UPDATE sync.scope SET floor=2 WHERE scope_id=$1', [actor.scopeId]);
    expect(await push(ctx, actor, [user('u1', 'INSERT', 2n)])).toMatchObject({ bundle_seq: 4n });
  });

  it('of another scope is none of ours', async () => {
    const { ctx, pg } = fixture;
    const elsewhere = { scopeId: randomUUID(), sourceId: 'device-b' };
    await initializeScope(pg, elsewhere.scopeId);
    await push(ctx, elsewhere, [user('u1', 'INSERT', 0n)]);
    expect(await push(ctx, actor, [user('u1', 'INSERT', 0n)])).toMatchObject({ bundle_seq: 1n });
  });
});
