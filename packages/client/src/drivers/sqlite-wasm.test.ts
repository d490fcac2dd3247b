import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import { describe, expect, test, vi } from 'vitest';

import { sqliteDriverChecks } from '../testing/index.ts';
import { createSqliteWasmDriver } from './sqlite-wasm.ts';

const sqlite3 = await sqlite3InitModule();

describe('the official WASM build keeps the contract of drivers', () => {
  for (const check of sqliteDriverChecks) {
    test(`[T119] ${check.name}`, async () => {
      const driver = createSqliteWasmDriver({ sqlite3 });
      await expect(check.run(driver)).resolves.toBeUndefined();
      driver.close();
    });
  }
});

describe('the connection behind the driver', () => {
  test('may be handed in, stays open, and tells its file system in the id', async () => {
    const database = new sqlite3.oo1.DB('/worker.db', 'c');
    const driver = createSqliteWasmDriver({ sqlite3, database });
    expect(await driver.databaseId()).toMatch(/^[\w-]+:\/worker\.db$/);
    expect(await createSqliteWasmDriver({ sqlite3, database, databaseId: 'mine' }).databaseId()).toBe('mine');
    await driver.exec('CREATE TABLE t (a)');
    driver.close();
    expect(database.selectValue('SELECT count(*) FROM t')).toBe(0);
    database.close();
    expect(await createSqliteWasmDriver({ sqlite3 }).databaseId()).not.toBe(
      await createSqliteWasmDriver({ sqlite3 }).databaseId(),
    );
  });

  test('writes nothing to the console for rows that do not fit', async () => {
    const spy = vi.spyOn(console, 'error').mockReturnValue();
    const driver = createSqliteWasmDriver({ sqlite3 });
    await driver.exec('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL)');
    await expect(driver.run('INSERT INTO t VALUES (NULL)')).rejects.toMatchObject({ kind: 'not_null' });
    await expect(driver.exec('INSERT INTO t VALUES (NULL)')).rejects.toMatchObject({ kind: 'not_null' });
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
    driver.close();
  });

  test('brings the ports that it was given', () => {
    const lock = { acquire: () => Promise.resolve(null) };
    expect(createSqliteWasmDriver({ sqlite3, platform: { lock } }).platform).toEqual({ lock });
    expect(createSqliteWasmDriver({ sqlite3 }).platform).toBeUndefined();
  });
});
