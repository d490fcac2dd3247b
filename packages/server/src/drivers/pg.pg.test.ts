import { createTestDatabase } from '@oversync/dev-postgres/testing';
import type { TestDatabase } from '@oversync/dev-postgres/testing';
import { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { PgFault } from '../ports/postgres.ts';
import type { PgStatement, Postgres } from '../ports/postgres.ts';
import { isTransientFault } from '../rules/pg-faults.ts';
import { bindStatement } from '../rules/bound-statement.ts';
import { runLastStatements, runStatements } from '../store/run-statements.ts';
import { postgresConformance } from '../testing/index.ts';
import { createPgDatabase, createPgListener } from './pg.ts';

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = new Pool({ connectionString: database.url, max: 3, connectionTimeoutMillis: 10_000 });
  pool.on('error', () => {});
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

const WRITE = { isolation: 'read committed' } as const;

describe('unprepared', () => {
  test.each(postgresConformance)('$name', async ({ run }) => {
    await expect(run(createPgDatabase(pool))).resolves.toBeUndefined();
  });
});

describe('prepared', () => {
  test.each(postgresConformance)('$name', async ({ run }) => {
    await expect(run(createPgDatabase(pool, { preparedStatements: true }))).resolves.toBeUndefined();
  });
});

const countPrepared = async (db: ReturnType<typeof createPgDatabase>) =>
  db.transaction(WRITE, async (tx) => {
    await tx.query('SELECT $1::int', ['1']);
    return Number((await tx.query('SELECT count(*) FROM pg_prepared_statements')).rows[0]?.[0]);
  });

/** Runs on a pool of one connection; `prepare` sees the connection before anybody uses it. */
async function withOwnPool(fn: (pool: Pool) => Promise<void>, prepare: (client: object) => void = () => {}): Promise<void> {
  const own = new Pool({ connectionString: database.url, max: 1 });
  own.on('connect', prepare);
  try {
    await fn(own);
  } finally {
    await own.end();
  }
}

/** A pooler in transaction mode announces a session number of its own making. */
const announceOther = (client: object): void => void Reflect.set(client, 'processID', 1);

test('statements are prepared on direct connections, unless the host forbids it', async () => {
  await withOwnPool(async (own) => {
    expect(await countPrepared(createPgDatabase(own, { preparedStatements: false }))).toBe(0);
    expect(await countPrepared(createPgDatabase(own))).toBe(1);
  });
});

test('statements are prepared behind a pooler only when the host asks for it', async () => {
  await withOwnPool(async (own) => {
    expect(await countPrepared(createPgDatabase(own))).toBe(0);
    expect(await countPrepared(createPgDatabase(own, { preparedStatements: true }))).toBe(1);
  }, announceOther);
});

const double = (value: number): PgStatement => bindStatement((bind) => `SELECT ${bind('int4', value)}*2`);
const divide = (value: number): PgStatement => bindStatement((bind) => `SELECT 10/${bind('int4', value)}`);
const LIST_PREPARED = `SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'oversync%'`;

async function runInTransaction(db: Postgres, statements: readonly (string | PgStatement)[]): Promise<readonly unknown[]> {
  const results = await db.transaction(WRITE, (tx) => runStatements(tx, statements));
  return results.map(({ rows }) => rows[0]?.[0]);
}

test('statements of a script are prepared from the second time on, and never behind a pooler', async () => {
  await withOwnPool(async (own) => {
    const db = createPgDatabase(own);
    await db.transaction(WRITE, (tx) => tx.script('SELECT 1'));
    expect(await runInTransaction(db, [double(2), 'SELECT 1', double(3), LIST_PREPARED])).toEqual(['4', '1', '6', '0']);
    expect(await runInTransaction(db, [double(4), LIST_PREPARED])).toEqual(['8', '1']);
    expect(await runInTransaction(db, [double(5), LIST_PREPARED])).toEqual(['10', '1']);
  });
  await withOwnPool(async (own) => {
    const db = createPgDatabase(own, { preparedStatements: true });
    for (let round = 0; round < 3; round += 1) expect(await runInTransaction(db, [double(2), LIST_PREPARED])).toEqual(['4', '0']);
  }, announceOther);
});

test('a prepared statement keeps nothing of the scripts it came in', async () => {
  await withOwnPool(async (own) => {
    const db = createPgDatabase(own);
    for (let round = 0; round < 3; round += 1) await runInTransaction(db, [`SELECT 'secret'`, double(2)]);
    const kept = await runInTransaction(db, [`SELECT string_agg(statement,'') FROM pg_prepared_statements`]);
    expect(kept[0]).toContain('$1::int4');
    expect(kept[0]).not.toContain('secret');
  });
});

test('a statement that cannot be prepared goes on as it is', async () => {
  await withOwnPool(async (own) => {
    const db = createPgDatabase(own);
    const read: PgStatement = bindStatement((bind) => `SELECT id FROM gone_between WHERE id=${bind('int4', 7)}`);
    await db.query('CREATE TABLE gone_between AS SELECT 7 AS id');
    for (let round = 0; round < 2; round += 1) await runInTransaction(db, ['SELECT 1', read]);
    await db.query('DROP TABLE gone_between');
    await expect(runInTransaction(db, [read])).rejects.toMatchObject({ sqlState: '42P01' });
    await db.query('CREATE TABLE gone_between AS SELECT 7 AS id');
    expect(await runInTransaction(db, [read])).toEqual(['7']);
  });
});

test('a session that was told to forget its statements is believed at the next attempt', async () => {
  await withOwnPool(async (own) => {
    const db = createPgDatabase(own);
    for (let round = 0; round < 3; round += 1) await runInTransaction(db, ['SELECT 1', double(2)]);
    await db.query('DEALLOCATE ALL');
    const fault = await runInTransaction(db, [double(2)]).catch((error: unknown) => error);
    expect(fault).toSatisfy((error) => error instanceof PgFault && isTransientFault(error));
    expect(await runInTransaction(db, [double(3)])).toEqual(['6']);
  });
});

test('a repeatable-read transaction sees what was committed before its first statement', async () => {
  const db = createPgDatabase(pool);
  await db.query('CREATE TABLE seen (id int)');
  const count = await db.transaction({ isolation: 'repeatable read' }, async (tx) => {
    await tx.script('LOCK TABLE seen IN ACCESS SHARE MODE');
    await db.query('INSERT INTO seen VALUES (1)');
    return tx.query('SELECT count(*) FROM seen');
  });
  expect(count.rows).toEqual([['1']]);
});

test('texts too large to be kept are handed over as they arrive, and only those', async () => {
  const select = bindStatement(
    (bind) => `SELECT n, repeat('é', n)::varchar, n::text FROM generate_series(1, ${bind('int4', 3)}) n`,
  );
  const db = createPgDatabase(pool);
  for (const attempt of ['plain', 'prepared']) {
    const taken: string[] = [];
    const results = await db.transaction(WRITE, (tx) => runStatements(tx, [select, select], (text) => void taken.push(text)));
    const rows = [1, 2, 3].map((n) => [String(n), null, String(n)]);
    expect(
      results.map((result) => result.rows),
      attempt,
    ).toEqual([rows, rows]);
    expect(taken).toEqual(['é', 'éé', 'ééé', 'é', 'éé', 'ééé']);
  }
  const [kept] = await db.transaction(WRITE, (tx) => runStatements(tx, [select]));
  expect(kept?.rows[2]).toEqual(['3', 'ééé', '3']);
});

test('a script that fails inside a savepoint can go on in the same transaction', async () => {
  await withOwnPool(async (own) => {
    const db = createPgDatabase(own);
    await db.transaction(WRITE, (tx) => tx.script('SELECT 1'));
    const found = await db.transaction(WRITE, async (tx) => {
      await expect(runStatements(tx, ['SAVEPOINT s', divide(0)])).rejects.toMatchObject({ sqlState: '22012' });
      await tx.script('ROLLBACK TO SAVEPOINT s');
      return runLastStatements(tx, [divide(2)]);
    });
    expect(found[0]?.rows).toEqual([['5']]);
  });
});

test('a transaction that ends with its last statements is committed, once', async () => {
  const db = createPgDatabase(pool);
  await db.query('CREATE TABLE last_statements (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)');
  const insert = (id: number): PgStatement => bindStatement((bind) => `INSERT INTO last_statements VALUES (${bind('int4', id)})`);
  const late = new Error('after the end');
  const thrown = db.transaction(WRITE, async (tx) => {
    await runLastStatements(tx, [insert(1)]);
    throw late;
  });
  await expect(thrown).rejects.toBe(late);
  await expect(db.transaction(WRITE, (tx) => runLastStatements(tx, [insert(1)]))).rejects.toMatchObject({
    sqlState: '23505',
    commitSent: false,
  });
  expect((await db.query('SELECT id FROM last_statements')).rows).toEqual([['1']]);
});

test('a connection that is lost with the last statements leaves the outcome open', async () => {
  const db = createPgDatabase(pool);
  const suicide = 'SELECT pg_terminate_backend(pg_backend_pid())';
  const lost = db.transaction(WRITE, (tx) => runLastStatements(tx, [suicide]));
  await expect(lost).rejects.toMatchObject({ commitSent: true });
});

test('the type parsers of the host never see our values', async () => {
  const own = new Pool({ connectionString: database.url, max: 1, types: { getTypeParser: () => () => 'parsed by the host' } });
  try {
    expect((await createPgDatabase(own).query('SELECT 1::int8')).rows).toStrictEqual([['1']]);
  } finally {
    await own.end();
  }
});

test('an exhausted pool is 53300', async () => {
  const own = new Pool({ connectionString: database.url, max: 1, connectionTimeoutMillis: 1000 });
  const db = createPgDatabase(own);
  await db.transaction(WRITE, async () => {
    await expect(db.query('SELECT 1')).rejects.toMatchObject({ sqlState: '53300' });
  });
  await own.end();
});

test('a server that is not there is 08006', async () => {
  const db = createPgDatabase(new Pool({ host: '127.0.0.1', port: 1, connectionTimeoutMillis: 500 }));
  await expect(db.query('SELECT 1')).rejects.toMatchObject({ name: 'PgFault', sqlState: '08006', commitSent: false });
});

test('a connection that is lost inside a transaction is not used again', async () => {
  const db = createPgDatabase(pool);
  const lost = db.transaction(WRITE, async (tx) => {
    const pid = (await tx.query('SELECT pg_backend_pid()')).rows[0]?.[0] ?? '';
    await db.query('SELECT pg_terminate_backend($1)', [pid]);
    await tx.query('SELECT 1');
  });
  await expect(lost).rejects.toSatisfy(
    (error) => error instanceof PgFault && /^(08006|57P01)$/.test(error.sqlState) && !error.commitSent,
  );
  expect((await db.query('SELECT 1')).rows).toStrictEqual([['1']]);
});

test('a statement that the host gives up waiting for counts as a lost connection, which is not used again', async () => {
  const impatient = new Pool({ connectionString: database.url, max: 1, query_timeout: 100 });
  try {
    const db = createPgDatabase(impatient);
    const sleeping = db.transaction(WRITE, (tx) => tx.query('SELECT pg_sleep(1)'));
    await expect(sleeping).rejects.toMatchObject({ name: 'PgFault', sqlState: '08006' });
    expect(impatient.totalCount).toBe(0);
  } finally {
    await impatient.end();
  }
});

test('a connection that is lost at COMMIT leaves the outcome open', async () => {
  const db = createPgDatabase(pool);
  await db.query('CREATE TABLE slow_commit (id int)');
  await db.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'`);
  await db.query(
    'CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow_commit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()',
  );
  const committing = db.transaction(WRITE, async (tx) => {
    await tx.query('INSERT INTO slow_commit VALUES (1)');
  });
  const settled = committing.catch((error: unknown) => error);
  for (let isKilled = false; !isKilled;) {
    const { rows } = await db.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' AND wait_event = 'PgSleep'`,
    );
    isKilled = rows.length > 0;
  }
  expect(await settled).toMatchObject({ name: 'PgFault', commitSent: true });
});

test('aborting cancels the running statement and gives the connection up', async () => {
  const db = createPgDatabase(pool);
  const gone = new AbortController();
  const sleeping = db.transaction({ ...WRITE, signal: gone.signal }, async (tx) => {
    setTimeout(() => gone.abort(new Error('enough')), 20);
    await tx.query('SELECT pg_sleep(60)');
  });
  await expect(sleeping).rejects.toThrow('enough');
});

test('a COPY that is not read to its end does not poison the pool', async () => {
  const db = createPgDatabase(pool);
  for (let repeat = 0; repeat < 4; repeat += 1) {
    await db
      .transaction(WRITE, async (tx) => {
        for await (const chunk of tx.copyTo('COPY (SELECT repeat($$x$$, 1000) FROM generate_series(1, 20000)) TO STDOUT')) {
          expect(chunk.byteLength).toBeGreaterThan(0);
          break;
        }
        throw new Error('left early');
      })
      .catch(() => {});
  }
  expect((await db.query('SELECT 1')).rows).toStrictEqual([['1']]);
});

test('the listener hears its channel and tells once when its connection ends', async () => {
  const ends: unknown[] = [];
  const heard: string[] = [];
  const arrived = new Promise<void>((resolve) => {
    void createPgListener({ connectionString: database.url, application_name: 'the-listener' })
      .listen(
        'The Channel',
        (payload) => (heard.push(payload), resolve()),
        (cause) => ends.push(cause),
      )
      .then(() => createPgDatabase(pool).query(`SELECT pg_notify('the channel', 'no'), pg_notify('The Channel', 'yes')`));
  });
  await arrived;
  expect(heard).toStrictEqual(['yes']);
  await createPgDatabase(pool).query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'the-listener'`,
  );
  while (ends.length === 0) await createPgDatabase(pool).query('SELECT pg_sleep(0.005)');
  expect(ends).toHaveLength(1);
});
