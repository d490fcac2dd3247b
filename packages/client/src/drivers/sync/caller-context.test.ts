import { DatabaseSync } from 'node:sqlite';

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { createPortableContext } from './caller-context.ts';
import type { SyncConnection } from './sync-connection.ts';
import { SyncDriver } from './sync-driver.ts';

/** A connection that is enough for transactions. */
function connect(): SyncConnection {
  const database = new DatabaseSync(':memory:');
  return {
    get isOpen() {
      return database.isOpen;
    },
    get isTransaction() {
      return database.isTransaction;
    },
    exec: (sql) => database.exec(sql),
    prepare: (sql) => {
      const statement = database.prepare(sql);
      return { run: () => Number(statement.run().changes), all: () => [], columnNames: () => [] };
    },
    resultCodeOf: () => null,
  };
}

function openDriver(): SyncDriver {
  return new SyncDriver({
    connection: connect(),
    databaseId: () => 'test',
    context: createPortableContext(),
    hasRunMany: false,
  });
}

describe('where calls cannot be followed through await', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('a transaction that waits for a call on its own driver is freed after a second, and goes on', async () => {
    const driver = openDriver();
    const ended = driver.transaction('immediate', async (tx) => {
      await tx.run('CREATE TABLE t (a)');
      await expect(driver.run('DROP TABLE t')).rejects.toMatchObject({ kind: 'misuse' });
      await tx.run('INSERT INTO t VALUES (1)');
      return 'went on';
    });
    await vi.advanceTimersByTimeAsync(999);
    await expect(Promise.race([ended, Promise.resolve('waits')])).resolves.toBe('waits');
    await vi.advanceTimersByTimeAsync(1);
    await expect(ended).resolves.toBe('went on');
    expect((await driver.run('DELETE FROM t')).changes).toBe(1);
  });

  test('a call of somebody else waits as long as the transaction makes progress', async () => {
    const driver = openDriver();
    const gate = Promise.withResolvers<void>();
    const ended = driver.transaction('immediate', async (tx) => {
      await tx.run('CREATE TABLE t (a)');
      for (let second = 0; second < 5; second += 1) {
        await new Promise((resolve) => {
          setTimeout(resolve, 900);
        });
        await tx.run('INSERT INTO t VALUES (1)');
      }
      gate.resolve();
    });
    await vi.advanceTimersByTimeAsync(10);
    const waiting = driver.run('DELETE FROM t');
    await vi.advanceTimersByTimeAsync(5000);
    await gate.promise;
    await ended;
    expect((await waiting).changes).toBe(5);
    expect(vi.getTimerCount()).toBe(0);
  });
});
