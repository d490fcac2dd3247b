import { describe, expect, it } from 'vitest';

import type { LifecycleState } from '../rules/client-state.ts';
import { nextLifecycleState } from './lifecycle.ts';
import type { LifecycleEvent } from './lifecycle.ts';

const bound = { sourceId: 's', userId: 'u', lastBundleSeqSeen: 3n, initializationId: 'lease', staged: null };
const session = { snapshotId: 'x', bundleSeq: 1n, rowCount: 0n, byteCount: 0n, isComplete: true };

const states = {
  anonymous: { name: 'anonymous', sourceId: 's' },
  replacing: { name: 'replacing', sourceId: 's', targetUserId: 'u', staged: null },
  attached: { name: 'attached', ...bound },
  checkpoint_recovery: { name: 'checkpoint_recovery', reason: 'resume', ...bound },
  source_recovery: { name: 'source_recovery', reason: 'source_retired', replacementSourceId: 'r', ...bound },
  source_recovery_unknown: { name: 'source_recovery_unknown', storedReason: 'x', replacementSourceId: 'r', ...bound },
} as const satisfies Record<LifecycleState['name'], LifecycleState>;

const events = {
  connected: { name: 'connected', userId: 'u', initializationId: null },
  replacementBegan: { name: 'replacementBegan', userId: 'u' },
  sessionStaged: { name: 'sessionStaged', session },
  replacementCancelled: { name: 'replacementCancelled' },
  checkpointLost: { name: 'checkpointLost', reason: 'history_pruned' },
  sourceLost: { name: 'sourceLost', reason: 'source_retired', replacementSourceId: 'r2' },
  replacementChosen: { name: 'replacementChosen', replacementSourceId: 'r3' },
  leaseLost: { name: 'leaseLost' },
  scopeReseeded: { name: 'scopeReseeded', sourceId: 's3', initializationId: 'lease-2' },
  detached: { name: 'detached', newSourceId: 's2' },
} as const satisfies Record<LifecycleEvent['name'], LifecycleEvent>;

type Table = Record<LifecycleState['name'], Record<LifecycleEvent['name'], LifecycleState['name'] | 'ignored'>>;

const ignored = {
  connected: 'ignored',
  replacementBegan: 'ignored',
  sessionStaged: 'ignored',
  replacementCancelled: 'ignored',
  checkpointLost: 'ignored',
  sourceLost: 'ignored',
  replacementChosen: 'ignored',
  leaseLost: 'ignored',
  scopeReseeded: 'ignored',
  detached: 'anonymous',
} as const;

const table: Table = {
  anonymous: { ...ignored, connected: 'attached', replacementBegan: 'replacing' },
  replacing: { ...ignored, sessionStaged: 'replacing', replacementCancelled: 'anonymous' },
  attached: {
    ...ignored,
    checkpointLost: 'checkpoint_recovery',
    sourceLost: 'source_recovery',
    leaseLost: 'anonymous',
    scopeReseeded: 'attached',
  },
  checkpoint_recovery: { ...ignored, sourceLost: 'source_recovery', leaseLost: 'anonymous', scopeReseeded: 'attached' },
  source_recovery: { ...ignored, replacementChosen: 'source_recovery', leaseLost: 'anonymous', scopeReseeded: 'attached' },
  source_recovery_unknown: { ...ignored, leaseLost: 'anonymous', scopeReseeded: 'attached' },
};

describe('the durable life cycle', () => {
  for (const state of Object.values(states)) {
    it.each(Object.values(events))(`${state.name} after $name`, (event) => {
      const next = nextLifecycleState(state, event);
      const expected = table[state.name][event.name];
      expect(expected === 'ignored' ? next === state : next.name === expected).toBe(true);
    });
  }

  it('keeps user, checkpoint and lease when the checkpoint or the source is lost', () => {
    expect(nextLifecycleState(states.attached, events.sourceLost)).toMatchObject({
      userId: 'u',
      lastBundleSeqSeen: 3n,
      initializationId: 'lease',
      replacementSourceId: 'r2',
    });
    expect(nextLifecycleState(states.attached, events.checkpointLost)).toMatchObject({ ...bound, reason: 'history_pruned' });
  });

  it('starts over from bundle 0 when the scope is seeded again', () => {
    expect(nextLifecycleState(states.attached, events.scopeReseeded)).toMatchObject({
      sourceId: 's3',
      lastBundleSeqSeen: 0n,
      initializationId: 'lease-2',
    });
  });
});
