import { SyncError } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import { loadActorFacts } from '../store/actor-facts.ts';
import { checkActor } from './actor-check.ts';
import type { Actor, SyncContext } from './context.ts';

/** No scope has this number, so a token is never taken for one of an unknown scope. */
const NO_SCOPE_PK = '0';

/**
 * May the actor use this session id? Any source of the scope may. Returns the scope's number.
 *
 * @throws SyncError `snapshot_session_not_found`, `snapshot_session_forbidden`, or what `checkActor` says.
 */
export async function checkSnapshotToken(ctx: SyncContext, tx: PgTransaction, actor: Actor, snapshotId: string): Promise<string> {
  const facts = await loadActorFacts(tx, ctx.names, actor);
  checkActor(ctx, actor, facts);
  const scopePk = facts.scope?.scopePk ?? NO_SCOPE_PK;
  const verdict = ctx.tokens().check('snapshot', snapshotId, scopePk);
  if (verdict === 'forbidden') throw new SyncError('snapshot_session_forbidden');
  if (verdict === 'not_found') throw new SyncError('snapshot_session_not_found');
  return scopePk;
}
