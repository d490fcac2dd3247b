import { createTestDatabase } from '@oversync/dev-postgres/testing';
import type { TestDatabase } from '@oversync/dev-postgres/testing';
import { Pool } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import type { PgResult, Postgres } from '../ports/postgres.ts';
import { bindStatement } from '../rules/bound-statement.ts';
import { runLastStatements } from '../store/run-statements.ts';
import type { ScriptStatement } from '../store/run-statements.ts';
import { createPgDatabase } from './pg.ts';

const BEGIN = { isolation: 'read committed', mayBeImplicit: true, settings: 'SET LOCAL statement_timeout=5000' } as const;

const insert = (id: string) => bindStatement((bind) => `INSERT INTO noted VALUES (${bind('text', id)}) RETURNING id`);
const ISOLATION = `SELECT current_setting('transaction_isolation'), current_setting('statement_timeout')`;

describe('[I5] a transaction that is one message', () => {
  let database: TestDatabase;
  let pool: Pool;
  let db: Postgres;
  let texts: string[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    pool = new Pool({ connectionString: database.url, max: 1 });
    pool.on('error', () => {});
    db = createPgDatabase(pool, { preparedStatements: true });
    await pool.query('CREATE TABLE noted (id text PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)');
    const client = await pool.connect();
    const query = client.query.bind(client);
    Reflect.set(client, 'query', (config: unknown, ...rest: unknown[]): unknown => {
      const text: unknown = typeof config === 'object' && config !== null ? Reflect.get(config, 'text') : config;
      texts.push(String(text));
      const answer: unknown = Reflect.apply(query, undefined, [config, ...rest]);
      return answer;
    });
    client.release();
    // The first transaction finds out that the connection is direct.
    await run([ISOLATION]);
  });
  beforeEach(() => {
    texts = [];
  });
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  const run = (statements: readonly ScriptStatement[]): Promise<readonly PgResult[]> =>
    db.transaction(BEGIN, (tx) => runLastStatements(tx, statements));
  const noted = async () => (await db.query('SELECT id FROM noted ORDER BY id')).rows.flat();

  it('needs neither BEGIN nor COMMIT, and has its settings', async () => {
    const results = await run([insert('a'), insert('b'), ISOLATION]);
    expect(results.map(({ rows }) => rows)).toStrictEqual([[['a']], [['b']], [['read committed', '5s']]]);
    expect(texts).toHaveLength(1);
    expect(texts.join()).not.toMatch(/BEGIN|COMMIT/);
    expect(await noted()).toStrictEqual(['a', 'b']);
    expect((await db.query('SHOW statement_timeout')).rows).toStrictEqual([['0']]);
  });

  it.each([
    ['a statement', [insert('c'), 'SELECT 1 / 0'], '22012'],
    ['a constraint at its end', [insert('c'), insert('a'), 'SELECT 1'], '23505'],
  ])('leaves nothing behind when %s fails, and nothing to roll back', async (_, statements, sqlState) => {
    const before = await noted();
    texts = [];
    await expect(run(statements)).rejects.toMatchObject({ sqlState, commitSent: false });
    expect(texts.filter((text) => text.includes('ROLLBACK'))).toStrictEqual([]);
    expect(await noted()).toStrictEqual(before);
  });

  it('that loses its connection leaves its outcome open', async () => {
    const statements = [insert('lost'), 'SELECT pg_terminate_backend(pg_backend_pid())', 'SELECT 1'];
    await expect(run(statements)).rejects.toMatchObject({ commitSent: true });
    expect(await noted()).not.toContain('lost');
  });
});
