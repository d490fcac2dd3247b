import {
  parseCapabilities,
  parseCommitReply,
  parseCommittedRowsPage,
  parseConflict,
  parseConnectReply,
  parseConnectRequest,
  parseLimitExceeded,
  parsePullPage,
  parsePushChunkReply,
  parsePushChunkRequest,
  parsePushSessionReply,
  parsePushSessionRequest,
  parsePushSessionStatus,
  parseSnapshotChunk,
  parseSnapshotSession,
  parseSnapshotSessionRequest,
  parseStatus,
  parseViolation,
  parseWatchEvent,
  REQUIRED_LIMITS,
} from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';
import { describe, expect, test } from 'vitest';

import { loadDocument } from './document.ts';
import { readJson } from './json-numbers.ts';
import { createSchemaChecker } from './schema-checker.ts';
import { accepts, ODD_VALUES, toMembers, vary, write } from './test-samples.ts';

const check = createSchemaChecker(loadDocument());
const documentAccepts = (schema: string, text: string): boolean =>
  check(`#/components/schemas/${schema}`, readJson(text)).length === 0;

const HASH = 'a'.repeat(64);
const TOKEN = '6df0d8dd-a84b-43b6-bbca-8de70432922a';
const TIME = '2026-07-22T12:00:00Z';
const bundle = {
  bundle_seq: 143,
  source_id: 'device-a',
  source_bundle_id: 7,
  row_count: 2,
  bundle_hash: HASH,
  canonical_request_hash: HASH,
};
const row = { schema: 'main', table: 'users', key: { id: 'user-1' }, row_version: 7, payload: { id: 'user-1' } };
const conflict = {
  schema: 'business',
  table: 'users',
  key: { id: 'user-1' },
  op: 'UPDATE',
  base_row_version: 3,
  server_row_version: 7,
  server_row_deleted: false,
  server_row: { id: 'user-1' },
};
/** Far apart, so that a changed value does not break their order. */
const limits = {
  ...Object.fromEntries(REQUIRED_LIMITS.map((name) => [name, 1])),
  max_rows_per_snapshot_chunk: 2_147_483_647,
  max_bytes_per_snapshot_chunk: 9_007_199_254_740_991,
  max_rows_per_snapshot_session: 5,
  max_bytes_per_bundle: 5,
};
const capabilities = {
  protocol_version: 'v1',
  schema_version: 1,
  app_name: 'notes',
  registered_tables: ['business.users'],
  registered_table_specs: [{ schema: 'business', table: 'users', sync_key_columns: ['id'] }],
  features: { connect_lifecycle: true },
  bundle_limits: limits,
};
const status = {
  status: 'healthy',
  version: 'v1',
  lifecycle: 'running',
  accepting_operations: true,
  inflight_operations: 0,
  registered_tables: [],
  features: {},
  user_state_retention_floor_ahead_count: 0,
  latest_bundle_seq_max: 0,
  retained_bundle_floor_min: 0,
  retained_bundle_floor_max: 0,
  retained_bundle_window_min: 0,
  retained_bundle_window_max: 0,
  history_pruned_error_count: 0,
  accepted_push_replay_count: 0,
  rejected_registered_write_count: 0,
  committed_bundle_count: 0,
  committed_bundle_bytes: 0,
};

/** Messages for which document and validator have to agree on every sample. */
const REPLIES: readonly (readonly [string, (json: JsonValue) => unknown, object])[] = [
  ['Capabilities', parseCapabilities, capabilities],
  ['ConnectReply', parseConnectReply, { resolution: 'remote_authoritative' }],
  ['ConnectReply', parseConnectReply, { resolution: 'initialize_local', initialization_id: TOKEN, lease_expires_at: TIME }],
  ['ConnectReply', parseConnectReply, { resolution: 'retry_later', retry_after_seconds: 42, lease_expires_at: TIME }],
  [
    'PushSessionReply',
    parsePushSessionReply,
    { push_id: TOKEN, status: 'staging', planned_row_count: 2, next_expected_row_ordinal: 0, canonical_request_hash: HASH },
  ],
  ['PushSessionReply', parsePushSessionReply, { status: 'already_committed', ...bundle }],
  [
    'PushSessionStatus',
    parsePushSessionStatus,
    {
      push_id: TOKEN,
      status: 'staging',
      planned_row_count: 2,
      next_expected_row_ordinal: 0,
      canonical_request_hash: HASH,
      expires_at: TIME,
    },
  ],
  ['PushChunkReply', parsePushChunkReply, { push_id: TOKEN, next_expected_row_ordinal: 2 }],
  ['CommitReply', parseCommitReply, bundle],
  ['CommittedRowsPage', parseCommittedRowsPage, { ...bundle, rows: [], next_row_ordinal: -1, has_more: false }],
  [
    'CommittedRowsPage',
    parseCommittedRowsPage,
    { ...bundle, rows: [{ ...row, op: 'INSERT' }], next_row_ordinal: 0, has_more: true },
  ],
  ['PullPage', parsePullPage, { stable_bundle_seq: 156, bundles: [], has_more: false }],
  ['WatchEvent', parseWatchEvent, { bundle_seq: 157, source_id: 'device-a', source_bundle_id: 9 }],
  [
    'SnapshotSession',
    parseSnapshotSession,
    { snapshot_id: TOKEN, snapshot_bundle_seq: 156, row_count: 124, byte_count: 18240, expires_at: TIME },
  ],
  [
    'SnapshotSession',
    parseSnapshotSession,
    { snapshot_id: TOKEN, snapshot_bundle_seq: 0, row_count: 0, byte_count: 0, expires_at: TIME },
  ],
  [
    'SnapshotChunk',
    parseSnapshotChunk,
    { snapshot_id: TOKEN, snapshot_bundle_seq: 7, rows: [row], next_row_ordinal: 1, has_more: true, byte_count: 113 },
  ],
  [
    'SnapshotChunk',
    parseSnapshotChunk,
    { snapshot_id: TOKEN, snapshot_bundle_seq: 7, rows: [], next_row_ordinal: 1, has_more: false, byte_count: 0 },
  ],
  ['Status', parseStatus, status],
  ['Conflict', parseConflict, conflict],
  [
    'Violation',
    parseViolation,
    { kind: 'unique', schema: 's', table: 't', constraint: 'c', column: 'x', row_ordinal: 3, key: { id: 'a' } },
  ],
  ['LimitExceeded', parseLimitExceeded, { name: 'maxRowsPerBundle', limit: 3, actual: 4 }],
];

describe('[D1] the document and the validators of the library agree on', () => {
  test.each(REPLIES.map(([schema, parse, body], index) => ({ schema, parse, body, index })))(
    '$schema ($index)',
    ({ schema, parse, body }) => {
      expect(documentAccepts(schema, JSON.stringify(body))).toBe(true);
      for (const text of vary(toMembers(body)))
        expect([text, documentAccepts(schema, text)]).toStrictEqual([text, accepts(parse, text)]);
    },
  );

  test('the limits of the capabilities, apart from their order', () => {
    for (const text of vary(toMembers(limits))) {
      const body = write({ ...toMembers(capabilities), bundle_limits: text });
      expect([text, documentAccepts('Capabilities', body)]).toStrictEqual([text, accepts(parseCapabilities, body)]);
    }
  });

  test('a bundle of a pull page, apart from the order of bundles', () => {
    for (const text of vary(toMembers({ ...bundle, rows: [] }))) {
      const body = `{"stable_bundle_seq":9223372036854775807,"bundles":[${text}],"has_more":false}`;
      expect([text, documentAccepts('PullPage', body)]).toStrictEqual([text, accepts(parsePullPage, body)]);
    }
  });

  test('the request that connects', () => {
    for (const text of vary({ has_local_pending_rows: 'true' }, [...ODD_VALUES, 'null'])) {
      expect([text, documentAccepts('ConnectRequest', text)]).toStrictEqual([text, accepts(parseConnectRequest, text)]);
    }
  });
});

describe('[D1] what the document accepts, the library accepts', () => {
  const replacement = { previous_source_id: 'device-old', new_source_id: 'device-new', reason: 'history_pruned' };
  test.each([
    [
      'PushSessionRequest',
      parsePushSessionRequest,
      { source_bundle_id: 7, planned_row_count: 2, canonical_request_hash: HASH, initialization_id: TOKEN },
    ],
    ['PushChunkRequest', parsePushChunkRequest, { start_row_ordinal: 0, rows: [{ ...row, op: 'INSERT', base_row_version: 0 }] }],
    ['SnapshotSessionRequest', parseSnapshotSessionRequest, { source_replacement: replacement }],
  ] as const)('%s', (schema, parse, body) => {
    expect(documentAccepts(schema, JSON.stringify(body))).toBe(true);
    for (const text of vary(toMembers(body), [...ODD_VALUES, 'null'])) {
      expect([text, documentAccepts(schema, text) && !accepts(parse, text)]).toStrictEqual([text, false]);
    }
  });

  test('a replaced source, member by member', () => {
    for (const text of vary(toMembers(replacement), ODD_VALUES)) {
      const body = `{"source_replacement":${text}}`;
      expect([body, documentAccepts('SnapshotSessionRequest', body)]).toStrictEqual([
        body,
        accepts(parseSnapshotSessionRequest, body),
      ]);
    }
  });
});

describe('what a server must not send although clients bear it', () => {
  test.each([
    ['an absent member as null', 'WatchEvent', parseWatchEvent, { bundle_seq: 1, source_id: null }],
    ['a member of its own', 'CommitReply', parseCommitReply, { ...bundle, more: 1 }],
  ] as const)('%s', (_, schema, parse, body) => {
    expect(accepts(parse, JSON.stringify(body))).toBe(true);
    expect(documentAccepts(schema, JSON.stringify(body))).toBe(false);
  });

  test('capabilities may grow', () => {
    const grown = { ...capabilities, more: 1, bundle_limits: { ...limits, more: 1 } };
    expect(documentAccepts('Capabilities', JSON.stringify(grown))).toBe(true);
  });
});
