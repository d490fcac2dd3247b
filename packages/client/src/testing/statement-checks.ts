import type { SqliteDriver, SqlValue } from '../ports/sqlite-driver.ts';
import { SqliteFault } from '../ports/sqlite-fault.ts';
import { check, failure, only } from './check.ts';
import type { DriverCheck } from './sqlite-driver-suite.ts';

/** The rules of statements that are prepared once and used again. */
export const statementChecks: readonly DriverCheck[] = [
  { name: 'an integral double of any size stays the same REAL', run: checkIntegralDoubles },
  { name: 'a statement forgets the parameters of its last use', run: checkRebinding },
  { name: 'a statement that failed can be used again', run: checkAfterFailure },
  { name: 'SELECT * follows a table that has changed', run: checkChangedTable },
  { name: 'writes that return rows return them, and count', run: checkReturning },
  { name: 'a BLOB of a megabyte and a thousand parameters pass', run: checkSizes },
  { name: 'exec keeps the body of a trigger together', run: checkTriggerScript },
  { name: 'allNamed, where present, tells the names of the columns', run: checkNames },
  { name: 'runMany, where present, fails with a fault of its kind', run: checkRunManyFault },
];

async function checkIntegralDoubles(driver: SqliteDriver): Promise<void> {
  const values = [0, 1, -7, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 4.4e192, -1e300];
  for (const value of values) {
    const [type, back] = await only(driver, 'SELECT typeof(?), ?', [value, value]);
    check(type === 'real' && Number(back) === value, `${value} is bound as that REAL, not as ${String(type)} ${String(back)}`);
  }
  const [mixed, text] = await only(driver, "SELECT ? || '/' || typeof(?) || '/' || typeof(?), ?", ['a', 3, 3n, '?']);
  check(mixed === 'a/real/integer' && text === '?', 'numbers among other parameters keep their places');
}

async function checkRebinding(driver: SqliteDriver): Promise<void> {
  const sql = 'SELECT ?, typeof(?)';
  const found: string[] = [];
  for (const value of ['text', null, 1n, 1, new Uint8Array([1])] satisfies SqlValue[]) {
    found.push(String((await only(driver, sql, [value, value]))[1]));
  }
  check(found.join() === 'text,null,integer,real,blob', `each use has its own parameters, not ${found.join()}`);
}

async function checkAfterFailure(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL)');
  const sql = 'INSERT INTO t VALUES (?)';
  await driver.run(sql, ['a']);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const error = await failure(driver.run(sql, ['a']));
    check(error instanceof SqliteFault && error.kind === 'unique', 'the same failure is told in the same way');
  }
  check((await driver.run(sql, ['b'])).changes === 1, 'the statement works with other values');
}

async function checkChangedTable(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const sql = 'SELECT * FROM t';
  check((await only(driver, sql)).length === 1, 'one column');
  await driver.exec("ALTER TABLE t ADD COLUMN b DEFAULT 'new'");
  check((await only(driver, sql)).map(String).join() === '1,new', 'the new column is there');
}

async function checkReturning(driver: SqliteDriver): Promise<void> {
  await driver.exec('CREATE TABLE t (a)');
  const rows = await driver.all('INSERT INTO t VALUES (?), (?) RETURNING a', ['x', 'y']);
  check(rows.map((row) => row[0]).join() === 'x,y', 'the rows come back');
  const { changes } = await driver.run("UPDATE t SET a = 'z' RETURNING a");
  check(changes === 2, 'run counts the changes of a statement with RETURNING');
  const [count] = await only(driver, "SELECT count(*) FROM t WHERE a = 'z'");
  check(Number(count) === 2, 'and runs it to its end');
  check((await driver.all('DELETE FROM t')).length === 0, 'a statement without rows returns none');
}

async function checkSizes(driver: SqliteDriver): Promise<void> {
  const bytes = Uint8Array.from({ length: 1_000_000 }, (_, index) => index % 251);
  const [back, size] = await only(driver, 'SELECT ?, length(?)', [bytes, bytes]);
  const isSame = back instanceof Uint8Array && back.length === bytes.length && back.every((byte, at) => byte === bytes[at]);
  check(isSame && Number(size) === bytes.length, 'the BLOB comes back');
  const params = Array.from({ length: 1000 }, (_, index) => BigInt(index));
  const places = params.map(() => '(?)').join(', ');
  const [sum] = await only(driver, `SELECT sum(column1) FROM (VALUES ${places})`, params);
  check(Number(sum) === 499_500, 'a thousand parameters are bound');
}

async function checkTriggerScript(driver: SqliteDriver): Promise<void> {
  const commits: (readonly string[])[] = [];
  const end = driver.onCommit?.((tables) => commits.push(tables));
  await driver.exec(`CREATE TABLE t (a); CREATE TABLE log (a);
    CREATE TRIGGER note AFTER INSERT ON t BEGIN
      INSERT INTO log VALUES (CASE NEW.a WHEN 1 THEN 'one; two' ELSE 'more' END); INSERT INTO log VALUES (2);
    END;
    INSERT INTO t VALUES (1)`);
  end?.();
  const [first] = await driver.all('SELECT a FROM log');
  check(first?.[0] === 'one; two', 'the trigger was made as it was written');
}

async function checkNames(driver: SqliteDriver): Promise<void> {
  if (driver.allNamed === undefined) return;
  await driver.exec('CREATE TABLE t (a, "B c"); INSERT INTO t VALUES (1, 2)');
  const { columns, rows } = await driver.allNamed('SELECT *, a AS x, ? AS x FROM t', ['p']);
  check(columns.join() === 'a,B c,x,x', `names in order, not ${columns.join()}`);
  check(rows.length === 1 && rows[0]?.map(String).join() === '1,2,1,p', 'values in the same order');
  const none = await driver.allNamed('SELECT a FROM t WHERE false');
  check(none.columns.join() === 'a' && none.rows.length === 0, 'names also without rows');
  const write = await driver.allNamed('DELETE FROM t');
  check(write.columns.length === 0 && write.rows.length === 0, 'a write has no columns');
}

async function checkRunManyFault(driver: SqliteDriver): Promise<void> {
  if (driver.runMany === undefined) return;
  await driver.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)');
  const rows = Array.from({ length: 250 }, (_, index): SqlValue[] => [BigInt(index % 200)]);
  const failed = driver.transaction('immediate', async (tx) => tx.runMany?.('INSERT INTO t VALUES (?)', rows));
  const error = await failure(failed);
  check(error instanceof SqliteFault && error.kind === 'unique', 'a clash of keys is told as unique');
  const [count] = await only(driver, 'SELECT count(*) FROM t');
  check(Number(count) === 0, 'its transaction is rolled back');
}
