import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { SqliteFault } from '../ports/sqlite-fault.ts';
import { check, failure, only } from './check.ts';
import type { DriverCheck } from './sqlite-driver-suite.ts';

/** The rules of transactions beyond commit and rollback. */
export const transactionChecks: readonly DriverCheck[] = [
  { name: 'transactions run one at a time, in the order of their calls', run: checkOrder },
  { name: 'a throw before the first await rolls back too, and so does a failed statement', run: checkEarlyThrow },
  { name: 'a call on the driver from inside a transaction is refused, also after an await', run: checkNestedCalls },
  { name: 'a failed BEGIN or COMMIT does not stop the calls after it', run: checkGoesOn },
  { name: 'a transaction sees its own writes, and rolls DDL back', run: checkOwnWrites },
  { name: 'batch, where present, is one transaction', run: checkBatch },
];

async function checkOrder(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (0)');
  const order: number[] = [];
  const add = (number: number): Promise<void> =>
    driver.transaction('immediate', async (tx) => {
      const [before] = await only(tx, 'SELECT n FROM t');
      await tx.all('SELECT 1');
      await tx.run('UPDATE t SET n = ?', [BigInt(Number(before) + 1)]);
      order.push(number);
    });
  await Promise.all([1, 2, 3, 4, 5].map(add));
  const [count] = await only(driver, 'SELECT n FROM t');
  check(Number(count) === 5, `no increment is lost: ${String(count)} of 5`);
  check(order.join() === '1,2,3,4,5', `in order, not ${order.join()}`);
}

async function checkEarlyThrow(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL)');
  const thrown = new Error('at once');
  const error = await failure(
    driver.transaction('immediate', () => {
      throw thrown;
    }),
  );
  check(error === thrown, 'a synchronous throw is a rejection');
  await failure(
    driver.transaction('immediate', async (tx) => {
      await tx.run("INSERT INTO t VALUES ('a')");
      await tx.run("INSERT INTO t VALUES ('a')");
    }),
  );
  check((await driver.all('SELECT id FROM t')).length === 0, 'a failed statement takes the rows before it along');
}

async function checkNestedCalls(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a)');
  await driver.transaction('immediate', async (tx) => {
    await tx.run('INSERT INTO t VALUES (1)');
    const refused = [
      driver.all('SELECT 1'),
      driver.run('DELETE FROM t'),
      driver.transaction('deferred', () => Promise.resolve()),
    ];
    for (const result of await Promise.allSettled(refused)) {
      check(result.status === 'rejected', 'a call that would wait for itself is refused');
      if (result.status === 'rejected') check(result.reason instanceof SqliteFault, 'as a fault');
    }
    await tx.run('INSERT INTO t VALUES (2)');
  });
  const [count] = await only(driver, 'SELECT count(*) FROM t');
  check(Number(count) === 2, 'nothing of the refused calls has run, then or later');
}

async function checkGoesOn(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a)');
  await driver.exec('BEGIN');
  const nested = await failure(driver.transaction('immediate', () => Promise.resolve()));
  check(nested instanceof SqliteFault, 'BEGIN in an open transaction fails');
  await driver.exec('ROLLBACK');
  const ended = await failure(
    driver.transaction('immediate', async (tx) => {
      await tx.run('INSERT INTO t VALUES (1)');
      await tx.exec('ROLLBACK');
    }),
  );
  check(ended instanceof SqliteFault, 'a COMMIT without a transaction fails');
  await driver.transaction('immediate', async (tx) => {
    await tx.run('INSERT INTO t VALUES (2)');
  });
  const [only2] = await only(driver, 'SELECT a FROM t');
  check(Number(only2) === 2, 'later transactions work');
}

async function checkOwnWrites(driver: SqliteDriver): Promise<void> {
  await failure(
    driver.transaction('immediate', async (tx) => {
      await tx.exec('CREATE TABLE t (a)');
      await tx.run('INSERT INTO t VALUES (?)', [1n]);
      const [count] = await only(tx, 'SELECT count(*) FROM t');
      check(Number(count) === 1, 'the row is there for its transaction');
      throw new Error('no');
    }),
  );
  const [tables] = await only(driver, "SELECT count(*) FROM sqlite_schema WHERE name = 't'");
  check(Number(tables) === 0, 'the table is gone');
}

async function checkBatch(driver: SqliteDriver): Promise<void> {
  if (driver.batch === undefined) return;
  await driver.exec('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL)');
  const results = await driver.batch([{ sql: 'INSERT INTO t VALUES (?)', params: ['a'] }, { sql: 'SELECT id FROM t' }]);
  check(results.length === 2 && results[0]?.length === 0 && results[1]?.[0]?.[0] === 'a', 'each step has its rows');
  const error = await failure(
    driver.batch([
      { sql: 'INSERT INTO t VALUES (?)', params: ['b'] },
      { sql: 'INSERT INTO t VALUES (?)', params: ['b'] },
    ]),
  );
  check(error instanceof SqliteFault && error.kind === 'unique', 'a failing step fails the batch');
  const [count] = await only(driver, 'SELECT count(*) FROM t');
  check(Number(count) === 1, 'and takes the steps before it along');
}
