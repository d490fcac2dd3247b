import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { sqliteDriverChecks } from '../testing/index.ts';
import { createNodeSqlite3WasmDriver } from './node-sqlite3-wasm.ts';

describe('node-sqlite3-wasm keeps the contract of drivers', () => {
  for (const check of sqliteDriverChecks) {
    test(`[T119] ${check.name}`, async () => {
      const driver = createNodeSqlite3WasmDriver(':memory:');
      await expect(check.run(driver)).resolves.toBeUndefined();
      driver.close();
    });
  }
});

describe('files of node-sqlite3-wasm', () => {
  let folder = '';
  beforeEach(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'oversync-driver-')));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('have the id of their real path', async () => {
    const file = createNodeSqlite3WasmDriver(join(folder, 'app.db'));
    await file.exec('CREATE TABLE t (a)');
    symlinkSync(join(folder, 'app.db'), join(folder, 'link.db'));
    const link = createNodeSqlite3WasmDriver(join(folder, 'link.db'));
    expect(await link.databaseId()).toBe(join(folder, 'app.db'));
    expect(await file.databaseId()).toBe(await link.databaseId());
    file.close();
    link.close();
  });

  test('are freed from the lock of a dead process, but not while somebody else has them open', async () => {
    mkdirSync(join(folder, 'app.db.lock'));
    const first = createNodeSqlite3WasmDriver(join(folder, 'app.db'));
    expect(existsSync(join(folder, 'app.db.lock'))).toBe(false);
    await first.exec('CREATE TABLE t (a)');
    mkdirSync(join(folder, 'app.db.lock'));
    const second = createNodeSqlite3WasmDriver(join(folder, 'app.db'));
    expect(existsSync(join(folder, 'app.db.lock'))).toBe(true);
    await second.exec('PRAGMA busy_timeout = 0');
    await expect(second.all('SELECT a FROM t')).rejects.toMatchObject({ kind: 'busy' });
    first.close();
    second.close();
    createNodeSqlite3WasmDriver(join(folder, 'app.db')).close();
    expect(existsSync(join(folder, 'app.db.lock'))).toBe(false);
  });

  test('a text that SQLite would cut off is refused', async () => {
    const driver = createNodeSqlite3WasmDriver(':memory:');
    await expect(driver.all('SELECT ?', ['a\0b'])).rejects.toMatchObject({ kind: 'misuse' });
    expect(await driver.all('SELECT ?', ['a'])).toEqual([['a']]);
    driver.close();
  });
});
