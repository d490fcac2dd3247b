import { SyncError } from '@oversync/protocol';

import type { HeldLock, LockRequest, OwnershipLock } from '../ports/lock.ts';

/**
 * Ownership of a database across tabs and workers by a Web Lock, which the browser releases with the tab or worker that holds it
 * (client.md 2.4). `null` where the platform has no Web Locks.
 */
export function createWebLock(locks: LockManager | undefined = globalThis.navigator?.locks): OwnershipLock | null {
  return locks === undefined ? null : { acquire: (name, request) => acquire(locks, name, request) };
}

async function acquire(locks: LockManager, name: string, { wait, signal }: LockRequest): Promise<HeldLock | null> {
  if (signal?.aborted === true) throw new SyncError('aborted');
  const answer = Promise.withResolvers<HeldLock | null>();
  const released = Promise.withResolvers<void>();
  // The API allows a signal only where it may have to wait.
  const options: LockOptions = wait ? (signal === undefined ? {} : { signal }) : { ifAvailable: true };
  const ended = locks.request(name, options, (lock) => {
    if (lock === null) {
      answer.resolve(null);
      return Promise.resolve();
    }
    answer.resolve({
      release: async () => {
        released.resolve();
        await ended;
      },
    });
    return released.promise;
  });
  ended.catch((error: unknown) => answer.reject(signal?.aborted === true ? new SyncError('aborted', { cause: error }) : error));
  return answer.promise;
}
