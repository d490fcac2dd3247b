import { afterAll, beforeAll, expect, test } from 'vitest';

import { createRequest, manyNotes, newScope, openTestServer, pushNotes, readAnswer } from '../test-server.ts';
import type { Answer, AnswerBundle, TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer({ maxConcurrentSnapshotChunkRequests: 1, snapshotQueueWaitMs: 20, maxBytesPerPullPage: 3000 });
});
afterAll(() => target.close());

test('[I4] a reader beside many writers of two servers sees every bundle once, in order and without a gap', async () => {
  const other = await target.second();
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  const viaOther = {
    call: async (method: string, path: string, options = {}): Promise<Answer> =>
      readAnswer(await other.fetch(createRequest(method, path, options))),
  };
  const writersDone = Promise.all(
    Array.from({ length: 6 }, async (_, writer) => {
      const source = `writer-${String(writer)}`;
      for (let id = 1; id <= 8; id += 1) {
        await pushNotes(writer % 2 === 0 ? target : viaOther, id, manyNotes(1 + (id % 4), `${source}-${String(id)}`), {
          scope,
          source,
        });
      }
    }),
  );
  let hasFinished = false;
  void writersDone.finally(() => {
    hasFinished = true;
  });
  const seen: AnswerBundle[] = [];
  for (let isLast = false; !isLast;) {
    isLast = hasFinished;
    let stable: number | undefined;
    for (let hasMore = true; hasMore;) {
      const after = seen.at(-1)?.bundle_seq ?? 0;
      const { status, json } = await target.call(
        'GET',
        `/sync/pull?after_bundle_seq=${String(after)}&target_bundle_seq=${String(stable ?? 0)}&max_bundles=5`,
        { scope },
      );
      expect([status, stable ?? json.stable_bundle_seq]).toStrictEqual([200, json.stable_bundle_seq]);
      stable = json.stable_bundle_seq;
      seen.push(...json.bundles);
      hasMore = json.has_more;
      if (!hasMore) expect(seen.at(-1)?.bundle_seq ?? 0).toBe(stable);
    }
  }
  await writersDone;
  expect(seen.map((bundle) => bundle.bundle_seq)).toStrictEqual(Array.from({ length: 48 }, (_, index) => index + 1));
  const keys = seen.flatMap((bundle) => bundle.rows.map((row) => row.key.id));
  expect(new Set(keys).size).toBe(keys.length);
  const snapshot = await target.call('POST', '/sync/snapshot-sessions', { scope });
  expect(snapshot.json.row_count).toBe(keys.length);
});

test('[S1] a chunk permit is held until the answer has been read; others wait a moment, then get a typed 429', async () => {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  await pushNotes(target, 1, manyNotes(3), { scope });
  const { json } = await target.call('POST', '/sync/snapshot-sessions', { scope });
  const path = `/sync/snapshot-sessions/${json.snapshot_id}`;
  const unread = await target.raw('GET', path, { scope });
  const refused = await target.call('GET', path, { scope });
  expect([refused.status, refused.headers.get('retry-after'), refused.json]).toMatchObject([
    429,
    '1',
    { error: 'snapshot_chunk_capacity', limit_exceeded: { name: 'maxConcurrentSnapshotChunkRequests', limit: 1 } },
  ]);
  expect(target.events).toContainEqual(expect.objectContaining({ name: 'snapshotRejected', code: 'snapshot_chunk_capacity' }));
  await unread.body?.cancel();
  expect((await target.call('GET', path, { scope })).status).toBe(200);
});

test('[S1] snapshot builds above the limit wait a moment, then get a typed 429', async () => {
  const narrow = await target.second({ maxConcurrentSnapshotBuilds: 1, snapshotQueueWaitMs: 20 });
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('LOCK TABLE sync.snapshot_image IN ACCESS EXCLUSIVE MODE');
    const first = narrow.fetch(createRequest('POST', '/sync/snapshot-sessions', { scope }));
    const second = await readAnswer(await narrow.fetch(createRequest('POST', '/sync/snapshot-sessions', { scope })));
    expect([second.status, second.json.error, second.headers.get('retry-after')]).toStrictEqual([
      429,
      'snapshot_build_capacity',
      '1',
    ]);
    await tx.query('SELECT 1');
    void first.then((response) => response.body?.cancel());
  });
});

test('[S1] more writers of one scope than may wait get a 503 with Retry-After, other scopes are not delayed', async () => {
  const narrow = await target.second({ scopeQueueLength: 1, lockTimeoutMs: 5000 });
  const [busy, quiet] = [newScope(), newScope()];
  for (const scope of [busy, quiet])
    await target.call('POST', '/sync/connect', { scope, body: { has_local_pending_rows: true } });
  const write = async (scope: string) =>
    readAnswer(await narrow.fetch(createRequest('POST', '/sync/connect', { scope, body: { has_local_pending_rows: true } })));
  await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('SELECT FROM sync.scope WHERE scope_id = $1 FOR UPDATE', [busy]);
    const answers = [write(busy), write(busy), write(busy), write(busy)];
    const refused = await Promise.race(answers);
    expect([refused.status, refused.json.error, refused.headers.get('retry-after')]).toStrictEqual([
      503,
      'service_unavailable',
      '1',
    ]);
    expect((await write(quiet)).status).toBe(200);
    await tx.query('SELECT 1');
    void Promise.allSettled(answers);
  });
});
