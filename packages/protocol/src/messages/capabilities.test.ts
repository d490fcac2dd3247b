import { describe, expect, it } from 'vitest';
import { parseCapabilities, readCapabilities, REQUIRED_LIMITS } from '../index.ts';
import type { CapabilitiesProblem } from '../index.ts';
import { faultOf, json } from '../test-parse.ts';

const limits = {
  default_rows_per_snapshot_chunk: 1000,
  max_rows_per_snapshot_chunk: 5000,
  default_bytes_per_snapshot_chunk: 4194304,
  max_bytes_per_snapshot_chunk: 16777216,
  max_bytes_per_snapshot_row: 4194304,
  max_concurrent_snapshot_builds: 8,
  max_concurrent_snapshot_chunk_requests: 4,
};
const spec = { schema: 'business', table: 'posts', sync_key_columns: ['id'] };
const body = {
  protocol_version: 'v1',
  schema_version: 1,
  app_name: 'notes',
  registered_tables: ['business.posts'],
  registered_table_specs: [spec],
  features: { connect_lifecycle: true, bundle_change_watch: false },
  bundle_limits: limits,
};

function problemsOf(change: object): readonly CapabilitiesProblem[] {
  return readCapabilities(json({ ...body, ...change })).problems;
}

describe('capabilities', () => {
  it('are read with limits as numbers and 64-bit limits as bigint; unknown members are ignored', () => {
    const more = {
      ...limits,
      max_rows_per_snapshot_session: 2 ** 40,
      max_bytes_per_push_chunk: 67108864,
      max_concurrent_snapshot_chunks: 4,
    };
    const capabilities = parseCapabilities(json({ ...body, bundle_limits: more, more: 1 }));
    expect(capabilities).toMatchObject({
      schema_version: 1,
      features: { connect_lifecycle: true },
      registered_table_specs: [spec],
    });
    expect(capabilities.bundle_limits).toMatchObject({
      max_rows_per_snapshot_session: 2n ** 40n,
      max_bytes_per_push_chunk: 67108864,
    });
    expect(capabilities.bundle_limits).not.toHaveProperty('max_concurrent_snapshot_chunks');
    const { app_name: _name, registered_tables: _tables, ...required } = body;
    expect(parseCapabilities(json(required))).not.toHaveProperty('app_name');
  });

  it('[T103] are judged member by member in gate order', () => {
    expect(readCapabilities(json({})).problems.map((problem) => problem.gate)).toEqual([
      'protocol_version',
      'schema_version',
      'registered_table_specs',
      'features',
      'bundle_limits',
    ]);
    const reading = readCapabilities(json({ ...body, protocol_version: 'v-next', bundle_limits: {} }));
    expect(reading).toMatchObject({ protocol_version: 'v-next', registered_table_specs: [spec], bundle_limits: undefined });
    expect(reading.problems[0]).toEqual({
      gate: 'protocol_version',
      code: 'protocol_version_mismatch',
      member: 'protocol_version',
    });
    expect(faultOf(() => parseCapabilities(json({ ...body, protocol_version: 'v0', schema_version: 'x' }))).code).toBe(
      'protocol_version_mismatch',
    );
    for (const other of ['[]', 'null', '"x"'])
      expect(faultOf(() => parseCapabilities(json(other))).code).toBe('protocol_version_mismatch');
  });

  it('[T103] refuse versions and table lists that are not exactly the contract', () => {
    for (const version of ['v0', '', 'v-next', 'V1', null, 1])
      expect(problemsOf({ protocol_version: version })[0]?.code).toBe('protocol_version_mismatch');
    for (const version of ['1', 1.5, null, 2 ** 31])
      expect(problemsOf({ schema_version: version })[0]?.gate).toBe('schema_version');
    for (const specs of [
      null,
      {},
      [spec, spec],
      [{ ...spec, schema: ' ' }],
      [{ ...spec, table: '' }],
      [{ ...spec, sync_key_columns: [] }],
      [{ ...spec, sync_key_columns: ['a', 'b'] }],
      [{ ...spec, sync_key_columns: [' '] }],
      [{ schema: 'x' }],
    ]) {
      expect(problemsOf({ registered_table_specs: specs })[0]?.gate, JSON.stringify(specs)).toBe('registered_table_specs');
    }
    expect(problemsOf({ registered_table_specs: [] })).toEqual([]);
    expect(problemsOf({ registered_table_specs: [spec, { ...spec, schema: 'public' }] })).toEqual([]);
  });

  it('refuse features that are not switches', () => {
    for (const features of [null, [], 'x', { connect_lifecycle: 1 }, { a: null }])
      expect(problemsOf({ features })[0]?.gate, JSON.stringify(features)).toBe('features');
  });

  it('[T87] need the seven limits, positive and in relation, and name the limit at fault', () => {
    for (const name of REQUIRED_LIMITS) {
      const { [name]: _left, ...rest } = limits;
      expect(problemsOf({ bundle_limits: rest })).toEqual([
        { gate: 'bundle_limits', code: 'snapshot_limits_unsupported', member: name },
      ]);
      for (const value of [0, -1, '1', 1.5, null])
        expect(problemsOf({ bundle_limits: { ...limits, [name]: value } })[0]?.member, name).toBe(name);
    }
    for (const change of [
      { default_rows_per_snapshot_chunk: 5001 },
      { default_bytes_per_snapshot_chunk: 16777217 },
      { max_bytes_per_snapshot_row: 16777217 },
      { max_concurrent_snapshot_builds: 2 ** 31 },
      { snapshot_materialization_batch_rows: null },
      { max_rows_per_push_chunk: 0 },
    ]) {
      expect(problemsOf({ bundle_limits: { ...limits, ...change } })[0]?.code, JSON.stringify(change)).toBe(
        'snapshot_limits_unsupported',
      );
    }
    for (const other of [null, [], 'x']) expect(problemsOf({ bundle_limits: other })[0]?.gate).toBe('bundle_limits');
  });
});
