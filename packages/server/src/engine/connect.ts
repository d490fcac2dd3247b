import { isUuidToken } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import { decideConnect } from '../rules/connect-decision.ts';
import { loadActorFacts, lockActorScope } from '../store/actor-facts.ts';
import type { ActorFacts, ScopeFacts } from '../store/actor-facts.ts';
import { saveInitialized, saveLease } from '../store/connect.sql.ts';
import { bindSource, checkActor, needsBinding } from './actor-check.ts';
import type { Actor, SyncContext } from './context.ts';
import { withReadTransaction, withScopeWriteTransaction } from './transaction.ts';

export interface ConnectInput {
  readonly hasLocalPendingRows: boolean;
}

/** Body of the answer, in wire names. */
export type ConnectBody =
  | { readonly resolution: 'remote_authoritative' | 'initialize_empty' }
  | { readonly resolution: 'initialize_local'; readonly initialization_id: string; readonly lease_expires_at: string }
  | { readonly resolution: 'retry_later'; readonly retry_after_seconds: bigint; readonly lease_expires_at: string };

/** Decides how a source and its scope come together. An initialized scope is answered without lock and without write. */
export async function connect(ctx: SyncContext, actor: Actor, input: ConnectInput): Promise<ConnectBody> {
  const isKnown = await withReadTransaction(ctx, 'connect', async (tx) => {
    const facts = await loadActorFacts(tx, ctx.names, actor);
    checkActor(ctx, actor, facts);
    return facts.scope?.lineage.name === 'initialized' && !needsBinding(ctx, actor, facts);
  });
  if (isKnown) return { resolution: 'remote_authoritative' };
  const outcome = await withScopeWriteTransaction(ctx, 'connect', actor.scopeId, async (tx) => {
    const facts = await lockActorScope(tx, ctx.names, actor);
    checkActor(ctx, actor, facts);
    await bindSource(ctx, tx, actor, facts, facts.scope.scopePk);
    return applyConnect(ctx, tx, actor, input, facts);
  });
  if (outcome.hasInitialized) ctx.emit({ name: 'scopeInitialized' });
  return outcome.body;
}

interface ConnectOutcome {
  readonly body: ConnectBody;
  readonly hasInitialized: boolean;
}

async function applyConnect(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  input: ConnectInput,
  facts: ActorFacts & { readonly scope: ScopeFacts },
): Promise<ConnectOutcome> {
  const { scope } = facts;
  const decision = decideConnect(scope.lineage, actor.sourceId, input.hasLocalPendingRows);
  switch (decision.name) {
    case 'remote-authoritative':
      return { body: { resolution: 'remote_authoritative' }, hasInitialized: false };
    case 'start-lease':
      return { body: await holdLease(ctx, tx, actor, scope.scopePk, crypto.randomUUID()), hasInitialized: false };
    case 'renew-lease':
      return { body: await holdLease(ctx, tx, actor, scope.scopePk, decision.initializationId), hasInitialized: false };
    case 'become-initialized':
      await tx.query(saveInitialized(ctx.names), [scope.scopePk]);
      return { body: { resolution: 'initialize_empty' }, hasInitialized: true };
    case 'retry-later':
      return { body: describeHeldLease(scope), hasInitialized: false };
  }
}

async function holdLease(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  scopePk: string,
  initializationId: string,
): Promise<ConnectBody> {
  const ttl = String(ctx.options.initializationLeaseTtlMs);
  const { rows } = await tx.query(saveLease(ctx.names), [scopePk, actor.sourceId, initializationId, ttl]);
  const expiresAt = rows[0]?.[0];
  if (typeof expiresAt !== 'string' || !isUuidToken(initializationId)) throw new Error('the lease was not stored');
  return { resolution: 'initialize_local', initialization_id: initializationId, lease_expires_at: expiresAt };
}

function describeHeldLease(scope: ScopeFacts): ConnectBody {
  if (scope.lease === undefined) throw new Error('a live lease has an end');
  return {
    resolution: 'retry_later',
    retry_after_seconds: scope.lease.remainingSeconds,
    lease_expires_at: scope.lease.expiresAt,
  };
}
