import { SyncError } from '@oversync/protocol';

import { nextLifecycleState } from '../machines/lifecycle.ts';
import type { LifecycleEvent } from '../machines/lifecycle.ts';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { insertSource, loadClientState, loadSource, saveLifecycle } from '../store/client-state.ts';
import type { CheckpointReason, LifecycleState, SourceRecoveryReason } from '../store/client-state.ts';
import { withTransaction } from '../store/transaction.ts';
import type { Call, Engine } from './engine.ts';
import { stepDriver } from './fault-points.ts';

/** Applies an event to the stored life cycle. Returns the state that is stored then. */
export async function recordEvent(call: Call, tx: SqliteTx, event: LifecycleEvent): Promise<LifecycleState> {
  const { lifecycle } = await loadClientState(tx);
  const next = nextLifecycleState(lifecycle, event);
  if (next !== lifecycle) await saveLifecycle(tx, call.schema.name, next);
  return next;
}

/** Stores that incremental history is lost; a reason that is stored already stays. */
export async function loseCheckpoint(call: Call, reason: CheckpointReason): Promise<LifecycleState> {
  return withTransaction(stepDriver(call.engine, 'checkpoint'), call.operation, (tx) =>
    recordEvent(call, tx, { name: 'checkpointLost', reason }),
  );
}

/**
 * Stores that the source is lost and reserves its successor: the one reserved before, else the one the server names, else a fresh one.
 * Throws `source_replacement_diverged`, and changes nothing, when the server names another successor than the reserved one.
 */
export async function loseSource(call: Call, reason: SourceRecoveryReason, serverNamed: string | null): Promise<void> {
  await withTransaction(stepDriver(call.engine, 'source'), call.operation, async (tx) => {
    const { lifecycle } = await loadClientState(tx);
    const reserved = lifecycle.name === 'source_recovery' ? lifecycle.replacementSourceId : null;
    if (reserved !== null && serverNamed !== null && reserved !== serverNamed) throw new SyncError('source_replacement_diverged');
    const replacementSourceId = reserved ?? serverNamed ?? (await unusedSourceId(call.engine, tx));
    if ((await loadSource(tx, replacementSourceId)) === null) await insertSource(tx, replacementSourceId);
    await recordEvent(call, tx, { name: 'sourceLost', reason, replacementSourceId });
  });
}

/** Stores that the seed lease is gone: anonymous again, every local row kept. */
export async function loseInitialization(call: Call): Promise<void> {
  await withTransaction(stepDriver(call.engine, 'lease'), call.operation, (tx) => recordEvent(call, tx, { name: 'leaseLost' }));
  call.engine.memory.isConnected = false;
}

/** A source id this database has never used. */
export async function unusedSourceId(engine: Engine, tx: SqliteTx): Promise<string> {
  for (;;) {
    const sourceId = engine.http.random.uuid();
    if ((await loadSource(tx, sourceId)) === null) return sourceId;
  }
}
