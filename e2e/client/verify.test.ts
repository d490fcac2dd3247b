import type { SyncClientOptions } from '@oversync/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openWorld } from './world.ts';
import type { Device, World } from './world.ts';

let world: World;
let userCount = 0;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

/** Counts requests by operation, and rows that were downloaded for a repair. */
class CountingNetwork {
  readonly requests: string[] = [];
  repairedRows = 0;
  /** Runs once, before the next request to the named path is sent. */
  before: { readonly path: string; readonly run: () => Promise<void> } | null = null;
  hidesVerification = false;

  readonly fetch = async (request: Request): Promise<Response> => {
    const { pathname } = new URL(request.url);
    const hook = this.before;
    if (hook?.path === pathname) {
      this.before = null;
      await hook.run();
    }
    this.requests.push(pathname.replace('/sync/', ''));
    const response = await fetch(request);
    if (pathname === '/sync/verify/rows' && response.status === 200) {
      const body = (await response.clone().json()) as { readonly rows: readonly unknown[] };
      this.repairedRows += body.rows.length;
    }
    if (pathname !== '/sync/capabilities' || !this.hidesVerification) return response;
    const text = (await response.text()).replace('"range_verification":true', '"range_verification":false');
    return new Response(text, { status: 200, headers: { 'Content-Type': 'application/json' } });
  };

  count(name: string): number {
    return this.requests.filter((request) => request === name).length;
  }
}

interface Setup {
  readonly device: Device;
  readonly network: CountingNetwork;
  readonly user: string;
}

async function attached(user: string, options: Partial<SyncClientOptions> = {}): Promise<Setup> {
  const network = new CountingNetwork();
  const device = await world.openDevice(user, { ports: { http: network.fetch }, ...options });
  await device.client.attach(user);
  await device.client.sync();
  network.requests.length = 0;
  return { device, network, user };
}

const newUser = (): string => `verified-${(userCount += 1)}`;

async function withUsers(count: number): Promise<Setup> {
  const user = newUser();
  const seed = await world.openDevice(user, { uploadLimit: 5000 });
  seed.sql(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
     INSERT INTO users SELECT printf('u%06d', i), 'name ' || i, i FROM n`,
  );
  await seed.client.attach(user);
  await seed.client.sync();
  return attached(user);
}

/** Writes behind the back of the client: no trigger notices. */
function corrupt(device: Device, sql: string): void {
  device.sql(`PRAGMA foreign_keys = OFF; BEGIN; UPDATE _sync_apply_state SET apply_mode = 1; ${sql};
    UPDATE _sync_apply_state SET apply_mode = 0; COMMIT; PRAGMA foreign_keys = ON`);
}

const ALL = 'SELECT id, name, age FROM users ORDER BY id';
const STATE = 'SELECT key_json, row_version, deleted FROM _sync_row_state ORDER BY table_name, key_json';
const dump = (device: Device) => ({ users: device.rows(ALL), state: device.rows(STATE) });

describe('verify', () => {
  it('finds every kind of value equal on two devices, without downloading a row', async () => {
    const { device, user } = await attached(newUser());
    device.sql(`INSERT INTO users VALUES ('<&>"\\\u2028😀', 'n', 9007199254740993), ('é', 'm', NULL);
      INSERT INTO posts VALUES (X'0123456789ABCDEF0123456789ABCDEF', 'é', 'tab\tline\n', 1.7976931348623157e308, '1250.50', X'00FF10',
        '{"b":[1.50,9007199254740993,{"zz":1,"y":"é"}],"aa":null,"😀":true,"ｱ":false}', 1, '2026-03-24T18:42:11.12+00:00');
      INSERT INTO posts VALUES (X'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'é', NULL, 5e-324, '1e3', X'', NULL, 0, '2026-03-24 18:42:11');
      INSERT INTO posts VALUES (X'BBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'é', 'x', -0.0, NULL, NULL, '"text"', NULL, NULL)`);
    await device.client.sync();
    const expected = {
      bundleSeq: 1n,
      isEqual: true,
      tables: [
        { table: 'users', rowCount: 2, unsentRowCount: 0, differences: [], orphanStateCount: 0 },
        { table: 'posts', rowCount: 3, unsentRowCount: 0, differences: [], orphanStateCount: 0 },
      ],
    };
    expect(await device.client.verify()).toEqual(expected);
    const second = await attached(user);
    expect(await second.device.client.verify()).toEqual(expected);
    expect(second.network.requests).toEqual(['capabilities', 'pull', 'verify', 'verify']);
  });

  it('narrows to the few rows that differ: a missing, an extra and a changed row, a wrong and a missing row state', async () => {
    const { device, network } = await withUsers(20_000);
    const before = dump(device);
    corrupt(
      device,
      `DELETE FROM users WHERE id = 'u000100'; INSERT INTO users VALUES ('u005000x', 'extra', -1);
       UPDATE users SET name = 'changed' WHERE id = 'u010000';
       UPDATE _sync_row_state SET row_version = row_version + 7 WHERE key_json LIKE '%u015000%';
       UPDATE _sync_row_state SET deleted = 1 WHERE key_json LIKE '%u019000%'`,
    );
    const report = await device.client.verify({ tables: ['users'] });
    expect(report).toMatchObject({ isEqual: false, tables: [{ table: 'users', rowCount: 20_000 }] });
    const damaged = ['u000100', 'u005000x', 'u010000', 'u015000', 'u019000'];
    const ranges = report.tables[0]?.differences ?? [];
    expect(ranges.map(({ after = '', through = '~' }) => damaged.filter((id) => id > after && id <= through))).toEqual(
      damaged.map((id) => [id]),
    );
    expect(ranges.map(({ localRowCount, serverRowCount }) => localRowCount - serverRowCount)).toEqual([-1, 1, 0, 0, 0]);
    expect(network.count('verify')).toBe(2);
    const repaired = await device.client.repair({ tables: ['users'] });
    expect(repaired).toMatchObject({ writtenRowCount: 4, deletedRowCount: 1, quarantined: [] });
    expect(repaired.fetchedRowCount).toBe(ranges.reduce((sum, range) => sum + range.serverRowCount, 0));
    expect(network.repairedRows).toBe(repaired.fetchedRowCount);
    expect(repaired.fetchedRowCount).toBeLessThan(5 * 256);
    expect(network.count('verify/rows')).toBe(5);
    expect(dump(device)).toEqual(before);
    expect(await device.client.verify()).toMatchObject({ isEqual: true });
  });

  it('leaves unsent rows out, on both sides, and a repair does not touch them', async () => {
    const { device } = await withUsers(2000);
    device.sql(`UPDATE users SET name = 'mine' WHERE id = 'u000007'; DELETE FROM users WHERE id = 'u000008';
      INSERT INTO users VALUES ('u9', 'new', NULL)`);
    expect(await device.client.verify({ tables: ['users'] })).toMatchObject({
      isEqual: true,
      tables: [{ rowCount: 1998, unsentRowCount: 3, differences: [] }],
    });
    corrupt(device, "UPDATE users SET name = 'changed' WHERE id = 'u000009'");
    expect(await device.client.repair()).toMatchObject({ writtenRowCount: 1, deletedRowCount: 0 });
    expect(device.rows("SELECT id, name FROM users WHERE id IN ('u000007', 'u000008', 'u000009', 'u9') ORDER BY id")).toEqual([
      { id: 'u000007', name: 'mine' },
      { id: 'u000009', name: 'name 9' },
      { id: 'u9', name: 'new' },
    ]);
    expect((await device.client.sync()).push).toMatchObject({ outcome: 'committed', bundles: [{ rowCount: 3 }], conflicts: [] });
    expect(await device.client.verify()).toMatchObject({ isEqual: true });
  });

  it('repairs rows that exchanged a unique value, parents with their children, and an emptied table', async () => {
    const { device, user } = await withUsers(600);
    device.sql(`INSERT INTO posts(id, user_id, body) SELECT randomblob(16), id, 'post' FROM users WHERE age <= 50`);
    await device.client.sync();
    const before = { ...dump(device), posts: device.rows('SELECT hex(id) AS id, user_id FROM posts ORDER BY id') };
    corrupt(
      device,
      `UPDATE users SET age = -1 WHERE id = 'u000001'; UPDATE users SET age = 1 WHERE id = 'u000002'; UPDATE users SET age = 2 WHERE id = 'u000001';
       DELETE FROM posts WHERE user_id = 'u000003'; DELETE FROM users WHERE id = 'u000003'`,
    );
    await device.client.repair();
    expect({ ...dump(device), posts: device.rows('SELECT hex(id) AS id, user_id FROM posts ORDER BY id') }).toEqual(before);
    corrupt(device, 'DELETE FROM posts; DELETE FROM users; DELETE FROM _sync_row_state');
    const repaired = await device.client.repair();
    expect(repaired).toMatchObject({ fetchedRowCount: 650, writtenRowCount: 650, deletedRowCount: 0 });
    expect(dump(device)).toEqual({ users: before.users, state: before.state });
    const other = await attached(user);
    expect(await other.device.client.verify()).toMatchObject({ isEqual: true });
  });

  it('forgets row states of rows that are nowhere', async () => {
    const { device } = await withUsers(3);
    corrupt(
      device,
      `INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version) VALUES ('business', 'users', '{"id":"ghost"}', 1)`,
    );
    expect(await device.client.verify({ tables: ['users'] })).toMatchObject({
      isEqual: false,
      tables: [{ orphanStateCount: 1 }],
    });
    expect(await device.client.repair()).toMatchObject({ fetchedRowCount: 0 });
    expect(await device.client.verify()).toMatchObject({ isEqual: true });
  });

  it('starts again when the server commits meanwhile, and sees through writes of the application', async () => {
    const { device, network, user } = await withUsers(500);
    const other = await attached(user);
    network.before = {
      path: '/sync/verify',
      run: async () => {
        other.device.sql("UPDATE users SET name = 'theirs' WHERE id = 'u000001'");
        await other.device.client.sync();
      },
    };
    expect(await device.client.verify()).toMatchObject({ isEqual: true, bundleSeq: 2n });
    expect(network.count('pull')).toBeGreaterThanOrEqual(2);
    network.before = {
      path: '/sync/verify',
      run: async () => device.sql("UPDATE users SET name = 'while verifying' WHERE id = 'u000002'"),
    };
    expect(await device.client.verify()).toMatchObject({ isEqual: true });
  });

  it('is not supported by a server without the feature, and says so before anything else', async () => {
    const { device, network } = await withUsers(1);
    network.hidesVerification = true;
    await expect(device.client.verify()).rejects.toMatchObject({
      code: 'not_supported',
      operation: 'verify',
      details: { feature: 'range_verification' },
    });
    await expect(device.client.repair()).rejects.toMatchObject({ code: 'not_supported', operation: 'repair' });
    expect(network.requests).toEqual(['capabilities', 'capabilities']);
  });

  it('refuses unknown tables and a database that nobody is attached to', async () => {
    const { device } = await withUsers(1);
    await expect(device.client.verify({ tables: ['nope'] })).rejects.toMatchObject({ code: 'invalid_argument' });
    const fresh = await world.openDevice(newUser());
    await expect(fresh.client.verify()).rejects.toMatchObject({ code: 'attach_required' });
  });

  it.each([1, 2, 3, 4, 5, 6])(
    'repairs random damage around unsent rows, and both devices end with what the server has (seed %d)',
    async (seed) => {
      const user = newUser();
      const first = await attached(user);
      first.device.sql(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
      INSERT INTO users SELECT printf('u%03d', i), 'name ' || i, i FROM n;
      INSERT INTO posts(id, user_id, body, score) SELECT randomblob(16), id, 'post', age / 3.0 FROM users WHERE age % 3 = 0`);
      await first.device.client.sync();
      const { device } = await attached(user);
      const random = randomOf(seed);
      const someUser = (): string => `'u${String(1 + random(700)).padStart(3, '0')}'`;
      for (let count = 0; count < 12; count += 1) device.sql(randomEdit(random, someUser));
      for (let count = 0; count < 40; count += 1) corrupt(device, randomDamage(random, someUser, count));
      const unsent = device.rows('SELECT table_name, key_json, payload FROM _sync_dirty_rows ORDER BY 1, 2');
      await device.client.repair();
      expect(await device.client.verify()).toMatchObject({ isEqual: true });
      const kept = device.rows('SELECT table_name, key_json, payload FROM _sync_dirty_rows ORDER BY 1, 2');
      const aside = device.rows('SELECT table_name, key_json, payload FROM _oversync_quarantine ORDER BY 1, 2');
      expect(keysOf([...kept, ...aside])).toEqual(keysOf(unsent));
      expect(device.rows('PRAGMA foreign_key_check')).toEqual([]);
      await device.client.sync();
      for (const row of await device.client.quarantine.list()) await device.client.quarantine.discard(row);
      await device.client.sync();
      await first.device.client.sync();
      for (const { client } of [device, first.device]) expect(await client.verify()).toMatchObject({ isEqual: true });
      expect(device.rows(ALL)).toEqual(first.device.rows(ALL));
    },
  );
});

const keysOf = (rows: ReturnType<Device['rows']>): readonly string[] =>
  rows.map((row) => String(row['key_json'])).sort((a, b) => (a < b ? -1 : 1));

/** A small generator with a seed, so that a failing case can be repeated. */
function randomOf(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e37_79b9) >>> 0;
    return state % below;
  };
}

/** What the user does: unsent rows. */
function randomEdit(random: (below: number) => number, someUser: () => string): string {
  switch (random(5)) {
    case 0:
      return `INSERT INTO posts(id, user_id, body) SELECT randomblob(16), id, 'mine' FROM users WHERE id = ${someUser()}`;
    case 1:
      return `DELETE FROM posts WHERE user_id = ${someUser()}`;
    case 2:
      return `UPDATE posts SET body = 'mine' WHERE user_id = ${someUser()}`;
    case 3:
      return `DELETE FROM users WHERE id = ${someUser()}`;
    default:
      return `UPDATE users SET name = 'mine' WHERE id = ${someUser()}`;
  }
}

/** What happens behind the back of the client, to rows that hold nothing unsent. */
function randomDamage(random: (below: number) => number, someUser: () => string, count: number): string {
  const isSent =
    "NOT EXISTS (SELECT 1 FROM _sync_dirty_rows d WHERE d.table_name = 'users' AND d.key_json = json_object('id', users.id))";
  const key = `json_object('id', ${someUser()})`;
  switch (random(7)) {
    case 0:
      return `DELETE FROM users WHERE id = ${someUser()} AND ${isSent}`;
    case 1:
      return `INSERT OR IGNORE INTO users VALUES ('x${count}', 'extra', ${10_000 + count})`;
    case 2:
      return `UPDATE users SET name = 'damaged', age = NULL WHERE id = ${someUser()} AND ${isSent}`;
    case 3:
      return `UPDATE _sync_row_state SET row_version = row_version + 1 WHERE table_name = 'users' AND key_json = ${key}
        AND NOT EXISTS (SELECT 1 FROM _sync_dirty_rows d WHERE d.key_json = _sync_row_state.key_json)`;
    case 4:
      return `DELETE FROM _sync_row_state WHERE table_name = 'users' AND key_json = ${key}
        AND NOT EXISTS (SELECT 1 FROM _sync_dirty_rows d WHERE d.key_json = _sync_row_state.key_json)`;
    case 5:
      return `DELETE FROM posts WHERE user_id = ${someUser()}
        AND NOT EXISTS (SELECT 1 FROM _sync_dirty_rows d WHERE d.key_json = json_object('id', lower(hex(posts.id))))`;
    default:
      return `UPDATE posts SET score = score + 1, user_id = 'x${count}' WHERE user_id = ${someUser()}
        AND NOT EXISTS (SELECT 1 FROM _sync_dirty_rows d WHERE d.key_json = json_object('id', lower(hex(posts.id))))`;
  }
}
