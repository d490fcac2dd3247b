import { DatabaseSync } from 'node:sqlite';

import { describe, expect, test } from 'vitest';

import { createNodeSqliteDriver } from './node-sqlite.ts';
import type { NodeSqliteDriver } from './node-sqlite.ts';

function open(): { readonly driver: NodeSqliteDriver; readonly database: DatabaseSync; readonly commits: string[][] } {
  const database = new DatabaseSync(':memory:');
  const driver = createNodeSqliteDriver(database);
  database.exec('CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL); CREATE TABLE tags (id TEXT)');
  const commits: string[][] = [];
  driver.onCommit((tables) => commits.push([...tables].sort()));
  return { driver, database, commits };
}

describe('the connection behind the driver', () => {
  test('a trigger made between two runs of one statement is seen, and so is the same statement in the next transaction', () => {
    const { database, commits } = open();
    const insert = database.prepare('INSERT INTO notes VALUES (?)');
    database.exec('BEGIN');
    insert.run('a');
    insert.run('b');
    database.exec('CREATE TRIGGER tagging AFTER INSERT ON notes BEGIN INSERT INTO tags VALUES (NEW.id); END');
    insert.run('c');
    database.exec('COMMIT');
    database.exec('BEGIN');
    insert.run('d');
    database.exec('COMMIT');
    expect(commits).toEqual([
      ['notes', 'sqlite_schema', 'tags'],
      ['notes', 'tags'],
    ]);
  });

  test('[T111] direct statements and scripts are announced like those of the driver', () => {
    const { database, commits } = open();
    database.prepare('INSERT INTO notes VALUES (?)').run('a');
    database.exec("INSERT INTO tags VALUES ('t'); INSERT INTO notes VALUES ('b')");
    expect(database.prepare('INSERT INTO tags VALUES (?) RETURNING id').get('u')).toEqual({ id: 'u' });
    expect(database.prepare('SELECT id FROM notes ORDER BY id').all()).toEqual([{ id: 'a' }, { id: 'b' }]);
    expect(commits).toEqual([['notes'], ['notes', 'tags'], ['tags']]);
  });

  test('[T111] a transaction of the application is announced at its COMMIT, and not when it is rolled back', () => {
    const { database, commits } = open();
    const insert = database.prepare('INSERT INTO notes VALUES (?)');
    database.exec('BEGIN');
    insert.run('a');
    database.exec("INSERT INTO tags VALUES ('t')");
    expect(commits).toEqual([]);
    database.exec('COMMIT');
    expect(commits).toEqual([['notes', 'tags']]);
    database.exec('BEGIN');
    insert.run('b');
    database.exec('ROLLBACK');
    expect(commits.length).toBe(1);
  });

  test('a repeated statement whose failure rolls its transaction back is forgotten, and announced when it runs by itself', () => {
    const { database, commits } = open();
    const insert = database.prepare('INSERT OR ROLLBACK INTO notes VALUES (?)');
    database.exec('BEGIN');
    for (const id of ['a', 'b', 'c']) insert.run(id);
    expect(() => insert.run('a')).toThrow(/UNIQUE/);
    const before = commits.length;
    insert.run('d');
    expect(database.prepare('SELECT id FROM notes').all()).toEqual([{ id: 'd' }]);
    expect(commits.slice(before)).toEqual([['notes']]);
  });

  test('a COMMIT that is repeated after a failure is announced at once', () => {
    const { database, commits } = open();
    database.exec(
      'PRAGMA foreign_keys = ON; CREATE TABLE children (note TEXT REFERENCES notes (id) DEFERRABLE INITIALLY DEFERRED)',
    );
    commits.length = 0;
    const commit = database.prepare('COMMIT');
    const insert = database.prepare('INSERT INTO children VALUES (?)');
    database.exec('BEGIN');
    for (const note of ['a', 'a', 'a']) insert.run(note);
    expect(() => commit.run()).toThrow(/FOREIGN KEY/);
    DatabaseSync.prototype.exec.call(database, "INSERT INTO notes VALUES ('a')");
    commit.run();
    expect(commits).toEqual([['children']]);
  });

  test('a statement that goes on after its transaction was ended past the driver is announced', async () => {
    const { database, commits } = open();
    const insert = database.prepare('INSERT INTO notes VALUES (?)');
    database.exec('BEGIN');
    for (const id of ['a', 'b']) insert.run(id);
    DatabaseSync.prototype.exec.call(database, 'COMMIT');
    insert.run('c');
    await Promise.resolve();
    expect(commits).toEqual([['notes']]);
    insert.run('d');
    expect(commits).toEqual([['notes'], ['notes']]);
  });

  test('a statement keeps its errors, its options and its results', () => {
    const { database } = open();
    const insert = database.prepare('INSERT INTO notes VALUES (?)');
    expect(insert.run('a')).toMatchObject({ changes: 1 });
    expect(() => insert.run('a')).toThrow(/UNIQUE/);
    expect(() => database.exec('INSERT INTO missing VALUES (1)')).toThrow(/no such table/);
    expect(() => database.prepare('SELEC 1')).toThrow(/syntax error/);
    const count = database.prepare('SELECT count(*) FROM notes');
    count.setReadBigInts(true);
    expect(count.get()).toEqual({ 'count(*)': 1n });
  });

  test('a direct write into an open transaction of the driver is refused; reads are not', async () => {
    const { driver, database } = open();
    const insert = database.prepare('INSERT INTO notes VALUES (?)');
    await driver.transaction('immediate', async (tx) => {
      await tx.run('INSERT INTO notes VALUES (?)', ['inside']);
      expect(() => insert.run('outside')).toThrow(expect.objectContaining({ kind: 'misuse' }));
      expect(() => database.exec('SELECT 1; DELETE FROM notes')).toThrow(expect.objectContaining({ kind: 'misuse' }));
      expect(() => database.exec('COMMIT')).toThrow(expect.objectContaining({ kind: 'misuse' }));
      expect(database.prepare('SELECT count(*) AS n FROM notes').get()).toEqual({ n: 1 });
    });
    insert.run('outside');
    await expect(
      driver.transaction('immediate', async () => {
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    insert.run('later');
    expect(await driver.all('SELECT id FROM notes ORDER BY id')).toEqual([['inside'], ['later'], ['outside']]);
  });

  test('without a listener, and after the last one has gone, direct calls run as ever', async () => {
    const database = new DatabaseSync(':memory:');
    const driver = createNodeSqliteDriver(database);
    database.exec('CREATE TABLE notes (id TEXT)');
    const commits: (readonly string[])[] = [];
    driver.onCommit((tables) => commits.push(tables))();
    database.prepare('INSERT INTO notes VALUES (?)').run('a');
    expect(commits).toEqual([]);
    expect(await driver.all('SELECT id FROM notes')).toEqual([['a']]);
  });
});
