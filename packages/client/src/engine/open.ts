import { SyncError, isSyncError } from '@oversync/protocol';

import { loadClientState } from '../store/client-state.ts';
import type { ClientState } from '../store/client-state.ts';
import { openLocalSchema } from '../store/open-local-schema.ts';
import { withOperationName } from './engine.ts';
import type { CallOptions, Engine } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import { acquireOwnership } from './ownership.ts';
import { dropStaleStageFile } from './stage-place.ts';

/** Result of `open`. */
export interface OpenResult {
  readonly binding: 'anonymous' | 'attached';
  readonly userId?: string;
  /** What an earlier run left unfinished; not an error. */
  readonly pendingTransition?: 'remote_replace' | 'source_recovery' | 'checkpoint_recovery';
}

/** client.md 5.2: local only, and a second call only reads. */
export function openEngine(engine: Engine, options: CallOptions): Promise<OpenResult> {
  return withOperationName('open', async () => {
    if (engine.memory.phase === 'closed') throw new SyncError('client_closed');
    if (engine.memory.phase === 'open') return openResult(await loadClientState(engine.driver));
    engine.opening ??= firstOpen(engine, options).finally(() => {
      engine.opening = null;
    });
    try {
      return await engine.opening;
    } catch (error) {
      if (isSyncError(error) && error.code === 'aborted' && engine.closing.signal.aborted)
        throw new SyncError('client_closed', { cause: error });
      throw error;
    }
  });
}

async function firstOpen(engine: Engine, options: CallOptions): Promise<OpenResult> {
  const signal = options.signal === undefined ? engine.closing.signal : AbortSignal.any([options.signal, engine.closing.signal]);
  const { driver, memory } = engine;
  const ownership = await acquireOwnership(await driver.databaseId(), {
    wait: engine.options.ownership === 'wait',
    signal,
    lock: engine.options.ports.lock,
  });
  try {
    const { schema, warnings, state } = await openLocalSchema(
      stepDriver(engine, 'open'),
      engine.options.local,
      engine.http.random,
    );
    await dropStaleStageFile(engine);
    if (signal.aborted) throw new SyncError('aborted');
    Object.assign(memory, { phase: 'open', schema, warnings, ownership });
    return openResult(state);
  } catch (error) {
    await ownership.release();
    throw error;
  }
}

function openResult({ lifecycle }: ClientState): OpenResult {
  switch (lifecycle.name) {
    case 'anonymous':
      return { binding: 'anonymous' };
    case 'replacing':
      return { binding: 'anonymous', pendingTransition: 'remote_replace' };
    case 'attached':
      return { binding: 'attached', userId: lifecycle.userId };
    case 'checkpoint_recovery':
      return { binding: 'attached', userId: lifecycle.userId, pendingTransition: 'checkpoint_recovery' };
    case 'source_recovery':
    case 'source_recovery_unknown':
      return { binding: 'attached', userId: lifecycle.userId, pendingTransition: 'source_recovery' };
  }
}

/** Ends network waits, lets the running transaction finish, waits for the best-effort requests, gives the database up. */
export async function closeEngine(engine: Engine): Promise<void> {
  const { memory } = engine;
  if (memory.phase === 'closed') return;
  memory.phase = 'closed';
  engine.closing.abort();
  await engine.opening?.catch(() => undefined);
  await memory.running;
  await Promise.all(engine.background);
  await memory.ownership?.release();
  memory.ownership = null;
}
