import type { CommittedTuple, PushSession } from '../store/push-session.ts';
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
  if ((await findCommittedTuple(ctx, actor, sent.session)) !== undefined) return { outcome: 'committed', value: sent.value };
  const status = await loadTransactionStatus(ctx, sent.transactionId);
  if (status === 'committed') return { outcome: 'committed', value: sent.value };
  return { outcome: status === 'aborted' ? 'aborted' : 'unknown' };
}

/** The bundle of a tuple, if it was made of these rows and is still retained; `undefined` also when nothing can be read. */
export async function findCommittedTuple(
  ctx: SyncContext,
  actor: Actor,
  sent: Pick<PushSession, 'sourceBundleId' | 'canonicalRequestHash'>,
): Promise<CommittedTuple | undefined> {
  try {
    const { rows } = await ctx.db.query(selectCommittedTuple(ctx.names, actor, sent.sourceBundleId).inline);
    const found = parseCommittedTuple(rows[0]);
    return found?.canonicalRequestHash === sent.canonicalRequestHash ? found : undefined;
  } catch {
    return undefined;
  }
}
