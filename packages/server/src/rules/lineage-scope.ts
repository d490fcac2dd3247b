/** State of a scope as a transaction sees it; `isLeaseLive` is the database clock's verdict. */
export type ScopeLineage =
  | { readonly name: 'uninitialized' }
  | {
      readonly name: 'initializing';
      readonly leaseSourceId: string;
      readonly initializationId: string;
      readonly isLeaseLive: boolean;
    }
  | { readonly name: 'initialized' };

/** What makes a push the seed of its scope: who sends it, and under which lease (`null`: an ordinary push). */
export interface SeedClaim {
  readonly sourceId: string;
  readonly initializationId: string | null;
}

/** `renew-lease`: the push is the seed of the scope, and its lease starts anew. */
export type ScopeDecision =
  | { readonly name: 'accept' }
  | { readonly name: 'renew-lease' }
  | {
      readonly name: 'refuse';
      readonly code: 'initialization_expired' | 'initialization_stale' | 'scope_uninitialized' | 'push_session_invalid';
    };

const ACCEPT: ScopeDecision = { name: 'accept' };
const RENEW: ScopeDecision = { name: 'renew-lease' };

/**
 * Step 4 of push create.
 *
 * | scope                            | without id           | own live lease | other id or source     |
 * | -------------------------------- | -------------------- | -------------- | ---------------------- |
 * | uninitialized, or lease expired  | scope_uninitialized  | –              | initialization_expired |
 * | initializing, lease live         | push_session_invalid | renew-lease    | initialization_stale   |
 * | initialized                      | accept               | –              | push_session_invalid   |
 */
export function decideScopeAtCreate(scope: ScopeLineage, claim: SeedClaim): ScopeDecision {
  const hasId = claim.initializationId !== null;
  if (scope.name === 'initialized') return hasId ? { name: 'refuse', code: 'push_session_invalid' } : ACCEPT;
  if (scope.name === 'uninitialized' || !scope.isLeaseLive) {
    return { name: 'refuse', code: hasId ? 'initialization_expired' : 'scope_uninitialized' };
  }
  if (!hasId) return { name: 'refuse', code: 'push_session_invalid' };
  return ownsLease(scope, claim) ? RENEW : { name: 'refuse', code: 'initialization_stale' };
}

/**
 * Step 5 of a chunk and step 3 of commit: is the lease under which the session was opened still its own?
 *
 * | scope                           | ordinary session | seed of this lease     | seed of another lease |
 * | ------------------------------- | ---------------- | ---------------------- | --------------------- |
 * | initializing, lease live        | accept           | renew-lease            | initialization_stale  |
 * | initializing, lease expired     | accept           | initialization_expired | initialization_stale  |
 * | uninitialized, initialized      | accept           | initialization_stale   | initialization_stale  |
 */
export function decideScopeInSession(scope: ScopeLineage, claim: SeedClaim): ScopeDecision {
  if (claim.initializationId === null) return ACCEPT;
  if (scope.name !== 'initializing' || !ownsLease(scope, claim)) return { name: 'refuse', code: 'initialization_stale' };
  return scope.isLeaseLive ? RENEW : { name: 'refuse', code: 'initialization_expired' };
}

function ownsLease(scope: { readonly leaseSourceId: string; readonly initializationId: string }, claim: SeedClaim): boolean {
  return scope.leaseSourceId === claim.sourceId && scope.initializationId === claim.initializationId;
}
