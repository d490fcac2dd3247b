import { createTestDatabase } from '@oversync/dev-postgres/testing';
import type { TestDatabase } from '@oversync/dev-postgres/testing';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { PgFault } from '../ports/postgres.ts';
import type { Postgres } from '../ports/postgres.ts';
import { postgresConformance } from '../testing/index.ts';
import { createPostgresJsDatabase, createPostgresJsListener } from './postgres-js.ts';

let database: TestDatabase;
let sql: postgres.Sql;
const others: postgres.Sql[] = [];
const open = (options: postgres.Options<Record<string, postgres.PostgresType>> = {}): postgres.Sql => {
  const other = postgres(database.url, { max: 3, onnotice: () => {}, ...options });
  others.push(other);
  return other;
};
beforeAll(async () => {
  database = await createTestDatabase();
  sql = open();
});
afterAll(async () => {
  await Promise.all(others.map((other) => other.end({ timeout: 1 })));
  await database.drop();
});

const WRITE = { isolation: 'read committed' } as const;

describe('unprepared', () => {
  test.each(postgresConformance)('$name', async ({ run }) => {
    await expect(run(createPostgresJsDatabase(sql))).resolves.toBeUndefined();
  });
});

describe('prepared', () => {
  test.each(postgresConformance)('$name', async ({ run }) => {
    await expect(run(createPostgresJsDatabase(sql, { preparedStatements: true }))).resolves.toBeUndefined();
  });
});

test('parsers, serializers and transforms of the host never see our values', async () => {
  const loud = { to: 16, from: [16, 20], serialize: () => 'f', parse: () => 'parsed by the host' };
  const db = createPostgresJsDatabase(open({ ...postgres.camel, types: { loud } }));
  const { rows } = await db.query(`SELECT $1::bool, 1::int8 AS snake_case, $2::json, $3::timestamptz AT TIME ZONE 'UTC'`, [
    't',
    '{"snake_case":1}',
    '2026-01-02 03:04:05.123456+00',
  ]);
  expect(rows).toStrictEqual([['t', '1', '{"snake_case":1}', '2026-01-02 03:04:05.123456']]);
  expect(() => createPostgresJsDatabase(open({ transform: { row: () => ({}) } }))).toThrow(TypeError);
});

test('whatever the body throws, its connection comes back', async () => {
  const db = createPostgresJsDatabase(open({ max: 1 }));
  const thrown = [new PgFault('of another database', { sqlState: '08006', commitSent: true }), new Error('mine'), undefined];
  for (const error of thrown) await expect(db.transaction(WRITE, () => Promise.reject(error))).rejects.toBe(error);
  expect((await db.query('SELECT 1')).rows).toStrictEqual([['1']]);
});

test('a savepoint undoes a failed statement, and the transaction commits', async () => {
  const db = createPostgresJsDatabase(sql);
  await db.query('CREATE TABLE undone (id int)');
  await db.transaction(WRITE, async (tx) => {
    await tx.script('INSERT INTO undone VALUES (1); SAVEPOINT here');
    await expect(tx.script('INSERT INTO undone VALUES (2); SELECT 1/0; ROLLBACK TO SAVEPOINT here')).rejects.toMatchObject({
      sqlState: '22012',
    });
    await tx.script('ROLLBACK TO SAVEPOINT here; RELEASE SAVEPOINT here');
  });
  expect((await db.query('SELECT id FROM undone')).rows).toStrictEqual([['1']]);
});

test('every statement of a script has its own result, in whatever order', async () => {
  const results = await createPostgresJsDatabase(sql).transaction(WRITE, (tx) =>
    tx.script(`CREATE TEMPORARY TABLE many (id int) ON COMMIT DROP; SELECT 1, NULL; SET LOCAL lock_timeout = 5;
      INSERT INTO many VALUES (1), (2); INSERT INTO many VALUES (3) RETURNING id; DELETE FROM many WHERE id < 3;
      SELECT id FROM many WHERE false; SHOW lock_timeout; SELECT ';', $$;$$ /* ; */; SELECT;`),
  );
  expect(results.map(({ rows, rowCount }) => [rows, rowCount])).toStrictEqual([
    [[], 0],
    [[['1', null]], 1],
    [[], 0],
    [[], 2],
    [[['3']], 1],
    [[], 2],
    [[], 0],
    [[['5ms']], 1],
    [[[';', ';']], 1],
    [[[]], 1],
  ]);
});

test('COPY writes what PostgreSQL writes, quotes included, for more rows than one FETCH brings', async () => {
  const select = `SELECT n::text, CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN E'tab\\tline\\nback\\\\slash' WHEN 2 THEN E'q\\x01d\\x02n\\x03' ELSE '' END
    FROM generate_series(1, 40000) AS n`;
  const { createPgDatabase } = await import('./pg.ts');
  const { Pool } = await import('pg');
  const pool = new Pool({ connectionString: database.url });
  const read = async (db: Postgres, copy: string) => {
    const pieces: Uint8Array[] = [];
    await db.transaction(WRITE, async (tx) => {
      for await (const chunk of tx.copyTo(copy)) pieces.push(chunk);
    });
    return Buffer.concat(pieces).toString('latin1');
  };
  try {
    for (const options of [
      '',
      ` (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01', NULL E'\\x03', ENCODING 'UTF8')`,
      ' (FORMAT csv)',
      ' (FORMAT binary)',
    ]) {
      const copy = `COPY (${select}) TO STDOUT${options}`;
      const [mine, theirs] = [await read(createPostgresJsDatabase(sql), copy), await read(createPgDatabase(pool), copy)];
      expect(mine.length).toBe(theirs.length);
      expect(mine === theirs).toBe(true);
    }
  } finally {
    await pool.end();
  }
});

test('a COPY that cannot be fetched is refused, and one that is left early leaves the connection usable', async () => {
  const db = createPostgresJsDatabase(open({ max: 1 }));
  const copy = (text: string) =>
    db.transaction(WRITE, async (tx) => {
      for await (const chunk of tx.copyTo(text)) return chunk.byteLength;
      return 0;
    });
  for (const text of [
    'COPY t TO STDOUT',
    'COPY (SELECT 1) TO STDOUT (FORMAT binary, DELIMITER x)',
    `COPY (SELECT 1) TO STDOUT (FORMAT text, NULL 'x')`,
    'COPY (SELECT 1) TO STDOUT (HEADER true)',
  ]) {
    await expect(copy(text)).rejects.toBeInstanceOf(TypeError);
  }
  expect(await copy('COPY (SELECT repeat($$x$$, 1000) FROM generate_series(1, 20000)) TO STDOUT')).toBeGreaterThan(0);
  expect((await db.query('SELECT 1')).rows).toStrictEqual([['1']]);
});

test('an exhausted pool is 53300, for a transaction and for a query, and serves again afterwards', async () => {
  const pool = open({ max: 1 });
  const [patient, hasty] = [createPostgresJsDatabase(pool), createPostgresJsDatabase(pool, { connectionWaitMs: 50 })];
  await patient.transaction(WRITE, async () => {
    await expect(hasty.query('SELECT 1')).rejects.toMatchObject({ sqlState: '53300' });
    await expect(hasty.transaction(WRITE, (tx) => tx.query('SELECT 1'))).rejects.toMatchObject({ sqlState: '53300' });
  });
  expect((await patient.query('SELECT 1')).rows).toStrictEqual([['1']]);
});

test('a server that is not there is 08006', async () => {
  const db = createPostgresJsDatabase(open({ host: '127.0.0.1', port: 1, connect_timeout: 1 }));
  const lost = { name: 'PgFault', sqlState: '08006', commitSent: false };
  await expect(db.query('SELECT 1')).rejects.toMatchObject(lost);
  await expect(db.transaction(WRITE, (tx) => tx.query('SELECT 1'))).rejects.toMatchObject(lost);
});

test.each(['while a statement runs', 'between two statements'])(
  'a connection that is lost %s is not used again',
  async (when) => {
    // A pool of its own: postgres.js tells the fault of a broken connection once more to the first query after it has connected again.
    const db = createPostgresJsDatabase(open());
    const lost = db.transaction(WRITE, async (tx) => {
      const pid = (await tx.query('SELECT pg_backend_pid()')).rows[0]?.[0] ?? '';
      const running = when === 'between two statements' ? undefined : tx.query('SELECT pg_sleep(60)');
      running?.catch(() => {});
      await db.query('SELECT pg_terminate_backend($1)', [pid]);
      for (let isGone = false; !isGone;) {
        isGone = (await db.query('SELECT pid FROM pg_stat_activity WHERE pid = $1', [pid])).rows.length === 0;
      }
      await running;
      await tx.query('SELECT 1');
    });
    await expect(lost).rejects.toSatisfy((error) => error instanceof PgFault && error.sqlState === '08006' && !error.commitSent);
    await db.query('SELECT 1').catch(() => {});
    expect((await db.query('SELECT 1')).rows).toStrictEqual([['1']]);
  },
);

test('a connection that is lost at COMMIT leaves the outcome open', async () => {
  const db = createPostgresJsDatabase(sql);
  await db.query('CREATE TABLE slow_commit (id int)');
  await db.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'`);
  await db.query(
    'CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow_commit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()',
  );
  const settled = db
    .transaction(WRITE, async (tx) => {
      await tx.query('INSERT INTO slow_commit VALUES (1)');
    })
    .catch((error: unknown) => error);
  for (let isKilled = false; !isKilled;) {
    const { rows } = await db.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query = 'commit' AND wait_event = 'PgSleep'`,
    );
    isKilled = rows.length > 0;
  }
  expect(await settled).toMatchObject({ name: 'PgFault', commitSent: true });
});

test('aborting cancels the running statement, and the connection serves the next caller', async () => {
  const db = createPostgresJsDatabase(open({ max: 1 }));
  const gone = new AbortController();
  const sleeping = db.transaction({ ...WRITE, settings: 'SET LOCAL lock_timeout = 5', signal: gone.signal }, async (tx) => {
    setTimeout(() => gone.abort(new Error('enough')), 20);
    await tx.query('SELECT pg_sleep(60)');
  });
  await expect(sleeping).rejects.toThrow('enough');
  for (let repeat = 0; repeat < 20; repeat += 1) expect((await db.query('SELECT 1')).rows).toStrictEqual([['1']]);
});

test('the listener hears its channel and tells once when its connection ends', async () => {
  const db = createPostgresJsDatabase(sql);
  const ends: unknown[] = [];
  const heard: string[] = [];
  const arrived = Promise.withResolvers<void>();
  const listener = createPostgresJsListener(database.url, { connection: { application_name: 'the-listener' } });
  await listener.listen(
    'The "Channel"',
    (payload) => (heard.push(payload), arrived.resolve()),
    (cause) => ends.push(cause),
  );
  await db.query(`SELECT pg_notify('the "channel"', 'no'), pg_notify('The "Channel"', 'yes')`);
  await arrived.promise;
  expect(heard).toStrictEqual(['yes']);
  await db.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'the-listener'`);
  while (ends.length === 0) await db.query('SELECT pg_sleep(0.005)');
  expect(ends).toHaveLength(1);
  await expect(
    createPostgresJsListener(database.url, { port: 1 }).listen(
      'c',
      () => {},
      () => {},
    ),
  ).rejects.toMatchObject({
    sqlState: '08006',
  });
});
