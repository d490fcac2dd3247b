import { describe, expect, it } from 'vitest';

import { decideScopeAtCreate, decideScopeInSession } from './lineage-scope.ts';
import type { ScopeDecision, ScopeLineage, SeedClaim } from './lineage-scope.ts';

const LEASE = { leaseSourceId: 'seeder', initializationId: 'lease-1' };

const SCOPES = {
  uninitialized: { name: 'uninitialized' },
  'lease live': { name: 'initializing', ...LEASE, isLeaseLive: true },
  'lease expired': { name: 'initializing', ...LEASE, isLeaseLive: false },
  initialized: { name: 'initialized' },
} as const satisfies Record<string, ScopeLineage>;

const CLAIMS = {
  ordinary: { sourceId: 'seeder', initializationId: null },
  'own lease': { sourceId: 'seeder', initializationId: 'lease-1' },
  'other lease': { sourceId: 'seeder', initializationId: 'lease-2' },
  'other source': { sourceId: 'guest', initializationId: 'lease-1' },
} as const satisfies Record<string, SeedClaim>;

type Answer = 'accept' | 'renew-lease' | Extract<ScopeDecision, { name: 'refuse' }>['code'];
type Table = Record<keyof typeof SCOPES, Record<keyof typeof CLAIMS, Answer>>;

const CREATE: Table = {
  uninitialized: {
    ordinary: 'scope_uninitialized',
    'own lease': 'initialization_expired',
    'other lease': 'initialization_expired',
    'other source': 'initialization_expired',
  },
  'lease live': {
    ordinary: 'push_session_invalid',
    'own lease': 'renew-lease',
    'other lease': 'initialization_stale',
    'other source': 'initialization_stale',
  },
  'lease expired': {
    ordinary: 'scope_uninitialized',
    'own lease': 'initialization_expired',
    'other lease': 'initialization_expired',
    'other source': 'initialization_expired',
  },
  initialized: {
    ordinary: 'accept',
    'own lease': 'push_session_invalid',
    'other lease': 'push_session_invalid',
    'other source': 'push_session_invalid',
  },
};

const IN_SESSION: Table = {
  uninitialized: {
    ordinary: 'accept',
    'own lease': 'initialization_stale',
    'other lease': 'initialization_stale',
    'other source': 'initialization_stale',
  },
  'lease live': {
    ordinary: 'accept',
    'own lease': 'renew-lease',
    'other lease': 'initialization_stale',
    'other source': 'initialization_stale',
  },
  'lease expired': {
    ordinary: 'accept',
    'own lease': 'initialization_expired',
    'other lease': 'initialization_stale',
    'other source': 'initialization_stale',
  },
  initialized: {
    ordinary: 'accept',
    'own lease': 'initialization_stale',
    'other lease': 'initialization_stale',
    'other source': 'initialization_stale',
  },
};

function answer(decision: ScopeDecision): Answer {
  return decision.name === 'refuse' ? decision.code : decision.name;
}

function decideAll(decide: (scope: ScopeLineage, claim: SeedClaim) => ScopeDecision): unknown {
  const decideRow = (scope: ScopeLineage): unknown =>
    Object.fromEntries(Object.entries(CLAIMS).map(([name, claim]) => [name, answer(decide(scope, claim))]));
  return Object.fromEntries(Object.entries(SCOPES).map(([name, scope]) => [name, decideRow(scope)]));
}

describe('the scope of a push', () => {
  it('[E8] is decided by state, lease and claim when the session is created', () => {
    expect(decideAll(decideScopeAtCreate)).toEqual(CREATE);
  });

  it('[E8] is decided by whether the lease of the session is still its own when it is used', () => {
    expect(decideAll(decideScopeInSession)).toEqual(IN_SESSION);
  });
});
