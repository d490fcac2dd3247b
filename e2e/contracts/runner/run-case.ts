import { isSyncError } from '@oversync/protocol';
import { expect } from 'vitest';

import { asArray, asObject, asString } from '../json.ts';
import type { FixtureObject } from '../json.ts';
import { createDevice } from './contract-device.ts';
import type { ContractDevice } from './contract-device.ts';
import { checkErrorFragment, checkExceptionClass } from './exception-classes.ts';
import { currentSource, dumpState, readFacts, readTables } from './state.ts';
import { runAction } from './step-actions.ts';

/** Members of a case and of a step that this runner reads; a member without a meaning here fails the case. */
const CASE_MEMBERS = /^(name|description|schema|syncTables|resolver|localSetupSql|serverScript|steps)$/;
const STEP_MEMBERS =
  /^(action|description|setupSql|sql|expected(Kmp|Dart)?(Exception|ErrorContains|State|AppState|ServerState|Result|CheckpointRecoveryBlocked))$/;

/** True for a case with steps, whatever folder its file lies in. */
export function hasSteps(fixture: FixtureObject): boolean {
  return Array.isArray(fixture['steps']);
}

/**
 * Runs one case: scripted server, real SQLite, every step with everything it expects. A case whose first step opens the client drives the
 * whole life cycle itself; any other starts opened and attached. Returns the number of steps, all of which held.
 */
export async function runCase(fixture: FixtureObject): Promise<number> {
  checkMembers(fixture, CASE_MEMBERS);
  const steps = asArray(fixture['steps']).map(asObject);
  const device = createDevice(fixture);
  try {
    if (steps[0]?.['action'] !== 'open') {
      await device.client.open();
      await device.client.attach('user-1');
    }
    device.runSql(asArray(fixture['localSetupSql'] ?? []).map(asString));
    for (const step of steps) await runStep(device, step);
    return steps.length;
  } finally {
    await device.client.close();
    device.database.close();
  }
}

async function runStep(device: ContractDevice, step: FixtureObject): Promise<void> {
  checkMembers(step, STEP_MEMBERS);
  device.runSql(asArray(step['setupSql'] ?? []).map(asString));
  const sourceAtStart = step['action'] === 'open' ? '' : currentSource(device.database);
  let result: FixtureObject | null = null;
  let failure: unknown;
  try {
    result = await runAction(device, step);
  } catch (error) {
    failure = error;
  }
  checkExceptionClass(asString(variant(step, 'Exception') ?? 'none'), failure);
  checkFailure(step, failure);
  const expectedResult = variant(step, 'Result');
  if (expectedResult !== undefined) expect(result).toEqual(expectedResult);
  checkStates(device, step, sourceAtStart);
}

function checkFailure(step: FixtureObject, failure: unknown): void {
  const fragment = variant(step, 'ErrorContains');
  if (fragment !== undefined) checkErrorFragment(asString(fragment), failure);
  const blocked = variant(step, 'CheckpointRecoveryBlocked');
  if (blocked === undefined) return;
  const { reason, dirtyCount, outboundCount, replayState } = isSyncError(failure) ? failure.details : {};
  expect({ reason, dirtyRowCount: dirtyCount, outboxRowCount: outboundCount, replayState }).toEqual(blocked);
}

function checkStates(device: ContractDevice, step: FixtureObject, sourceAtStart: string): void {
  const { database, server } = device;
  const state = variant(step, 'State');
  if (state !== undefined) {
    const expected = asObject(state);
    const found = 'state' in expected ? dumpState(database) : readFacts(database, expected, sourceAtStart);
    expect(found).toEqual(expected);
  }
  const tables = variant(step, 'AppState');
  if (tables !== undefined) expect(readTables(database, asObject(tables))).toEqual(tables);
  const seen = variant(step, 'ServerState');
  if (seen === undefined) return;
  const { push, snapshots } = server.script;
  const facts: Readonly<Record<string, () => unknown>> = {
    uploadedRows: () => push?.uploadedRows ?? [],
    createRequestCount: () => push?.createRequests.length ?? 0,
    createSourceBundleIds: () => (push?.createRequests ?? []).map((request) => request.body['source_bundle_id']),
    snapshotSessionCreateCount: () => snapshots?.createCount() ?? 0,
    snapshotSourceReplacementRequests: () => snapshots?.sourceReplacements() ?? [],
  };
  for (const [name, value] of Object.entries(asObject(seen))) {
    const read = facts[name];
    if (read === undefined) throw new Error(`unknown member of an expected server state: ${name}`);
    expect([name, read()]).toEqual([name, value]);
  }
}

/** What a step expects: the Kotlin client's variant where there is one, the common value otherwise, the Dart client's at last. */
function variant(step: FixtureObject, name: string): unknown {
  return step[`expectedKmp${name}`] ?? step[`expected${name}`] ?? step[`expectedDart${name}`];
}

function checkMembers(fixture: FixtureObject, known: RegExp): void {
  expect(Object.keys(fixture).filter((name) => !known.test(name))).toEqual([]);
}
