import { SyncError, isSyncError } from '@oversync/protocol';

import { SqliteFault } from '../ports/sqlite-fault.ts';
import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';

/** One IMMEDIATE transaction. Faults of SQLite arrive as `storage_failed`; errors thrown by `fn` pass unchanged and roll back. */
export function withTransaction<R>(driver: SqliteDriver, operation: string, fn: (tx: SqliteTx) => Promise<R>): Promise<R> {
  return translatingFaults(operation, () => driver.transaction('immediate', fn));
}

/**
 * The same with `PRAGMA synchronous = FULL` for its duration: a frozen tuple, and the knowledge that it is committed, must survive a
 * power loss (client.md 6.2). The setting is restored afterwards.
 */
export async function withDurableTransaction<R>(
  driver: SqliteDriver,
  operation: string,
  fn: (tx: SqliteTx) => Promise<R>,
): Promise<R> {
  return translatingFaults(operation, async () => {
    const [row] = await driver.all('PRAGMA synchronous');
    const before = Number(row?.[0] ?? SYNCHRONOUS_FULL);
    if (before >= SYNCHRONOUS_FULL) return driver.transaction('immediate', fn);
    await driver.exec('PRAGMA synchronous = FULL');
    try {
      return await driver.transaction('immediate', fn);
    } finally {
      await driver.exec(`PRAGMA synchronous = ${before}`);
    }
  });
}

const SYNCHRONOUS_FULL = 2;

/** Runs `work` and turns a fault of SQLite into `storage_failed`. */
export async function translatingFaults<R>(operation: string, work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    throw storageError(error, operation);
  }
}

function storageError(error: unknown, operation: string): unknown {
  if (isSyncError(error) || !(error instanceof SqliteFault)) return error;
  return new SyncError('storage_failed', { operation, details: { sqliteCode: error.resultCode }, cause: error });
}

/** 1 silences capture, 2 captures but switches the guarded triggers of the application off. Back to 0 before the commit. */
export async function setApplyMode(tx: SqliteTx, mode: 0 | 1 | 2): Promise<void> {
  await tx.run('UPDATE _sync_apply_state SET apply_mode = ? WHERE singleton_key = 1', [BigInt(mode)]);
}

/** Begins a write of server rows: foreign keys are judged at the commit, capture is silent. */
export async function beginApply(tx: SqliteTx): Promise<void> {
  await tx.exec('PRAGMA defer_foreign_keys = ON');
  await setApplyMode(tx, 1);
}
