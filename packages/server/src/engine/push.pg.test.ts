import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { commitPush } from './push-commit.ts';
import { stagePushChunk } from './push-chunk.ts';
import { initializeScope, openPushFixture, openSession, push, readBundle, requirePushId, stagePush, toChunkBody } from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `
CREATE SCHEMA business;
CREATE TABLE business.users (_sync_scope_id text NOT NULL, id text NOT NULL, name text, age int4, PRIMARY KEY (_sync_scope_id, id));`;

const TABLES = [{ schema: 'business', table: 'users', syncKeyColumn: 'id' }];

function user(id: string, op: TestRow['op'] = 'INSERT', base = 0n): TestRow {
  const row = { schema: 'business', table: 'users', key: { id }, op, base };
  return op === 'DELETE' ? row : { ...row, payload: { age: '36', id, name: `Name of ${id}` } };
}

describe('a push', () => {
  let fixture: PushFixture;
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: TABLES });
  });
  afterAll(() => fixture.close());

  it('is committed as a bundle that says what it did', async () => {
    const { ctx, pg } = fixture;
    await initializeScope(pg, 'a');
    const actor = { scopeId: 'a', sourceId: 'device-a' };
    const reply = await push(ctx, actor, [user('u1'), user('u2')]);
    expect(reply).toMatchObject({ bundle_seq: 1n, source_id: 'device-a', source_bundle_id: 1n, row_count: 2 });
    const second = await push(ctx, actor, [user('u1', 'UPDATE', 1n), user('u2', 'DELETE', 1n)], { sourceBundleId: 2n });
    expect(second.bundle_seq).toBe(2n);
    expect(await readBundle(pg, 2n)).toEqual([
      { schema: 'business', table: 'users', key: { id: 'u1' }, op: 'UPDATE', row_version: 2, payload: { age: '36', id: 'u1', name: 'Name of u1' } },
      { schema: 'business', table: 'users', key: { id: 'u2' }, op: 'DELETE', row_version: 2 },
    ]);
  });
});
