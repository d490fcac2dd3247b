import { describe, expect, it } from 'vitest';

import type { FixtureObject } from '../json.ts';
import { runCase } from './run-case.ts';

const SERVER = { kind: 'echo_committed_rows' };
const INSERT = ["INSERT INTO users(id, name) VALUES('user-1', 'Ada')"];

function pushCase(step: FixtureObject, change: FixtureObject = {}): FixtureObject {
  return { name: 'x', localSetupSql: INSERT, serverScript: SERVER, steps: [{ action: 'pushPending', ...step }], ...change };
}

describe('the contract runner', () => {
  it('passes a case that says what happens', async () => {
    const state = { dirtyRowCount: 0, nextSourceBundleId: 2, applyMode: 0, outboxState: 'none', rebuildRequired: false };
    const expectedServerState = { uploadedRows: ['users:INSERT:user-1'] };
    expect(await runCase(pushCase({ expectedState: state, expectedServerState }))).toBe(1);
  });

  it.each([
    ['another state', pushCase({ expectedState: { dirtyRowCount: 1 } })],
    ['another full state', pushCase({ expectedState: { formatVersion: 1, state: { apply_state: [] } } })],
    ['other rows', pushCase({ expectedAppState: { users: [] } })],
    ['other uploads', pushCase({ expectedServerState: { uploadedRows: [] } })],
    ['another result', pushCase({ expectedResult: { kind: 'push', outcome: 'no_change' } })],
    ['a failure that does not come', pushCase({ expectedException: 'any_error' })],
    ['no failure where one comes', pushCase({}, { serverScript: { kind: 'precommit_retry' } })],
    ['another failure', pushCase({ expectedException: 'rebuild_required' }, { serverScript: { kind: 'precommit_retry' } })],
    ['a Kotlin variant before the common value', pushCase({ expectedState: {}, expectedKmpState: { dirtyRowCount: 1 } })],
    ['an unknown exception class', pushCase({ expectedException: 'x' }, { serverScript: { kind: 'precommit_retry' } })],
    ['an unknown action', pushCase({ action: 'x' })],
    ['an unknown member of a step', pushCase({ expectedx: 1 })],
    ['an unknown member of a case', pushCase({}, { setup: [] })],
    ['an unknown member of a state', pushCase({ expectedState: { x: 1 } })],
    ['an unknown member of a server state', pushCase({ expectedServerState: { x: 1 } })],
    ['an unknown script', pushCase({}, { serverScript: { kind: 'x' } })],
    ['an unknown schema', pushCase({}, { schema: 'x' })],
    ['an unknown resolver', pushCase({}, { resolver: 'x' })],
  ])('fails a case that expects %s', async (_name, fixture) => {
    await expect(runCase(fixture)).rejects.toThrow(Error);
  });

  it('a reopened client goes on in the state that it finds', async () => {
    const required = { expectedException: 'source_recovery_required' };
    const steps = [
      { action: 'open' },
      { action: 'attach' },
      { action: 'localSql', sql: INSERT },
      { action: 'pushPending', ...required },
      { action: 'reopen' },
      { action: 'pushPending', ...required, expectedState: { outboxState: 'prepared', outboxRowCount: 1 } },
    ];
    expect(await runCase({ name: 'x', serverScript: { kind: 'source_retired_on_push_create' }, steps })).toBe(6);
  });

  it('replaces a lost source under the reserved id, also when the server names another one', async () => {
    const lost = [
      "INSERT INTO _sync_source_state(source_id, next_source_bundle_id, replaced_by_source_id) VALUES('replacement-a', 1, '')",
      'UPDATE _sync_attachment_state SET rebuild_required = 1',
      `UPDATE _sync_operation_state SET kind = 'source_recovery', reason = 'source_sequence_changed', replacement_source_id = 'replacement-a'`,
    ];
    const snapshots = [{ id: 'snapshot-a', bundleSeq: 0, rows: [] }];
    const script = { kind: 'snapshot_rebuild', snapshots };
    const steps = (rebuild: FixtureObject): readonly FixtureObject[] => [
      { action: 'open' },
      { action: 'attach' },
      { action: 'localSql', sql: lost },
      { action: 'sync', expectedException: 'source_recovery_required' },
      { action: 'rebuild', ...rebuild },
    ];
    const result = { kind: 'remote_sync', outcome: 'applied_snapshot' };
    const rotated = { currentSourceChangedFromStepStart: true, oldSourceReplacedByCurrent: true };
    const rotation = steps({ expectedResult: result, expectedState: rotated });
    expect(await runCase({ name: 'x', serverScript: script, steps: rotation })).toBe(5);
    const error = { error: 'source_retired', message: 'x', sourceId: 'source', replacedBySourceId: 'replacement-b' };
    const diverged = { ...script, snapshotSessionErrors: [error] };
    const kept = { currentSourceChangedFromStepStart: false, rebuildRequired: true };
    const expected = { expectedException: 'source_replacement_diverged', expectedState: kept };
    const refused = steps({ ...expected, expectedServerState: { snapshotSessionCreateCount: 1 } });
    expect(await runCase({ name: 'x', serverScript: diverged, steps: refused })).toBe(5);
  });
});
