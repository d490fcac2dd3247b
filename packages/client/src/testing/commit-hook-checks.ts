import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import type { DriverCheck } from './sqlite-driver-suite.ts';

/** The rules of `onCommit`; a driver without it passes, because the hook is optional. */
export const commitHookChecks: readonly DriverCheck[] = [
  { name: 'onCommit, where present, tells the tables of a transaction once, after its COMMIT', run: checkOnce },
  { name: 'onCommit tells of a statement of its own', run: checkSingle },
  { name: 'onCommit is silent about what was rolled back, and about what changed no row', run: checkSilence },
  { name: 'onCommit names the tables that triggers and foreign-key actions reach', run: checkReach },
  {
    name: 'onCommit: a listener that throws harms neither the write nor the others, an ended one hears nothing',
    run: checkListeners,
  },
];

const TABLES = `
CREATE TABLE parents (id INTEGER PRIMARY KEY, n INTEGER);
CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents(id) ON DELETE CASCADE);
CREATE TABLE audit (note TEXT);
CREATE TRIGGER parents_ai AFTER INSERT ON parents BEGIN INSERT INTO audit VALUES ('insert'); END`;

interface Listening {
  readonly driver: SqliteDriver;
  /** Lower-case names of the tables of each commit, sorted. */
  readonly commits: string[];
}

/** `null` for a driver without the hook. */
async function listen(driver: SqliteDriver): Promise<Listening | null> {
  await driver.exec('PRAGMA foreign_keys = ON');
  await driver.exec(TABLES);
  const commits: string[] = [];
  const end = driver.onCommit?.((tables) => commits.push(sorted(tables)));
  return end === undefined ? null : { driver, commits };
}

function sorted(tables: readonly string[]): string {
  return [...new Set(tables.map((table) => table.toLowerCase()))].sort().join();
}

function expectCommits(found: readonly string[], expected: readonly string[]): void {
  if (found.join(' ') !== expected.join(' ')) {
    throw new Error(`commits were told as [${found.join(' ')}] instead of [${expected.join(' ')}]`);
  }
}

async function checkOnce(driver: SqliteDriver): Promise<void> {
  const listening = await listen(driver);
  if (listening === null) return;
  const { commits } = listening;
  await driver.transaction('immediate', async (tx) => {
    await tx.run('INSERT INTO parents VALUES (1, 1)');
    await tx.run('INSERT INTO children VALUES (1, 1)');
    await tx.run('INSERT INTO children VALUES (2, 1)');
    expectCommits(commits, []);
  });
  expectCommits(commits, ['audit,children,parents']);
}

async function checkSingle(driver: SqliteDriver): Promise<void> {
  const listening = await listen(driver);
  if (listening === null) return;
  await driver.run('INSERT INTO audit VALUES (?)', ['a']);
  await driver.exec("INSERT INTO audit VALUES ('b')");
  expectCommits(listening.commits, ['audit', 'audit']);
}

async function checkSilence(driver: SqliteDriver): Promise<void> {
  const listening = await listen(driver);
  if (listening === null) return;
  const failed = driver.transaction('immediate', async (tx) => {
    await tx.run('INSERT INTO parents VALUES (1, 1)');
    throw new Error('rolled back');
  });
  await failed.catch(() => undefined);
  await driver.run('UPDATE parents SET n = 2');
  await driver.all('SELECT * FROM parents');
  expectCommits(listening.commits, []);
}

async function checkReach(driver: SqliteDriver): Promise<void> {
  const listening = await listen(driver);
  if (listening === null) return;
  await driver.run('INSERT INTO parents VALUES (1, 1)');
  await driver.run('INSERT INTO children VALUES (1, 1)');
  await driver.run('DELETE FROM parents WHERE id = 1');
  expectCommits(listening.commits, ['audit,parents', 'children', 'children,parents']);
}

async function checkListeners(driver: SqliteDriver): Promise<void> {
  const listening = await listen(driver);
  if (listening === null) return;
  let calls = 0;
  driver.onCommit?.(() => {
    throw new Error('a listener');
  });
  const end = driver.onCommit?.(() => {
    calls += 1;
  });
  await driver.run("INSERT INTO audit VALUES ('a')");
  end?.();
  await driver.run("INSERT INTO audit VALUES ('b')");
  expectCommits(listening.commits, ['audit', 'audit']);
  if (calls !== 1) throw new Error(`an ended listener was called ${calls} times instead of once`);
}
