import { describe, expect, it } from 'vitest';

import { WatchServer } from '../../packages/client/src/engine/automatic/test-watch-server.ts';
import type { WatchAnswer } from '../../packages/client/src/engine/automatic/test-watch-server.ts';
import { createTestServer, openAttachedDevice } from '../../packages/client/src/engine/test-device.ts';
import type { TestServer } from '../../packages/client/src/engine/test-server.ts';
import { createVirtualClock } from '../../packages/client/src/testing/virtual-clock.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { asArray, asObject, asString } from './json.ts';
import type { FixtureObject } from './json.ts';

/** Long enough for nothing to happen, short enough to stay below the first reconnect. */
const OBSERVE_MS = 150;
/** The first reconnect delay, jitter off. */
const RECONNECT_MS = 1000;

function firstAnswer(script: FixtureObject): WatchAnswer {
  switch (script['kind']) {
    case 'watch_lines':
      return { text: `${asArray(script['lines']).map(asString).join('\n')}\n` };
    case 'non_ok_watch_response': {
      const response = asObject(script['response']);
      const init = { status: Number(response['status']), headers: { 'Content-Type': 'application/json' } };
      return { refusal: new Response(JSON.stringify(response['body']), init) };
    }
    case 'hold_watch_open':
    case 'unsupported_capability':
      return 'hold';
    default:
      throw new Error(`unknown server script: ${String(script['kind'])}`);
  }
}

function commit(server: TestServer, bundles: unknown): void {
  for (const bundle of asArray(bundles ?? [])) {
    const rows = asArray(asObject(bundle)['rows']).map((row) => {
      const { table, key, op, payload } = asObject(row);
      const text = JSON.stringify(payload ?? null);
      const parsed = op === 'DELETE' ? null : (JSON.parse(text) as Record<string, string>);
      return { table: asString(table), id: asString(asObject(key)['id']), payload: parsed };
    });
    server.write(rows, 'remote-source');
  }
}

interface Observed {
  readonly watchCloseCount: number;
  readonly pulls: number;
  readonly watchAttempts: number;
  readonly after: readonly number[];
  readonly users: readonly unknown[];
}

/** Runs one case with the download worker alone. */
async function run(script: FixtureObject, expected: FixtureObject): Promise<Observed> {
  const server = createTestServer();
  const streams = new WatchServer(server);
  const clock = createVirtualClock();
  const device = await openAttachedDevice(server, { options: { ports: { http: streams.fetch, clock } } });
  if (script['bundleChangeWatchSupported'] === false) server.features = { connect_lifecycle: true };
  commit(server, script['startBundles']);
  commit(server, script['remoteBundles']);
  streams.answers.push(firstAnswer(script));
  const pullsBefore = server.count('pull');
  device.client.pauseUploads();
  const loop = device.client.start({ bundleChangeWatchMode: 'auto', backoffJitterRatio: 0 });
  await clock.settle();
  commit(server, script['wakeBundles']);
  if (script['wakeBundles'] !== undefined) streams.announce();
  const reconnects = Number(expected['watchAttemptsAtLeast'] ?? 0) > 1;
  await clock.advance(reconnects ? RECONNECT_MS : Number(expected['observeForMillis'] ?? OBSERVE_MS));
  if (expected['stopActiveWatchBeforeAssert'] === true) await loop.stop();
  const observed: Observed = {
    watchCloseCount: streams.attempts.filter((attempt) => attempt.isReleased).length,
    pulls: server.count('pull') - pullsBefore,
    watchAttempts: streams.attempts.length,
    after: streams.attempts.map((attempt) => Number(attempt.afterBundleSeq)),
    users: device
      .list("SELECT json_object('id', id, 'name', name) FROM users ORDER BY id")
      .map((row) => JSON.parse(row) as unknown),
  };
  await loop.stop();
  await device.client.close();
  expect(streams.openStreams).toEqual([]);
  expect(clock.timerCount).toBe(0);
  return observed;
}

/** Members of `expectedState` and how each is checked; a member without a check fails the case. */
const CHECKS: Readonly<Record<string, (observed: Observed, value: unknown) => void>> = {
  watchCloseCount: (observed, value) => expect(observed.watchCloseCount).toBe(value),
  fallbackPullsAtLeast: (observed, value) => expect(observed.pulls).toBeGreaterThanOrEqual(Number(value)),
  fallbackPullsExactly: (observed, value) => expect(observed.pulls).toBe(value),
  watchAttemptsAtLeast: (observed, value) => expect(observed.watchAttempts).toBeGreaterThanOrEqual(Number(value)),
  watchAttemptsExactly: (observed, value) => expect(observed.watchAttempts).toBe(value),
  watchAfterBundleSeqsContains: (observed, value) => expect(observed.after).toEqual(expect.arrayContaining([...asArray(value)])),
  users: (observed, value) => expect(observed.users).toEqual(value),
  stopActiveWatchBeforeAssert: (observed) => expect(observed.watchCloseCount).toBe(observed.watchAttempts),
  observeForMillis: (observed) => expect(observed.watchCloseCount).toBe(0),
};

describe.skipIf(!hasContracts).each([...loadFixtures('watch/behavior')])('watch behaviour: $name', ({ content }) => {
  const cases = asArray(asObject(content)['cases']).map(asObject);

  it.each(cases.map((entry) => ({ name: asString(entry['name']), entry })))('[T105] [T106] [T107] $name', async ({ entry }) => {
    const expected = asObject(entry['expectedState']);
    const observed = await run(asObject(entry['serverScript']), expected);
    expect(Object.keys(expected).filter((name) => CHECKS[name] === undefined)).toEqual([]);
    for (const [name, value] of Object.entries(expected)) CHECKS[name]?.(observed, value);
  });
});

if (!hasContracts) it.skip('needs the fixtures', () => undefined);
