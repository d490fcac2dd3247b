/** Runs and compiles the code of the client guides: every block marked `ts run`, in order, against a real server. */
import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { format } from 'node:util';
import { compileFunction } from 'node:vm';

import { createSyncClient, isSyncError, mergeColumns } from '@oversync/client';
import type { SyncClient, SyncClientOptions } from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { compileGuides } from '../guides/compile-guides.ts';
import { ROOT } from '../guides/guide-blocks.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const AGE = ', age INTEGER';

/** Guides whose blocks run. The others show set-ups that a test cannot have, or code that other suites run. */
const RUNNING = globSync('*.md', { cwd: join(ROOT, 'docs', 'guides', 'client') })
  .map((file) => file.replace(/\.md$/, ''))
  .filter((guide) => readBlocks(guide).length > 0)
  .sort();

/** What the blocks find, as declarations for a compiler. */
const KNOWN_TYPES = `
import type { SyncClient, SyncClientOptions } from '@oversync/client';
import type { DatabaseSync } from 'node:sqlite';
declare global {
  type ColumnMerge = import('@oversync/client').ColumnMerge;
  type ConflictSummary = import('@oversync/client').ConflictSummary;
  const database: DatabaseSync;
  const client: SyncClient;
  const openClient: (options?: Partial<SyncClientOptions>) => Promise<SyncClient>;
  const otherDevice: (sql: string) => Promise<void>;
  const until: (isSo: () => boolean | Promise<boolean>) => Promise<void>;
  const readName: (id: string) => string;
  const readAge: (id: string) => string;
  const mergeColumns: typeof import('@oversync/client').mergeColumns;
  const isSyncError: typeof import('@oversync/client').isSyncError;
}
`;

function readGuide(guide: string): string {
  return readFileSync(join(ROOT, 'docs', 'guides', 'client', `${guide}.md`), 'utf8');
}

function readBlocks(guide: string): readonly string[] {
  return [...readGuide(guide).matchAll(/^```ts run\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');
}

/** What a page says that its code prints: the blocks of text behind the word `prints`. */
function readOutput(guide: string): string {
  return [...readGuide(guide).matchAll(/^prints\n\n```text\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '').join('');
}

/** What the blocks of a guide print. */
async function runGuide(guide: string): Promise<string> {
  const user = `guide-${guide}`;
  const other = await world.openDevice(user);
  other.sql("INSERT INTO users VALUES ('u1', 'Ada', 36), ('u2', 'Eve', 41)");
  await other.client.attach(user);
  await other.client.sync();
  const database = new DatabaseSync(':memory:');
  database.exec(`CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL${guide === 'schema-changes' ? '' : AGE});
    CREATE TABLE posts (id BLOB PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE)`);
  const driver = createNodeSqliteDriver(database);
  const newClient = (options: Partial<SyncClientOptions> = {}): SyncClient =>
    createSyncClient({
      driver,
      baseUrl: world.url,
      headers: () => ({ Authorization: user }),
      schema: 'business',
      tables: [
        { tableName: 'users', syncKeyColumnName: 'id' },
        { tableName: 'posts', syncKeyColumnName: 'id' },
      ],
      ...options,
    });
  const openClient = async (options: Partial<SyncClientOptions> = {}): Promise<SyncClient> => {
    const client = newClient(options);
    await client.open();
    await client.attach(user);
    return client;
  };
  const isAboutOperations = guide === 'operations';
  if (!isAboutOperations) await (await openClient()).close();
  const printed: string[] = [];
  const read = (column: string) => (id: string) =>
    String(Object.values(database.prepare(`SELECT ${column} FROM users WHERE id = ?`).get(id) ?? { none: 'nothing' })[0]);
  const known = {
    database,
    openClient,
    ...(isAboutOperations ? { client: newClient() } : guide === 'background-sync' ? { client: await openClient() } : {}),
    mergeColumns,
    isSyncError,
    readName: read('name'),
    readAge: read('age'),
    otherDevice: async (sql: string) => {
      await other.client.sync();
      other.sql(sql);
      await other.client.sync();
    },
    until: async (isSo: () => boolean | Promise<boolean>) => {
      while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    console: { log: (...values: unknown[]) => printed.push(`${format(...values)}\n`) },
  };
  // Later blocks use the names of earlier ones, so a guide is one function.
  const code = `return (async () => {${stripTypeScriptTypes(readBlocks(guide).join('\n'))}})()`;
  const run: unknown = compileFunction(code, Object.keys(known)).call(undefined, ...Object.values(known));
  await run;
  return printed.join('');
}

test.each(RUNNING)('the code of the guide %s runs and prints what it says', async (guide) => {
  expect(await runGuide(guide)).toBe(readOutput(guide));
});

test('the code of every guide compiles under strict rules, and a fault in it would be found', () => {
  const toModule = (body: string): string => `export async function run(): Promise<void> {\n${body}}\n`;
  const files = new Map(RUNNING.map((guide) => [`${guide}.ts`, toModule(readBlocks(guide).join('\n'))] as const));
  expect(files.size).toBeGreaterThan(6);
  expect(compileGuides(files, KNOWN_TYPES)).toBe('');
  const wrong = new Map([['wrong.ts', toModule('await client.synch();\n')]]);
  expect(compileGuides(wrong, KNOWN_TYPES)).toContain("'synch' does not exist");
});
