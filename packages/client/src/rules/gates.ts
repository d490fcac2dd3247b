import type { ErrorCode } from '@oversync/protocol';

import type { LifecycleState } from './client-state.ts';

/** Operations that the durable state may refuse. */
export type GatedOperation = 'pushPending' | 'pullToStable' | 'sync' | 'rebuild' | 'syncStatus';

export type GateDecision =
  | { readonly kind: 'run' }
  /** Recover the checkpoint first; the recovery is the operation. */
  | { readonly kind: 'recover' }
  | { readonly kind: 'keepSource' }
  | { readonly kind: 'rotateSource' }
  | { readonly kind: 'refuse'; readonly code: ErrorCode; readonly reason?: string };

type StateName = LifecycleState['name'];

const RUN: GateDecision = { kind: 'run' };
const KEEP: GateDecision = { kind: 'keepSource' };
const ATTACH: GateDecision = { kind: 'refuse', code: 'attach_required' };

const DECISIONS: Readonly<
  Record<GatedOperation, Readonly<Record<'attached' | 'checkpoint_recovery' | 'source_recovery', GateDecision>>>
> = {
  pushPending: {
    attached: RUN,
    checkpoint_recovery: { kind: 'refuse', code: 'rebuild_required' },
    source_recovery: { kind: 'refuse', code: 'source_recovery_required' },
  },
  pullToStable: {
    attached: RUN,
    checkpoint_recovery: { kind: 'recover' },
    source_recovery: { kind: 'refuse', code: 'source_recovery_required' },
  },
  sync: {
    attached: RUN,
    checkpoint_recovery: { kind: 'recover' },
    source_recovery: { kind: 'refuse', code: 'source_recovery_required' },
  },
  rebuild: { attached: KEEP, checkpoint_recovery: KEEP, source_recovery: { kind: 'rotateSource' } },
  syncStatus: { attached: RUN, checkpoint_recovery: RUN, source_recovery: RUN },
};

/**
 * Whether an operation may run in a durable state: the table of client.md 5.1.
 *
 * | | anonymous, replacing, not connected | attached | checkpoint recovery | source recovery |
 * | --- | --- | --- | --- | --- |
 * | pushPending | attach_required | run | rebuild_required | source_recovery_required |
 * | pullToStable, sync | attach_required | run | recover | source_recovery_required |
 * | rebuild | attach_required | keep source | keep source | rotate source |
 * | syncStatus | attach_required | run | run | run |
 */
export function decideGate(operation: GatedOperation, state: LifecycleState, isConnected: boolean): GateDecision {
  if (state.name === 'source_recovery_unknown') return decideUnknown(operation, isConnected);
  if (!isConnected || !isAttached(state.name)) return ATTACH;
  const decision = DECISIONS[operation][state.name];
  if (decision.kind !== 'refuse') return decision;
  return 'reason' in state ? { ...decision, reason: state.reason } : decision;
}

/** Nothing is done about a reason that this version does not know; what is in the tables can still be told. */
function decideUnknown(operation: GatedOperation, isConnected: boolean): GateDecision {
  if (operation !== 'syncStatus') return { kind: 'refuse', code: 'source_recovery_reason_invalid' };
  return isConnected ? RUN : ATTACH;
}

function isAttached(name: StateName): name is 'attached' | 'checkpoint_recovery' | 'source_recovery' {
  return name === 'attached' || name === 'checkpoint_recovery' || name === 'source_recovery';
}
