import { SyncError } from '@oversync/protocol';

import { expireSnapshotSession } from '../store/snapshot.sql.ts';
import type { Actor, SyncContext } from './context.ts';
import { checkSnapshotToken } from './snapshot-access.ts';
import { withWriteTransaction } from './transaction.ts';

/** Ends a session at once; its rows go later. Repeating it is fine. */
export async function deleteSnapshotSession(ctx: SyncContext, actor: Actor, snapshotId: string): Promise<void> {
  await withWriteTransaction(ctx, 'snapshot_session_delete', async (tx) => {
    const scopePk = await checkSnapshotToken(ctx, tx, actor, snapshotId);
    const { rows } = await tx.query(expireSnapshotSession(ctx.names), [scopePk, snapshotId]);
    if (rows.length === 0) throw new SyncError('snapshot_session_not_found');
  });
}
