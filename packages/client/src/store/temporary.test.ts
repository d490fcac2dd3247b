import { readdirSync, readlinkSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

import { expect, test } from 'vitest';

import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import { MEMORY_JOURNAL_DATABASE_BYTES_MAX } from '../limits.ts';
import type { LocalPragmas } from '../rules/local-schema.ts';
import { openLocalSchema } from './open-local-schema.ts';
import { countingRandom } from './test-local.ts';

const USERS = 'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL)';

/** Opens a database that `ddl` has prepared, and returns its connection. */
async function open(ddl: string, pragmas: Partial<LocalPragmas> = {}): Promise<DatabaseSync> {
  const database = new DatabaseSync(':memory:');
  database.exec(`${USERS}; ${ddl}`);
  const config = { schema: 'main', tables: [{ tableName: 'users', syncKeyColumnName: 'id' }], pragmas };
  await openLocalSchema(createNodeSqliteDriver(database), config, countingRandom());
  return database;
}

function tempStore(database: DatabaseSync): unknown {
  return database.prepare('PRAGMA temp_store').get()?.['temp_store'];
}

test('statement journals of a small database are in memory, the work tables in a temporary database', async () => {
  const database = await open('');
  expect(tempStore(database)).toBe(2);
  const attached = database.prepare('SELECT name, file FROM pragma_database_list ORDER BY seq').all();
  expect(attached).toContainEqual({ name: '_oversync_work', file: '' });
  database.exec(`INSERT INTO users(id) VALUES ('a')`);
  expect(database.prepare('SELECT count(*) AS n FROM _sync_dirty_rows').get()).toEqual({ n: 1 });
});

/** Temporary files of SQLite that this process has open. */
function openTemporaryFiles(): readonly string[] {
  const paths = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return paths.filter((path) => path.includes('etilqs'));
}

test.runIf(process.platform === 'linux')(
  'work tables that outgrow their cache go to a file, whatever the journals do',
  async () => {
    const database = await open('');
    const before = openTemporaryFiles();
    database.exec(`CREATE TABLE _oversync_work.pages (a); BEGIN;
    WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 5000) INSERT INTO pages SELECT randomblob(1000) FROM n; COMMIT`);
    expect(openTemporaryFiles().filter((path) => !before.includes(path))).toHaveLength(1);
  },
);

test('the journals of a large one are where the connection has them', async () => {
  expect(tempStore(await open(`CREATE TABLE large AS SELECT zeroblob(${MEMORY_JOURNAL_DATABASE_BYTES_MAX}) AS a`))).toBe(0);
});

test('temporary tables of the application stay', async () => {
  const database = await open('CREATE TEMP TABLE own AS SELECT 1 AS a');
  expect(tempStore(database)).toBe(0);
  expect(database.prepare('SELECT a FROM own').get()).toEqual({ a: 1 });
});

test('a setting of the connection stays, the option decides over it', async () => {
  expect(tempStore(await open('PRAGMA temp_store = FILE'))).toBe(1);
  expect(tempStore(await open('PRAGMA temp_store = FILE', { tempStore: 'memory' }))).toBe(2);
  expect(tempStore(await open('', { tempStore: 'file' }))).toBe(1);
});

test('opening again keeps the work tables and what is in memory', async () => {
  const database = await open('');
  const driver = createNodeSqliteDriver(database);
  database.exec('CREATE TEMP TABLE own AS SELECT 1 AS a');
  const config = { schema: 'main', tables: [{ tableName: 'users', syncKeyColumnName: 'id' }] };
  await openLocalSchema(driver, config, countingRandom());
  expect(tempStore(database)).toBe(2);
  expect(database.prepare('SELECT a FROM own').get()).toEqual({ a: 1 });
});
