import { SyncError, isSyncError } from '@oversync/protocol';

import { loadClientState } from '../store/client-state.ts';
import { reseedLocalRows } from '../store/detach.ts';
import { withTransaction } from '../store/transaction.ts';
import { connectScope } from './attach.ts';
import type { Call } from './engine.ts';
import { fetchCapabilities } from './server-requests.ts';
import { recordEvent } from './transitions.ts';

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
  const { lifecycle } = await loadClientState(call.engine.driver);
  const capabilities = await fetchCapabilities(call, lifecycle.sourceId);
  const reply = await connectScope(call, capabilities, lifecycle.sourceId, true);
  switch (reply.resolution) {
    case 'remote_authoritative':
      return;
    case 'retry_later':
      throw new SyncError('scope_initializing', { retryAfterMs: Number(reply.retry_after_seconds) * 1000 });
    case 'initialize_empty':
      throw new SyncError('protocol_violation', { details: { reason: 'token' } });
    case 'initialize_local':
      if (call.engine.options.onScopeLost === 'fail') throw new SyncError('scope_lost');
      await reseed(call, reply.initialization_id);
  }
}

/** Every local row becomes an unsent INSERT under the new lease. */
async function reseed(call: Call, initializationId: string): Promise<void> {
  await withTransaction(call.engine.driver, call.operation, async (tx) => {
    await reseedLocalRows(tx, call.schema);
    await recordEvent(call, tx, { name: 'scopeReseeded', initializationId });
  });
}
