import { equal, ok } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import type { SimulatedApp } from '../app.ts';
import { addUser } from '../domain.ts';
import { Relay } from '../relay.ts';
import type { Simulation } from '../simulation.ts';
import { assertEqual } from '../verify.ts';
import { waitFor } from '../wait.ts';
import type { Scenario } from './scenario.ts';

const PULL = 'GET /sync/pull';
const WATCHERS = 8;
/** Short enough to see several polls in a scenario. */
const POLL_INTERVAL_MS = 200;

export const SERVER_INSERT = `INSERT INTO business.users (_sync_scope_id, id, name, email) VALUES ($1, $2::uuid, $3, $2 || '@example.com')`;

/** A relay that ends with the scenario. */
export async function openRelay(simulation: Simulation): Promise<Relay> {
  const relay = await Relay.start(simulation.environment.serverUrl);
  simulation.onEnd(() => relay.close());
  return relay;
}

/** Waits until the server holds so many streams; where it does not tell, until so many pass the relay. */
export function streams(simulation: Simulation, relay: Relay, user: string, count: number): Promise<void> {
  const read = async (): Promise<number> => (await simulation.environment.streamCount(user)) ?? relay.openStreams;
  return waitFor(
    `${count} watch streams`,
    simulation.arrivalTimeoutMs,
    async () => (await read()) === count && relay.openStreams === count,
  );
}

export function shows(simulation: Simulation, app: SimulatedApp, name: string): Promise<void> {
  const sql = 'SELECT id FROM users WHERE name = ?';
  return waitFor(`${name} on ${app.name}`, simulation.arrivalTimeoutMs, async () => (await app.list(sql, name)).length === 1);
}

interface Pair {
  readonly user: string;
  readonly relay: Relay;
  readonly watcher: SimulatedApp;
  readonly writer: SimulatedApp;
}

async function openPair(simulation: Simulation): Promise<Pair> {
  const user = simulation.newUser();
  const relay = await openRelay(simulation);
  const writer = await simulation.device('writer', user);
  const watcher = await simulation.device('watcher', user, { serverUrl: relay.url });
  return { user, relay, watcher, writer };
}

/** A row of one device appears on the other by the stream alone. */
export const watchPeerPush: Scenario = async (simulation) => {
  const { user, relay, watcher, writer } = await openPair(simulation);
  const loop = watcher.startLoop();
  await streams(simulation, relay, user, 1);
  const pulls = watcher.network.count(PULL);
  await writer.write((tx) => addUser(tx, 'From a peer'));
  await writer.client.sync();
  await shows(simulation, watcher, 'From a peer');
  ok(watcher.network.count(PULL) - pulls <= 2, 'pulls beside the event');
  await loop.stop();
  await assertEqual(simulation, user, [watcher, writer]);
};

/** A row that the server's own code wrote appears too. */
export const watchServerOriginated: Scenario = async (simulation) => {
  const { user, relay, watcher, writer } = await openPair(simulation);
  const loop = watcher.startLoop();
  await streams(simulation, relay, user, 1);
  await simulation.environment.backOffice.write(user, SERVER_INSERT, [randomUUID(), 'From the server']);
  await shows(simulation, watcher, 'From the server');
  await loop.stop();
  await writer.client.sync();
  await assertEqual(simulation, user, [watcher, writer]);
};

/** What happened while nobody watched is announced at once, because the request names the checkpoint. */
export const watchReconnectCatchUp: Scenario = async (simulation) => {
  const { user, relay, watcher, writer } = await openPair(simulation);
  const first = watcher.startLoop();
  await streams(simulation, relay, user, 1);
  await first.stop();
  await streams(simulation, relay, user, 0);
  await writer.write((tx) => addUser(tx, 'While away'));
  await writer.client.sync();
  const checkpoint = await watcher.client.lastBundleSeqSeen();
  const second = watcher.startLoop();
  await shows(simulation, watcher, 'While away');
  equal(relay.watchQueries.at(-1)?.get('after_bundle_seq'), String(checkpoint));
  await second.stop();
  await assertEqual(simulation, user, [watcher, writer]);
};

async function convergesByPolling(
  simulation: Simulation,
  pair: Pair,
  options: Parameters<SimulatedApp['startLoop']>[0],
): Promise<void> {
  const { user, relay, watcher, writer } = pair;
  const loop = watcher.startLoop({ automaticDownloadIntervalMs: POLL_INTERVAL_MS, ...options });
  await writer.write((tx) => addUser(tx, 'Found by polling'));
  await writer.client.sync();
  await shows(simulation, watcher, 'Found by polling');
  await loop.stop();
  equal(relay.countOf('/sync/watch'), 0, 'watch requests');
  await assertEqual(simulation, user, [watcher, writer]);
}

/** Nobody asked for a stream, so there is none. */
export const watchDefaultOff: Scenario = async (simulation) => {
  await convergesByPolling(simulation, await openPair(simulation), { bundleChangeWatchMode: 'off' });
};

/** The server does not offer streams. */
export const watchServerUnsupportedFallback: Scenario = async (simulation) => {
  const pair = await openPair(simulation);
  pair.relay.hidesWatch = true;
  await convergesByPolling(simulation, pair, { bundleChangeWatchMode: 'auto' });
};

/** A loop that stops gives its stream back. */
export const watchIdleCleanup: Scenario = async (simulation) => {
  const { user, relay, watcher } = await openPair(simulation);
  const loop = watcher.startLoop();
  await streams(simulation, relay, user, 1);
  await loop.stop();
  await streams(simulation, relay, user, 0);
};

/** One push wakes every device of the user. */
export const watchManyClientsConverge: Scenario = async (simulation) => {
  const { user, relay, watcher, writer } = await openPair(simulation);
  const watchers = [watcher];
  while (watchers.length < WATCHERS)
    watchers.push(await simulation.device(`watcher-${watchers.length + 1}`, user, { serverUrl: relay.url }));
  const loops = watchers.map((app) => app.startLoop());
  await streams(simulation, relay, user, WATCHERS);
  await writer.write((tx) => addUser(tx, 'For everybody'));
  await writer.client.sync();
  await Promise.all(watchers.map((app) => shows(simulation, app, 'For everybody')));
  await Promise.all(loops.map((loop) => loop.stop()));
  await streams(simulation, relay, user, 0);
  await assertEqual(simulation, user, [writer, ...watchers]);
};
