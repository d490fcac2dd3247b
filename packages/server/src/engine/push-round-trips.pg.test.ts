import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { isPostgresJs } from '../test-driver.ts';
import type { Actor } from './context.ts';
import { stagePushChunk } from './push-chunk.ts';
import { commitPush } from './push-commit.ts';
import { initializeScope, openPushFixture, openSession, requirePushId, toChunkBody } from './test-push.ts';
import type { PushFixture, TestRow } from './test-push.ts';

const SCHEMA = `CREATE TABLE users (_sync_scope_id text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id));`;

function users(count: number, op: TestRow['op'], base: bigint): readonly TestRow[] {
  return Array.from({ length: count }, (_, index) => {
    const id = `u${index}`;
    return { table: 'users', key: { id }, op, base, ...(op === 'DELETE' ? {} : { payload: { id, name: `${op} ${index}` } }) };
  });
}

describe('[P3] [P5] the number of round trips', () => {
  let fixture: PushFixture;
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: [{ table: 'users', syncKeyColumn: 'id' }] });
  });
  afterAll(() => fixture.close());

  let actor: Actor;
  beforeEach(async () => {
    actor = { scopeId: randomUUID(), sourceId: 'device-a' };
    await initializeScope(fixture.pg, actor.scopeId);
  });

  async function measurePushes(
    count: number,
    ctx = fixture.ctx,
  ): Promise<readonly { create: number; chunk: number; commit: number }[]> {
    const { counting } = fixture;
    const scope = { ...actor, scopeId: `${actor.scopeId}-${count}` };
    await initializeScope(fixture.pg, scope.scopeId);
    const measured = [];
    let sourceBundleId = 0n;
    for (const op of ['INSERT', 'UPDATE', 'DELETE'] as const) {
      const rows = users(count, op, sourceBundleId);
      sourceBundleId += 1n;
      let pushId = '';
      const create = await counting.measure(async () => {
        pushId = requirePushId(await openSession(ctx, scope, rows, { sourceBundleId }));
      });
      const chunk = await counting.measure(() => stagePushChunk(ctx, scope, { pushId, body: toChunkBody(rows) }));
      const commit = await counting.measure(() => commitPush(ctx, scope, pushId));
      measured.push({ create, chunk, commit });
    }
    return measured;
  }

  it.skipIf(isPostgresJs)('of a small push is three, and that of a large one does not grow with its rows', async () => {
    const small = await measurePushes(10);
    const large = await measurePushes(5000);
    // What number the scope has is found out by the first push of a process.
    expect(small).toEqual([2, 1, 1].map((create) => ({ create, chunk: 1, commit: 1 })));
    expect(large).toEqual([2, 1, 1].map((create) => ({ create, chunk: 3, commit: 4 })));
  });

  it.skipIf(isPostgresJs)('of a push that is not plain is the same for 10 and for 200 rows', async () => {
    const ordinary = { ...fixture.ctx, takesShortWay: false, commitsDirectly: false };
    const small = await measurePushes(10, ordinary);
    expect(small).toEqual(Array.from({ length: 3 }, () => ({ create: 2, chunk: 2, commit: 6 })));
    expect(await measurePushes(200, ordinary)).toEqual(small);
  });

  it('of a chunk does not depend on its rows once it goes through COPY', async () => {
    const { ctx, counting } = fixture;
    const rows = users(5300, 'INSERT', 0n);
    const pushId = requirePushId(await openSession(ctx, actor, rows));
    const stage = (from: number, to: number): Promise<number> =>
      counting.measure(() => stagePushChunk(ctx, actor, { pushId, body: toChunkBody(rows.slice(from, to), from) }));
    expect(await stage(0, 300)).toBe(await stage(300, 5300));
  });
});
