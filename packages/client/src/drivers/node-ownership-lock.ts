import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';

import type { HeldLock, LockRequest, OwnershipLock } from '../ports/lock.ts';
import { SyncError } from '@oversync/protocol';

/** Pause between two attempts of a process that waits for the present owner to end. */
const POLL_INTERVAL_MS = 100;
const SQLITE_BUSY = 5;

/**
 * Ownership of a database file across processes: an EXCLUSIVE transaction on a side file `<file>-oversync-lock`, which the operating system
 * releases when the process dies (client.md 2.4). The side file holds nothing and may be deleted while nobody has the database open.
 */
export function createNodeOwnershipLock(databaseFile: string): OwnershipLock {
  return { acquire: (_name, request) => acquire(`${databaseFile}-oversync-lock`, request) };
}

async function acquire(lockFile: string, request: LockRequest): Promise<HeldLock | null> {
  for (;;) {
    if (request.signal?.aborted === true) throw new SyncError('aborted');
    const held = tryLock(lockFile);
    if (held !== null || !request.wait) return held;
    await sleep(POLL_INTERVAL_MS, undefined, request.signal === undefined ? {} : { signal: request.signal }).catch(
      () => undefined,
    );
  }
}

function tryLock(lockFile: string): HeldLock | null {
  const database = new DatabaseSync(lockFile);
  try {
    database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (isBusy(error)) return null;
    throw error;
  }
  return {
    release: () => {
      if (database.isOpen) database.close();
      return Promise.resolve();
    },
  };
}

function isBusy(error: unknown): boolean {
  return (
    error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' && (error.errcode & 0xff) === SQLITE_BUSY
  );
}
