import { equal, ok } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Relay } from '../relay.ts';
import { assertEqual } from '../verify.ts';
import type { Scenario } from './scenario.ts';
import { SERVER_INSERT, openRelay, shows, streams } from './watch.ts';

/** Life of the scenario, of a stream, between two commits, and before the first reconnect, in milliseconds at scale 1. */
const DURATION_MS = 120_000;
const CUT_EVERY_MS = 15_000;
const COMMIT_EVERY_MS = 5000;
const RECONNECT_MIN_MS = 1000;
/** What a reconnect may take beside its delay, in milliseconds; not scaled, because the machine is as slow as ever. */
const RECONNECT_SLACK_MS = 2000;

/** A delay that doubled would pass this many times the first one after three cuts. */
const GROWN = 4;
const GROWN_SLACK_MS = 500;

/** A proxy that lets no connection live long, with commits all the while. */
export const watchProxyCut: Scenario = async (simulation) => {
  const scaled = (ms: number): number => Math.max(1, Math.round(ms * simulation.settings.timeScale));
  const user = simulation.newUser();
  const relay = await openRelay(simulation);
  const watcher = await simulation.device('watcher', user, { serverUrl: relay.url });
  const reconnectMinMs = scaled(RECONNECT_MIN_MS);
  const loop = watcher.startLoop({ bundleChangeWatchReconnectMinMs: reconnectMinMs });
  await streams(simulation, relay, user, 1);
  const cutting = setInterval(() => relay.cutStreams(), scaled(CUT_EVERY_MS));
  const end = performance.now() + scaled(DURATION_MS);
  let commits = 0;
  try {
    while (performance.now() < end) {
      commits += 1;
      await simulation.environment.backOffice.write(user, SERVER_INSERT, [randomUUID(), `Commit ${commits}`]);
      await sleep(scaled(COMMIT_EVERY_MS));
    }
  } finally {
    clearInterval(cutting);
  }
  await shows(simulation, watcher, `Commit ${commits}`);
  await streams(simulation, relay, user, 1);
  await loop.stop();
  equal((await watcher.list("SELECT id FROM users WHERE name LIKE 'Commit %'")).length, commits);
  assertGaps(relay, reconnectMinMs, RECONNECT_SLACK_MS * simulation.settings.patience);
  await assertEqual(simulation, user, [watcher]);
};

/** Every cut is followed by a new stream within one bound, and the last delays are as short as the first: they do not double. */
function assertGaps(relay: Relay, reconnectMinMs: number, slackMs: number): void {
  const gaps = relay.cutAt.map((cut) => (relay.openedAt.find((opened) => opened > cut) ?? Infinity) - cut);
  const listed = `gaps in ms: ${gaps.map(Math.round).join(', ')}`;
  ok(gaps.length >= 4, `the stream was cut ${gaps.length} times`);
  ok(Math.max(...gaps) <= reconnectMinMs + slackMs, listed);
  ok(Math.min(...gaps.slice(-3)) <= GROWN * reconnectMinMs + GROWN_SLACK_MS, listed);
}
