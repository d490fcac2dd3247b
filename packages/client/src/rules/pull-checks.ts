import { SyncError } from '@oversync/protocol';

/** What is known of a pull call while its pages are read (protocol.md 8.8). */
export interface PullProgress {
  /** The ceiling of the whole call; `null` before the first page named it. */
  readonly target: bigint | null;
  /** Sequence of the last bundle received, else the checkpoint. */
  readonly lastBundleSeq: bigint;
}

function violated(reason: string): SyncError {
  return new SyncError('protocol_violation', { details: { reason } });
}

/** The ceiling of a page: never below the checkpoint, and the same for all pages of a call. Returns the ceiling. */
export function checkStable(progress: PullProgress, stableBundleSeq: bigint): bigint {
  if (stableBundleSeq < progress.lastBundleSeq) throw violated('ceiling_behind');
  if (progress.target !== null && progress.target !== stableBundleSeq) throw violated('ceiling_changed');
  return stableBundleSeq;
}

/** Bundles ascend strictly and stay within the ceiling. */
export function checkBundleSeq(progress: PullProgress, bundleSeq: bigint): void {
  if (bundleSeq <= progress.lastBundleSeq) throw violated('sequence_order');
  if (progress.target === null || bundleSeq > progress.target) throw violated('sequence_order');
}

/** Whether another page has to be asked for; the page may not claim otherwise. */
export function checkPageEnd(progress: PullProgress, hasMore: boolean, bundlesInPage: number): boolean {
  const isAtTarget = progress.target === progress.lastBundleSeq;
  if (hasMore && (isAtTarget || bundlesInPage === 0)) throw violated(isAtTarget ? 'count' : 'ended_early');
  if (!hasMore && !isAtTarget) throw violated('ended_early');
  return hasMore;
}
