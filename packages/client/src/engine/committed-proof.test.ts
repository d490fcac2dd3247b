import type { JsonObject } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { createTestServer, openAttachedDevice } from './test-device.ts';
import type { TestDevice } from './test-device.ts';
import type { TestServer } from './test-server.ts';

const insertUsers = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_value, index) => `INSERT INTO users(id, name) VALUES ('u${from + index}', 'n');`).join(
    '',
  );

const FLAG = 'ALTER TABLE users ADD COLUMN flag';

/** A device whose bundles of more than two rows take several pages of committed rows. */
async function start(setup: Parameters<typeof openAttachedDevice>[1] = {}): Promise<{ server: TestServer; device: TestDevice }> {
  const server = createTestServer();
  const options = { downloadLimit: 2, applyBatchRows: 2, ...setup.options };
  return { server, device: await openAttachedDevice(server, { ...setup, options }) };
}

/** Pushes all there is and returns how many requests for committed rows that took. */
async function pushAll(server: TestServer, device: TestDevice): Promise<number> {
  const before = server.count('committed_rows');
  expect((await device.client.pushPending()).outcome).toBe('committed');
  expect(device.list('SELECT state FROM _sync_outbox_bundle')).toEqual(['none']);
  return server.count('committed_rows') - before;
}

const versions = (device: TestDevice): readonly string[] =>
  device.list(`SELECT key_json || ' ' || row_version || ' ' || deleted FROM _sync_row_state ORDER BY key_json`);

/** A server whose column is boolean. */
const asBoolean = (payload: JsonObject): JsonObject => {
  const { flag } = payload;
  return { ...payload, ...(flag === '1' || flag === '0' ? { flag: flag === '1' } : {}) };
};

describe('the own bundle, proved by its hash', () => {
  it('[T53] [I8] needs no committed rows where the server has changed nothing', async () => {
    const { server, device } = await start();
    device.sql(`${insertUsers(1, 5)} INSERT INTO posts VALUES ('p', 'u1', 'hello')`);
    expect(await pushAll(server, device)).toBe(0);
    device.sql(`DELETE FROM posts; DELETE FROM users WHERE id = 'u5'; UPDATE users SET name = 'new' WHERE id < 'u3'`);
    expect(await pushAll(server, device)).toBe(0);
    expect(versions(device)).toEqual([
      '{"id":"p"} 2 1',
      '{"id":"u1"} 2 0',
      '{"id":"u2"} 2 0',
      '{"id":"u3"} 1 0',
      '{"id":"u4"} 1 0',
      '{"id":"u5"} 2 1',
    ]);
    expect(await device.client.lastBundleSeqSeen()).toBe(2n);
    expect(device.list('SELECT name FROM users ORDER BY id')).toEqual(['new', 'new', 'n', 'n']);
    expect((await device.client.outcomes.list({ limit: 20 })).map(({ outcome }) => outcome)).toHaveLength(10);
  });

  it('[T53] is fetched where it fits a page', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 2));
    expect(await pushAll(server, device)).toBe(1);
  });

  it('is hashed again when others have written meanwhile', async () => {
    const { server, device } = await start();
    server.override('push_session_commit', (_request, answer) => {
      server.write([{ table: 'users', id: 'peer', payload: { id: 'peer', name: 'p' } }]);
      return answer();
    });
    device.sql(insertUsers(1, 3));
    expect(await pushAll(server, device)).toBe(0);
    expect(versions(device)[0]).toBe('{"id":"u1"} 2 0');
    expect(await device.client.lastBundleSeqSeen()).toBe(0n);
  });

  it('[T54] [T56] takes what a server made of the rows, all of it', async () => {
    const { server, device } = await start();
    server.effect = (payload) => (payload['id'] === 'u2' ? { ...payload, name: 'by the server' } : payload);
    device.sql(insertUsers(1, 5));
    expect(await pushAll(server, device)).toBe(3);
    expect(device.list('SELECT name FROM users ORDER BY id')).toEqual(['n', 'by the server', 'n', 'n', 'n']);
  });

  it('[I8] [T53] a commit that names another hash is not believed', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 3));
    server.override('push_session_commit', async (_request, answer) => {
      const body: unknown = await (await answer()).json();
      return Response.json({ ...Object(body), bundle_hash: '0'.repeat(64) });
    });
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'protocol_violation' });
    expect(server.count('committed_rows')).toBeGreaterThan(0);
    expect(device.list('SELECT state FROM _sync_outbox_bundle')).toEqual(['committed_remote']);
  });

  it('is tried ever less often where a server changes every push', async () => {
    const { server, device } = await start();
    server.effect = (payload) => ({ ...payload, name: 'changed' });
    const reads: number[] = [];
    const all = device.driver.all.bind(device.driver);
    device.driver.all = (sql, params) => {
      if (sql.includes('wire_key_json') && sql.includes('CAST(base_row_version AS TEXT)')) reads.push(1);
      return all(sql, params);
    };
    const readsOf = async (from: number): Promise<number> => {
      reads.length = 0;
      device.sql(insertUsers(from, from + 2));
      await pushAll(server, device);
      return reads.length;
    };
    const counts: number[] = [];
    for (let from = 100; from < 190; from += 10) counts.push(await readsOf(from));
    const least = Math.min(...counts);
    expect(counts.map((count) => count > least)).toEqual([true, true, false, true, false, false, false, true, false]);
    server.effect = (payload) => payload;
    for (let push = 0; push < 6; push += 1) expect(await readsOf(300 + 10 * push)).toBe(least);
    device.sql(insertUsers(900, 903));
    expect(await pushAll(server, device)).toBe(0);
  });

  it('[T54] knows a column that is declared boolean, and one that a fetched row shows to be', async () => {
    const declared = await start({ before: `${FLAG} BOOLEAN` });
    declared.server.effect = asBoolean;
    declared.device.sql(`${insertUsers(1, 5)} UPDATE users SET flag = id < 'u3'`);
    expect(await pushAll(declared.server, declared.device)).toBe(0);
    expect(declared.device.list('SELECT flag FROM users ORDER BY id')).toEqual(['1', '1', '0', '0', '0']);

    const learned = await start({ before: `${FLAG} INTEGER` });
    learned.server.effect = asBoolean;
    learned.device.sql(`${insertUsers(1, 5)} UPDATE users SET flag = id < 'u3'`);
    expect(await pushAll(learned.server, learned.device)).toBe(3);
    learned.device.sql('UPDATE users SET flag = 1 - flag');
    expect(await pushAll(learned.server, learned.device)).toBe(0);
  });

  it('learns that a server keeps numbers where booleans are declared', async () => {
    const { server, device } = await start({ before: `${FLAG} BOOLEAN` });
    device.sql(`${insertUsers(1, 5)} UPDATE users SET flag = 1`);
    expect(await pushAll(server, device)).toBe(3);
    device.sql('UPDATE users SET flag = 0');
    expect(await pushAll(server, device)).toBe(0);
  });

  it('[I9] tables with nested JSON are fetched: a hash takes their numbers as binary64', async () => {
    const tables = [
      { tableName: 'users', syncKeyColumnName: 'id', jsonColumns: ['name'] },
      { tableName: 'posts', syncKeyColumnName: 'id' },
    ];
    const { server, device } = await start({ options: { tables } });
    device.sql(`INSERT INTO users VALUES ('a', '{"n": 1}'), ('b', '[1]'), ('c', 'true')`);
    expect(await pushAll(server, device)).toBe(2);
  });

  it('[I14] goes on after a restart without a request for rows', async () => {
    const { server, device } = await start();
    device.sql(insertUsers(1, 5));
    const stopped = await device.restart({
      ports: {
        faultPoints: (point) => {
          if (point === 'replay.beforeTransaction') throw new Error('stopped');
        },
      },
    });
    await stopped.attach('user-1');
    await expect(stopped.pushPending()).rejects.toThrow('stopped');
    expect(device.list('SELECT state FROM _sync_outbox_bundle')).toEqual(['committed_remote']);
    device.sql("UPDATE users SET name = 'edited' WHERE id = 'u4'");
    const client = await device.restart({ ports: {} });
    await client.attach('user-1');
    expect(await pushAll(server, device)).toBe(0);
    expect(device.dirtyKeys()).toEqual(['{"id":"u4"}']);
    await device.client.pushPending();
    expect(server.rowsOf('users')['u4']).toEqual({ id: 'u4', name: 'edited' });
  });

  it('[I7] [T54] [T55] keeps what was edited, deleted or made during the upload', async () => {
    const { server, device } = await start();
    device.sql(`${insertUsers(1, 5)} DELETE FROM users WHERE id = 'none'`);
    await device.client.pushPending();
    device.sql("UPDATE users SET name = 'first'; DELETE FROM users WHERE id = 'u5'");
    server.override('push_session_commit', (_request, answer) => {
      device.sql("UPDATE users SET name = 'second' WHERE id = 'u1'; DELETE FROM users WHERE id = 'u2'");
      device.sql("INSERT INTO users VALUES ('u5', 'again')");
      return answer();
    });
    expect(await pushAll(server, device)).toBe(0);
    expect(
      device.list(`SELECT op || ' ' || key_json || ' ' || base_row_version FROM _sync_dirty_rows ORDER BY key_json`),
    ).toEqual(['UPDATE {"id":"u1"} 2', 'DELETE {"id":"u2"} 2', 'INSERT {"id":"u5"} 2']);
    await device.client.pushPending();
    expect(Object.values(server.rowsOf('users')).map((row) => row['name'])).toEqual(['second', 'first', 'first', 'again']);
  });
});
