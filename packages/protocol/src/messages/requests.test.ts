import { describe, expect, it } from 'vitest';
import {
  checkPushRow,
  parseConnectRequest,
  parsePushChunkRequest,
  parsePushSessionRequest,
  parseSnapshotSessionRequest,
  requestRowText,
} from '../index.ts';
import { faultOf, json } from '../test-parse.ts';

const INVALID_BODIES = ['[]', '"x"', '1', '1.5', 'true', 'null', '[{}]'];

describe('connect request', () => {
  it('takes absent and null as no pending rows, and ignores unknown members', () => {
    expect(parseConnectRequest(json('{"has_local_pending_rows":true,"x":1}'))).toEqual({ has_local_pending_rows: true });
    expect(parseConnectRequest(json('{}'))).toEqual({ has_local_pending_rows: false });
    expect(parseConnectRequest(json('{"has_local_pending_rows":null}'))).toEqual({ has_local_pending_rows: false });
  });

  it('refuses other types', () => {
    for (const body of [...INVALID_BODIES, '{"has_local_pending_rows":1}', '{"has_local_pending_rows":"true"}']) {
      expect(faultOf(() => parseConnectRequest(json(body))).code, body).toBe('invalid_request');
    }
  });
});

describe('push session request', () => {
  const body = { source_bundle_id: 7, planned_row_count: 2, canonical_request_hash: 'a', initialization_id: 'b' };

  it('keeps 64-bit counters and leaves ranges to the operation', () => {
    const text =
      '{"source_bundle_id":9223372036854775807,"planned_row_count":-1,"canonical_request_hash":"x","initialization_id":null}';
    expect(parsePushSessionRequest(json(text))).toEqual({
      source_bundle_id: 2n ** 63n - 1n,
      planned_row_count: -1n,
      canonical_request_hash: 'x',
      initialization_id: undefined,
    });
    expect(parsePushSessionRequest(json('{}'))).toEqual({
      source_bundle_id: 0n,
      planned_row_count: 0n,
      canonical_request_hash: '',
    });
  });

  it('refuses integers that are not plain integers, and names the member', () => {
    for (const lexeme of ['"1"', '1.0', '1e3', '9223372036854775808', 'true', '[]', '{}']) {
      const text = JSON.stringify({ ...body, source_bundle_id: '@' }).replace('"@"', lexeme);
      expect(
        faultOf(() => parsePushSessionRequest(json(text))),
        lexeme,
      ).toEqual({ code: 'invalid_request', reason: 'decode', member: 'source_bundle_id' });
    }
    for (const text of INVALID_BODIES)
      expect(faultOf(() => parsePushSessionRequest(json(text))).code, text).toBe('invalid_request');
    expect(() => parsePushSessionRequest(json('{"planned_row_count":1.5}'))).toThrow(
      'the request is malformed: planned_row_count',
    );
  });
});

describe('push chunk request', () => {
  const row = {
    schema: 'main',
    table: 'users',
    key: { id: 'user-1' },
    op: 'INSERT',
    base_row_version: 0,
    payload: { id: 'user-1' },
  };
  const check = (change: object): unknown => checkPushRow(json({ ...row, ...change }), 3);

  it('hands out ordinal and rows unseen', () => {
    const request = parsePushChunkRequest(json({ start_row_ordinal: 5, rows: [row, 7], more: true }));
    expect(request.start_row_ordinal).toBe(5n);
    expect(request.rows).toHaveLength(2);
    expect(parsePushChunkRequest(json('{}'))).toEqual({ start_row_ordinal: 0n, rows: [] });
  });

  it('refuses other types', () => {
    for (const body of [
      ...INVALID_BODIES,
      '{"start_row_ordinal":"0"}',
      '{"start_row_ordinal":1.0}',
      '{"rows":{}}',
      '{"rows":"x"}',
    ]) {
      expect(faultOf(() => parsePushChunkRequest(json(body))).code, body).toBe('invalid_request');
    }
  });

  it('gives rows in the form of the request hash', () => {
    const checked = checkPushRow(
      json({ ...row, schema: 'Main', table: 'USERS', op: 'insert', base_row_version: null, other: 1 }),
      0,
    );
    expect(requestRowText(checked, 0)).toBe(
      '{"base_row_version":"0","key":{"id":"user-1"},"op":"INSERT","payload":{"id":"user-1"},"row_ordinal":"0","schema":"main","table":"users"}',
    );
    const { payload: _payload, ...deletion } = { ...row, op: 'DELETE' };
    expect(checkPushRow(json(deletion), 0).payload).toBeNull();
    expect(checkPushRow(json({ ...deletion, payload: null }), 0).payload).toBeNull();
  });

  it('answers wrong JSON types with invalid_request', () => {
    for (const change of [{ base_row_version: '1' }, { schema: 1 }, { table: {} }, { op: 4 }]) {
      expect(faultOf(() => check(change)).code, JSON.stringify(change)).toBe('invalid_request');
    }
    expect(faultOf(() => checkPushRow(json('{"base_row_version":1.0}'), 0)).code).toBe('invalid_request');
    expect(faultOf(() => checkPushRow(json('[]'), 0)).code).toBe('invalid_request');
  });

  it('answers malformed rows with a violation that holds no value', () => {
    const place = { schema: 'main', table: 'users', row_ordinal: 3 };
    const kindOf = (change: object): unknown => faultOf(() => check(change)).violation;
    for (const key of [{}, { a: 'x', b: 'y' }, { id: 1 }, { id: null }, 'user-1', null, ['user-1']]) {
      expect(kindOf({ key }), JSON.stringify(key)).toEqual({ kind: 'key', ...place });
    }
    for (const change of [
      { op: 'UPSERT' },
      { base_row_version: -1 },
      { payload: null },
      { payload: [] },
      { payload: 'x' },
      { op: 'DELETE' },
    ]) {
      expect(kindOf(change), JSON.stringify(change)).toEqual({ kind: 'payload', ...place });
    }
    expect(kindOf({ payload: { _sync_scope_id: 'x' } })).toEqual({ kind: 'unknown_column', ...place, column: '_sync_scope_id' });
  });
});

describe('snapshot session request', () => {
  const replacement = { previous_source_id: 'device-old', new_source_id: 'device-new', reason: 'history_pruned' };

  it('may be empty, {} or null', () => {
    for (const body of [undefined, json('null'), json('{}'), json('{"source_replacement":null}')]) {
      expect(parseSnapshotSessionRequest(body)).toEqual({ source_replacement: undefined });
    }
  });

  it('reads a replacement with each reason', () => {
    for (const reason of ['history_pruned', 'source_sequence_out_of_order', 'source_sequence_changed', 'source_retired']) {
      expect(parseSnapshotSessionRequest(json({ source_replacement: { ...replacement, reason } }))).toEqual({
        source_replacement: { ...replacement, reason },
      });
    }
  });

  it('refuses unknown members at both levels without repeating their names', () => {
    for (const body of [{ secret: 1 }, { source_replacement: { ...replacement, secret: 1 } }]) {
      const call = (): unknown => parseSnapshotSessionRequest(json(body));
      expect(faultOf(call).code).toBe('snapshot_session_invalid');
      expect(call).not.toThrow(/secret/);
    }
  });

  it('refuses malformed and reserved ids, equal ids, and other reasons', () => {
    for (const change of [
      { previous_source_id: 'a b' },
      { new_source_id: '' },
      { new_source_id: 'oversync-adoption:1' },
      { previous_source_id: 'oversync-adoption:1' },
      { new_source_id: 'device-old' },
      { reason: 'other' },
      { reason: null },
    ]) {
      const body = json({ source_replacement: { ...replacement, ...change } });
      expect(faultOf(() => parseSnapshotSessionRequest(body)).code, JSON.stringify(change)).toBe('snapshot_session_invalid');
    }
    for (const body of ['[]', '"x"', '1', '{"source_replacement":[]}', '{"source_replacement":"x"}']) {
      expect(faultOf(() => parseSnapshotSessionRequest(json(body))).code, body).toBe('snapshot_session_invalid');
    }
  });
});
