import { setTimeout as sleep } from 'node:timers/promises';

import { LOOK_INTERVAL_MS } from './limits.ts';

/** Resolves as soon as `isThere` says so; rejects with `what` when it has not within `timeoutMs`. */
export async function waitFor(what: string, timeoutMs: number, isThere: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isThere())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(LOOK_INTERVAL_MS);
  }
}
