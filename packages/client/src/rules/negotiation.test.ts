import { describe, expect, it } from 'vitest';

import type { JsonObject } from '@oversync/protocol';
import { checkCapabilities, checkTableContract } from './negotiation.ts';

const wishes = { chunkRows: 1000, chunkBytes: 4194304, applyBatchBytes: 4194304 };
const local = [{ schema: 'main', table: 'users', keyColumn: 'id' }];
const limits = {
  default_rows_per_snapshot_chunk: 1000,
  max_rows_per_snapshot_chunk: 5000,
  default_bytes_per_snapshot_chunk: 4194304,
  max_bytes_per_snapshot_chunk: 16777216,
  max_bytes_per_snapshot_row: 4194304,
  max_concurrent_snapshot_builds: 8,
  max_concurrent_snapshot_chunk_requests: 4,
};
const good: JsonObject = {
  protocol_version: 'v1',
  schema_version: 1,
  registered_table_specs: [{ schema: 'main', table: 'users', sync_key_columns: ['id'] }],
  features: { connect_lifecycle: true, bundle_change_watch: false },
  bundle_limits: limits,
};

const check =
  (change: JsonObject, used = wishes) =>
  () =>
    checkCapabilities({ ...good, ...change }, local, used);
const checkLimits = (change: JsonObject, used = wishes) => check({ bundle_limits: { ...limits, ...change } }, used);

describe('[T103] gates', () => {
  it('pass in the order of the contract: version before everything else', () => {
    expect(check({ protocol_version: 'v0', schema_version: 'x', features: null })).toThrow(
      expect.objectContaining({ code: 'protocol_version_mismatch' }),
    );
    for (const version of ['', 'v-next', 'V1', null, 1]) {
      expect(check({ protocol_version: version })).toThrow(expect.objectContaining({ code: 'protocol_version_mismatch' }));
    }
    expect(check({ schema_version: '1', features: null })).toThrow(
      expect.objectContaining({ details: { member: 'schema_version' } }),
    );
  });

  it.each<[string, JsonObject]>([
    ['schema_version', { schema_version: null }],
    ['registered_table_specs', { registered_table_specs: null }],
    ['registered_table_specs', { registered_table_specs: [{ schema: 'main', table: ' ', sync_key_columns: ['id'] }] }],
    ['registered_table_specs', { registered_table_specs: [{ schema: 'main', table: 'users', sync_key_columns: [] }] }],
    ['registered_table_specs', { registered_table_specs: [{ schema: 'main', table: 'users', sync_key_columns: ['id', 'x'] }] }],
    ['features', { features: { connect_lifecycle: 'true' } }],
    ['features', { features: [] }],
  ])('refuse a bad %s', (member, change) => {
    expect(check(change)).toThrow(expect.objectContaining({ code: 'capabilities_invalid', details: { member } }));
  });

  it('name every difference of the tables, sorted', () => {
    const server = [
      { schema: 'main', table: 'b', keyColumn: 'id' },
      { schema: 'main', table: 'a', keyColumn: 'id' },
      { schema: 'main', table: 'users', keyColumn: 'user_id' },
    ];
    const mine = [...local, { schema: 'main', table: 'Z', keyColumn: 'id' }];
    expect(() => checkTableContract(mine, server)).toThrow(
      expect.objectContaining({
        code: 'table_contract_mismatch',
        details: {
          serverOnly: ['main.a', 'main.b'],
          clientOnly: ['main.Z'],
          keyMismatches: [{ table: 'main.users', clientKey: 'id', serverKey: 'user_id' }],
        },
      }),
    );
  });
});

describe('[T87] negotiation of snapshot chunks', () => {
  it('takes the smaller of wish and maximum', () => {
    expect(checkCapabilities(good, local, wishes).snapshotChunk).toEqual({ rows: 1000, bytes: 4194304 });
    expect(checkLimits({ max_rows_per_snapshot_chunk: 100, default_rows_per_snapshot_chunk: 100 })().snapshotChunk.rows).toBe(
      100,
    );
    expect(checkLimits({}, { ...wishes, chunkBytes: 99_999_999 })().snapshotChunk.bytes).toBe(16777216);
  });

  it.each(Object.keys(limits))('refuses a missing, zero, negative or mistyped %s', (name) => {
    const { [name]: _removed, ...rest } = good['bundle_limits'] === limits ? (limits as JsonObject) : {};
    expect(check({ bundle_limits: rest })).toThrow(expect.objectContaining({ code: 'snapshot_limits_unsupported' }));
    for (const value of [0, -1, '5', null, true]) {
      expect(checkLimits({ [name]: value })).toThrow(expect.objectContaining({ code: 'snapshot_limits_unsupported' }));
    }
  });

  it('does not take the old name of a limit', () => {
    const { max_concurrent_snapshot_chunk_requests: _removed, ...rest } = limits;
    expect(check({ bundle_limits: { ...rest, max_concurrent_snapshot_chunks: 4 } })).toThrow(
      expect.objectContaining({ details: { member: 'max_concurrent_snapshot_chunk_requests' } }),
    );
  });

  it('refuses defaults above the maxima and rows above the chunk', () => {
    expect(checkLimits({ default_rows_per_snapshot_chunk: 5001 })).toThrow(
      expect.objectContaining({ code: 'snapshot_limits_unsupported' }),
    );
    expect(checkLimits({ default_bytes_per_snapshot_chunk: 16777217 })).toThrow(
      expect.objectContaining({ code: 'snapshot_limits_unsupported' }),
    );
    expect(checkLimits({ max_bytes_per_snapshot_row: 16777217 })).toThrow(
      expect.objectContaining({ code: 'snapshot_limits_unsupported' }),
    );
  });

  it('needs a chunk and an apply batch that hold the largest row', () => {
    expect(checkLimits({}, { ...wishes, chunkBytes: 4194303 })).toThrow(
      expect.objectContaining({ code: 'snapshot_limits_unsupported' }),
    );
    expect(checkLimits({}, { ...wishes, applyBatchBytes: 4194303 })).toThrow(
      expect.objectContaining({ code: 'snapshot_limits_unsupported' }),
    );
    expect(checkLimits({ max_bytes_per_snapshot_row: 4194303 }, { ...wishes, applyBatchBytes: 4194303 })).not.toThrow();
  });
});
