import { afterEach, expect, test } from 'vitest';

import { openTestServer } from '../test-server.ts';
import type { TestServer } from '../test-server.ts';

let target: TestServer | undefined;
afterEach(async () => {
  await target?.close();
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
