import { mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { afterEach, describe, expect, test } from 'vitest';

import { SqliteFault } from '../ports/sqlite-fault.ts';
import { sqliteDriverChecks } from '../testing/index.ts';
import { createNodeSqliteDriver } from './node-sqlite.ts';

describe('node:sqlite keeps the contract of drivers', () => {
  for (const check of sqliteDriverChecks) {
    test(`[T119] ${check.name}`, async () => {
      const driver = createNodeSqliteDriver(':memory:');
      await expect(check.run(driver)).resolves.toBeUndefined();
      driver.close();
    });
  }
});

describe('the driver of node:sqlite', () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  test('the id of a file is its path without symlinks', async () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'oversync-driver-')));
    folders.push(folder);
    const first = createNodeSqliteDriver(join(folder, 'app.db'));
    await first.exec('CREATE TABLE t (a)');
    symlinkSync(join(folder, 'app.db'), join(folder, 'link.db'));
    const second = createNodeSqliteDriver(join(folder, 'link.db'));
    expect(await second.databaseId()).toBe(join(folder, 'app.db'));
    expect(await first.databaseId()).toBe(await second.databaseId());
    first.close();
    second.close();
  });

  test('memory databases have ids of their own; a connection that was handed in stays open', async () => {
    const database = new DatabaseSync(':memory:');
    const driver = createNodeSqliteDriver(database);
    expect(await driver.databaseId()).not.toBe(await createNodeSqliteDriver(':memory:').databaseId());
    expect(await createNodeSqliteDriver(database).databaseId()).toBe(await driver.databaseId());
    driver.close();
    expect(database.isOpen).toBe(true);
  });

  test('a locked database is reported as busy', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oversync-driver-'));
    folders.push(folder);
    const one = createNodeSqliteDriver(join(folder, 'app.db'));
    const two = createNodeSqliteDriver(join(folder, 'app.db'));
    await two.exec('PRAGMA busy_timeout = 0');
    await one.transaction('immediate', async () => {
      await expect(two.transaction('immediate', () => Promise.resolve())).rejects.toMatchObject({ kind: 'busy' });
    });
    await two.transaction('immediate', () => Promise.resolve());
    one.close();
    two.close();
  });

  test('a call on the driver from inside its own transaction is refused instead of waiting for ever', async () => {
    const driver = createNodeSqliteDriver(':memory:');
    await driver.transaction('immediate', async () => {
      await expect(driver.all('SELECT 1')).rejects.toBeInstanceOf(SqliteFault);
    });
    expect(await driver.all('SELECT 1')).toEqual([[1n]]);
  });
});
