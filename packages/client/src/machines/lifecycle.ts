import type { CheckpointReason, LifecycleState, SourceRecoveryReason, StagedSession } from '../rules/client-state.ts';

/** What has happened to the attachment of a database. */
export type LifecycleEvent =
  /** The server let this database start or seed a scope. */
  | { readonly name: 'connected'; readonly userId: string; readonly initializationId: string | null }
  /** The server has rows already: they will replace the local ones. */
  | { readonly name: 'replacementBegan'; readonly userId: string }
  | { readonly name: 'sessionStaged'; readonly session: StagedSession }
  | { readonly name: 'replacementCancelled' }
  /** Incremental history is of no use any more; the source still is. */
  | { readonly name: 'checkpointLost'; readonly reason: CheckpointReason }
  /** The server no longer takes the numbers of this source. */
  | { readonly name: 'sourceLost'; readonly reason: SourceRecoveryReason; readonly replacementSourceId: string }
  /** The reserved successor is given up for another one. */
  | { readonly name: 'replacementChosen'; readonly replacementSourceId: string }
  /** The seed lease expired or was taken over. */
  | { readonly name: 'leaseLost' }
  /** The server has forgotten the scope; this database fills it again. */
  | { readonly name: 'scopeReseeded'; readonly sourceId: string; readonly initializationId: string }
  | { readonly name: 'detached'; readonly newSourceId: string };

/**
 * The durable life cycle (client.md 5.1). Pure; returns `state` itself when the event means nothing there.
 *
 * ```
 *   anonymous ──connected──────────────► attached ──checkpointLost──► checkpoint_recovery
 *     │   ▲  ▲                             │  │                          │
 *     │   │  └──────── leaseLost ──────────┘  └──────── sourceLost ──────┤
 *     │   └─ replacementCancelled ─┐                                     ▼
 *     └─ replacementBegan ─► replacing                           source_recovery
 * ```
 *
 * A snapshot apply leads from replacing, checkpoint_recovery and source_recovery to attached, and detach from everywhere to anonymous;
 * both are written by the transaction that also replaces the rows.
 */
export function nextLifecycleState(state: LifecycleState, event: LifecycleEvent): LifecycleState {
  switch (event.name) {
    case 'connected':
      return state.name === 'anonymous' ? attachedState(state.sourceId, event.userId, event.initializationId) : state;
    case 'replacementBegan':
      if (state.name !== 'anonymous') return state;
      return { name: 'replacing', sourceId: state.sourceId, targetUserId: event.userId, staged: null };
    case 'sessionStaged':
      return state.name === 'replacing' ? { ...state, staged: event.session } : state;
    case 'replacementCancelled':
      return state.name === 'replacing' ? { name: 'anonymous', sourceId: state.sourceId } : state;
    case 'checkpointLost':
      return state.name === 'attached' ? { ...state, name: 'checkpoint_recovery', reason: event.reason } : state;
    case 'sourceLost':
      return loseSource(state, event.reason, event.replacementSourceId);
    case 'replacementChosen':
      return state.name === 'source_recovery' ? { ...state, replacementSourceId: event.replacementSourceId } : state;
    case 'leaseLost':
      return isBound(state) ? { name: 'anonymous', sourceId: state.sourceId } : state;
    case 'scopeReseeded':
      return isBound(state) ? attachedState(event.sourceId, state.userId, event.initializationId) : state;
    case 'detached':
      return { name: 'anonymous', sourceId: event.newSourceId };
  }
}

type BoundState = Extract<LifecycleState, { readonly userId: string }>;

function isBound(state: LifecycleState): state is BoundState {
  return state.name !== 'anonymous' && state.name !== 'replacing';
}

function attachedState(sourceId: string, userId: string, initializationId: string | null): LifecycleState {
  return { name: 'attached', sourceId, userId, lastBundleSeqSeen: 0n, initializationId, staged: null };
}

function loseSource(state: LifecycleState, reason: SourceRecoveryReason, replacementSourceId: string): LifecycleState {
  if (state.name !== 'attached' && state.name !== 'checkpoint_recovery') return state;
  const { sourceId, userId, lastBundleSeqSeen, initializationId } = state;
  return {
    name: 'source_recovery',
    reason,
    replacementSourceId,
    sourceId,
    userId,
    lastBundleSeqSeen,
    initializationId,
    staged: null,
  };
}
