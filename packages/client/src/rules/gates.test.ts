import { describe, expect, it } from 'vitest';

import type { LifecycleState } from './client-state.ts';
import { decideGate } from './gates.ts';
import type { GatedOperation } from './gates.ts';

const bound = { sourceId: 's', userId: 'u', lastBundleSeqSeen: 3n, initializationId: null, staged: null };
const states = {
  anonymous: { name: 'anonymous', sourceId: 's' },
  replacing: { name: 'replacing', sourceId: 's', targetUserId: 'u', staged: null },
  attached: { name: 'attached', ...bound },
  checkpoint_recovery: { name: 'checkpoint_recovery', reason: 'history_pruned', ...bound },
  source_recovery: { name: 'source_recovery', reason: 'source_retired', replacementSourceId: 'r', ...bound },
  source_recovery_unknown: { name: 'source_recovery_unknown', storedReason: 'x', replacementSourceId: 'r', ...bound },
} as const satisfies Record<LifecycleState['name'], LifecycleState>;

/** The table of client.md 5.1 for a connected client. */
const expected: Record<GatedOperation, Record<LifecycleState['name'], string>> = {
  pushPending: {
    anonymous: 'attach_required',
    replacing: 'attach_required',
    attached: 'run',
    checkpoint_recovery: 'rebuild_required',
    source_recovery: 'source_recovery_required',
    source_recovery_unknown: 'source_recovery_reason_invalid',
  },
  pullToStable: {
    anonymous: 'attach_required',
    replacing: 'attach_required',
    attached: 'run',
    checkpoint_recovery: 'recover',
    source_recovery: 'source_recovery_required',
    source_recovery_unknown: 'source_recovery_reason_invalid',
  },
  sync: {
    anonymous: 'attach_required',
    replacing: 'attach_required',
    attached: 'run',
    checkpoint_recovery: 'recover',
    source_recovery: 'source_recovery_required',
    source_recovery_unknown: 'source_recovery_reason_invalid',
  },
  rebuild: {
    anonymous: 'attach_required',
    replacing: 'attach_required',
    attached: 'keepSource',
    checkpoint_recovery: 'keepSource',
    source_recovery: 'rotateSource',
    source_recovery_unknown: 'source_recovery_reason_invalid',
  },
  syncStatus: {
    anonymous: 'attach_required',
    replacing: 'attach_required',
    attached: 'run',
    checkpoint_recovery: 'run',
    source_recovery: 'run',
    source_recovery_unknown: 'run',
  },
};

const operations = ['pushPending', 'pullToStable', 'sync', 'rebuild', 'syncStatus'] as const satisfies readonly GatedOperation[];

describe('[T13] operations in every durable state', () => {
  for (const operation of operations) {
    it.each(Object.values(states))(`${operation} in $name`, (state) => {
      const decision = decideGate(operation, state, true);
      expect(decision.kind === 'refuse' ? decision.code : decision.kind).toBe(expected[operation][state.name]);
    });

    it(`${operation} needs an attach in this process`, () => {
      expect(decideGate(operation, states.attached, false)).toEqual({ kind: 'refuse', code: 'attach_required' });
    });
  }
});
