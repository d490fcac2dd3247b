import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openWorld } from './world.ts';
import type { Device, World } from './world.ts';

let world: World;
let userCount = 0;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const newUser = (): string => `user-${(userCount += 1)}`;
const ALL = 'SELECT id, name, age FROM users ORDER BY id';
const POSTS = 'SELECT hex(id) AS id, user_id, body, score, price, hex(data) AS data, meta, is_read, at FROM posts ORDER BY id';

async function attached(user: string, options: Parameters<World['openDevice']>[1] = {}): Promise<Device> {
  const device = await world.openDevice(user, options);
  const result = await device.client.attach(user);
  expect(result.status).toBe('connected');
  return device;
}

const POST_ID = "X'0123456789ABCDEF0123456789ABCDEF'";

describe('two devices of one user', () => {
  it('seed, follow, edit on both sides and converge', async () => {
    const user = newUser();
    const first = await world.openDevice(user);
    first.sql(`INSERT INTO users VALUES ('u1', 'Ada', 36), ('u2', 'Bob', NULL);
      INSERT INTO posts(id, user_id, body) VALUES (${POST_ID}, 'u1', 'hello')`);
    expect(await first.client.attach(user)).toMatchObject({ outcome: 'seeded_from_local' });
    expect(await first.client.sync()).toMatchObject({
      push: { outcome: 'committed', bundles: [{ bundleSeq: 1n, rowCount: 3 }] },
    });
    const second = await world.openDevice(user);
    expect(await second.client.attach(user)).toMatchObject({
      outcome: 'used_remote_state',
      restore: { bundleSeq: 1n, rowCount: 3n },
    });
    expect(second.rows(ALL)).toEqual(first.rows(ALL));
    second.sql("UPDATE users SET name = 'Eve' WHERE id = 'u2'; DELETE FROM users WHERE id = 'u1'");
    first.sql("INSERT INTO users VALUES ('u3', 'Cy', 3)");
    await second.client.sync();
    await first.client.sync();
    await second.client.sync();
    expect(first.rows(ALL)).toEqual([
      { id: 'u2', name: 'Eve', age: null },
      { id: 'u3', name: 'Cy', age: 3 },
    ]);
    expect(second.rows(ALL)).toEqual(first.rows(ALL));
    expect(second.rows(POSTS)).toEqual([]);
    expect(await world.query(`SELECT id, name FROM business.users WHERE _sync_scope_id = '${user}' ORDER BY id`)).toEqual([
      { id: 'u2', name: 'Eve' },
      { id: 'u3', name: 'Cy' },
    ]);
  });

  it('[I9] [T55] [K11] [K14] every kind of value arrives unchanged, and nothing is pushed twice', async () => {
    const user = newUser();
    const first = await attached(user);
    first.sql(`INSERT INTO users VALUES ('<&>"\\\u2028😀', 'n', 9007199254740993);
      INSERT INTO posts VALUES (${POST_ID}, '<&>"\\\u2028😀', 'tab\tline\n', 1.7976931348623157e308, '1250.50', X'00FF10', '{"b":[1.50,9007199254740993],"a":null}', 1, '2026-03-24T18:42:11.12+00:00');
      INSERT INTO posts VALUES (X'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', '<&>"\\\u2028😀', NULL, 5e-324, '1e3', X'', NULL, 0, '2026-03-24 18:42:11')`);
    await first.client.sync();
    const again = await first.client.sync();
    expect(again).toMatchObject({ push: { outcome: 'no_change' }, remote: { outcome: 'already_at_target' } });
    const second = await attached(user);
    expect(second.rows(POSTS)).toEqual(first.rows(POSTS));
    expect(second.rows(POSTS)[0]).toMatchObject({
      price: '1250.50',
      score: 1.7976931348623157e308,
      at: '2026-03-24T18:42:11.12+00:00',
    });
    expect(second.rows(POSTS)[1]).toMatchObject({ price: '1000.00', score: 5e-324, data: '', at: '2026-03-24T18:42:11+00:00' });
    expect(second.rows('SELECT CAST(age AS TEXT) AS age FROM users')).toEqual([{ age: '9007199254740993' }]);
    second.sql('DELETE FROM users');
    await second.client.sync();
    await first.client.sync();
    expect(first.rows(ALL)).toEqual([]);
  });

  it('[T45] [T53] [T84] thousands of rows in chunks, pages and spilled bundles', async () => {
    const user = newUser();
    const first = await attached(user, { uploadLimit: 700, downloadLimit: 300, maxRowsPerPush: 2500 });
    first.sql(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) INSERT INTO users SELECT 'u' || i, 'é name ' || i, i FROM n",
    );
    expect((await first.client.pushPending()).bundles.map(({ rowCount }) => rowCount)).toEqual([2500, 2500, 1000]);
    const second = await world.openDevice(user, { snapshotChunkRows: 512 });
    await second.client.attach(user);
    const third = await world.openDevice(user);
    await third.client.attach(user);
    first.sql("UPDATE users SET name = 'changed ' || id");
    await first.client.sync();
    await second.client.sync();
    await third.client.rebuild();
    expect(second.rows(ALL)).toEqual(first.rows(ALL));
    expect(third.rows(ALL)).toEqual(first.rows(ALL));
    expect(second.rows('SELECT count(*) AS n FROM _oversync_bundle_stage')).toEqual([{ n: 0 }]);
  });

  it('[T24] [K24] rows the server refuses are set aside, all others are committed by the same call', async () => {
    const user = newUser();
    const device = await attached(user);
    device.sql("INSERT INTO users VALUES ('a', 'ok', 1), ('b', 'forbidden', 2), ('c', 'ok', 3)");
    const report = await device.client.pushPending();
    expect(report.quarantined).toMatchObject([{ table: 'users', key: 'b', code: 'check', origin: 'push' }]);
    expect(await world.query(`SELECT id FROM business.users WHERE _sync_scope_id = '${user}' ORDER BY id`)).toEqual([
      { id: 'a' },
      { id: 'c' },
    ]);
    device.sql("UPDATE users SET name = 'fixed' WHERE id = 'b'");
    expect(await device.client.pushPending()).toMatchObject({ outcome: 'committed', quarantined: [] });
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 0, quarantinedRowCount: 0 });
  });

  it('[T73] a unique value may move from a deleted row to a new one in one push', async () => {
    const user = newUser();
    const device = await attached(user);
    device.sql("INSERT INTO users VALUES ('a', 'n', 1)");
    await device.client.pushPending();
    device.sql("DELETE FROM users WHERE id = 'a'; INSERT INTO users VALUES ('b', 'n', 1)");
    expect(await device.client.pushPending()).toMatchObject({ outcome: 'committed', quarantined: [] });
    expect(await world.query(`SELECT id FROM business.users WHERE _sync_scope_id = '${user}'`)).toEqual([{ id: 'b' }]);
  });

  it('[T65] conflicts are settled by the policy, in two commit requests', async () => {
    const user = newUser();
    let commits = 0;
    const counting = (request: Request): Promise<Response> => {
      if (request.url.endsWith('/commit')) commits += 1;
      return fetch(request);
    };
    const first = await attached(user);
    first.sql("INSERT INTO users VALUES ('u1', 'base', 1), ('u2', 'base', 2)");
    await first.client.sync();
    const second = await attached(user, { resolver: () => ({ kind: 'keepLocal' }), ports: { http: counting } });
    first.sql("UPDATE users SET name = 'first'");
    await first.client.sync();
    second.sql("UPDATE users SET name = 'second'");
    expect(await second.client.sync()).toMatchObject({
      push: { conflicts: [{ resolution: 'keepLocal' }, { resolution: 'keepLocal' }] },
    });
    expect(commits).toBe(2);
    first.sql("UPDATE users SET name = 'lost' WHERE id = 'u1'");
    await first.client.sync();
    expect(first.rows(ALL)).toEqual(second.rows(ALL));
    expect(first.rows(ALL)).toMatchObject([{ name: 'second' }, { name: 'second' }]);
  });

  it('[T95] a cloned database rotates its source and loses nothing', async () => {
    const user = newUser();
    const original = await attached(user);
    original.sql("INSERT INTO users VALUES ('u1', 'one', 1)");
    const clone = await attached(user);
    const [row] = original.rows('SELECT current_source_id AS id FROM _sync_attachment_state');
    clone.sql(
      `UPDATE _sync_source_state SET source_id = '${String(row?.['id'])}'; UPDATE _sync_attachment_state SET current_source_id = '${String(row?.['id'])}'`,
    );
    clone.sql("INSERT INTO users VALUES ('u2', 'two', 2)");
    await original.client.sync();
    await expect(clone.client.sync()).rejects.toMatchObject({ code: 'source_sequence_mismatch', recovery: 'rebuild' });
    await clone.client.rebuild();
    await clone.client.sync();
    await original.client.sync();
    expect(clone.rows(ALL)).toEqual(original.rows(ALL));
    expect(clone.rows(ALL)).toHaveLength(2);
  });

  it('[K7] detach, another user, and back', async () => {
    const [a, b] = [newUser(), newUser()];
    const device = await attached(a);
    device.sql("INSERT INTO users VALUES ('u1', 'mine', 1)");
    expect(await device.client.syncThenDetach()).toMatchObject({ detach: { outcome: 'detached', changed: true } });
    expect(device.rows(ALL)).toEqual([]);
    await device.restart({ headers: () => ({ Authorization: b }) });
    expect(await device.client.attach(b)).toMatchObject({ outcome: 'started_empty' });
    device.sql("INSERT INTO users VALUES ('u1', 'theirs', 1)");
    expect((await device.client.sync()).push.bundles).toMatchObject([{ bundleSeq: 1n, sourceBundleId: 1n }]);
    await device.client.detach();
    await device.restart({ headers: () => ({ Authorization: a }) });
    await device.client.attach(a);
    expect(device.rows(ALL)).toEqual([{ id: 'u1', name: 'mine', age: 1 }]);
  });
});
