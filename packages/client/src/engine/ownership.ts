import { SyncError } from '@oversync/protocol';

import type { HeldLock, OwnershipLock } from '../ports/lock.ts';

interface RegistryEntry {
  readonly ended: Promise<void>;
}

/** Databases that are open in this process. One registry per loaded copy of the package; other copies meet at the lock of the driver. */
const openDatabases = new Map<string, RegistryEntry>();

export interface OwnershipRequest {
  readonly wait: boolean;
  readonly signal: AbortSignal;
  readonly lock: OwnershipLock | undefined;
}

/** Makes the caller the only owner of a database, in this process and, with a lock, outside it. Throws `database_owned`. */
export async function acquireOwnership(databaseId: string, request: OwnershipRequest): Promise<HeldLock> {
  const end = await enterRegistry(databaseId, request);
  try {
    const held = await request.lock?.acquire(`oversync:${databaseId}`, { wait: request.wait, signal: request.signal });
    if (held === null) throw new SyncError('database_owned');
    return {
      release: async () => {
        await held?.release();
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

async function enterRegistry(databaseId: string, request: OwnershipRequest): Promise<() => void> {
  for (let entry = openDatabases.get(databaseId); entry !== undefined; entry = openDatabases.get(databaseId)) {
    if (!request.wait) throw new SyncError('database_owned');
    await waitUnlessAborted(entry.ended, request.signal);
  }
  const ended = Promise.withResolvers<void>();
  openDatabases.set(databaseId, { ended: ended.promise });
  return () => {
    openDatabases.delete(databaseId);
    ended.resolve();
  };
}

async function waitUnlessAborted(ended: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw new SyncError('aborted');
  const aborted = Promise.withResolvers<void>();
  const abort = (): void => aborted.reject(new SyncError('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    await Promise.race([ended, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
