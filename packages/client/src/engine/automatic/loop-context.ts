import type { SyncError } from '@oversync/protocol';

import type { Clock, Random } from '../../ports/clock.ts';
import { loopBackoffMs } from '../../rules/loop-backoff.ts';
import type { LoopReaction } from '../../rules/loop-error.ts';
import type { LoopOptions } from '../../rules/loop-options.ts';
import type { LoopOperations } from './loop-operations.ts';
import type { LoopPart, StatusBoard } from './status-board.ts';

/** What the parts of one loop share. */
export interface LoopContext {
  readonly options: LoopOptions;
  readonly operations: LoopOperations;
  readonly clock: Clock;
  readonly random: Random;
  readonly board: StatusBoard;
  /** Decides about an error, and does what concerns the whole loop. What is left for the part that failed comes back. */
  react(part: LoopPart, error: unknown): PartReaction;
  /** Something a part shows has changed. */
  partChanged(): void;
}

/** What the part that failed does itself; `none`: the loop has taken over. */
export type PartReaction =
  | { readonly kind: 'retry'; readonly error: SyncError; readonly isLate: boolean }
  | { readonly kind: 'block' }
  | { readonly kind: 'none' };

/** Reactions that a part carries out itself. */
export function partReaction(reaction: LoopReaction, error: SyncError): PartReaction {
  if (reaction === 'retry' || reaction === 'retryLater') return { kind: 'retry', error, isLate: reaction === 'retryLater' };
  return reaction === 'block' ? { kind: 'block' } : { kind: 'none' };
}

/** When the next attempt is due after `failures` failures in a row. What a server asked for is a lower bound. */
export function nextAttempt(
  context: LoopContext,
  failures: number,
  reaction: Extract<PartReaction, { kind: 'retry' }>,
): { readonly dueMs: number; readonly notBeforeMs: number } {
  const { options, clock, random } = context;
  const nowMs = clock.monotonicMs();
  const backoffMs = loopBackoffMs(options, reaction.isLate ? Number.MAX_SAFE_INTEGER : failures, random.fraction());
  const askedMs = reaction.error.retryAfterMs ?? 0;
  return { dueMs: nowMs + Math.max(backoffMs, askedMs), notBeforeMs: askedMs > 0 ? nowMs + askedMs : 0 };
}
