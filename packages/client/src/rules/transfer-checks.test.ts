import { describe, expect, it } from 'vitest';

import { checkBundleSeq, checkPageEnd, checkStable } from './pull-checks.ts';
import { decidePushAnswer } from './push-answer.ts';
import { checkAlreadyCommitted, checkChunkReply, checkCommitIdentity, checkCommittedPage, checkStaging } from './push-checks.ts';
import { checkSnapshotChunk, checkSnapshotEnd } from './snapshot-checks.ts';

const violated = (reason: string): unknown => expect.objectContaining({ code: 'protocol_violation', details: { reason } });

describe('[T75] [T76] checks of a pull', () => {
  const progress = { target: 9n, lastBundleSeq: 3n };

  it('fix the ceiling with the first page', () => {
    expect(checkStable({ target: null, lastBundleSeq: 3n }, 3n)).toBe(3n);
    expect(() => checkStable({ target: null, lastBundleSeq: 3n }, 2n)).toThrow(violated('ceiling_behind'));
    expect(() => checkStable(progress, 10n)).toThrow(violated('ceiling_changed'));
  });

  it('want ascending sequences up to the ceiling', () => {
    expect(() => checkBundleSeq(progress, 4n)).not.toThrow();
    expect(() => checkBundleSeq(progress, 9n)).not.toThrow();
    for (const seq of [3n, 2n, 10n]) expect(() => checkBundleSeq(progress, seq)).toThrow(violated('sequence_order'));
  });

  it('want has_more exactly below the ceiling', () => {
    expect(checkPageEnd(progress, true, 1)).toBe(true);
    expect(checkPageEnd({ target: 9n, lastBundleSeq: 9n }, false, 1)).toBe(false);
    expect(() => checkPageEnd(progress, false, 1)).toThrow(violated('ended_early'));
    expect(() => checkPageEnd(progress, true, 0)).toThrow(violated('ended_early'));
    expect(() => checkPageEnd({ target: 9n, lastBundleSeq: 9n }, true, 1)).toThrow(violated('count'));
  });
});

describe('[T87] checks of a snapshot chunk', () => {
  const expected = {
    snapshotId: 's',
    snapshotBundleSeq: 7n,
    sessionRowCount: 3n,
    sessionByteCount: 300n,
    afterRowOrdinal: 1,
    afterByteCount: 100n,
    rowsMax: 2,
    bytesMax: 250,
  };
  const chunk = {
    snapshotId: 's',
    snapshotBundleSeq: 7n,
    rowCount: 2,
    nextRowOrdinal: 3,
    hasMore: false,
    byteCount: 200,
    measuredByteCount: 200,
  };

  it('accept the chunk that completes the session', () => {
    expect(() => checkSnapshotChunk(expected, chunk)).not.toThrow();
  });

  it.each([
    ['identity', { snapshotId: 'other' }],
    ['identity', { snapshotBundleSeq: 8n }],
    ['ordinal', { nextRowOrdinal: 2 }],
    ['ended_early', { rowCount: 0, nextRowOrdinal: 1, hasMore: true, byteCount: 0, measuredByteCount: 0 }],
    ['count', { rowCount: 3, nextRowOrdinal: 4 }],
    ['count', { byteCount: 251, measuredByteCount: 251 }],
    ['count', { byteCount: 201, measuredByteCount: 201 }],
    ['count', { hasMore: true }],
    ['byte_count', { measuredByteCount: 199 }],
  ])('refuse %s', (reason, change) => {
    expect(() => checkSnapshotChunk(expected, { ...chunk, ...change })).toThrow(violated(reason));
  });

  it('[T90] the sums of all chunks have to be those of the session', () => {
    const session = { rowCount: 3n, byteCount: 300n };
    expect(() => checkSnapshotEnd(session, { rowCount: 3, byteCount: 300n })).not.toThrow();
    expect(() => checkSnapshotEnd(session, { rowCount: 2, byteCount: 300n })).toThrow(violated('ended_early'));
    expect(() => checkSnapshotEnd(session, { rowCount: 3, byteCount: 299n })).toThrow(violated('ended_early'));
  });
});

const frozen = { sourceId: 's', sourceBundleId: 4n, initializationId: null, requestHash: 'h', rowCount: 2 };
const prepared = { state: 'prepared', ...frozen } as const;
const committed = { state: 'committed_remote', bundleSeq: 9n, bundleHash: 'b', ...frozen } as const;

describe('[T48] [T53] checks of a push', () => {
  it('want a session that repeats what was announced', () => {
    const reply = {
      status: 'staging',
      push_id: 'p',
      planned_row_count: 2,
      next_expected_row_ordinal: 0,
      canonical_request_hash: 'h',
    } as const;
    expect(() => checkStaging(prepared, reply)).not.toThrow();
    expect(() => checkStaging(prepared, { ...reply, planned_row_count: 3 })).toThrow(violated('count'));
    expect(() => checkStaging(prepared, { ...reply, next_expected_row_ordinal: 1 })).toThrow(violated('ordinal'));
    expect(() => checkStaging(prepared, { ...reply, canonical_request_hash: 'x' })).toThrow(violated('identity'));
    expect(() => checkChunkReply('p', 2, { push_id: 'q', next_expected_row_ordinal: 2 })).toThrow(violated('token'));
    expect(() => checkChunkReply('p', 2, { push_id: 'p', next_expected_row_ordinal: 1 })).toThrow(violated('ordinal'));
  });

  it('want a commit of this very tuple; other content means a cloned source', () => {
    const reply = {
      bundle_seq: 9n,
      source_id: 's',
      source_bundle_id: 4n,
      row_count: 2,
      bundle_hash: 'b',
      canonical_request_hash: 'h',
    };
    expect(() => checkAlreadyCommitted(prepared, reply)).not.toThrow();
    expect(() => checkAlreadyCommitted(prepared, { ...reply, source_id: 'x' })).toThrow(violated('identity'));
    expect(() => checkAlreadyCommitted(prepared, { ...reply, source_bundle_id: 5n })).toThrow(violated('identity'));
    expect(() => checkAlreadyCommitted(prepared, { ...reply, bundle_hash: ' ' })).toThrow(violated('identity'));
    expect(() => checkAlreadyCommitted(prepared, { ...reply, canonical_request_hash: 'x' })).toThrow(
      expect.objectContaining({ code: 'source_sequence_mismatch' }),
    );
  });

  it('take a commit answer with another hash: the rows decide', () => {
    const reply = {
      bundle_seq: 9n,
      source_id: 's',
      source_bundle_id: 4n,
      row_count: 2,
      bundle_hash: 'b',
      canonical_request_hash: 'x',
    };
    expect(() => checkCommitIdentity(prepared, reply)).not.toThrow();
    expect(() => checkCommitIdentity(prepared, { ...reply, bundle_seq: 0n })).toThrow(violated('identity'));
  });

  it('want pages of that commit without gaps', () => {
    const page = {
      bundleSeq: 9n,
      sourceId: 's',
      sourceBundleId: 4n,
      rowCount: 5,
      bundleHash: 'b',
      rowsInPage: 2,
      nextRowOrdinal: 3,
      hasMore: true,
    };
    const expected = { outbox: committed, rowsBefore: 2, rowCount: 5 };
    expect(() => checkCommittedPage(expected, page)).not.toThrow();
    expect(() => checkCommittedPage(expected, { ...page, bundleSeq: 8n })).toThrow(violated('identity'));
    expect(() => checkCommittedPage(expected, { ...page, bundleHash: 'x' })).toThrow(violated('identity'));
    expect(() => checkCommittedPage(expected, { ...page, sourceId: 'x' })).toThrow(violated('identity'));
    expect(() => checkCommittedPage(expected, { ...page, rowCount: 6 })).toThrow(violated('count'));
    expect(() => checkCommittedPage(expected, { ...page, nextRowOrdinal: 4 })).toThrow(violated('ordinal'));
    expect(() => checkCommittedPage(expected, { ...page, hasMore: false })).toThrow(violated('ended_early'));
    expect(() => checkCommittedPage(expected, { ...page, rowsInPage: 0, nextRowOrdinal: 1 })).toThrow(violated('ended_early'));
    expect(() => checkCommittedPage({ ...expected, rowsBefore: 3 }, { ...page, nextRowOrdinal: 4 })).toThrow(violated('count'));
  });
});

describe('[T59] what a refused push request means', () => {
  const answer = (
    step: 'create' | 'chunk' | 'commit',
    status: number,
    serverCode: string,
    members: { violation?: boolean; limit?: boolean } = {},
  ) =>
    decidePushAnswer(step, {
      status,
      serverCode,
      hasViolation: members.violation === true,
      hasLimitExceeded: members.limit === true,
    }).kind;

  it.each([
    ['create', 409, 'history_pruned', 'sourceLost'],
    ['create', 409, 'source_sequence_out_of_order', 'sourceLost'],
    ['create', 409, 'source_retired', 'sourceLost'],
    ['commit', 409, 'source_retired', 'sourceLost'],
    ['commit', 409, 'source_sequence_changed', 'sourceLost'],
    ['commit', 409, 'history_pruned', 'other'],
    ['create', 410, 'initialization_expired', 'initializationLost'],
    ['chunk', 409, 'initialization_stale', 'initializationLost'],
    ['commit', 409, 'push_conflict', 'conflict'],
    ['create', 409, 'push_conflict', 'other'],
    ['chunk', 404, 'push_session_not_found', 'createAgain'],
    ['commit', 410, 'push_session_expired', 'createAgain'],
    ['chunk', 409, 'push_chunk_out_of_order', 'createAgain'],
    ['commit', 503, 'commit_outcome_unknown', 'createAgain'],
    ['create', 400, 'push_session_invalid', 'createRefused'],
    ['chunk', 400, 'push_chunk_invalid', 'rejected'],
    ['commit', 400, 'push_commit_invalid', 'rejected'],
    ['chunk', 413, 'request_too_large', 'rejected'],
    ['chunk', 400, 'invalid_request', 'other'],
    ['create', 409, 'scope_uninitialized', 'other'],
    ['commit', 500, 'push_session_commit_failed', 'other'],
  ] as const)('%s %d %s: %s', (step, status, code, kind) => {
    expect(answer(step, status, code)).toBe(kind);
  });

  it('takes a broken limit of a create for refused content', () => {
    expect(answer('create', 400, 'push_session_invalid', { limit: true })).toBe('rejected');
    expect(answer('create', 400, 'invalid_request', { violation: true })).toBe('rejected');
  });
});
