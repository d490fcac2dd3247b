import { AsyncLocalStorage } from 'node:async_hooks';

import type { CallerContext, OpenTransaction } from './sync/caller-context.ts';

/** Node follows every call, so that a nested one is refused at once. */
export function createNodeContext(): CallerContext {
  const storage = new AsyncLocalStorage<OpenTransaction>();
  return {
    enter: (transaction, fn) => storage.run(transaction, fn),
    isInside: () => storage.getStore()?.isOpen === true,
  };
}
