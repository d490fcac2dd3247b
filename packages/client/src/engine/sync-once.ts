import { SyncError, isSyncError } from '@oversync/protocol';

import { SYNC_ONCE_DEADLINE_MS } from '../limits.ts';
import { decideLoopReaction } from '../rules/loop-error.ts';
import { runExclusive } from './engine.ts';
import type { CallOptions, Engine } from './engine.ts';
import { rebuild, sync } from './sync.ts';
import type { SyncReport } from './sync.ts';

/** Options of `syncOnce`. */
export interface SyncOnceOptions extends Pick<CallOptions, 'signal'> {
  /** Time the platform grants, in milliseconds. Default 25 s, which fits the background tasks of phones. */
  readonly deadlineMs?: number;
}

/** Result of `syncOnce`. What was done before the time was up stays done, and the next call goes on from there. */
export type SyncOnceReport = { readonly outcome: 'synced'; readonly report: SyncReport } | { readonly outcome: 'out_of_time' };

/** One sync within a deadline, with the recovery that the background loop would make. */
export async function syncOnce(engine: Engine, options: SyncOnceOptions): Promise<SyncOnceReport> {
  const { deadlineMs = SYNC_ONCE_DEADLINE_MS } = options;
  if (!Number.isSafeInteger(deadlineMs) || deadlineMs <= 0)
    throw new SyncError('invalid_argument', { details: { argument: 'deadlineMs' } });
  const deadline = new AbortController();
  const stopTimer = engine.http.clock.startTimer(deadlineMs, () => deadline.abort());
  const signal = options.signal === undefined ? deadline.signal : AbortSignal.any([options.signal, deadline.signal]);
  try {
    return { outcome: 'synced', report: await syncWithRecovery(engine, { signal, whenBusy: 'wait' }) };
  } catch (error) {
    if (isSyncError(error) && error.code === 'aborted' && deadline.signal.aborted) return { outcome: 'out_of_time' };
    throw error;
  } finally {
    stopTimer();
  }
}

async function syncWithRecovery(engine: Engine, call: CallOptions): Promise<SyncReport> {
  try {
    return await runExclusive(engine, 'sync', call, sync);
  } catch (error) {
    if (!isSyncError(error) || decideLoopReaction(error, true) !== 'rebuild') throw error;
    await runExclusive(engine, 'rebuild', call, (running) => rebuild(running, undefined));
    return runExclusive(engine, 'sync', call, sync);
  }
}
