import { afterEach, expect, test, vi } from 'vitest';

import { createSyncServer } from '../create-sync-server.ts';
import { HEALTH_CACHE_MS, HEALTH_TIMEOUT_MS } from '../limits.ts';
import type { Postgres } from '../ports/postgres.ts';
import { openTestServer } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

let target: TestServer | undefined;
afterEach(async () => {
  await target?.close();
  target = undefined;
});

test('[P9] a pool that is busy to its last connection is healthy while its transactions get answers', async () => {
  target = await openTestServer({ poolMax: 1 });
  const { server, counting, call } = target;
  const health = async () => (await server.ops.fetch(new Request('http://host.test/health'))).status;
  await counting.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('SELECT 1');
    const capabilities = await call('GET', '/sync/capabilities');
    expect(capabilities.status).toBe(200);
  });
  // The server's own last answer is what counts, so it asks once before the pool is taken away from it.
  expect((await call('GET', '/sync/pull')).status).toBe(409);
  await counting.transaction({ isolation: 'read committed' }, async () => {
    expect(await health()).toBe(200);
  });
});

test('[P9] a database that does not answer at all is unhealthy, and is not asked again while a question is open', async () => {
  let questions = 0;
  const silent: Postgres = {
    features: { concurrentTransactions: true },
    query: () => {
      questions += 1;
      return new Promise<never>(() => {});
    },
    transaction: () => new Promise<never>(() => {}),
  };
  const server = createSyncServer({ database: silent, registeredTables: [], resolveActor: () => null });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  try {
    for (let round = 0; round < 3; round += 1) {
      const answer = server.ops.fetch(new Request('http://host.test/health'));
      await vi.advanceTimersByTimeAsync(HEALTH_TIMEOUT_MS + HEALTH_CACHE_MS);
      expect((await answer).status).toBe(503);
    }
  } finally {
    vi.useRealTimers();
  }
  expect(questions).toBe(1);
});

test('[P9] many questions at once ask the database once', async () => {
  target = await openTestServer();
  const { server, counting } = target;
  const trips = await counting.measure(async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => server.ops.fetch(new Request('http://host.test/health'))));
    expect(new Set(answers.map((answer) => answer.status))).toStrictEqual(new Set([200]));
  });
  // One for the check, and three for the figures, which are read with their own time-outs.
  expect(trips).toBe(4);
});
