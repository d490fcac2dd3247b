import { expect, test } from 'vitest';

import { decideConnect } from './connect-decision.ts';
import type { ConnectDecision } from './connect-decision.ts';
import type { ScopeLineage } from './lineage-scope.ts';

const lease = { leaseSourceId: 'owner', initializationId: '6df0d8dd-a84b-43b6-bbca-8de70432922a' };
const SCOPES = {
  initialized: { name: 'initialized' },
  uninitialized: { name: 'uninitialized' },
  live: { name: 'initializing', ...lease, isLeaseLive: true },
  expired: { name: 'initializing', ...lease, isLeaseLive: false },
} as const satisfies Record<string, ScopeLineage>;

type Cell = ConnectDecision['name'];
const TABLE: Record<keyof typeof SCOPES, Record<'owner' | 'other', Record<'pending' | 'empty', Cell>>> = {
  initialized: {
    owner: { pending: 'remote-authoritative', empty: 'remote-authoritative' },
    other: { pending: 'remote-authoritative', empty: 'remote-authoritative' },
  },
  uninitialized: {
    owner: { pending: 'start-lease', empty: 'become-initialized' },
    other: { pending: 'start-lease', empty: 'become-initialized' },
  },
  live: {
    owner: { pending: 'renew-lease', empty: 'become-initialized' },
    other: { pending: 'retry-later', empty: 'retry-later' },
  },
  expired: {
    owner: { pending: 'start-lease', empty: 'become-initialized' },
    other: { pending: 'start-lease', empty: 'become-initialized' },
  },
};

for (const scope of ['initialized', 'uninitialized', 'live', 'expired'] as const) {
  for (const source of ['owner', 'other'] as const) {
    for (const rows of ['pending', 'empty'] as const) {
      test(`connect to a scope that is ${scope} by the ${source} source with ${rows} rows is ${TABLE[scope][source][rows]}`, () => {
        const decision = decideConnect(SCOPES[scope], source, rows === 'pending');
        expect(decision.name).toBe(TABLE[scope][source][rows]);
      });
    }
  }
}

test('a renewed lease keeps its initialization id', () => {
  expect(decideConnect(SCOPES.live, 'owner', true)).toStrictEqual({
    name: 'renew-lease',
    initializationId: lease.initializationId,
  });
});
