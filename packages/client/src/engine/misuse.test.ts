/** Servers, proxies and disks that misbehave: every call ends in a result or a `SyncError`, and the device comes into step afterwards. */
import { DatabaseSync } from 'node:sqlite';

import { isSyncError } from '@oversync/protocol';
import { describe, expect, it } from 'vitest';

import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import { EDITS, EDITED, failing, inStep } from './test-crash-steps.ts';
import { CrashWorld, settle } from './test-crash-world.ts';

/** What stands in the way of an answer. Each gets the true one. */
const DISTURBANCES: Readonly<Record<string, (answer: Response) => Response | Promise<Response>>> = {
  'a page of HTML with status 200': () => html(200),
  'a page of HTML with status 502': () => html(502),
  'a page of HTML with status 403': () => html(403),
  'a redirect': () => new Response(null, { status: 302, headers: { Location: 'https://elsewhere.test/login' } }),
  'status 204': () => new Response(null, { status: 204 }),
  'an empty body': () => new Response('', { status: 200 }),
  'half of the body': async (answer) => {
    const text = await answer.text();
    return new Response(text.slice(0, Math.floor(text.length / 2)), { status: answer.status, headers: answer.headers });
  },
  'a list': () => new Response('[]', { status: 200 }),
  null: () => new Response('null', { status: 200 }),
  'an empty object': () => new Response('{}', { status: 200 }),
  'the body twice': async (answer) => {
    const text = await answer.text();
    return new Response(text + text, { status: answer.status });
  },
  'a byte order mark': async (answer) => new Response(`\uFEFF${await answer.text()}`, { status: answer.status }),
  'broken UTF-8': () => new Response(new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]), { status: 200 }),
  'deep nesting': () => new Response(`{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, { status: 200 }),
  'a server error without a body': () => new Response(null, { status: 500 }),
  'too many requests, to be repeated after nonsense': () =>
    new Response('slow down', { status: 429, headers: { 'Retry-After': 'Wed, 21 Oct 2015 07:28:00 GMT' } }),
  'another encoding': async (answer) =>
    new Response(await answer.text(), { status: answer.status, headers: { 'Content-Encoding': 'zstd' } }),
  'escapes that are none, in names': async (answer) =>
    new Response((await answer.text()).replaceAll('"id":', '"i\\xd":'), { status: answer.status }),
  'escapes that are none, in values': async (answer) =>
    new Response((await answer.text()).replaceAll(/:"(\w)/g, ':"\\x$1'), { status: answer.status }),
  'numbers as strings': async (answer) =>
    new Response((await answer.text()).replaceAll(/:(\d+)/g, ':"$1"'), { status: answer.status }),
  'counters with a fraction': async (answer) =>
    new Response((await answer.text()).replaceAll(/:(\d+)/g, ':$1.0'), { status: answer.status }),
};

function html(status: number): Response {
  return new Response('<!doctype html><title>Sign in to the Wi-Fi</title>', { status, headers: { 'Content-Type': 'text/html' } });
}

const OPERATIONS =
  'capabilities push_session_create push_session_chunk push_session_commit committed_rows pull snapshot_session_create snapshot_chunk snapshot_session_delete'.split(
    ' ',
  );

/** What the device does while the server misbehaves: a push, a pull and a rebuild. */
async function work(client: SyncClient): Promise<void> {
  for (const call of [() => client.sync(), () => client.rebuild()]) {
    await call().catch((error: unknown) => {
      expect(isSyncError(error), error instanceof Error ? error.stack : '').toBe(true);
    });
  }
}

async function expectInStep(world: CrashWorld, client: SyncClient): Promise<void> {
  await settle(world, client);
  for (const row of await client.quarantine.list()) await client.quarantine.retry(row);
  await settle(world, client);
  expect(world.list("SELECT id || '=' || name FROM users WHERE id <> 'peer' ORDER BY id")).toEqual(EDITED);
  expect(world.rowsOf('users')).toEqual(world.server.rowsOf('users'));
  expect(world.list('PRAGMA integrity_check')).toEqual(['ok']);
}

describe('an answer that is none', () => {
  it.each(Object.keys(DISTURBANCES))('%s, in the place of any answer, loses nothing', async (name) => {
    const disturb = DISTURBANCES[name];
    if (disturb === undefined) throw new Error('no disturbance');
    for (const operation of OPERATIONS) {
      const world = new CrashWorld();
      try {
        world.server.effect = (row) => (row['body'] === undefined ? row : { ...row, body: 'changed, so that rows are fetched' });
        await inStep(world, () => Promise.resolve(world.sql(EDITS)));
        world.server.write([{ table: 'users', id: 'peer', payload: { id: 'peer', name: 'peer' } }]);
        const client = world.open();
        await client.open();
        await client.attach(world.userId);
        let disturbed = 0;
        world.server.override(
          operation,
          async (_request, answer) => {
            disturbed += 1;
            return disturb(await answer());
          },
          2,
        );
        await work(client).catch((cause: unknown) => {
          throw new Error(`${operation}: ${String(cause)}`, { cause });
        });
        expect([operation, disturbed > 0]).toEqual([operation, true]);
        world.server.forgetOverrides();
        await expectInStep(world, client);
        await client.close();
      } finally {
        world.close();
      }
    }
  });
});

describe('a disk that is full', () => {
  it('fails calls with storage_failed, keeps what was written, and goes on when there is space again', async () => {
    const failures = new Set<string>();
    for (let spare = 0; spare <= 60; spare += 3) {
      const world = new CrashWorld();
      try {
        await inStep(world, () => Promise.resolve(world.sql(EDITS)));
        const rows = Array.from({ length: 200 }, (_, index) => ({ id: `big-${index}`, name: 'x'.repeat(500) }));
        world.server.write(rows.map((payload) => ({ table: 'users', id: payload.id, payload })));
        world.options = { downloadLimit: 1000, applyBatchRows: 1000, snapshotChunkRows: 1000, snapshotApplyBatchRows: 1000 };
        const client = world.open();
        await client.open();
        await client.attach(world.userId);
        const pages = Number(world.list('PRAGMA page_count')[0]) + spare;
        world.sql(`PRAGMA max_page_count = ${pages}`);
        await client.sync().catch((error: unknown) => {
          if (!isSyncError(error)) throw error;
          failures.add(error.code);
        });
        expect(world.list('PRAGMA integrity_check')).toEqual(['ok']);
        world.sql('PRAGMA max_page_count = 1073741823');
        await settle(world, client);
        expect(world.rowsOf('users')).toEqual(world.server.rowsOf('users'));
        expect(world.list("SELECT id || '=' || name FROM users WHERE id NOT LIKE 'big%' ORDER BY id")).toEqual(EDITED);
        await client.close();
      } finally {
        world.close();
      }
    }
    expect([...failures]).toEqual(['storage_failed']);
  });
});

describe('a file that cannot be written', () => {
  it('is refused by open, and stays as it was', async () => {
    const world = new CrashWorld();
    try {
      await inStep(world);
      const [path = ''] = world.list('SELECT file FROM pragma_database_list');
      const database = new DatabaseSync(path, { readOnly: true });
      const client = createSyncClient({
        driver: createNodeSqliteDriver(database),
        baseUrl: 'https://sync.test',
        headers: () => ({}),
        schema: 'main',
        tables: [
          { tableName: 'users', syncKeyColumnName: 'id' },
          { tableName: 'posts', syncKeyColumnName: 'id' },
        ],
      });
      await expect(client.open()).rejects.toMatchObject({ code: 'storage_failed', operation: 'open' });
      await failing(client.sync());
      await client.close();
      database.close();
      const next = world.open();
      expect(await next.open()).toMatchObject({ binding: 'attached' });
      await next.close();
    } finally {
      world.close();
    }
  });
});
