import { inspect } from 'node:util';

import { describe, expect, it } from 'vitest';
import {
  encodeErrorBody,
  ERROR_TABLE,
  isErrorCode,
  isSyncError,
  isWireErrorCode,
  LIMITS,
  stringifyJson,
  SyncError,
} from '../index.ts';
import type { ErrorCode, JsonObject, Recovery } from '../index.ts';

function byteLength(body: JsonObject): number {
  return Buffer.byteLength(stringifyJson(body));
}

/** Client codes and their recovery; a code that is sent too keeps the recovery of the client. */
const CLIENT_RECOVERIES: Readonly<Record<Recovery, readonly ErrorCode[]>> = {
  stop: [
    ...(['config_invalid', 'invalid_argument', 'open_required', 'attach_required', 'client_closed', 'database_owned'] as const),
    ...(['local_state_conflict', 'protocol_version_mismatch', 'capabilities_invalid', 'snapshot_limits_unsupported'] as const),
    ...([
      'attach_unsupported',
      'table_contract_mismatch',
      'response_too_large',
      'encoding_unsupported',
      'table_unknown',
    ] as const),
    ...(['payload_column_missing', 'payload_value_invalid', 'source_recovery_reason_invalid', 'snapshot_row_too_large'] as const),
    ...(['snapshot_chunk_too_small', 'snapshot_session_limit_exceeded'] as const),
  ],
  retry: [
    ...(['operation_in_progress', 'aborted', 'storage_failed', 'protocol_violation', 'bundle_hash_mismatch'] as const),
    ...([
      'initialization_lost',
      'scope_uninitialized',
      'scope_initializing',
      'snapshot_gate_failed',
      'snapshot_too_old',
    ] as const),
    ...(['snapshot_session_lost', 'dirty_state_rejected', 'pending_push_replay', 'transport_failed', 'timeout'] as const),
    ...(['retry_exhausted', 'capacity_exhausted', 'rate_limited'] as const),
  ],
  rebuild: [
    'outbox_corrupt',
    'rebuild_required',
    'source_recovery_required',
    'checkpoint_recovery_blocked',
    'source_sequence_mismatch',
  ],
  resolve: [
    ...(['attach_binding_conflict', 'attach_local_state_conflict', 'scope_lost', 'source_replacement_diverged'] as const),
    ...([
      'source_replacement_invalid',
      'source_replacement_not_fresh',
      'conflict_resolution_invalid',
      'resolver_failed',
    ] as const),
    ...(['conflict_retry_exhausted', 'quarantine_limit_reached', 'bundle_too_large'] as const),
  ],
  reauthenticate: ['authentication_failed', 'forbidden'],
};

describe('[T118] error table', () => {
  it('gives every client code its recovery', () => {
    for (const [recovery, codes] of Object.entries(CLIENT_RECOVERIES)) {
      for (const code of codes) expect(ERROR_TABLE[code].recovery, code).toBe(recovery);
    }
  });

  it('gives every wire code a status and a fixed message without placeholders', () => {
    for (const [code, entry] of Object.entries(ERROR_TABLE)) {
      expect(entry.message, code).toMatch(/^[a-z(].{5,80}$/);
      expect(isWireErrorCode(code)).toBe(entry.status !== undefined);
    }
    expect(Object.values(ERROR_TABLE).filter((entry) => entry.status === 500)).toHaveLength(17);
    expect(Object.values(ERROR_TABLE).filter((entry) => entry.status === 429)).toHaveLength(4);
    expect(isErrorCode('toString')).toBe(false);
  });
});

describe('SyncError', () => {
  it('takes message and recovery from the table unless told otherwise', () => {
    const cause = new Error('below');
    const error = new SyncError('pull_failed', { operation: 'pull', retryAfterMs: 1000, cause });
    expect(error).toMatchObject({
      name: 'SyncError',
      code: 'pull_failed',
      message: 'the pull failed',
      operation: 'pull',
      retryAfterMs: 1000,
    });
    expect(error).toMatchObject({ recovery: 'retry', retryable: true, cause, details: {} });
    expect(new SyncError('pull_failed', { message: 'other' }).message).toBe('other');
    expect('cause' in new SyncError('pull_failed')).toBe(false);
  });

  it('differs in recovery where the situation decides', () => {
    expect(new SyncError('http_error', { details: { status: 502 } }).recovery).toBe('retry');
    expect(new SyncError('http_error', { details: { status: 404 } }).recovery).toBe('stop');
    expect(new SyncError('checkpoint_recovery_blocked').recovery).toBe('rebuild');
    expect(new SyncError('checkpoint_recovery_blocked', { details: { reason: 'upload_paused' } }).recovery).toBe('resolve');
  });

  it('is known by its members, also from another copy of the package', () => {
    const foreign = Object.assign(new Error('x'), { name: 'SyncError', code: 'timeout', recovery: 'retry' });
    expect(isSyncError(new SyncError('timeout'))).toBe(true);
    expect(isSyncError(foreign)).toBe(true);
    expect(isSyncError(new Error('x'))).toBe(false);
    expect(isSyncError('timeout')).toBe(false);
  });
});

describe('encodeErrorBody', () => {
  it('sends the members of the code and nothing else of the details', () => {
    const details = { required_byte_count: 9007199254740993n, cause: 'secret', violation: {} };
    expect(stringifyJson(encodeErrorBody(new SyncError('snapshot_chunk_too_small', { details })))).toBe(
      '{"error":"snapshot_chunk_too_small","message":"the next snapshot row is larger than the requested chunk","required_byte_count":9007199254740993}',
    );
  });

  it('leaves out what is undefined and keeps null inside a conflict', () => {
    const conflict = { key: { id: 'x' }, base_row_version: 3n, server_row: null, hint: undefined };
    const body = encodeErrorBody(new SyncError('push_conflict', { details: { conflict, conflict_count: undefined } }));
    expect(stringifyJson(body)).toContain('"conflict":{"key":{"id":"x"},"base_row_version":3,"server_row":null}}');
  });

  it('sends integers of 64 bits as they are', () => {
    const details = { limit_exceeded: { name: 'maxBytesPerBundle', limit: 2n ** 62n, actual: 2n ** 63n - 1n } };
    expect(stringifyJson(encodeErrorBody(new SyncError('push_commit_invalid', { details })))).toContain(
      '"limit":4611686018427387904,"actual":9223372036854775807',
    );
  });

  it('[E5] cuts the list of conflicts so that the body stays within 64 KiB, and keeps the count', () => {
    const conflict = { key: { id: 'é'.repeat(200) }, server_row: { text: 'x'.repeat(1000) } };
    const conflicts = Array.from({ length: 500 }, (_, index) => ({ ...conflict, row_ordinal: index }));
    const body = encodeErrorBody(new SyncError('push_conflict', { details: { conflict, conflict_count: 500, conflicts } }));
    const kept = Array.isArray(body['conflicts']) ? body['conflicts'].length : 0;
    expect(byteLength(body)).toBeLessThanOrEqual(LIMITS.errorBodyBytesMax);
    expect(byteLength(body)).toBeGreaterThan(LIMITS.errorBodyBytesMax - 2000);
    expect(kept).toBeGreaterThan(30);
    expect(body['conflict_count']).toBe(500);
  });

  it('sends a conflict whose server row does not fit in full', () => {
    const conflict = { server_row: { text: 'x'.repeat(100_000) } };
    const body = encodeErrorBody(
      new SyncError('push_conflict', { details: { conflict, conflict_count: 2, conflicts: [conflict, conflict] } }),
    );
    expect(body['conflict']).toEqual(conflict);
    expect(body['conflicts']).toBeUndefined();
  });

  it('drops a key that does not fit before it drops the violation', () => {
    const violation = { kind: 'unique', schema: 'business', table: 'users', key: { id: 'x'.repeat(70_000) } };
    const body = encodeErrorBody(new SyncError('push_commit_invalid', { details: { violation } }));
    expect(body['violation']).toEqual({ kind: 'unique', schema: 'business', table: 'users' });
    expect(
      byteLength(encodeErrorBody(new SyncError('push_commit_invalid', { details: { violation: { kind: 'x'.repeat(70_000) } } }))),
    ).toBeLessThan(200);
  });

  it('bounds the message and never cuts a character in half', () => {
    const body = encodeErrorBody(new SyncError('pull_failed', { message: `x${'😀'.repeat(1000)}` }));
    expect(byteLength(body)).toBeLessThan(3000);
    expect(stringifyJson(body)).not.toContain('\\ud83d');
  });
});

describe('what a console shows', () => {
  const nested = [{ code: 'key_count', table: 'users', references: ['a -> b'] }];

  it('of a wrong set-up everything that is wrong', () => {
    const shown = inspect(new SyncError('config_invalid', { operation: 'open', details: { violations: nested } }));
    expect(shown).toContain("code: 'key_count'");
    expect(shown).toContain("'a -> b'");
    expect(shown).toContain('errors.test.ts');
  });

  it('of other errors what it shows of any error, so that no row gets into a log by depth', () => {
    const conflict = { key: { id: 'k' }, server_row: { name: 'a name' } };
    expect(inspect(new SyncError('push_conflict', { details: { conflict } }))).not.toContain('a name');
  });
});
