import { SyncError, isSyncError } from '@oversync/protocol';

import { insertSource, loadClientState, loadSource, markSourceReplaced } from '../store/client-state.ts';
import { reseedLocalRows } from '../store/detach.ts';
import { loadSeedSource, saveSeedSource } from '../store/session-notes.ts';
import { withTransaction } from '../store/transaction.ts';
import { connectScope } from './attach.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import { fetchCapabilities } from './server-requests.ts';
import { recordEvent, unusedSourceId } from './transitions.ts';

/**
 * Runs an operation of an attached database; when the server turns out to have forgotten the scope, connects once and either repeats the
 * operation or reports what the application has to decide (client.md 9.5).
 */
export async function withScopeRecovery<T>(call: Call, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isSyncError(error) || error.code !== 'scope_uninitialized') throw error;
    await reconnectScope(call);
    return work();
  }
}

async function reconnectScope(call: Call): Promise<void> {
  const { onScopeLost } = call.engine.options;
  const { lifecycle } = await loadClientState(call.engine.driver);
  const capabilities = await fetchCapabilities(call, lifecycle.sourceId);
  const seedSourceId = onScopeLost === 'reseed' ? await reserveSeedSource(call) : lifecycle.sourceId;
  const reply = await connectScope(call, capabilities, seedSourceId, true);
  switch (reply.resolution) {
    case 'remote_authoritative':
      return;
    case 'retry_later':
      throw new SyncError('scope_initializing', { retryAfterMs: Number(reply.retry_after_seconds) * 1000 });
    case 'initialize_empty':
      throw new SyncError('protocol_violation', { details: { reason: 'token' } });
    case 'initialize_local':
      if (onScopeLost === 'fail') throw new SyncError('scope_lost');
      await reseed(call, seedSourceId, reply.initialization_id);
  }
}

/** The source that asks to seed: the one that an earlier attempt has asked under, else a new one. */
function reserveSeedSource(call: Call): Promise<string> {
  return withTransaction(call.engine.driver, call.operation, async (tx) => {
    const reserved = await loadSeedSource(tx);
    if (reserved !== null && (await loadSource(tx, reserved)) === null) return reserved;
    const sourceId = await unusedSourceId(call.engine, tx);
    await saveSeedSource(tx, sourceId);
    return sourceId;
  });
}

/**
 * Every local row becomes an unsent INSERT under the new lease. The source is a new one as well: a server that has forgotten the scope
 * expects every source to begin with bundle 1.
 */
async function reseed(call: Call, sourceId: string, initializationId: string): Promise<void> {
  await withTransaction(stepDriver(call.engine, 'reseed'), call.operation, async (tx) => {
    const { lifecycle } = await loadClientState(tx);
    await reseedLocalRows(tx, call.schema);
    await saveSeedSource(tx, null);
    await insertSource(tx, sourceId);
    await markSourceReplaced(tx, lifecycle.sourceId, sourceId);
    await recordEvent(call, tx, { name: 'scopeReseeded', sourceId, initializationId });
  });
}
