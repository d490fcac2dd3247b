import { describe, expect, test } from 'vitest';

import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import { writeLocally } from './local-write.ts';
import { TableChanges } from './table-changes.ts';
import type { TableChange } from './table-changes.ts';
import { createChangeWorld } from './test-change-world.ts';

/** A database whose driver has no change hook. */
async function hookless() {
  const { driver, events } = createChangeWorld();
  await driver.exec(
    'CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE tags (id TEXT); CREATE TABLE _sync_dirty_rows (x)',
  );
  const plain: SqliteDriver = {
    databaseId: () => driver.databaseId(),
    exec: (sql) => driver.exec(sql),
    run: (sql, params) => driver.run(sql, params),
    all: (sql, params) => driver.all(sql, params),
    transaction: (mode, fn) => driver.transaction(mode, fn),
  };
  const managedTables = (): readonly string[] => ['notes'];
  const changes = new TableChanges({ driver: plain, events, channel: null, managedTables, onListenerError: () => undefined });
  const seen: TableChange[] = [];
  changes.subscribe((change) => seen.push(change));
  const write = <T>(fn: (tx: SqliteTx) => Promise<T>, tables?: readonly string[]): Promise<T> =>
    writeLocally({ driver: plain, changes, managedTables: managedTables(), fn, tables });
  return { seen, write };
}

describe('writes of the application without a change hook', () => {
  test('[T111] the tables are found from the statements and announced after the commit', async () => {
    const { seen, write } = await hookless();
    const result = await write(async (tx) => {
      await tx.run('INSERT INTO notes VALUES (?)', ['a']);
      await tx.all('SELECT * FROM tags');
      expect(seen).toEqual([]);
      return 7;
    });
    expect(result).toBe(7);
    expect(seen).toEqual([{ tables: ['notes'], origin: 'local' }]);
  });

  test('[T111] tables given by the caller are announced as they are; a script may have touched any', async () => {
    const { seen, write } = await hookless();
    await write((tx) => tx.exec("INSERT INTO tags VALUES ('a')"), ['Tags']);
    await write((tx) => tx.exec("INSERT INTO tags VALUES ('b')"));
    expect(seen.map((change) => change.tables)).toEqual([['tags'], ['notes', 'tags']]);
  });

  test('[T111] a write that fails is rolled back, passes its error on, and announces nothing', async () => {
    const { seen, write } = await hookless();
    const failure = new Error('mine');
    await expect(
      write(async (tx) => {
        await tx.run('INSERT INTO notes VALUES (?)', ['a']);
        throw failure;
      }),
    ).rejects.toBe(failure);
    expect(seen).toEqual([]);
  });
});
