import sqlite3InitModule from '@sqlite.org/sqlite-wasm';
import { describe, expect, test } from 'vitest';

import type { OwnershipLock } from '../ports/lock.ts';
import { createSqliteWasmDriver } from './sqlite-wasm.ts';
import { createWebLock } from './web-lock.ts';

function webLock(): OwnershipLock {
  const lock = createWebLock();
  if (lock === null) throw new Error('this Node has no Web Locks');
  return lock;
}

/** Whether a promise is still open when everything that is ready has run. */
async function isWaiting(promise: Promise<unknown>): Promise<boolean> {
  await new Promise((resolve) => {
    setTimeout(resolve, 20);
  });
  return (await Promise.race([promise.then(() => 'settled'), Promise.resolve('waiting')])) === 'waiting';
}

describe('[T11] ownership by a Web Lock', () => {
  test('one holder; others are told, or wait for its release', async () => {
    const held = await webLock().acquire('oversync:a', { wait: false });
    expect(held).not.toBeNull();
    expect(await webLock().acquire('oversync:a', { wait: false })).toBeNull();
    const other = await webLock().acquire('oversync:b', { wait: false });
    const next = webLock().acquire('oversync:a', { wait: true });
    expect(await isWaiting(next)).toBe(true);
    await held?.release();
    const second = await next;
    expect(await webLock().acquire('oversync:a', { wait: false })).toBeNull();
    await second?.release();
    await other?.release();
    const free = await webLock().acquire('oversync:a', { wait: false });
    expect(free).not.toBeNull();
    await free?.release();
  });

  test('a caller that gives up stops waiting and leaves the lock to others', async () => {
    const held = await webLock().acquire('oversync:c', { wait: true });
    const caller = new AbortController();
    const waiting = webLock().acquire('oversync:c', { wait: true, signal: caller.signal });
    caller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'aborted' });
    await expect(webLock().acquire('oversync:c', { wait: false, signal: caller.signal })).rejects.toMatchObject({
      code: 'aborted',
    });
    await held?.release();
    const free = await webLock().acquire('oversync:c', { wait: false });
    await free?.release();
    expect(free).not.toBeNull();
  });

  test('is what a file of the WASM build has by default, and a database in memory has not', async () => {
    const sqlite3 = await sqlite3InitModule();
    const database = new sqlite3.oo1.DB('/owned.db', 'c');
    const driver = createSqliteWasmDriver({ sqlite3, database });
    const held = await driver.platform?.lock?.acquire('oversync:owned', { wait: false });
    expect(await webLock().acquire('oversync:owned', { wait: false })).toBeNull();
    await held?.release();
    database.close();
    expect(createSqliteWasmDriver({ sqlite3 }).platform).toBeUndefined();
  });
});
