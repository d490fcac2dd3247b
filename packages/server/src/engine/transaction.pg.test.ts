import { SyncError } from '@oversync/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { PgFault } from '../ports/postgres.ts';
import type { PgBegin, PgTransaction, Postgres } from '../ports/postgres.ts';
import { openPgFixture } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';
import { metadataNames } from '../store/metadata.sql.ts';
import type { SyncContext } from './context.ts';
import type { ServerEvent } from './events.ts';
import { ServerCore } from './server-core.ts';
import { resolveOptions } from './resolve-options.ts';
import type { SyncServerOptions } from './options.ts';
import { withReadTransaction, withScopeWriteTransaction, withWriteTransaction } from './transaction.ts';
import { loadTransactionStatus } from './xact-status.ts';

let pg: PgFixture;
beforeAll(async () => {
  pg = await openPgFixture();
  await pg.run('CREATE TABLE item (id int PRIMARY KEY, n int); INSERT INTO item VALUES (1, 0), (2, 0)');
});
afterAll(() => pg.close());

function createContext(
  options: Partial<SyncServerOptions> = {},
  db: Postgres = pg.db,
): { ctx: SyncContext; events: ServerEvent[] } {
  const events: ServerEvent[] = [];
  const resolved = resolveOptions({
    database: db,
    resolveActor: () => null,
    registeredTables: [],
    onEvent: (event) => events.push(event),
    retry: { attempts: 3, baseMs: 1 },
    ...options,
  });
  return { ctx: { ...new ServerCore(resolved).ctx, names: metadataNames('sync') }, events };
}

/** Every COMMIT loses its connection, after or before PostgreSQL has done it. */
function losingCommits(db: Postgres, isDone: boolean): Postgres {
  return {
    features: db.features,
    query: (sql, params) => db.query(sql, params),
    transaction: async <T>(begin: PgBegin, fn: (tx: PgTransaction) => Promise<T>): Promise<T> => {
      const lost = new PgFault('connection lost', { sqlState: '08006', commitSent: true });
      if (isDone) {
        await db.transaction(begin, fn);
        throw lost;
      }
      return db.transaction(begin, async (tx) => {
        await fn(tx);
        throw lost;
      });
    },
  };
}

const fault = (sqlState: string) => new PgFault('made up', { sqlState });

test('[C8] the pinned settings hold whatever the database is configured to, and end with the transaction', async () => {
  const { ctx } = createContext({ lockTimeoutMs: 7000, statementTimeoutMs: 8000, bulkStatementTimeoutMs: 9000 });
  const name = (await pg.query('SELECT current_database()')).rows[0]?.[0] ?? '';
  await pg.run(
    `ALTER DATABASE ${name} SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE ${name} SET bytea_output = 'escape'; ALTER DATABASE ${name} SET DateStyle = 'German'`,
  );
  const other = await openPgFixture();
  await other.close();
  const show = [
    'TimeZone',
    'DateStyle',
    'IntervalStyle',
    'bytea_output',
    'extra_float_digits',
    'standard_conforming_strings',
    'lock_timeout',
    'statement_timeout',
  ];
  const sql = `SELECT ${show.map((setting) => `current_setting('${setting}')`).join(',')}`;
  const read = await withReadTransaction(ctx, 'pull', async (tx) => (await tx.query(sql)).rows[0]);
  expect(read?.map((value, index) => (index === 1 ? value?.split(',')[0] : value))).toStrictEqual([
    'UTC',
    'ISO',
    'postgres',
    'hex',
    '1',
    'on',
    '7s',
    '8s',
  ]);
  const bulk = await withWriteTransaction(ctx, 'push_chunk', async (tx) => (await tx.query(sql)).rows[0], { isBulk: true });
  expect(bulk?.[7]).toBe('9s');
});

test('a read is one frozen view that cannot write', async () => {
  const { ctx } = createContext();
  await withReadTransaction(ctx, 'pull', async (tx) => {
    const before = (await tx.query('SELECT n FROM item WHERE id = 1')).rows;
    await pg.query('UPDATE item SET n = n + 1 WHERE id = 1');
    expect((await tx.query('SELECT n FROM item WHERE id = 1')).rows).toStrictEqual(before);
  });
  await expect(withReadTransaction(ctx, 'pull', (tx) => tx.query('UPDATE item SET n = 9'))).rejects.toMatchObject({
    sqlState: '25006',
  });
});

test.each(['40001', '40P01', '55P03', '57014', '57P01', '08006', '53300', '53200', '25P03', '25P04'])(
  '[E2] %s is tried again, then a 503 with Retry-After',
  async (sqlState) => {
    const { ctx, events } = createContext();
    let attempts = 0;
    const failing = withWriteTransaction(ctx, 'push_chunk', async () => {
      attempts += 1;
      throw fault(sqlState);
    });
    await expect(failing).rejects.toMatchObject({ code: 'service_unavailable', retryAfterMs: 1000 });
    expect(attempts).toBe(3);
    expect(events.map((event) => event.name)).toStrictEqual(['retry', 'retry', 'transientFailure']);

    let tries = 0;
    const recovering = withWriteTransaction(ctx, 'push_chunk', async (_tx, attempt) => {
      tries += 1;
      if (tries < 3) throw fault(sqlState);
      return attempt.number;
    });
    expect(await recovering).toBe(3);
  },
);

test.each(['23505', '22P02', '42501', '42P01', 'XX000', 'P0001'])('%s is not tried again', async (sqlState) => {
  const { ctx } = createContext();
  let attempts = 0;
  const failing = withWriteTransaction(ctx, 'push_chunk', async () => {
    attempts += 1;
    throw fault(sqlState);
  });
  await expect(failing).rejects.toMatchObject({ sqlState });
  expect(attempts).toBe(1);
});

test('an error of the operation rolls back and is passed on at once', async () => {
  const { ctx } = createContext();
  const error = new SyncError('push_conflict');
  const failing = withWriteTransaction(ctx, 'push_chunk', async (tx) => {
    await tx.query('INSERT INTO item VALUES (77, 0)');
    throw error;
  });
  await expect(failing).rejects.toBe(error);
  expect((await pg.query('SELECT count(*) FROM item WHERE id = 77')).rows).toStrictEqual([['0']]);
});

test('[E2] a real deadlock is resolved by trying again', async () => {
  const { ctx } = createContext({ retry: { attempts: 5, baseMs: 50 } });
  const arrived: (() => void)[] = [];
  const bothHoldOne = new Promise<void>((resolve) => {
    arrived.push(() => {
      if (arrived.length === 3) resolve();
    });
  });
  const bump = (first: number, second: number) =>
    withWriteTransaction(ctx, 'push_chunk', async (tx, attempt) => {
      await tx.query('UPDATE item SET n = n + 1 WHERE id = $1', [String(first)]);
      if (attempt.number === 1) {
        arrived.push(() => {});
        arrived[0]?.();
        await bothHoldOne;
      }
      await tx.query('UPDATE item SET n = n + 1 WHERE id = $1', [String(second)]);
      return attempt.number;
    });
  const attempts = await Promise.all([bump(1, 2), bump(2, 1)]);
  expect(Math.max(...attempts)).toBeGreaterThan(1);
});

test('[P6] the lock budget covers all attempts of a request together', async () => {
  const { ctx, events } = createContext({ lockTimeoutMs: 150 });
  await pg.transaction(async (tx) => {
    await tx.query('UPDATE item SET n = 0 WHERE id = 1');
    const startedAt = performance.now();
    const blocked = withWriteTransaction(ctx, 'push_chunk', (inner) => inner.query('UPDATE item SET n = 1 WHERE id = 1'));
    await expect(blocked).rejects.toMatchObject({ code: 'service_unavailable' });
    expect(performance.now() - startedAt).toBeGreaterThan(100);
    expect(events.map((event) => event.name)).toStrictEqual(['transientFailure']);
  });
});

/** A writer of scope `s` that is inside its transaction until `finish` is called. */
async function holdTurn(ctx: SyncContext): Promise<{ held: Promise<void>; finish: () => void }> {
  const inside = Promise.withResolvers<void>();
  const finished = Promise.withResolvers<void>();
  const held = withScopeWriteTransaction(ctx, 'connect', 's', () => {
    inside.resolve();
    return finished.promise;
  });
  await inside.promise;
  return { held, finish: finished.resolve };
}

test('[P6] waiting for the turn of a scope holds no connection', async () => {
  const { ctx } = createContext();
  const { held, finish } = await holdTurn(ctx);
  const waiting = Array.from({ length: 10 }, () => withScopeWriteTransaction(ctx, 'connect', 's', async () => 'done'));
  expect((await withReadTransaction(ctx, 'pull', (tx) => tx.query('SELECT 1'))).rows).toStrictEqual([['1']]);
  finish();
  await held;
  expect(new Set(await Promise.all(waiting))).toStrictEqual(new Set(['done']));
});

test('[O1] a fault that a changed table explains is tried again, whoever has noticed the change first, and not for ever', async () => {
  const [before, after] = [{}, {}] as unknown as [ReturnType<SyncContext['catalog']>, ReturnType<SyncContext['catalog']>];
  let catalog = before;
  const base = createContext().ctx;
  const ctx = { ...base, catalog: () => catalog, refreshCatalog: () => Promise.resolve(false) };
  let attempts = 0;
  const run = (onAttempt: () => void) =>
    withReadTransaction(ctx, 'pull', async () => {
      attempts += 1;
      onAttempt();
      if (catalog === before || attempts > 1) return attempts;
      throw fault('42703');
    });
  expect(await run(() => (catalog = after))).toBe(2);
  attempts = 0;
  await expect(run(() => undefined)).rejects.toMatchObject({ sqlState: '42703' });
  expect(attempts).toBe(1);
});

test('a COMMIT that got lost is asked for: committed gives the answer, aborted tries again, unknown is a 503', async () => {
  const done = createContext({}, losingCommits(pg.db, true)).ctx;
  const answer = await withWriteTransaction(done, 'push_session_commit', async () => 'first', {
    resolveOutcome: async (lost) => ({ outcome: 'committed', value: `found after ${lost.sqlState}` }),
  });
  expect(answer).toBe('found after 08006');

  let attempts = 0;
  const undone = createContext({}, losingCommits(pg.db, false));
  const aborted = withWriteTransaction(undone.ctx, 'push_session_commit', async () => (attempts += 1), {
    resolveOutcome: async () => ({ outcome: 'aborted' }),
  });
  await expect(aborted).rejects.toMatchObject({ code: 'service_unavailable' });
  expect(attempts).toBe(3);

  const unknown = withWriteTransaction(undone.ctx, 'push_session_commit', async () => 1, {
    resolveOutcome: async () => ({ outcome: 'unknown' }),
  });
  await expect(unknown).rejects.toMatchObject({ code: 'commit_outcome_unknown' });
  expect(undone.events.at(-1)).toMatchObject({ name: 'commitOutcomeUnknown', operation: 'push_session_commit' });
});

test('PostgreSQL tells what became of a transaction', async () => {
  const { ctx } = createContext();
  const xid = async (isKept: boolean) => {
    let id = '';
    await pg
      .transaction(async (tx) => {
        id = (await tx.query('SELECT pg_current_xact_id()')).rows[0]?.[0] ?? '';
        expect(await loadTransactionStatus(ctx, id)).toBe('in progress');
        if (!isKept) throw new Error('undo');
      })
      .catch(() => {});
    return id;
  };
  expect(await loadTransactionStatus(ctx, await xid(true))).toBe('committed');
  expect(await loadTransactionStatus(ctx, await xid(false))).toBe('aborted');
  expect(await loadTransactionStatus(ctx, '99999999999')).toBe('unknown');
});

test('an aborted operation ends with the reason of its signal, also while it waits for its turn', async () => {
  const { ctx } = createContext();
  const gone = new AbortController();
  const stopped = { ...ctx, signal: gone.signal };
  const { held, finish } = await holdTurn(ctx);
  const waiting = withScopeWriteTransaction(stopped, 'connect', 's', async () => 1);
  const sleeping = withReadTransaction(stopped, 'pull', (tx) => tx.query('SELECT pg_sleep(60)'));
  gone.abort(new Error('shutdown'));
  await expect(waiting).rejects.toThrow('shutdown');
  await expect(sleeping).rejects.toThrow('shutdown');
  finish();
  await held;
});
