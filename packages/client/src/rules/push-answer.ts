import type { SourceRecoveryReason } from './client-state.ts';

/** Which request of a push was answered. */
export type PushStep = 'create' | 'chunk' | 'commit';

/** What a refused push request means (client.md 6.4). */
export type PushAnswer =
  | { readonly kind: 'sourceLost'; readonly reason: SourceRecoveryReason }
  | { readonly kind: 'initializationLost' }
  /** The session is gone, or it is not known whether the commit happened: create again with the same tuple. */
  | { readonly kind: 'createAgain' }
  | { readonly kind: 'conflict' }
  /** The content is refused; the tuple is not committed. */
  | { readonly kind: 'rejected' }
  /** The lease is not needed any more, or the tuple holds other content. */
  | { readonly kind: 'createRefused' }
  | { readonly kind: 'other' };

export interface PushRefusalFacts {
  readonly status: number;
  readonly serverCode: string;
  readonly hasViolation: boolean;
  readonly hasLimitExceeded: boolean;
}

/** Pure. Decides on status, code and structured members only. */
export function decidePushAnswer(step: PushStep, refusal: PushRefusalFacts): PushAnswer {
  const source = sourceReason(step, refusal);
  if (source !== null) return { kind: 'sourceLost', reason: source };
  const { status, serverCode } = refusal;
  if (serverCode === 'initialization_expired' || serverCode === 'initialization_stale') return { kind: 'initializationLost' };
  if (status === 409 && serverCode === 'push_conflict' && step === 'commit') return { kind: 'conflict' };
  if (isSessionGone(status, serverCode) && step !== 'create') return { kind: 'createAgain' };
  if (serverCode === 'commit_outcome_unknown') return { kind: 'createAgain' };
  if (status === 413) return { kind: 'rejected' };
  if (status !== 400) return { kind: 'other' };
  if (step === 'create' && serverCode === 'push_session_invalid' && !refusal.hasLimitExceeded) return { kind: 'createRefused' };
  return refusal.hasViolation || refusal.hasLimitExceeded || isContentCode(serverCode) ? { kind: 'rejected' } : { kind: 'other' };
}

function sourceReason(step: PushStep, { status, serverCode }: PushRefusalFacts): SourceRecoveryReason | null {
  if (status !== 409) return null;
  if (serverCode === 'source_retired' && step !== 'chunk') return serverCode;
  if (step === 'create' && (serverCode === 'history_pruned' || serverCode === 'source_sequence_out_of_order')) return serverCode;
  return step === 'commit' && serverCode === 'source_sequence_changed' ? serverCode : null;
}

function isSessionGone(status: number, serverCode: string): boolean {
  if (status === 404) return serverCode === 'push_session_not_found';
  if (status === 410) return serverCode === 'push_session_expired';
  return status === 409 && serverCode === 'push_chunk_out_of_order';
}

/** Older servers refuse content with these codes and no `violation`. */
function isContentCode(serverCode: string): boolean {
  return serverCode === 'push_chunk_invalid' || serverCode === 'push_commit_invalid';
}
