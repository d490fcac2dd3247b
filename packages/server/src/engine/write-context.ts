import { SyncError } from '@oversync/protocol';

/** What runs around an asynchronous call; open while its callback may still write. */
interface OpenWrite {
  isOpen: boolean;
}

interface AsyncStore {
  run<T>(store: OpenWrite, fn: () => T): T;
  getStore(): OpenWrite | undefined;
}

/** Looked up at run time, because the core is not tied to Node. Without it a nested write of the same scope waits for itself until its time-out. */
const STORE: AsyncStore | undefined = createStore();

function createStore(): AsyncStore | undefined {
  if (typeof process === 'undefined' || typeof process.getBuiltinModule !== 'function') return undefined;
  const { AsyncLocalStorage } = process.getBuiltinModule('node:async_hooks');
  return new AsyncLocalStorage<OpenWrite>();
}

/**
 * A write inside the callback of another one would hold two connections, wait for its own scope, and stay when the outer one is
 * rolled back.
 *
 * @throws SyncError `callback_violation` inside a write callback that is still running.
 */
export function checkNotInWrite(): void {
  if (STORE?.getStore()?.isOpen !== true) return;
  throw new SyncError('callback_violation', { message: 'a write callback cannot start another write' });
}

/** Runs a write callback so that {@link checkNotInWrite} recognises what it calls. Work that it leaves behind is free again. */
export async function runInWrite<T>(fn: () => Promise<T>): Promise<T> {
  if (STORE === undefined) return fn();
  const write = { isOpen: true };
  try {
    return await STORE.run(write, fn);
  } finally {
    write.isOpen = false;
  }
}
