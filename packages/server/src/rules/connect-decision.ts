import type { ScopeLineage } from './lineage-scope.ts';

/**
 * What connect answers and does.
 *
 * | scope                           | caller       | pending rows | decision             |
 * | ------------------------------- | ------------ | ------------ | -------------------- |
 * | initialized                     | any          | any          | remote-authoritative |
 * | uninitialized, or lease expired | any          | yes          | start-lease          |
 * | uninitialized, or lease expired | any          | no           | become-initialized   |
 * | initializing, lease live        | lease owner  | yes          | renew-lease          |
 * | initializing, lease live        | lease owner  | no           | become-initialized   |
 * | initializing, lease live        | another      | any          | retry-later          |
 */
export type ConnectDecision =
  | { readonly name: 'remote-authoritative' }
  | { readonly name: 'start-lease' }
  | { readonly name: 'renew-lease'; readonly initializationId: string }
  | { readonly name: 'become-initialized' }
  | { readonly name: 'retry-later' };

export function decideConnect(scope: ScopeLineage, sourceId: string, hasPendingRows: boolean): ConnectDecision {
  if (scope.name === 'initialized') return { name: 'remote-authoritative' };
  const isHeld = scope.name === 'initializing' && scope.isLeaseLive;
  if (isHeld && scope.leaseSourceId !== sourceId) return { name: 'retry-later' };
  if (!hasPendingRows) return { name: 'become-initialized' };
  return isHeld ? { name: 'renew-lease', initializationId: scope.initializationId } : { name: 'start-lease' };
}
