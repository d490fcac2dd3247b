import { afterEach, expect, test } from 'vitest';

import { newScope, openTestServer, pushNotes } from './test-server.ts';
import type { TestServer } from './test-server.ts';

let target: TestServer | undefined;
afterEach(() => target?.close());

test.each([false, true])(
  '[O1] a running server follows a table that changes under it (prepared statements: %s)',
  async (preparedStatements) => {
    target = await openTestServer({ preparedStatements, poolMax: 2 });
    const scope = newScope();
    await target.call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes(target, 1, [{ op: 'INSERT', id: 'a', amount: '1' }], { scope });

    await target.script('ALTER TABLE business.notes DROP COLUMN amount');
    const snapshot = await target.call('POST', '/sync/snapshot-sessions', { scope });
    expect([snapshot.status, snapshot.json.row_count]).toStrictEqual([200, 1]);
    const chunk = await target.call('GET', `/sync/snapshot-sessions/${snapshot.json.snapshot_id}`, { scope });
    expect(chunk.json.rows).toStrictEqual([
      { schema: 'business', table: 'notes', key: { id: 'a' }, row_version: 1, payload: { id: 'a', title: 'title of a' } },
    ]);
    const pulled = await target.call('GET', '/sync/pull', { scope });
    expect(pulled.json.bundles[0]?.rows).toMatchObject([{ payload: { id: 'a', title: 'title of a' } }]);
    expect(pulled.text).not.toContain('amount');

    await target.script('ALTER TABLE business.notes ADD COLUMN amount int4 DEFAULT 7');
    const renewed = await target.second();
    const later = await renewed.fetch(
      new Request('http://host.test/sync/pull', { headers: { authorization: scope, 'Oversync-Source-ID': 'device-a' } }),
    );
    expect(await later.json()).toMatchObject({
      bundles: [{ rows: [{ payload: { id: 'a', title: 'title of a', amount: '7' } }] }],
    });
  },
);
