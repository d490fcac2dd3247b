import { SyncError } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import { saveSourceBinding } from '../store/actor-facts.ts';
import type { ActorFacts, ScopeFacts } from '../store/actor-facts.ts';
import type { Actor, SyncContext } from './context.ts';

/**
 * May this actor use this source id? Runs right after the first read of every operation except capabilities.
 *
 * @throws SyncError `invalid_request` for an id that server-side code writes with (without saying so), `source_forbidden` for
 * one that belongs to another user.
 */
export function checkActor(ctx: SyncContext, actor: Actor, facts: Pick<ActorFacts, 'source' | 'boundUserId'>): void {
  if (facts.source.name !== 'unknown' && facts.source.kind === 'server') {
    throw new SyncError('invalid_request', { message: 'the source id is not valid' });
  }
  if (!ctx.options.bindSourcesToUser || facts.boundUserId === undefined) return;
  if (facts.boundUserId === actor.userId) return;
  ctx.emit({ name: 'sourceForbidden' });
  throw new SyncError('source_forbidden');
}

/** Whether the operation has to bind the source to the actor's user; only operations that change state bind. */
export function needsBinding(ctx: SyncContext, actor: Actor, facts: Pick<ActorFacts, 'boundUserId'>): boolean {
  return ctx.options.bindSourcesToUser && actor.userId !== undefined && facts.boundUserId === undefined;
}

/** Binds the source if the options ask for it and nobody has done so. */
export async function bindSource(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  facts: Pick<ActorFacts, 'boundUserId'>,
  scopePk: string,
): Promise<void> {
  if (!needsBinding(ctx, actor, facts) || actor.userId === undefined) return;
  await saveSourceBinding(tx, ctx.names, { scopePk, sourceId: actor.sourceId, userId: actor.userId });
}

/**
 * Reading needs an initialized scope.
 *
 * @throws SyncError `scope_uninitialized`, also when the lease of a seed has run out, or `scope_initializing`.
 */
export function checkScopeInitialized(scope: ScopeFacts | undefined): ScopeFacts {
  if (scope === undefined || scope.lineage.name === 'uninitialized') throw new SyncError('scope_uninitialized');
  if (scope.lineage.name === 'initialized') return scope;
  throw new SyncError(scope.lineage.isLeaseLive ? 'scope_initializing' : 'scope_uninitialized');
}
