import type { PushSessionStatus } from '@oversync/protocol';

import { deleteSession } from '../store/push-session.sql.ts';
import { runLastStatements } from '../store/run-statements.ts';
import type { Actor, SyncContext } from './context.ts';
import { openPush } from './push-access.ts';
import { withReadTransaction, withWriteTransaction } from './transaction.ts';

/**
 * Discards a session and its staged rows (protocol.md 8.5). It waits for a commit in flight, which removes the session itself: a
 * committed push is never cancelled.
 */
export async function deletePushSession(ctx: SyncContext, actor: Actor, pushId: string): Promise<void> {
  await withWriteTransaction(ctx, 'push_session_delete', async (tx) => {
    const open = await openPush(ctx, tx, actor, pushId, 'session');
    await runLastStatements(tx, deleteSession(ctx.names, open));
  });
}

/** Lets a client continue after a lost chunk reply (protocol.md 8.6). */
export function loadPushSessionStatus(ctx: SyncContext, actor: Actor, pushId: string): Promise<PushSessionStatus> {
  return withReadTransaction(ctx, 'push_session_status', async (tx) => {
    const { session } = await openPush(ctx, tx, actor, pushId, 'none');
    return {
      push_id: pushId,
      status: 'staging',
      planned_row_count: session.plannedRowCount,
      next_expected_row_ordinal: session.nextRowOrdinal,
      canonical_request_hash: session.canonicalRequestHash,
      expires_at: session.expiresAt,
    };
  });
}
