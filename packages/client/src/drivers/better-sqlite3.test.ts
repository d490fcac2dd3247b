import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import Database from 'better-sqlite3';
import { describe, expect, test } from 'vitest';

import { sqliteDriverChecks } from '../testing/index.ts';
import { createBetterSqlite3Driver } from './better-sqlite3.ts';
import type { BetterSqlite3Driver } from './better-sqlite3.ts';

describe('better-sqlite3 keeps the contract of drivers', () => {
  for (const check of sqliteDriverChecks) {
    test(`[T119] ${check.name}`, async () => {
      const driver = createBetterSqlite3Driver(':memory:');
      await expect(check.run(driver)).resolves.toBeUndefined();
      driver.close();
    });
  }
});

describe('the connection behind the driver', () => {
  function listening(): {
    readonly driver: BetterSqlite3Driver;
    readonly database: Database.Database;
    readonly commits: string[];
  } {
    const database = new Database(':memory:');
    const driver = createBetterSqlite3Driver(database);
    database.exec('CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL)');
    const commits: string[] = [];
    driver.onCommit((tables) => commits.push(tables.join()));
    return { driver, database, commits };
  }

  test('[T111] direct statements, scripts and transactions of the package are announced after their commit', async () => {
    const { database, commits } = listening();
    const insert = database.prepare('INSERT INTO notes VALUES (?)');
    insert.run('a');
    database.exec("INSERT INTO notes VALUES ('b')");
    expect(commits).toEqual(['notes', 'notes']);
    const both = database.transaction((first: string, second: string) => {
      insert.run(first);
      insert.run(second);
      expect(commits.length).toBe(2);
    });
    both('c', 'd');
    await Promise.resolve();
    expect(commits).toEqual(['notes', 'notes', 'notes']);
    expect(database.prepare('SELECT id FROM notes WHERE id = @id').all({ id: 'c' })).toEqual([{ id: 'c' }]);
  });

  test('a direct write into an open transaction of the driver is refused; reads are not', async () => {
    const { driver, database } = listening();
    const insert = database.prepare('INSERT INTO notes VALUES (?)');
    await driver.transaction('immediate', async (tx) => {
      await tx.run('INSERT INTO notes VALUES (?)', ['inside']);
      expect(() => insert.run('outside')).toThrow(expect.objectContaining({ kind: 'misuse' }));
      expect(() => database.transaction(() => insert.run('outside'))()).toThrow(expect.objectContaining({ kind: 'misuse' }));
      expect(database.prepare('SELECT count(*) FROM notes').pluck().get()).toBe(1);
    });
    insert.run('later');
    expect(await driver.all('SELECT id FROM notes ORDER BY id')).toEqual([['inside'], ['later']]);
  });

  test('files have the id of their real path, memory databases one of their own; a handed-in connection stays open', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oversync-driver-'));
    const file = createBetterSqlite3Driver(join(folder, 'app.db'));
    symlinkSync(join(folder, 'app.db'), join(folder, 'link.db'));
    const link = createBetterSqlite3Driver(join(folder, 'link.db'));
    expect(await link.databaseId()).toBe(await file.databaseId());
    file.close();
    link.close();
    rmSync(folder, { recursive: true });
    const { driver, database } = listening();
    expect(await driver.databaseId()).not.toBe(await createBetterSqlite3Driver(':memory:').databaseId());
    driver.close();
    expect(database.open).toBe(true);
  });
});
