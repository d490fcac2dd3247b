import { describe, expect, test } from 'vitest';

import { createNodeSqliteDriver } from './node-sqlite.ts';
import type { NodeSqliteDriver } from './node-sqlite.ts';

async function listening(): Promise<{ readonly driver: NodeSqliteDriver; readonly commits: string[][] }> {
  const driver = createNodeSqliteDriver(':memory:');
  await driver.exec(`
    PRAGMA foreign_keys = ON;
    CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL, n INTEGER);
    CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES parents(id) ON DELETE CASCADE) WITHOUT ROWID;
    CREATE TABLE audit (note TEXT);
    CREATE TABLE "Odd Name" (id INTEGER PRIMARY KEY);
    CREATE INDEX parents_n ON parents(n);
    CREATE VIEW everybody AS SELECT id FROM parents;
    CREATE TRIGGER everybody_ii INSTEAD OF INSERT ON everybody BEGIN INSERT INTO parents(id) VALUES (NEW.id); END;
  `);
  const commits: string[][] = [];
  driver.onCommit((tables) => commits.push([...tables].sort()));
  return { driver, commits };
}

describe('commits of node:sqlite', () => {
  test('[T111] a statement of its own is a commit that names its table, in lower case', async () => {
    const { driver, commits } = await listening();
    await driver.run('INSERT INTO parents(id) VALUES (?)', ['a']);
    await driver.run('INSERT INTO "Odd Name" DEFAULT VALUES');
    expect(commits).toEqual([['parents'], ['odd name']]);
  });

  test('[T111] a transaction is announced once, after its COMMIT, with all its tables', async () => {
    const { driver, commits } = await listening();
    await driver.transaction('immediate', async (tx) => {
      await tx.run('INSERT INTO parents(id) VALUES (?)', ['a']);
      await tx.runMany?.('INSERT INTO children(id, parent) VALUES (?, ?)', [
        ['b', 'a'],
        ['c', 'a'],
      ]);
      expect(commits).toEqual([]);
    });
    expect(commits).toEqual([['children', 'parents']]);
  });

  test('[T111] rolled back and unchanged rows are not announced', async () => {
    const { driver, commits } = await listening();
    await expect(
      driver.transaction('immediate', async (tx) => {
        await tx.run('INSERT INTO parents(id) VALUES (?)', ['a']);
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await driver.run('DELETE FROM parents');
    await driver.all('SELECT * FROM parents');
    await driver.transaction('deferred', (tx) => tx.all('SELECT * FROM parents'));
    expect(commits).toEqual([]);
  });

  test('[T111] cascades, triggers, views and a DELETE of everything name the tables they reach', async () => {
    const { driver, commits } = await listening();
    await driver.run('INSERT INTO everybody(id) VALUES (?)', ['a']);
    await driver.run('INSERT INTO children(id, parent) VALUES (?, ?)', ['b', 'a']);
    await driver.run('DELETE FROM parents');
    await driver.exec('CREATE TRIGGER note AFTER INSERT ON parents BEGIN INSERT INTO audit VALUES (NEW.id); END');
    await driver.run('INSERT INTO everybody(id) VALUES (?)', ['c']);
    expect(commits).toEqual([['parents'], ['children'], ['children', 'parents'], ['audit', 'parents']]);
  });

  test('[T111] a script is looked at statement by statement, also where one needs the other', async () => {
    const { driver, commits } = await listening();
    await driver.exec(`SAVEPOINT script; CREATE TABLE fresh (x); -- made here
      INSERT INTO fresh VALUES (';'); /* and */ ; INSERT INTO parents(id) VALUES ('a');
      RELEASE script; -- nothing more`);
    expect(commits).toEqual([['fresh', 'parents', 'sqlite_schema']]);
    expect(await driver.all('SELECT x FROM fresh')).toEqual([[';']]);
  });

  test('statements that return rows, and those with ordinary table expressions, count as writes too', async () => {
    const { driver, commits } = await listening();
    await driver.all('INSERT INTO parents(id) VALUES (?) RETURNING id', ['a']);
    await driver.run('WITH one(x) AS (SELECT ?) UPDATE parents SET n = (SELECT x FROM one)', [1n]);
    expect(commits).toEqual([['parents'], ['parents']]);
  });

  test('a listener that throws disturbs neither the write nor the other listeners; none is called after it ended', async () => {
    const { driver, commits } = await listening();
    driver.onCommit(() => {
      throw new Error('a listener');
    });
    let calls = 0;
    const end = driver.onCommit(() => {
      calls += 1;
    });
    await driver.run('INSERT INTO parents(id) VALUES (?)', ['a']);
    end();
    await driver.run('INSERT INTO parents(id) VALUES (?)', ['b']);
    expect(commits.length).toBe(2);
    expect(calls).toBe(1);
  });
});
