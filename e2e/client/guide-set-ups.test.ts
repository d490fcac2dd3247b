/** Compiles the blocks of the client's pages that are not marked `ts run`, and runs those about drivers and typed tables. */
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createSyncClient } from '@oversync/client';
import type { SyncClient, SyncClientOptions } from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { compileGuides } from '../guides/compile-guides.ts';
import { findBlocks, ROOT } from '../guides/guide-blocks.ts';
import type { GuideBlock } from '../guides/guide-blocks.ts';
import { runBlock } from '../guides/run-guide.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

/** What the blocks find beside their own imports. */
const KNOWN_TYPES = `
import type { SqliteDriver, SyncClient, SyncClientOptions } from '@oversync/client';
declare global {
  const createSyncClient: typeof import('@oversync/client').createSyncClient;
  const isSyncError: typeof import('@oversync/client').isSyncError;
  const latestBy: typeof import('@oversync/client').latestBy;
  const mergeColumns: typeof import('@oversync/client').mergeColumns;
  const releaseTablesForMigration: typeof import('@oversync/client').releaseTablesForMigration;
  const serverWins: typeof import('@oversync/client').serverWins;
  const sqlite3: Awaited<ReturnType<typeof import('@sqlite.org/sqlite-wasm').default>>;
  const createSqliteWasmDriver: typeof import('@oversync/client/sqlite-wasm').createSqliteWasmDriver;
  const driver: SqliteDriver;
  const client: SyncClient;
  const options: SyncClientOptions;
  const baseUrl: string;
  const headers: SyncClientOptions['headers'];
  const userId: string;
  const text: string;
  const rows: readonly Parameters<typeof import('@oversync/protocol').requestRowText>[0][];
  const getToken: (hint: { readonly refresh: boolean }) => Promise<string>;
  const signInAgain: () => Promise<void>;
  const report: (code: string, details: unknown) => void;
  const show: (rows: unknown) => void;
  const openMyDriver: () => Promise<SqliteDriver>;
  const test: (name: string, run: () => Promise<void>) => void;
}
`;

const PAGES = [...globSync('docs/guides/client/*.md', { cwd: ROOT }), 'packages/client/README.md', 'packages/protocol/README.md'];

function blocksOf(page: string): readonly GuideBlock[] {
  return findBlocks(
    readFileSync(join(ROOT, page), 'utf8')
      .replaceAll(/^```ts run\n[\s\S]*?^```$/gm, '')
      .replaceAll('```ts\n', '```ts run\n'),
  );
}

let world: World;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'oversync-guide-'));
  world = await openWorld(
    {},
    {
      name: 'notes',
      serverSql: `CREATE TABLE business.notes (
        _sync_scope_id text NOT NULL, id text NOT NULL, title text NOT NULL, stars int8 NOT NULL DEFAULT 0, updated_at text NOT NULL DEFAULT '',
        PRIMARY KEY (_sync_scope_id, id))`,
      deviceSql: '',
    },
  );
});
afterAll(async () => {
  await world.close();
  rmSync(folder, { recursive: true });
});

/** Names as they are, files in a folder of their own. */
const inFolder = ({ imports, body }: GuideBlock, name: string): GuideBlock => ({
  imports,
  body: body.replaceAll("'app.db'", `'${join(folder, name)}'`),
});

const optionsFor = (userId: string, driver: SyncClientOptions['driver']): SyncClientOptions => ({
  driver,
  baseUrl: world.url,
  headers: () => ({ Authorization: userId }),
  schema: 'business',
  tables: ['users', 'posts', 'notes'].map((tableName) => ({ tableName, syncKeyColumnName: 'id' })),
});

async function openClient(userId: string): Promise<{ readonly client: SyncClient; readonly options: SyncClientOptions }> {
  const driver = createNodeSqliteDriver(join(folder, `${userId}.db`));
  await driver.exec(`CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, age INTEGER);
    CREATE TABLE posts (id BLOB PRIMARY KEY NOT NULL, user_id TEXT NOT NULL);
    CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, stars INTEGER NOT NULL DEFAULT 0, updated_at TEXT NOT NULL DEFAULT '')`);
  const options = optionsFor(userId, driver);
  const client = createSyncClient(options);
  await client.open();
  await client.attach(userId);
  return { client, options };
}

test('the code of every page compiles under strict rules', () => {
  const files = new Map(
    PAGES.flatMap((page) =>
      blocksOf(page).map(({ imports, body }, index) => {
        const name = `${page.replaceAll(/[^\w]+/g, '-')}-${String(index + 1)}.ts`;
        return [name, `${imports}export async function run(): Promise<void> {\n${body}}\n`] as const;
      }),
    ),
  );
  expect(files.size).toBeGreaterThan(15);
  expect(compileGuides(files, KNOWN_TYPES)).toBe('');
  const wrong = new Map([['wrong.ts', `${[...files.values()][0] ?? ''}void driver.execute;`]]);
  expect(compileGuides(wrong, KNOWN_TYPES)).toContain("'execute' does not exist");
});

test('typed tables, Kysely and Drizzle: writes are captured, pushed, and seen by live queries', async () => {
  const { client, options } = await openClient('typed');
  const shown: unknown[] = [];
  const known = { ...options, client, show: (rows: unknown) => shown.push(rows) };
  const blocks = blocksOf('docs/guides/client/typed-api.md');
  expect(blocks.length).toBe(3);
  for (const block of blocks) await runBlock(block, known);
  await client.sync();
  expect(await world.query("SELECT title, stars FROM business.notes WHERE _sync_scope_id = 'typed'")).toEqual([
    { title: 'typed', stars: '1' },
    { title: 'typed', stars: '1' },
  ]);
  await expect.poll(() => shown.at(-1)).toEqual([['typed'], ['typed']]);
  await client.close();
});

test('drivers: each is opened as the page says, writes are captured, and the checks of a driver run', async () => {
  const { client, options } = await openClient('drivers');
  const checks: Promise<void>[] = [];
  const waiting: SyncClient[] = [];
  const known = {
    options,
    client,
    sqlite3: await sqlite3InitModule(),
    createSyncClient: (given: SyncClientOptions) => {
      waiting.push(createSyncClient(given));
      void client.close();
      return waiting[0];
    },
    openMyDriver: () => Promise.resolve(createNodeSqliteDriver(':memory:')),
    test: (_name: string, run: () => Promise<void>) => checks.push(run()),
  };
  const blocks = blocksOf('docs/guides/client/drivers.md');
  // A pool of files exists in browsers only.
  const running = blocks.filter(({ body }) => !body.includes('installOpfsSAHPoolVfs'));
  expect([blocks.length, running.length]).toEqual([8, 7]);
  for (const [index, block] of running.entries()) await runBlock(inFolder(block, `drivers-${String(index)}.db`), known);
  expect(await options.driver.all('SELECT title FROM notes')).toEqual([['second']]);
  expect(await waiting[0]?.pendingSyncStatus()).toMatchObject({ pendingRowCount: 1 });
  await waiting[0]?.close();
  expect(checks.length).toBeGreaterThan(10);
  await Promise.all(checks);
});
