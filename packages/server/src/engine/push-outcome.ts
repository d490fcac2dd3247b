import type { PushSession } from '../store/push-session.ts';
import { parseCommittedTuple } from '../store/push-session.ts';
import { selectCommittedTuple } from '../store/push-session.sql.ts';
import type { Actor, SyncContext } from './context.ts';
import type { CommitOutcome } from './transaction.ts';
import { loadTransactionStatus } from './xact-status.ts';

/** What is known about a transaction when its COMMIT is sent. */
export interface SentCommit<T> {
  readonly transactionId: string;
  readonly session: PushSession;
  readonly value: T;
}

/**
 * The connection broke at COMMIT: the tuple tells whether the push is committed, and PostgreSQL whether the transaction is known
 * to have failed. A tuple is committed by one transaction only, so finding it means that this one was durable, or one that
 * committed the same rows for the same client.
 */
export async function resolvePushOutcome<T>(ctx: SyncContext, actor: Actor, sent: SentCommit<T>): Promise<CommitOutcome<T>> {
  if (await isTupleCommitted(ctx, actor, sent.session)) return { outcome: 'committed', value: sent.value };
  const status = await loadTransactionStatus(ctx, sent.transactionId);
  if (status === 'committed') return { outcome: 'committed', value: sent.value };
  return { outcome: status === 'aborted' ? 'aborted' : 'unknown' };
}

async function isTupleCommitted(ctx: SyncContext, actor: Actor, session: PushSession): Promise<boolean> {
  try {
    const { rows } = await ctx.db.query(selectCommittedTuple(ctx.names, actor, session.sourceBundleId).inline);
    return parseCommittedTuple(rows[0])?.canonicalRequestHash === session.canonicalRequestHash;
  } catch {
    return false;
  }
}
