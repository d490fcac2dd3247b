import { isUuidToken, SyncError } from '@oversync/protocol';

import type { PgResult, PgTransaction } from '../ports/postgres.ts';
import { decideScopeInSession } from '../rules/lineage-scope.ts';
import type { ScopeDecision } from '../rules/lineage-scope.ts';
import type { SourceDecision } from '../rules/lineage-source.ts';
import { readActorFacts } from '../store/actor-facts.ts';
import type { ActorFacts, ScopeFacts } from '../store/actor-facts.ts';
import { parsePushSession } from '../store/push-session.ts';
import type { PushSession } from '../store/push-session.ts';
import { lockScope, lockScopeOfSeed, selectPushActor, selectSession } from '../store/push-session.sql.ts';
import { runStatements } from '../store/run-statements.ts';
import type { ScriptStatement } from '../store/run-statements.ts';
import { checkActor } from './actor-check.ts';
import type { Actor, SyncContext } from './context.ts';

/** An open session that belongs to the caller. */
export interface OpenPush {
  readonly facts: ActorFacts & { readonly scope: ScopeFacts };
  readonly scopePk: string;
  readonly pushId: string;
  readonly session: PushSession;
  /** Empty unless the scope is locked. */
  readonly transactionId: string;
}

/**
 * What a request does with the session decides what it waits for: reading the status nothing, a chunk the session (its scope too
 * while it seeds it), a commit the scope and the session.
 */
export type PushLock = 'none' | 'session' | 'scope';

/** No scope has this number, so a token is never taken for one of an unknown scope. */
const NO_SCOPE_PK = '0';

/**
 * Finds a session by its id: one round trip.
 *
 * @throws SyncError `push_session_not_found`, `push_session_forbidden`, `push_session_expired`, or what `checkActor` says.
 */
export async function openPush(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  pushId: string,
  lock: PushLock,
): Promise<OpenPush> {
  return (await openPushWith(ctx, tx, actor, pushId, lock, [])).open;
}

/** {@link openPush} with statements that travel along; their results count only when the session is the caller's. */
export async function openPushWith(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  pushId: string,
  lock: PushLock,
  statements: readonly ScriptStatement[],
): Promise<{ readonly open: OpenPush; readonly results: readonly PgResult[] }> {
  if (!isUuidToken(pushId)) throw new SyncError('push_session_not_found');
  const m = ctx.names;
  const locks = { none: [], session: [lockScopeOfSeed(m, actor.scopeId, pushId)], scope: [lockScope(m, actor.scopeId)] };
  const reads = [selectPushActor(m, actor), selectSession(m, actor.scopeId, pushId, lock !== 'none')];
  const all = await runStatements(tx, [...locks[lock], ...reads, ...statements]);
  const [factsRow, sessionRow] = all.slice(locks[lock].length).map(({ rows }) => rows[0]);
  const facts = readActorFacts(factsRow);
  const session = parsePushSession(sessionRow);
  checkActor(ctx, actor, facts);
  checkToken(ctx, pushId, facts);
  const transactionId = (lock === 'scope' ? all[0]?.rows[0]?.[1] : null) ?? '';
  const open = { ...checkSession(actor, facts, session), pushId, transactionId };
  return { open, results: all.slice(locks[lock].length + reads.length) };
}

function checkToken(ctx: SyncContext, pushId: string, facts: ActorFacts): void {
  const verdict = ctx.tokens().check('push', pushId, facts.scope?.scopePk ?? NO_SCOPE_PK);
  if (verdict === 'forbidden') throw new SyncError('push_session_forbidden');
  if (verdict === 'not_found') throw new SyncError('push_session_not_found');
}

function checkSession(actor: Actor, facts: ActorFacts, session: PushSession | null): Omit<OpenPush, 'pushId' | 'transactionId'> {
  if (facts.scope === undefined || session === null) throw new SyncError('push_session_not_found');
  if (session.sourceId !== actor.sourceId) throw new SyncError('push_session_forbidden');
  if (session.isExpired) throw new SyncError('push_session_expired');
  return { facts: { ...facts, scope: facts.scope }, scopePk: facts.scope.scopePk, session };
}

/**
 * A seed has to hold the lease under which it was opened. Resolves to whether that lease is to be renewed.
 *
 * @throws SyncError `initialization_expired` or `initialization_stale`
 */
export function checkSeedLease(open: OpenPush): boolean {
  return checkScopeDecision(decideScopeInSession(open.facts.scope.lineage, open.session));
}

/** Turns a decision into its error; returns whether the lease is to be renewed. */
export function checkScopeDecision(decision: ScopeDecision): boolean {
  if (decision.name === 'refuse') throw new SyncError(decision.code);
  return decision.name === 'renew-lease';
}

/** Turns a decision about the source into its error; the code `source_retired` names what replaced the source. */
export function checkSourceDecision(decision: SourceDecision, sourceId: string): void {
  if (decision.name === 'accept') return;
  if (decision.code !== 'source_retired') throw new SyncError(decision.code);
  const replacement = decision.replacedBySourceId === null ? {} : { replaced_by_source_id: decision.replacedBySourceId };
  throw new SyncError('source_retired', { details: { source_id: sourceId, ...replacement } });
}
