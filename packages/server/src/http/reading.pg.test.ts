import { afterAll, beforeAll, expect, test } from 'vitest';

import { manyNotes, newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer();
});
afterAll(() => target.close());

async function initialize(scope: string): Promise<void> {
  const answer = await target.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: false } });
  expect(answer.status).toBe(200);
}

test('a pushed row comes back by pull, by committed rows and in a snapshot', async () => {
  const scope = newScope();
  await initialize(scope);
  const committed = await pushNotes(target, 1, [{ op: 'INSERT', id: 'é-1', title: 'Ada "quoted"' }], { scope });
  expect(committed).toMatchObject({ bundle_seq: 1, source_id: 'device-a', source_bundle_id: 1, row_count: 1 });
  const wireRow = {
    schema: 'business',
    table: 'notes',
    key: { id: 'é-1' },
    row_version: 1,
    payload: { id: 'é-1', title: 'Ada "quoted"', amount: null },
  };

  const pulled = await target.call('GET', '/sync/pull?after_bundle_seq=0', { scope });
  expect(pulled.json).toStrictEqual({
    stable_bundle_seq: 1,
    bundles: [{ ...committed, rows: [{ ...wireRow, op: 'INSERT' }] }],
    has_more: false,
  });

  const rows = await target.call('GET', '/sync/committed-bundles/1/rows', { scope });
  expect(rows.json).toStrictEqual({ ...committed, rows: [{ ...wireRow, op: 'INSERT' }], next_row_ordinal: 0, has_more: false });

  const session = await target.call('POST', '/sync/snapshot-sessions', { scope });
  expect(session.json).toMatchObject({ snapshot_bundle_seq: 1, row_count: 1 });
  const chunk = await target.call('GET', `/sync/snapshot-sessions/${session.json.snapshot_id}?after_row_ordinal=0`, { scope });
  expect(chunk.json).toStrictEqual({
    snapshot_id: session.json.snapshot_id,
    snapshot_bundle_seq: 1,
    rows: [wireRow],
    next_row_ordinal: 1,
    has_more: false,
    byte_count: session.json.byte_count,
  });
});

test('[I15] [P1] [P5] the round trips of a pull page, a committed-rows page and a snapshot chunk do not grow with their rows', async () => {
  const trips: number[][] = [];
  for (const count of [10, 1000, 5000]) {
    const scope = newScope();
    await initialize(scope);
    await pushNotes(target, 1, manyNotes(count), { scope });
    const session = await target.call('POST', '/sync/snapshot-sessions', { scope });
    const read = (path: string) =>
      target.counting.measure(async () => {
        const answer = await target.call('GET', path, { scope });
        expect(answer.status).toBe(200);
        const rows = path.includes('/pull') ? answer.json.bundles[0]?.rows : answer.json.rows;
        expect(rows).toHaveLength(count);
      });
    trips.push([
      await read('/sync/pull'),
      await read('/sync/committed-bundles/1/rows?max_rows=5000'),
      await read(`/sync/snapshot-sessions/${session.json.snapshot_id}?max_rows=5000`),
    ]);
  }
  expect(trips[2]).toStrictEqual(trips[1]);
  expect(trips[1]).toStrictEqual([4, 4, 4]);
  // A few rows come along with the choice of them.
  expect(trips[0]).toStrictEqual([3, 3, 4]);
});
