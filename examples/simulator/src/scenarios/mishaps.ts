import { deepStrictEqual, equal, notEqual, ok } from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';

import { isSyncError } from '@oversync/client';

import type { SimulatedApp } from '../app.ts';
import { addUser } from '../domain.ts';
import { assertEqual, assertServerCounts } from '../verify.ts';
import type { Scenario } from './scenario.ts';

/** Two rows of twenty that the server must refuse: the others are committed, and the two can be dealt with. */
export const poisonRow: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const app = await simulation.device('phone', user);
  const taken = await app.write((tx) => addUser(tx, 'First'));
  await app.client.sync();
  const ids: string[] = [];
  for (let index = 1; index <= 20; index += 1) ids.push(await app.write((tx) => addUser(tx, `User ${index}`)));
  const [nameless = '', copycat = ''] = [ids[4], ids[11]];
  await app.run("UPDATE users SET name = '' WHERE id = ?", nameless);
  await app.run('UPDATE users SET email = ? WHERE id = ?', `${taken}@example.com`, copycat);
  const pushed = await app.client.pushPending();
  equal(
    pushed.bundles.reduce((sum, bundle) => sum + bundle.rowCount, 0),
    18,
    'rows committed by one call',
  );
  await assertServerCounts(simulation, user, { users: 19 });
  const kinds = Object.fromEntries((await app.client.quarantine.list()).map((row) => [row.key, [row.code, row.detail]]));
  deepStrictEqual(kinds, { [nameless]: ['check', 'users_name_not_empty'], [copycat]: ['unique', 'users_email_key'] });
  equal((await app.screen()).badge, 2);

  await app.run("UPDATE users SET name = 'Named after all' WHERE id = ?", nameless);
  await app.client.pushPending();
  await app.client.quarantine.discard({ table: 'users', key: copycat });
  deepStrictEqual(await app.client.quarantine.list(), []);
  await app.client.sync();
  await assertServerCounts(simulation, user, { users: 20 });
  await assertEqual(simulation, user, [app]);
};

/** A backup of the database file is put on a second phone: two writers with one id. */
export const clone: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const original = await simulation.device('original', user);
  for (const name of ['One', 'Two']) await original.write((tx) => addUser(tx, name));
  await original.client.sync();
  await original.stop();
  await copyFile(original.file, simulation.file('copy'));
  await original.restart();
  const copy = await simulation.device('copy', user, { file: simulation.file('copy') });
  const sourceOf = async (app: SimulatedApp): Promise<string> => (await app.client.sourceInfo()).currentSourceId;
  const shared = await sourceOf(original);
  equal(await sourceOf(copy), shared);

  await original.write((tx) => addUser(tx, 'Written on the original'));
  await copy.write((tx) => addUser(tx, 'Written on the copy'));
  for (const app of [original, copy, original, copy]) await syncOrRebuild(app);
  const sources = [await sourceOf(original), await sourceOf(copy)];
  equal(sources.filter((source) => source === shared).length, 1, 'one of the two keeps the id');
  notEqual(sources[0], sources[1]);
  const names = ['One', 'Two', 'Written on the copy', 'Written on the original'];
  for (const app of [original, copy]) deepStrictEqual(await app.list('SELECT name FROM users ORDER BY name'), names);
  await assertServerCounts(simulation, user, { users: 4 });
  await assertEqual(simulation, user, [original, copy]);
};

async function syncOrRebuild(app: SimulatedApp): Promise<void> {
  try {
    await app.client.sync();
  } catch (error) {
    ok(isSyncError(error) && error.recovery === 'rebuild', String(error));
    await app.client.rebuild();
    await app.client.sync();
  }
}
