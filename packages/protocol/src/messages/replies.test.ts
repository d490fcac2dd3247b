import { describe, expect, it } from 'vitest';
import {
  parseCommitReply,
  parseCommittedRowsPage,
  parseConflict,
  parseConflicts,
  parseConnectReply,
  parseErrorBody,
  parseLimitExceeded,
  parsePullPage,
  parsePushChunkReply,
  parsePushSessionReply,
  parsePushSessionStatus,
  parseSnapshotChunk,
  parseSnapshotChunkTooSmall,
  parseSnapshotLimit,
  parseSnapshotSession,
  parseSourceRetired,
  parseStatus,
  parseViolation,
  parseWatchEvent,
} from '../index.ts';
import type { JsonValue } from '../index.ts';
import { damaged, faultOf, json } from '../test-parse.ts';

const UUID = '11111111-1111-4111-8111-111111111111';
const HASH = 'a'.repeat(64);
const committed = {
  bundle_seq: 143,
  source_id: 'device-a',
  source_bundle_id: 7,
  row_count: 2,
  bundle_hash: HASH,
  canonical_request_hash: HASH,
};
const row = { schema: 'main', table: 'users', key: { id: 'user-1' }, op: 'INSERT', row_version: 143, payload: { id: 'user-1' } };
const { payload: _payload, ...deletion } = { ...row, op: 'DELETE' };
const liveRow = { schema: 'main', table: 'users', key: { id: 'user-1' }, row_version: 7, payload: { id: 'user-1' } };
const staging = {
  status: 'staging',
  push_id: UUID,
  planned_row_count: 2,
  next_expected_row_ordinal: 0,
  canonical_request_hash: HASH,
};

/** Each reply with the values that none of its members may have. */
const REPLIES: readonly (readonly [
  string,
  (json: JsonValue) => unknown,
  Readonly<Record<string, unknown>>,
  readonly unknown[],
])[] = [
  [
    'initialize_local',
    parseConnectReply,
    { resolution: 'initialize_local', initialization_id: UUID, lease_expires_at: '2026-07-22T12:00:00Z' },
    [null, '', 1, 'x', '2026-07-22T12:00:00'],
  ],
  [
    'retry_later',
    parseConnectReply,
    { resolution: 'retry_later', retry_after_seconds: 42, lease_expires_at: '2026-07-22T12:00:00.123456789Z' },
    [null, '', 0, 1.5],
  ],
  ['commit', parseCommitReply, committed, [null, 1.5, {}]],
  ['staging', parsePushSessionReply, staging, [null, -1, 1.5, '']],
  ['already_committed', parsePushSessionReply, { status: 'already_committed', ...committed }, [null, 1.5, []]],
  ['session status', parsePushSessionStatus, { ...staging, expires_at: '2026-07-22T12:00:00Z' }, [null, -1, '']],
  [
    'chunk reply',
    parsePushChunkReply,
    { push_id: UUID, next_expected_row_ordinal: 2 },
    [null, -1, '2', UUID.toUpperCase().replace('1', 'A')],
  ],
  [
    'committed rows',
    parseCommittedRowsPage,
    { ...committed, rows: [row, deletion], next_row_ordinal: 1, has_more: false },
    [null, 1.5, {}],
  ],
  ['pull page', parsePullPage, { stable_bundle_seq: 156, bundles: [], has_more: true }, [null, -1, '1', {}]],
  [
    'snapshot session',
    parseSnapshotSession,
    { snapshot_id: UUID, snapshot_bundle_seq: 156, row_count: 124, byte_count: 18240, expires_at: '2026-07-22T12:00:00Z' },
    [null, -1, 1.5, ''],
  ],
  [
    'snapshot chunk',
    parseSnapshotChunk,
    { snapshot_id: 's', snapshot_bundle_seq: 7, rows: [liveRow], next_row_ordinal: 1, has_more: false, byte_count: 113 },
    [null, -1, '', {}],
  ],
  ['conflict', parseConflict, { ...liveRowAsConflict(), server_row: { id: 'x' } }, [1.5, []]],
  ['error', parseErrorBody, { error: 'pull_failed', message: 'x' }, [null, 1, {}]],
  [
    'snapshot limit',
    parseSnapshotLimit as (json: JsonValue) => unknown,
    { dimension: 'row_count', actual: 1200, limit: 1000 },
    [null, 0, 'x'],
  ],
  ['chunk too small', parseSnapshotChunkTooSmall as (json: JsonValue) => unknown, { required_byte_count: 5 }, [null, 0, '5']],
];

function liveRowAsConflict(): Readonly<Record<string, unknown>> {
  return {
    schema: 'business',
    table: 'users',
    key: { id: 'u' },
    op: 'UPDATE',
    base_row_version: 3,
    server_row_version: 7,
    server_row_deleted: false,
  };
}

describe('replies', () => {
  it.each(REPLIES)(
    '[T48] %s is accepted whole and refused with any member missing or of another kind',
    (_name, parse, body, wrong) => {
      expect(parse(json({ ...body }))).toBeDefined();
      for (const [change, bad] of damaged(body, wrong)) {
        expect(() => faultOf(() => parse(bad)), change).not.toThrow();
        expect(faultOf(() => parse(bad)).code, change).toBe('protocol_violation');
      }
      for (const other of ['[]', 'null', '1', '"x"']) expect(faultOf(() => parse(json(other))).code).toBe('protocol_violation');
    },
  );

  it('keep 64-bit counters exact', () => {
    const text = JSON.stringify(committed).replace('143', '9007199254740993');
    expect(parseCommitReply(json(text)).bundle_seq).toBe(9007199254740993n);
    expect(parseWatchEvent(json('{"bundle_seq":9223372036854775807}')).bundle_seq).toBe(2n ** 63n - 1n);
  });

  it('ignore members they do not know, except in the closed snapshot shapes', () => {
    expect(parseCommitReply(json({ ...committed, more: 1 }))).not.toHaveProperty('more');
    const chunk = {
      snapshot_id: 's',
      snapshot_bundle_seq: 7,
      rows: [liveRow],
      next_row_ordinal: 1,
      has_more: false,
      byte_count: 113,
    };
    for (const body of [
      { ...chunk, more: 1 },
      { ...chunk, rows: [{ ...liveRow, more: 1 }] },
    ]) {
      expect(faultOf(() => parseSnapshotChunk(json(body))).code).toBe('protocol_violation');
    }
  });

  it('of connect without a lease have no further members', () => {
    expect(parseConnectReply(json({ resolution: 'remote_authoritative' }))).toEqual({ resolution: 'remote_authoritative' });
    expect(parseConnectReply(json({ resolution: 'initialize_empty' }))).toEqual({ resolution: 'initialize_empty' });
    expect(faultOf(() => parseConnectReply(json({ resolution: 'other' }))).code).toBe('protocol_violation');
  });
});

describe('rows', () => {
  const pull = (...rows: readonly unknown[]): unknown =>
    parsePullPage(
      json({
        stable_bundle_seq: 143,
        bundles: [{ bundle_seq: 143, source_id: 'a', source_bundle_id: 7, rows }],
        has_more: false,
      }),
    );

  it('[T76] of a bundle need a name, one string key, a known operation, a version, and a payload unless deleted', () => {
    expect(pull(row, deletion, { ...deletion, payload: null }, { ...row, more: 1 })).toMatchObject({
      bundles: [{ rows: [{ payload: { id: 'user-1' } }, { payload: null }, { payload: null }, { row_version: 143n }] }],
    });
    for (const change of [
      { schema: '' },
      { table: 1 },
      { key: {} },
      { key: { a: '1', b: '2' } },
      { key: { id: 1 } },
      { op: 'insert' },
      { row_version: 0 },
      { row_version: '1' },
      { payload: null },
      { payload: undefined },
      { payload: [] },
      { op: 'DELETE' },
    ]) {
      expect(
        faultOf(() => pull({ ...row, ...change })),
        JSON.stringify(change),
      ).toEqual({ code: 'protocol_violation', reason: 'row_shape' });
    }
    expect(faultOf(() => pull({ ...row, payload: { _sync_scope_id: 'x' } })).reason).toBe('hidden_column');
    expect(faultOf(() => pull(null)).reason).toBe('row_shape');
  });

  it('[T76] of a page stand in ascending bundles up to the ceiling; an empty bundle is one too', () => {
    const page = (...sequences: readonly number[]): unknown =>
      parsePullPage(
        json({
          stable_bundle_seq: 9,
          bundles: sequences.map((bundle_seq) => ({ bundle_seq, source_id: 'a', source_bundle_id: 1, rows: [] })),
          has_more: false,
        }),
      );
    expect(page(3, 4, 9)).toBeDefined();
    for (const sequences of [[4, 3], [4, 4], [9, 10], [10]])
      expect(faultOf(() => page(...sequences)).reason).toBe('sequence_order');
    expect(faultOf(() => page(0)).reason).toBe('decode');
  });

  it('of a snapshot are live: a payload is always there, the hidden column never', () => {
    const chunk = (change: object): unknown =>
      parseSnapshotChunk(
        json({
          snapshot_id: 's',
          snapshot_bundle_seq: 7,
          rows: [{ ...liveRow, ...change }],
          next_row_ordinal: 1,
          has_more: false,
          byte_count: 113,
        }),
      );
    expect(chunk({})).toMatchObject({ rows: [{ row_version: 7n }] });
    expect(faultOf(() => chunk({ payload: null })).reason).toBe('row_shape');
    expect(faultOf(() => chunk({ payload: { _sync_scope_id: 1 } })).reason).toBe('hidden_column');
  });

  it('announced by has_more must be there', () => {
    expect(
      faultOf(() => parseCommittedRowsPage(json({ ...committed, rows: [], next_row_ordinal: -1, has_more: true }))).code,
    ).toBe('protocol_violation');
    expect(
      parseCommittedRowsPage(json({ ...committed, canonical_request_hash: '', rows: [], next_row_ordinal: -1, has_more: false }))
        .rows,
    ).toEqual([]);
    const chunk = { snapshot_id: 's', snapshot_bundle_seq: 7, rows: [], next_row_ordinal: 1, has_more: false, byte_count: 0 };
    expect(parseSnapshotChunk(json(chunk)).rows).toEqual([]);
    for (const change of [{ has_more: true }, { byte_count: 5 }])
      expect(faultOf(() => parseSnapshotChunk(json({ ...chunk, ...change }))).code).toBe('protocol_violation');
  });
});

describe('snapshot session', () => {
  it('has bytes exactly when it has rows, and rows only above sequence 0', () => {
    const session = {
      snapshot_id: 'snapshot-1',
      snapshot_bundle_seq: 0,
      row_count: 0,
      byte_count: 0,
      expires_at: '2099-01-01T00:00:00Z',
    };
    expect(parseSnapshotSession(json(session))).toMatchObject({ row_count: 0, byte_count: 0n });
    for (const change of [
      { row_count: 1 },
      { byte_count: 1 },
      { row_count: 1, byte_count: 1 },
      { expires_at: '2099-13-01T00:00:00Z' },
    ]) {
      expect(faultOf(() => parseSnapshotSession(json({ ...session, ...change }))).code, JSON.stringify(change)).toBe(
        'protocol_violation',
      );
    }
  });
});

describe('structured error members', () => {
  it('give the whole body beside code and message', () => {
    const body = parseErrorBody(json({ error: 'unknown_code', message: '', extra: { a: 1 } }));
    expect(body).toMatchObject({ error: 'unknown_code', message: '', members: { extra: { a: 1 } } });
  });

  it('read violations of kinds known and unknown', () => {
    const violation = {
      kind: 'unique',
      schema: 'business',
      table: 'users',
      constraint: 'users_key',
      row_ordinal: 3,
      key: { id: 'user-9' },
    };
    expect(parseViolation(json(violation))).toEqual(violation);
    expect(parseViolation(json({ kind: 'of_tomorrow', schema: 's', table: 't', column: null }))).toMatchObject({
      kind: 'of_tomorrow',
    });
    for (const change of [{ kind: '' }, { key: {} }, { row_ordinal: -1 }])
      expect(faultOf(() => parseViolation(json({ ...violation, ...change }))).code).toBe('protocol_violation');
    expect(faultOf(() => parseViolation(undefined)).code).toBe('protocol_violation');
  });

  it('[T70] read the list of conflicts, absent included', () => {
    const conflict = { ...liveRowAsConflict(), server_row: null, row_ordinal: 5 };
    expect(parseConflicts(json([conflict]))).toMatchObject([
      { row_ordinal: 5, base_row_version: 3n, server_row_version: 7n, server_row: null },
    ]);
    expect(parseConflicts(undefined)).toEqual([]);
    for (const bad of [json({}), json([{ ...conflict, row_ordinal: undefined }]), json([null])]) {
      expect(faultOf(() => parseConflicts(bad)).code).toBe('protocol_violation');
    }
  });

  it('read limits, lineage and sizes', () => {
    expect(parseLimitExceeded(json({ name: 'maxRowsPerPushChunk', limit: 5000, actual: 5001 }))).toEqual({
      name: 'maxRowsPerPushChunk',
      limit: 5000n,
      actual: 5001n,
    });
    expect(parseLimitExceeded(json({ name: 'x', limit: 1 }))).toEqual({ name: 'x', limit: 1n });
    expect(parseSourceRetired({ source_id: 'a' })).toEqual({ source_id: 'a' });
    expect(parseSourceRetired({ source_id: 'a', replaced_by_source_id: 'b' })).toEqual({
      source_id: 'a',
      replaced_by_source_id: 'b',
    });
    for (const bad of [null, ''])
      expect(faultOf(() => parseSourceRetired({ source_id: 'a', replaced_by_source_id: bad })).code).toBe('protocol_violation');
    expect(faultOf(() => parseSnapshotLimit({ dimension: 'row_count', actual: 5, limit: 5 })).code).toBe('protocol_violation');
  });
});

describe('status', () => {
  it('reads the body of health and status', () => {
    const names =
      'user_state_retention_floor_ahead_count latest_bundle_seq_max retained_bundle_floor_min retained_bundle_floor_max ' +
      'retained_bundle_window_min retained_bundle_window_max history_pruned_error_count accepted_push_replay_count ' +
      'rejected_registered_write_count committed_bundle_count committed_bundle_bytes inflight_operations';
    const counters = Object.fromEntries(names.split(' ').map((name) => [name, 1]));
    const body = {
      status: 'healthy',
      version: 'v1',
      lifecycle: 'running',
      accepting_operations: true,
      features: { bundle_pull: true },
      ...counters,
    };
    expect(parseStatus(json(body))).toMatchObject({ status: 'healthy', registered_tables: [], committed_bundle_bytes: 1n });
    for (const change of [{ status: 'ill' }, { lifecycle: 'x' }, { features: [] }, { committed_bundle_bytes: -1 }]) {
      expect(faultOf(() => parseStatus(json({ ...body, ...change }))).code).toBe('protocol_violation');
    }
  });
});
