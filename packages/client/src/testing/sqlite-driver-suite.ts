import type { SqliteDriver, SqlValue } from '../ports/sqlite-driver.ts';
import { SqliteFault } from '../ports/sqlite-fault.ts';
import { check, failure, only } from './check.ts';
import { commitHookChecks } from './commit-hook-checks.ts';
import { statementChecks } from './statement-checks.ts';
import { transactionChecks } from './transaction-checks.ts';

/** One rule of the driver port, to be run as a test of its own. */
export interface DriverCheck {
  /** What the driver does when the check passes. */
  readonly name: string;
  /** Rejects with an `Error` that says what was found instead. */
  readonly run: (driver: SqliteDriver) => Promise<void>;
}

/**
 * The contract of {@link SqliteDriver} as runnable checks (client.md 12), for any test runner. Each check wants a fresh, empty database
 * and leaves tables behind.
 *
 * @example
 * ```ts
 * for (const check of sqliteDriverChecks) test(check.name, async () => check.run(await openMyDriver()));
 * ```
 */
export const sqliteDriverChecks: readonly DriverCheck[] = [
  { name: 'values of every type come back as they were bound', run: checkValues },
  { name: 'an integral number is bound as REAL, a bigint as INTEGER', run: checkBinding },
  { name: '64-bit integers survive as text and as bigint parameters', run: checkInt64 },
  { name: 'REAL parameters keep every bit', run: checkReals },
  { name: 'rows arrive in column order, also with equal names', run: checkColumnOrder },
  { name: 'run tells how many rows changed', run: checkChanges },
  { name: 'exec runs several statements', run: checkExec },
  { name: 'runMany, where present, writes every row', run: checkRunMany },
  { name: 'a large parameter passes', run: checkLargeParameter },
  { name: 'a committed transaction is visible, a thrown one is not', run: checkRollback },
  { name: 'calls outside a running transaction wait until it has ended', run: checkSerialised },
  { name: 'a nested transaction is refused and does not block', run: checkNested },
  { name: 'a handle is dead after its transaction', run: checkDeadHandle },
  { name: 'a failed COMMIT rejects and leaves no open transaction', run: checkFailedCommit },
  { name: 'constraint failures arrive as faults of their kind', run: checkFaults },
  { name: 'savepoints roll back a part', run: checkSavepoints },
  { name: 'temporary tables live across transactions', run: checkTemporary },
  { name: 'the database id is stable', run: checkDatabaseId },
  ...statementChecks,
  ...transactionChecks,
  ...commitHookChecks,
];

async function checkValues(driver: SqliteDriver): Promise<void> {
  const bytes = new Uint8Array([0, 255, 128]);
  const [none, text, real, blob, empty] = await only(driver, 'SELECT ?, ?, ?, ?, ?', [
    null,
    'é😀\u0001',
    1.5,
    bytes,
    new Uint8Array(),
  ]);
  check(none === null, 'NULL is null');
  check(text === 'é😀\u0001', 'text is kept');
  check(real === 1.5, 'REAL is a number');
  check(blob instanceof Uint8Array && blob.join() === bytes.join(), 'a BLOB is a Uint8Array');
  check(blob?.constructor === Uint8Array, 'a BLOB is nothing more than a Uint8Array');
  check(empty instanceof Uint8Array && empty.length === 0, 'an empty BLOB is no NULL');
}

async function checkBinding(driver: SqliteDriver): Promise<void> {
  const types = await only(driver, 'SELECT typeof(?), typeof(?), typeof(?)', [2, 2n, 4.4e192]);
  check(types.join() === 'real,integer,real', `number is REAL and bigint INTEGER, not ${types.join()}`);
}

async function checkInt64(driver: SqliteDriver): Promise<void> {
  for (const value of [9223372036854775807n, -9223372036854775808n, 9007199254740993n]) {
    const [bound, cast] = await only(driver, 'SELECT CAST(? AS TEXT), CAST(CAST(? AS INTEGER) AS TEXT)', [
      value,
      value.toString(),
    ]);
    check(bound === value.toString() && cast === value.toString(), `${value} survives`);
  }
  const [small] = await only(driver, 'SELECT 42');
  check(small === 42n || small === 42, 'a small INTEGER is a bigint or a number');
}

async function checkReals(driver: SqliteDriver): Promise<void> {
  for (const value of [Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE, 2.2250738585072014e-308, 0.1 + 0.2, 1 / 3]) {
    const [back, printed] = await only(driver, `SELECT ?, printf('%!.20g', ?)`, [value, value]);
    check(back === value && Number(printed) === value, `${value} keeps its bits`);
  }
}

async function checkColumnOrder(driver: SqliteDriver): Promise<void> {
  const row = await only(driver, `SELECT 'b' AS x, 'a' AS x, 'c' AS a`);
  check(row.join() === 'b,a,c', `columns in order, not ${row.join()}`);
  check((await driver.all('SELECT 1 WHERE false')).length === 0, 'no rows is an empty array');
}

async function checkChanges(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a)');
  const inserted = await driver.run('INSERT INTO t VALUES (?), (?)', [1n, 2n]);
  const updated = await driver.run('UPDATE t SET a = 3');
  const deleted = await driver.run('DELETE FROM t WHERE a = ?', [9n]);
  check(inserted.changes === 2 && updated.changes === 2 && deleted.changes === 0, 'changes are counted');
}

async function checkExec(driver: SqliteDriver): Promise<void> {
  await driver.exec(`CREATE TABLE t (a); INSERT INTO t VALUES (1); -- a comment; with a semicolon\nINSERT INTO t VALUES (2)`);
  const [count] = await only(driver, 'SELECT count(*) FROM t');
  check(Number(count) === 2, 'every statement ran');
}

async function checkRunMany(driver: SqliteDriver): Promise<void> {
  if (driver.runMany === undefined) return;
  await driver.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)');
  const rows = Array.from({ length: 1234 }, (_, index): SqlValue[] => [BigInt(index), index % 2 === 0 ? null : `row ${index}`]);
  const upsert = 'INSERT INTO t(a, b) VALUES (?, ?) ON CONFLICT (a) DO UPDATE SET b = excluded.b';
  await driver.runMany(upsert, rows);
  await driver.runMany(upsert, [[5n, 'changed']]);
  await driver.runMany('DELETE FROM t WHERE a = ?', [[7n], [8n]]);
  const found = await only(driver, 'SELECT count(*), count(b), (SELECT b FROM t WHERE a = 5) FROM t');
  check(found.map(String).join() === '1232,616,changed', `every row was written, not ${found.map(String).join()}`);
}

async function checkLargeParameter(driver: SqliteDriver): Promise<void> {
  const text = JSON.stringify(Array.from({ length: 50_000 }, (_, index) => `value ${index}`));
  const [count] = await only(driver, 'SELECT count(*) FROM json_each(?)', [text]);
  check(Number(count) === 50_000, 'a parameter of a megabyte passes');
}

async function checkRollback(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a)');
  const result = await driver.transaction('immediate', async (tx) => {
    await tx.run('INSERT INTO t VALUES (1)');
    return 'kept';
  });
  check(result === 'kept', 'the result of the function is returned');
  const thrown = new Error('mine');
  const error = await failure(
    driver.transaction('immediate', async (tx) => {
      await tx.run('INSERT INTO t VALUES (2)');
      throw thrown;
    }),
  );
  check(error === thrown, 'the error of the function is passed on unchanged');
  const [count] = await only(driver, 'SELECT count(*) FROM t');
  check(Number(count) === 1, 'a throw rolls back');
}

async function checkSerialised(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a)');
  const order: string[] = [];
  let enter: () => void = () => undefined;
  const entered = new Promise<void>((resolve) => {
    enter = resolve;
  });
  const first = driver.transaction('immediate', async (tx) => {
    enter();
    for (let index = 0; index < 5; index += 1) await tx.run('INSERT INTO t VALUES (?)', [BigInt(index)]);
    order.push('first');
  });
  await entered;
  const count = driver.all('SELECT count(*) FROM t').then((rows) => {
    order.push('read');
    return Number(rows[0]?.[0]);
  });
  const second = driver.transaction('deferred', async () => {
    order.push('second');
  });
  await Promise.all([first, second]);
  check((await count) === 5, 'a read waits for the transaction');
  check(order.join() === 'first,read,second', `calls run in order, not ${order.join()}`);
}

async function checkNested(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a)');
  await driver.transaction('immediate', async (tx) => {
    await failure(driver.transaction('immediate', () => Promise.resolve()));
    await tx.run('INSERT INTO t VALUES (1)');
  });
  const [count] = await only(driver, 'SELECT count(*) FROM t');
  check(Number(count) === 1, 'the outer transaction goes on');
}

async function checkDeadHandle(driver: SqliteDriver): Promise<void> {
  const tx = await driver.transaction('deferred', (handle) => Promise.resolve({ handle }));
  await failure(tx.handle.all('SELECT 1'));
}

async function checkFailedCommit(driver: SqliteDriver): Promise<void> {
  await driver.exec(`PRAGMA foreign_keys = ON; CREATE TABLE p (id TEXT PRIMARY KEY);
    CREATE TABLE c (p TEXT REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)`);
  const error = await failure(
    driver.transaction('immediate', async (tx) => {
      await tx.run(`INSERT INTO c VALUES ('missing')`);
    }),
  );
  check(error instanceof SqliteFault && error.kind === 'foreign_key', 'the COMMIT fails with a foreign key fault');
  await driver.transaction('immediate', async (tx) => {
    await tx.run(`INSERT INTO p VALUES ('x')`);
  });
  const [count] = await only(driver, 'SELECT count(*) FROM c');
  check(Number(count) === 0, 'nothing of the failed transaction stays');
}

async function checkFaults(driver: SqliteDriver): Promise<void> {
  await driver.exec(`PRAGMA foreign_keys = ON; CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, u TEXT UNIQUE, n INTEGER CHECK (n > 0),
    p TEXT REFERENCES t(id)); CREATE TRIGGER no BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'no'); END; INSERT INTO t VALUES ('a', 'u', 1, NULL)`);
  const cases = [
    ['unique', `INSERT INTO t(id) VALUES ('a')`],
    ['unique', `INSERT INTO t(id, u) VALUES ('b', 'u')`],
    ['not_null', `INSERT INTO t(id) VALUES (NULL)`],
    ['check', `INSERT INTO t(id, n) VALUES ('b', 0)`],
    ['foreign_key', `INSERT INTO t(id, p) VALUES ('b', 'nobody')`],
    ['raised_by_trigger', 'DELETE FROM t'],
    ['other', 'THIS IS NO SQL'],
  ] as const;
  for (const [kind, sql] of cases) {
    const error = await failure(driver.run(sql));
    check(error instanceof SqliteFault, `${kind} arrives as SqliteFault`);
    if (error instanceof SqliteFault) check(error.kind === kind, `${kind} is not told as ${error.kind}`);
  }
}

async function checkSavepoints(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a)');
  await driver.transaction('immediate', async (tx) => {
    await tx.run('INSERT INTO t VALUES (1)');
    await tx.exec('SAVEPOINT inner_part');
    await tx.run('INSERT INTO t VALUES (2)');
    await tx.exec('ROLLBACK TO inner_part; RELEASE inner_part');
    await tx.run('INSERT INTO t VALUES (3)');
  });
  const rows = await driver.all('SELECT a FROM t ORDER BY a');
  check(rows.map((row) => Number(row[0])).join() === '1,3', 'only the part is rolled back');
}

async function checkTemporary(driver: SqliteDriver): Promise<void> {
  await driver.transaction('immediate', async (tx) => {
    await tx.exec('CREATE TEMP TABLE IF NOT EXISTS work (a); INSERT INTO temp.work VALUES (1)');
  });
  const [count] = await driver.transaction('immediate', (tx) => only(tx, 'SELECT count(*) FROM temp.work'));
  check(Number(count) === 1, 'there is one connection, whose temporary tables stay');
  await driver.exec("ATTACH DATABASE '' AS scratch; CREATE TABLE scratch.pages (a)");
  await driver.transaction('immediate', async (tx) => {
    await tx.run(
      'WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 5000) INSERT INTO scratch.pages SELECT randomblob(1000) FROM n',
    );
  });
  const [pages] = await driver.transaction('immediate', (tx) => only(tx, 'SELECT count(*) FROM scratch.pages'));
  check(Number(pages) === 5000, 'a temporary database holds more than its cache does');
}

async function checkDatabaseId(driver: SqliteDriver): Promise<void> {
  const id = await driver.databaseId();
  check(id !== '' && id === (await driver.databaseId()), 'two calls give the same id');
}
