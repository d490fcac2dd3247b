import { isSourceId } from '@oversync/protocol';

/** What the scope knows about a source id. `unknown`: nothing. */
export type SourceLineage =
  | { readonly name: 'unknown' }
  | { readonly name: 'reserved'; readonly kind: SourceKind }
  | { readonly name: 'active'; readonly kind: SourceKind; readonly watermark: bigint }
  | {
      readonly name: 'retired';
      readonly kind: SourceKind;
      readonly watermark: bigint;
      readonly replacedBySourceId: string | null;
    };

/** Fixed by first use: an id that server-side code writes with is never accepted from a client, nor the other way round. */
export type SourceKind = 'client' | 'server';

/** The next `source_bundle_id` that the source has to use. */
export function getExpectedSourceBundleId(source: SourceLineage): bigint {
  return source.name === 'unknown' || source.name === 'reserved' ? 1n : source.watermark + 1n;
}

export type SourceDecision =
  | { readonly name: 'accept' }
  | { readonly name: 'refuse'; readonly code: 'source_retired'; readonly replacedBySourceId: string | null }
  | {
      readonly name: 'refuse';
      readonly code: 'source_retired_invalid' | 'history_pruned' | 'source_sequence_out_of_order' | 'source_sequence_changed';
    };

const ACCEPT: SourceDecision = { name: 'accept' };

/**
 * Steps 5 and 6 of push create, after a committed tuple has been ruled out.
 *
 * | source            | id < expected  | id = expected  | id > expected                |
 * | ----------------- | -------------- | -------------- | ---------------------------- |
 * | unknown, reserved | (impossible)   | accept         | source_sequence_out_of_order |
 * | active            | history_pruned | accept         | source_sequence_out_of_order |
 * | retired           | source_retired | source_retired | source_retired               |
 *
 * A smaller id was committed once but its bundle is no longer retained, hence `history_pruned`.
 */
export function decideSourceAtCreate(source: SourceLineage, sourceId: string, sourceBundleId: bigint): SourceDecision {
  if (source.name === 'retired') return refuseRetired(source.replacedBySourceId, sourceId);
  const expected = getExpectedSourceBundleId(source);
  if (sourceBundleId === expected) return ACCEPT;
  return { name: 'refuse', code: sourceBundleId < expected ? 'history_pruned' : 'source_sequence_out_of_order' };
}

/**
 * Step 4 of push commit.
 *
 * | source            | id = expected  | id ≠ expected           |
 * | ----------------- | -------------- | ----------------------- |
 * | unknown, reserved | accept         | source_sequence_changed |
 * | active            | accept         | source_sequence_changed |
 * | retired           | source_retired | source_retired          |
 */
export function decideSourceAtCommit(source: SourceLineage, sourceId: string, sourceBundleId: bigint): SourceDecision {
  if (source.name === 'retired') return refuseRetired(source.replacedBySourceId, sourceId);
  if (sourceBundleId === getExpectedSourceBundleId(source)) return ACCEPT;
  return { name: 'refuse', code: 'source_sequence_changed' };
}

/** A replacement that the wire could not carry, or that names the source itself, must not reach a client as lineage. */
function refuseRetired(replacedBySourceId: string | null, sourceId: string): SourceDecision {
  const isUsable = replacedBySourceId === null || (isSourceId(replacedBySourceId) && replacedBySourceId !== sourceId);
  if (!isUsable) return { name: 'refuse', code: 'source_retired_invalid' };
  return { name: 'refuse', code: 'source_retired', replacedBySourceId };
}
