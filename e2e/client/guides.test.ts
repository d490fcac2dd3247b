/** Runs the code of the guides about rows and their fate: every block marked `ts run`, in order, against a real server. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { compileFunction } from 'node:vm';

import { createSyncClient, mergeColumns } from '@oversync/client';
import type { SyncClient, SyncClientOptions } from '@oversync/client';
import { createNodeSqliteDriver } from '@oversync/client/node-sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const AGE = ', age INTEGER';

function readBlocks(guide: string): readonly string[] {
  const text = readFileSync(fileURLToPath(new URL(`../../docs/guides/client/${guide}.md`, import.meta.url)), 'utf8');
  return [...text.matchAll(/^```ts run\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');
}

/** What the blocks of a guide print. */
async function runGuide(guide: string): Promise<readonly string[]> {
  const user = `guide-${guide}`;
  const other = await world.openDevice(user);
  other.sql("INSERT INTO users VALUES ('u1', 'Ada', 36), ('u2', 'Eve', 41)");
  await other.client.attach(user);
  await other.client.sync();
  const database = new DatabaseSync(':memory:');
  database.exec(`CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL${guide === 'schema-changes' ? '' : AGE});
    CREATE TABLE posts (id BLOB PRIMARY KEY NOT NULL, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE)`);
  const openClient = async (options: Partial<SyncClientOptions> = {}): Promise<SyncClient> => {
    const client = createSyncClient({
      driver: createNodeSqliteDriver(database),
      baseUrl: world.url,
      headers: () => ({ Authorization: user }),
      schema: 'business',
      tables: [
        { tableName: 'users', syncKeyColumnName: 'id' },
        { tableName: 'posts', syncKeyColumnName: 'id' },
      ],
      ...options,
    });
    await client.open();
    await client.attach(user);
    return client;
  };
  await (await openClient()).close();
  const printed: string[] = [];
  const known = {
    database,
    mergeColumns,
    openClient,
    otherDevice: async (sql: string) => {
      await other.client.sync();
      other.sql(sql);
      await other.client.sync();
    },
    console: { log: (...values: unknown[]) => printed.push(values.map(formatValue).join(' ')) },
  };
  // Later blocks use the names of earlier ones, so a guide is one function.
  const code = `return (async () => {${stripTypeScriptTypes(readBlocks(guide).join('\n'))}})()`;
  const run: unknown = compileFunction(code, Object.keys(known)).call(undefined, ...Object.values(known));
  await run;
  return printed;
}

function formatValue(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

test.each([
  ['conflicts', ['{"name":"Ada L.","age":47}', 'Augusta / Countess keepMerged']],
  [
    'outcomes-and-quarantine',
    ['users u7: check', 'u7 rejected', 'u8 accepted', 'u7 check users_name_check local forbidden', '0 accepted'],
  ],
  ['schema-changes', ['{"name":"Ada L.","age":36}']],
  ['verify', ['true users 2, posts 0', 'false 1', '1 0 true']],
])('the code of the guide %s runs and prints what it says', async (guide, printed) => {
  expect(await runGuide(guide)).toEqual(printed);
});
