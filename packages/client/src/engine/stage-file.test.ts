import { existsSync, rmSync, writeFileSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createSyncClient } from '../client.ts';
import { eagerClock } from '../ports/test-clock.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import type { SyncClientOptions } from './options.ts';
import { createTestServer, USER_TABLES } from './test-device.ts';
import { text } from './test-server.ts';
import { DeviceFolder, manyUsers } from './test-file-device.ts';
import type { FileDevice } from './test-file-device.ts';
import type { TestServer } from './test-server.ts';

let files = new DeviceFolder();

beforeEach(() => {
  files = new DeviceFolder();
});

afterEach(() => files.remove());

function filledServer(count = 5): TestServer {
  const server = createTestServer();
  server.write([...manyUsers(count), { table: 'posts', id: 'p', payload: { id: 'p', user_id: 'u1', body: 'é' } }]);
  return server;
}

async function opened(server: TestServer, name = 'app.db', options: Partial<SyncClientOptions> = {}): Promise<FileDevice> {
  const made = files.device(server, name, options);
  await made.client.open();
  return made;
}

const chunkRequests = (server: TestServer): number => server.count('snapshot_chunk');

/** Copies what a process leaves that dies at the first moment `isNow` holds; the process itself goes on. */
function remainsAt(source: FileDevice, name: string, isNow: (phase: string, rowsDone: number) => boolean): () => boolean {
  let isDone = false;
  source.client.subscribe((event) => {
    if (event.type !== 'progress' || isDone || !isNow(event.phase, event.rowsDone ?? -1)) return;
    isDone = true;
    const path = source.driver.database.location() ?? '';
    for (const suffix of ['', '-wal', '-oversync-stage'])
      if (existsSync(`${path}${suffix}`)) copyFileSync(`${path}${suffix}`, join(files.path, `${name}${suffix}`));
  });
  return () => isDone;
}

describe('a snapshot staged in a file', () => {
  it('is applied from there; neither file nor rows of a stage are left', async () => {
    const server = filledServer();
    const { client, driver, stageFile, list } = await opened(server);
    let sizes: readonly string[] = [];
    client.subscribe((event) => {
      if (event.type !== 'progress' || event.phase !== 'applying' || event.rowsDone !== 0) return;
      expect(existsSync(stageFile)).toBe(true);
      sizes = list('SELECT count(*) FROM _sync_snapshot_stage');
    });
    await client.attach('user-1');
    expect(sizes).toEqual(['0']);
    expect(list('SELECT id FROM users')).toEqual(['u0', 'u1', 'u2', 'u3', 'u4']);
    expect(list('SELECT count(*) FROM _sync_row_state')).toEqual(['6']);
    expect(existsSync(stageFile)).toBe(false);
    expect(await driver.all("SELECT 1 FROM pragma_database_list WHERE name = '_oversync_stage'")).toEqual([]);
    await client.close();
  });

  it('keeps unsent rows as the ordinary stage does', async () => {
    const server = filledServer();
    const results: unknown[] = [];
    for (const snapshotStage of ['file', 'database'] as const) {
      const { client, driver, list } = await opened(server, `${snapshotStage}.db`, { snapshotStage });
      await client.attach('user-1');
      driver.database.exec(
        "UPDATE users SET name = 'mine' WHERE id = 'u1'; DELETE FROM users WHERE id = 'u2'; INSERT INTO posts VALUES ('q', 'u3', 'b')",
      );
      await client.rebuild();
      results.push([
        list('SELECT id || name FROM users ORDER BY id'),
        list('SELECT key_json || op || base_row_version || COALESCE(payload, 0) FROM _sync_dirty_rows ORDER BY dirty_ordinal'),
        list('SELECT table_name || key_json || row_version || deleted FROM _sync_row_state ORDER BY 1'),
        list("SELECT name || sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"),
      ]);
      await client.close();
    }
    expect(results[0]).toEqual(results[1]);
  });

  it('[T89] refuses a key that comes twice, and changes nothing', async () => {
    const server = filledServer();
    const { client, list, stageFile } = await opened(server);
    await client.attach('user-1');
    server.override('snapshot_chunk', async (_request, answer) =>
      text(200, (await (await answer()).text()).replaceAll('u1', 'u0')),
    );
    await expect(client.rebuild()).rejects.toMatchObject({ code: 'protocol_violation', details: { reason: 'identity' } });
    expect(list('SELECT count(*) FROM users')).toEqual(['5']);
    expect(existsSync(stageFile)).toBe(false);
    await client.rebuild();
    await client.close();
  });

  it('takes back the rows of a chunk whose body broke off', async () => {
    const server = filledServer(900);
    const { client, list } = await opened(server, 'app.db', { snapshotChunkRows: 450, retryPolicy: { maxAttempts: 3 } });
    for (const share of [0.7, 0.99]) {
      server.override('snapshot_chunk', async (_request, answer) => {
        const bytes = new Uint8Array(await (await answer()).arrayBuffer());
        const body = new ReadableStream<Uint8Array>({
          start: (controller) => controller.enqueue(bytes.subarray(0, Math.floor(bytes.length * share))),
          pull: (controller) => controller.error(new TypeError('connection reset')),
        });
        return new Response(body, { status: 200 });
      });
    }
    await client.attach('user-1');
    const asked = server.seen.flatMap((request) => request.query['after_row_ordinal'] ?? []);
    expect(asked).toEqual(['0', '0', '450', '0', '450', '900']);
    expect(list('SELECT count(*) FROM users')).toEqual(['900']);
    await client.close();
  });

  it.each([
    ['complete', (phase: string, rowsDone: number) => phase === 'applying' && rowsDone === 0, 0],
    ['partial', (phase: string, rowsDone: number) => phase === 'staging' && rowsDone === 4, 3],
  ] as const)('[T32] [T101] after a kill a %s one is used whole or begun anew', async (_name, isNow, requests) => {
    const server = filledServer();
    const first = await opened(server);
    const isDone = remainsAt(first, 'next.db', isNow);
    server.override('snapshot_session_delete', () => new Response(null, { status: 204 }));
    await first.client.attach('user-1');
    expect(isDone()).toBe(true);
    await first.client.close();
    const before = chunkRequests(server);
    const next = await opened(server, 'next.db');
    expect(existsSync(next.stageFile)).toBe(requests === 0);
    await next.client.attach('user-1');
    expect(chunkRequests(server) - before).toBe(requests);
    expect(next.list('SELECT count(*) FROM users')).toEqual(['5']);
    expect(existsSync(next.stageFile)).toBe(false);
    await next.client.close();
  });

  it.each([
    ['gone', (path: string) => rmSync(path)],
    ['damaged', (path: string) => writeFileSync(path, 'x'.repeat(50_000))],
  ])('a complete one that is %s after a kill is downloaded again', async (_name, spoil) => {
    const server = filledServer();
    const first = await opened(server);
    remainsAt(first, 'next.db', (phase, rowsDone) => phase === 'applying' && rowsDone === 0);
    server.override('snapshot_session_delete', () => new Response(null, { status: 204 }));
    await first.client.attach('user-1');
    await first.client.close();
    const path = join(files.path, 'next.db-oversync-stage');
    spoil(path);
    const next = await opened(server, 'next.db');
    await next.client.attach('user-1');
    expect(next.list('SELECT count(*) FROM users')).toEqual(['5']);
    expect(existsSync(path)).toBe(false);
    await next.client.close();
  });

  it('goes into the database where the file cannot be made, or is not wanted', async () => {
    const server = filledServer();
    const refusing = (inner: SqliteDriver): SqliteDriver => ({
      databaseId: () => inner.databaseId(),
      exec: (sql) => inner.exec(sql),
      run: (sql, params) => (sql.startsWith('ATTACH') ? Promise.reject(new Error('no')) : inner.run(sql, params)),
      all: (sql, params) => inner.all(sql, params),
      transaction: (mode, fn) => inner.transaction(mode, fn),
      ...(inner.platform === undefined ? {} : { platform: inner.platform }),
    });
    for (const isRefused of [true, false]) {
      const plain = files.device(server, isRefused ? 'refused.db' : 'unwanted.db');
      const client = createSyncClient({
        driver: isRefused ? refusing(plain.driver) : plain.driver,
        baseUrl: 'https://sync.test',
        headers: () => ({}),
        schema: 'main',
        tables: USER_TABLES.map(({ table, key }) => ({ tableName: table, syncKeyColumnName: key })),
        snapshotChunkRows: 2,
        snapshotStage: isRefused ? 'file' : 'database',
        ports: { http: server.fetch, clock: eagerClock() },
      });
      await client.open();
      let staged: readonly string[] = [];
      client.subscribe((event) => {
        if (event.type === 'progress' && event.phase === 'applying' && event.rowsDone === 0)
          staged = plain.list('SELECT count(*) FROM _sync_snapshot_stage');
      });
      await client.attach('user-1');
      expect(staged).toEqual(['6']);
      expect(existsSync(plain.stageFile)).toBe(false);
      await client.close();
    }
  });

  it('leaves nothing of a process that died behind, once the database is opened', async () => {
    const server = filledServer();
    const { client, stageFile } = files.device(server, 'app.db');
    writeFileSync(stageFile, 'left');
    await client.open();
    expect(existsSync(stageFile)).toBe(false);
    await client.close();
  });
});
