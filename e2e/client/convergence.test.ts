import { isSyncError } from '@oversync/client';
import type { SyncClient } from '@oversync/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { openWorld } from './world.ts';
import type { Device, World } from './world.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

/** Steps of one history; short histories find almost nothing. */
const STEPS = 120;
const SEEDS = [1, 2, 3, 4, 5, 6];
const KEYS = 4;

/** A small generator with a seed, so that a failing history can be repeated. */
function randomOf(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e37_79b9) >>> 0;
    return state % below;
  };
}

/** Loses requests on the way, or their answers, while `faults` is above 0. */
class FaultyNetwork {
  faults = 0;
  readonly #random: (below: number) => number;

  constructor(random: (below: number) => number) {
    this.#random = random;
  }

  readonly fetch = async (request: Request): Promise<Response> => {
    const choice = this.faults > 0 ? this.#random(16) : 15;
    if (choice === 0) {
      met.lostRequests += 1;
      throw new TypeError('the request was lost');
    }
    const response = await fetch(request);
    if (choice !== 1) return response;
    await response.body?.cancel();
    met.lostAnswers += 1;
    throw new TypeError('the answer was lost');
  };
}

function randomWrite(random: (below: number) => number, label: string): string {
  const id = `u${random(KEYS)}`;
  switch (random(8)) {
    case 0:
      return `DELETE FROM users WHERE id = '${id}'`;
    case 1:
      return `UPDATE users SET name = '${label}' WHERE id = '${id}'`;
    case 2:
      return `INSERT INTO posts(id, user_id, body) SELECT randomblob(16), id, '${label}' FROM users WHERE id = '${id}'`;
    case 3:
      return `DELETE FROM posts WHERE rowid IN (SELECT rowid FROM posts LIMIT 1)`;
    case 4:
      return `UPDATE OR IGNORE users SET age = ${random(4)} WHERE id = '${id}'`;
    case 5:
      return `UPDATE users SET name = 'forbidden' WHERE id = '${id}'`;
    case 6:
      return `UPDATE OR REPLACE users SET age = ${random(4)} WHERE id = '${id}'`;
    default:
      return `INSERT INTO users(id, name) VALUES ('${id}', '${label}') ON CONFLICT(id) DO UPDATE SET name = excluded.name`;
  }
}

/** What the histories have run into, over all seeds: a generator that meets nothing proves nothing. */
const met = { conflicts: 0, contested: 0, quarantined: 0, lostRequests: 0, lostAnswers: 0, restarts: 0 };

/** One operation as an application makes it: recoveries as the error says, everything else left for later. */
async function step(device: Device, user: string, operation: (client: SyncClient) => Promise<unknown>): Promise<void> {
  try {
    const attached = await device.client.attach(user);
    if (attached.status === 'connected') note(await operation(device.client));
  } catch (error) {
    if (!isSyncError(error)) throw error;
    if (error.recovery === 'rebuild') await device.client.rebuild().catch(ignoreRetryable);
    else ignoreRetryable(error);
  }
}

function note(report: unknown): void {
  if (typeof report !== 'object' || report === null) return;
  if ('push' in report) note(report.push);
  if ('conflicts' in report && Array.isArray(report.conflicts)) met.conflicts += report.conflicts.length;
  if ('quarantined' in report && Array.isArray(report.quarantined)) met.quarantined += report.quarantined.length;
  if ('contested' in report && typeof report.contested === 'number') met.contested += report.contested;
}

function ignoreRetryable(error: unknown): void {
  if (!isSyncError(error) || error.recovery === 'stop') throw error;
}

/** Gives up what was set aside, as a user would who is shown the list. */
async function discardRefused(device: Device): Promise<void> {
  for (const row of await device.client.quarantine.list()) await device.client.quarantine.discard(row);
}

async function settle(devices: readonly Device[], user: string): Promise<void> {
  for (let round = 0; round < 6; round += 1) for (const device of devices) await step(device, user, (client) => client.sync());
}

const dump = (device: Device) => ({
  users: device.rows('SELECT id, name, age FROM users ORDER BY id'),
  posts: device.rows('SELECT hex(id) AS id, user_id, body FROM posts ORDER BY id'),
  pending: device.rows(
    'SELECT (SELECT count(*) FROM _sync_dirty_rows) + (SELECT count(*) FROM _sync_outbox_rows) + (SELECT count(*) FROM _oversync_quarantine) AS n',
  ),
});

describe('[T121] random writes, faults and restarts on two devices', () => {
  it.each(SEEDS)('[I17] converge with the server (seed %d)', async (seed) => {
    const random = randomOf(seed);
    const user = `random-${seed}`;
    const network = new FaultyNetwork(random);
    const fast = { enabled: true, maxAttempts: 2, initialBackoffMs: 0, maxBackoffMs: 0, jitterRatio: 0 };
    const options = {
      ports: { http: network.fetch },
      retryPolicy: fast,
      uploadLimit: 3,
      downloadLimit: 2,
      snapshotChunkRows: 3,
      maxRowsPerPush: 5,
    };
    const devices = [
      await world.openDevice(user, { ...options, resolver: () => ({ kind: 'acceptServer' }) }),
      await world.openDevice(user, options),
    ];
    network.faults = 1;
    for (let at = 0; at < STEPS; at += 1) {
      const device = devices[random(2)];
      if (device === undefined) continue;
      const action = random(20);
      if (action < 11) device.sql(randomWrite(random, `s${seed}-${at}`));
      else if (action < 14) await step(device, user, (client) => client.pushPending());
      else if (action < 16) await step(device, user, (client) => client.pullToStable());
      else if (action < 18) await step(device, user, (client) => client.sync());
      else if (action < 19) await step(device, user, (client) => client.rebuild());
      else {
        await device.restart();
        met.restarts += 1;
      }
    }
    network.faults = 0;
    await settle(devices, user);
    for (let round = 0; round < 4; round += 1) {
      for (const device of devices) await discardRefused(device);
      await settle(devices, user);
    }
    const [first, second] = devices.map(dump);
    expect(second).toEqual(first);
    expect(first?.pending).toEqual([{ n: 0 }]);
    const server = await world.query(
      `SELECT id, name, age::int FROM business.users WHERE _sync_scope_id = '${user}' ORDER BY id`,
    );
    expect(first?.users).toEqual(server);
    const posts = await world.query(`SELECT count(*)::int AS n FROM business.posts WHERE _sync_scope_id = '${user}'`);
    expect(first?.posts).toHaveLength(Number(posts[0]?.['n']));
    for (const device of devices) expect(await device.client.verify()).toMatchObject({ isEqual: true });
  });

  it('ran into everything it was made for', () => {
    expect(Object.entries(met).filter(([, count]) => count === 0)).toEqual([]);
  });
});
