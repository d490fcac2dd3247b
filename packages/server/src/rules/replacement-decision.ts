import { isReservedSourceId, isSourceId } from '@oversync/protocol';

import type { SourceLineage } from './lineage-source.ts';

export interface SourceReplacement {
  readonly previousSourceId: string;
  readonly newSourceId: string;
  readonly reason: string;
}

/** Why a client may replace its source. */
const REPLACEMENT_REASONS: ReadonlySet<string> = new Set([
  'history_pruned',
  'source_sequence_out_of_order',
  'source_sequence_changed',
  'source_retired',
]);

/** What is wrong with the request itself, as a message; `undefined` when nothing is. */
export function findReplacementFault(
  replacement: SourceReplacement,
  headerSourceId: string,
  reservedSourceIds: ReadonlySet<string>,
): string | undefined {
  const { previousSourceId, newSourceId, reason } = replacement;
  const isUsable = (id: string): boolean => isSourceId(id) && !isReservedSourceId(id) && !reservedSourceIds.has(id);
  if (!isUsable(previousSourceId)) return 'previous_source_id is not a valid source id';
  if (!isUsable(newSourceId)) return 'new_source_id is not a valid source id';
  if (previousSourceId !== headerSourceId) return 'previous_source_id is not the source of the request';
  if (newSourceId === previousSourceId) return 'new_source_id equals previous_source_id';
  return REPLACEMENT_REASONS.has(reason) ? undefined : 'reason is not one of the defined reasons';
}

/** `replace`: the new id becomes reserved and the previous one retired. `repeat`: that has happened already. */
export type ReplacementDecision =
  | { readonly name: 'replace' }
  | { readonly name: 'repeat' }
  | { readonly name: 'refuse'; readonly code: 'source_replacement_invalid' | 'snapshot_session_invalid' }
  | { readonly name: 'refuse'; readonly code: 'source_retired'; readonly replacedBySourceId: string | null };

/**
 * | previous                     | new                         | decision                   |
 * | ---------------------------- | --------------------------- | -------------------------- |
 * | unknown, active, reserved    | unknown                     | replace                    |
 * | unknown, active, reserved    | known in any state          | source_replacement_invalid |
 * | retired for another id       | any                         | source_retired             |
 * | retired for this id          | unknown, reserved, active   | repeat                     |
 * | retired for this id          | retired                     | source_replacement_invalid |
 * | any                          | writer of the server itself | snapshot_session_invalid   |
 */
export function decideReplacement(previous: SourceLineage, next: SourceLineage, newSourceId: string): ReplacementDecision {
  if (next.name !== 'unknown' && next.kind === 'server') return { name: 'refuse', code: 'snapshot_session_invalid' };
  if (previous.name !== 'retired') {
    return next.name === 'unknown' ? { name: 'replace' } : { name: 'refuse', code: 'source_replacement_invalid' };
  }
  if (previous.replacedBySourceId !== newSourceId) {
    return { name: 'refuse', code: 'source_retired', replacedBySourceId: previous.replacedBySourceId };
  }
  return next.name === 'retired' ? { name: 'refuse', code: 'source_replacement_invalid' } : { name: 'repeat' };
}
