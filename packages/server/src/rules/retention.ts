/**
 * Whether history is served from a sequence on. A checkpoint equal to the floor has seen everything that was pruned.
 *
 * | sequence v   | verdict          |
 * | ------------ | ---------------- |
 * | v < floor    | history_pruned   |
 * | v > head     | checkpoint_ahead |
 * | otherwise    | accept           |
 */
export type RetentionVerdict = 'accept' | 'history_pruned' | 'checkpoint_ahead';

export function decideRetention(sequence: bigint, history: { readonly floor: bigint; readonly head: bigint }): RetentionVerdict {
  if (sequence < history.floor) return 'history_pruned';
  return sequence > history.head ? 'checkpoint_ahead' : 'accept';
}
