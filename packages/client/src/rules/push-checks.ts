import { SyncError } from '@oversync/protocol';
import type { CommitReply, PushSessionReply } from '@oversync/protocol';

import type { Outbox } from './client-state.ts';

/** A frozen bundle in either of its states. */
export type FrozenOutbox = Exclude<Outbox, { readonly state: 'none' }>;

type StagingReply = Extract<PushSessionReply, { status: 'staging' }>;

function violated(reason: string): SyncError {
  return new SyncError('protocol_violation', { details: { reason } });
}

/** A new push session has to repeat what was announced (protocol.md 11). */
export function checkStaging(outbox: FrozenOutbox, reply: StagingReply): void {
  if (reply.planned_row_count !== outbox.rowCount) throw violated('count');
  if (reply.next_expected_row_ordinal !== 0) throw violated('ordinal');
  if (reply.canonical_request_hash !== outbox.requestHash) throw violated('identity');
}

/** A chunk answer has to count exactly the rows sent so far. */
export function checkChunkReply(
  pushId: string,
  nextOrdinal: number,
  reply: { readonly push_id: string; readonly next_expected_row_ordinal: number },
): void {
  if (reply.push_id !== pushId) throw violated('token');
  if (reply.next_expected_row_ordinal !== nextOrdinal) throw violated('ordinal');
}

/** A commit answer has to be about this tuple. */
export function checkCommitIdentity(outbox: FrozenOutbox, reply: CommitReply): void {
  if (reply.source_id !== outbox.sourceId || reply.source_bundle_id !== outbox.sourceBundleId) throw violated('identity');
  if (reply.bundle_seq <= 0n || reply.bundle_hash.trim() === '') throw violated('identity');
}

/**
 * An `already_committed` answer also has to be about this content. Another hash means that the tuple was used before: the source was
 * cloned, and its numbering is no longer its own.
 */
export function checkAlreadyCommitted(outbox: FrozenOutbox, reply: CommitReply): void {
  checkCommitIdentity(outbox, reply);
  if (reply.canonical_request_hash !== outbox.requestHash) throw new SyncError('source_sequence_mismatch');
}

/** What a page of committed rows is compared with. */
export interface CommittedExpectation {
  readonly outbox: Extract<Outbox, { readonly state: 'committed_remote' }>;
  /** Rows received before this page. */
  readonly rowsBefore: number;
  /** From the first page; `null` before it. */
  readonly rowCount: number | null;
}

/** The members of a page that are compared. */
export interface CommittedFacts {
  readonly bundleSeq: bigint;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
  readonly rowCount: number;
  readonly bundleHash: string;
  readonly rowsInPage: number;
  readonly nextRowOrdinal: number;
  readonly hasMore: boolean;
}

/** Compares a page of committed rows with the commit (client.md 6.5). The request hash is compared by the caller: it decides more. */
export function checkCommittedPage(expected: CommittedExpectation, page: CommittedFacts): void {
  const { outbox } = expected;
  if (page.bundleSeq !== outbox.bundleSeq || page.bundleHash !== outbox.bundleHash) throw violated('identity');
  if (page.sourceId !== outbox.sourceId || page.sourceBundleId !== outbox.sourceBundleId) throw violated('identity');
  if (expected.rowCount !== null && page.rowCount !== expected.rowCount) throw violated('count');
  const rows = expected.rowsBefore + page.rowsInPage;
  if (page.nextRowOrdinal !== rows - 1) throw violated('ordinal');
  if (page.hasMore && page.rowsInPage === 0) throw violated('ended_early');
  if (page.hasMore ? rows >= page.rowCount : rows !== page.rowCount) throw violated(page.hasMore ? 'count' : 'ended_early');
}
