import { describe, expect, it } from 'vitest';

import { createTestServer, openAttachedDevice } from '../../packages/client/src/engine/test-device.ts';
import type { TestDevice } from '../../packages/client/src/engine/test-device.ts';
import { text } from '../../packages/client/src/engine/test-server.ts';
import type { TestServer } from '../../packages/client/src/engine/test-server.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';
import type { FixtureObject } from './json.ts';

/** Message fragments of the July clients, and the `details.reason` that stands for each here. */
const PULL_REASONS: Readonly<Record<string, string>> = {
  'bundle row row_version 0 must be positive': 'row_shape',
  _sync_scope_id: 'hidden_column',
  'is behind requested after_bundle_seq 3': 'ceiling_behind',
  'missing stable_bundle_seq for non-empty bundle list': 'sequence_order',
};
const SESSION_REASONS: Readonly<Record<string, string>> = { invalid_session: 'decode' };
const CHUNK_REASONS: Readonly<Record<string, readonly string[]>> = {
  _sync_scope_id: ['hidden_column'],
  'has_more=true must include at least one row': ['ended_early'],
  'next_row_ordinal 2 does not match expected 1': ['ordinal'],
  'missing snapshot_bundle_seq for non-empty row set': ['count', 'identity'],
};

function play(server: TestServer, fixture: FixtureObject): void {
  const answers = [
    ['pull', 'pullResponse'],
    ['pull', 'historyPrunedResponse'],
    ['pull', 'checkpointAheadResponse'],
    ['snapshot_session_create', 'snapshotSession'],
    ['snapshot_session_create', 'sourceReplacementInvalidResponse'],
    ['snapshot_chunk', 'snapshotChunkResponse'],
  ] as const;
  for (const [operation, member] of answers) {
    const answer = fixture[member];
    if (answer === undefined) continue;
    const { status, body } = asObject(answer);
    const isRefusal = typeof status === 'number';
    server.override(operation, () => (isRefusal ? text(status, JSON.stringify(body)) : text(200, JSON.stringify(answer))));
  }
}

async function openAt(server: TestServer, fixture: FixtureObject): Promise<TestDevice> {
  const device = await openAttachedDevice(server);
  const after = Number(fixture['afterBundleSeq'] ?? 0);
  device.sql(`UPDATE _sync_attachment_state SET last_bundle_seq_seen = ${after}`);
  const replacement = asObject(asObject(fixture['snapshotSessionCreateRequest'] ?? {})['source_replacement'] ?? {});
  const needsRotation = replacement['new_source_id'] !== undefined || fixture['sourceReplacementInvalidResponse'] !== undefined;
  if (needsRotation) {
    const previous = asString(replacement['previous_source_id'] ?? 'old');
    const next = asString(replacement['new_source_id'] ?? 'new');
    device.sql(`UPDATE _sync_source_state SET source_id = '${previous}';
      INSERT INTO _sync_source_state(source_id) VALUES ('${next}');
      UPDATE _sync_attachment_state SET current_source_id = '${previous}', rebuild_required = 1;
      UPDATE _sync_operation_state SET kind = 'source_recovery', reason = 'source_retired', replacement_source_id = '${next}'`);
  }
  return device;
}

async function stateOf(device: TestDevice): Promise<FixtureObject> {
  const [row] = await device.driver.all(`SELECT last_bundle_seq_seen, rebuild_required, current_source_id,
    (SELECT count(*) FROM users), (SELECT count(*) FROM _sync_dirty_rows),
    (SELECT max(deleted) FROM _sync_row_state) FROM _sync_attachment_state`);
  const [seen, rebuild, source, users, dirty, deleted] = row ?? [];
  return {
    lastBundleSeqSeen: Number(seen),
    rebuildRequired: Number(rebuild) === 1,
    currentSourceId: source,
    usersRowCount: Number(users),
    dirtyRowCount: Number(dirty),
    rowStateDeleted: Number(deleted),
  };
}

function violation(reasons: readonly string[]) {
  return { code: 'protocol_violation', details: { reason: expect.stringMatching(new RegExp(`^(${reasons.join('|')})$`)) } };
}

async function runCase(device: TestDevice, server: TestServer, fixture: FixtureObject): Promise<void> {
  const pullError = fixture['expectedPullErrorContains'];
  const sessionError = fixture['expectedKmpSnapshotSessionErrorContains'];
  const chunkError = fixture['expectedSnapshotChunkErrorContains'];
  const expected = asObject(fixture['expectedFinalState'] ?? {});
  if (pullError !== undefined) {
    await expect(device.client.pullToStable()).rejects.toMatchObject(
      violation([PULL_REASONS[asString(pullError)] ?? 'unmapped']),
    );
  } else if (sessionError !== undefined) {
    await expect(device.client.rebuild()).rejects.toMatchObject(
      violation([SESSION_REASONS[asString(sessionError)] ?? 'unmapped']),
    );
  } else if (chunkError !== undefined) {
    await expect(device.client.rebuild()).rejects.toMatchObject(violation(CHUNK_REASONS[asString(chunkError)] ?? ['unmapped']));
  } else if (expected['rebuildRejected'] === true) {
    await expect(device.client.rebuild()).rejects.toMatchObject({ code: 'source_replacement_invalid' });
  } else {
    if (fixture['afterBundleSeq'] !== undefined) {
      await device.client.pullToStable();
      expect(await stateOf(device)).toMatchObject(expected);
    }
    if (fixture['snapshotSession'] !== undefined && server.count('snapshot_session_create') === 0) await device.client.rebuild();
    expect(await stateOf(device)).toMatchObject(expected);
  }
}

describe.skipIf(!hasContracts)('[T76] [T85] [T87] [T95] pull and snapshot fixtures', () => {
  for (const file of loadFixtures('pull-snapshot')) {
    it.each(asArray(asObject(file.content)['cases']).map(asObject))(`${file.name}: $name`, async (fixture) => {
      const server = createTestServer();
      const device = await openAt(server, fixture);
      play(server, fixture);
      await runCase(device, server, fixture);
      const request = fixture['snapshotSessionCreateRequest'];
      if (request === undefined) return;
      expect(server.seen.find(({ operation }) => operation === 'snapshot_session_create')?.body).toEqual(request);
    });
  }
});
