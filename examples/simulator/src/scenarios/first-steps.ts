import { deepStrictEqual, equal, notEqual } from 'node:assert/strict';

import { addPost, addUser } from '../domain.ts';
import { assertEqual, assertServerCounts } from '../verify.ts';
import type { Scenario } from './scenario.ts';

/** An app that is used for a while before anybody signs in. */
export const freshInstall: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const app = await simulation.launch('phone');
  app.network.switchTo(false);
  const ids: string[] = [];
  for (let index = 1; index <= 5; index += 1) {
    await app.write(async (tx) => {
      const id = await addUser(tx, `User ${index}`);
      await addPost(tx, id, `Post ${index}`);
      ids.push(id);
    });
  }
  for (const id of ids.slice(0, 3)) await app.run("UPDATE users SET name = name || ' (edited)' WHERE id = ?", id);
  await app.write(async (tx) => {
    await tx.run('DELETE FROM posts WHERE author_id = ?', [ids[4] ?? '']);
    await tx.run('DELETE FROM users WHERE id = ?', [ids[4] ?? '']);
  });
  const { pendingRowCount } = await app.client.pendingSyncStatus();
  notEqual(pendingRowCount, 0);
  deepStrictEqual(await app.screen(), { banner: 'offline', badge: pendingRowCount });
  app.network.switchTo(true);
  equal((await app.signIn(user)).outcome, 'seeded_from_local');
  equal((await app.client.pushPending()).outcome, 'committed');
  await assertServerCounts(simulation, user, { users: 4, posts: 4 });
  deepStrictEqual(await app.screen(), { banner: 'up to date', badge: 0 });
  await app.client.pullToStable();
  await assertEqual(simulation, user, [app]);
};

/** An ordinary day online. */
export const normalUsage: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const app = await simulation.device('phone', user);
  const ids: string[] = [];
  for (let index = 1; index <= 10; index += 1) ids.push(await app.write((tx) => addUser(tx, `User ${index}`)));
  await app.client.pushPending();
  for (const id of ids.slice(0, 8)) await app.run("UPDATE users SET name = 'Updated ' || name WHERE id = ?", id);
  for (const id of ids.slice(8)) await app.run('DELETE FROM users WHERE id = ?', id);
  await app.client.pushPending();
  await assertServerCounts(simulation, user, { users: 8 });
  equal((await app.list("SELECT id FROM users WHERE name LIKE 'Updated %'")).length, 8);
  await app.client.pullToStable();
  await assertEqual(simulation, user, [app]);
};

/** The app is removed and installed again. */
export const reinstall: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const before = await simulation.device('before', user);
  const names = ['Ada', 'Grace', 'Lin'];
  for (const name of names) await before.write((tx) => addUser(tx, name));
  await before.client.sync();
  const after = await simulation.launch('after');
  const signedIn = await after.signIn(user);
  equal(signedIn.outcome, 'used_remote_state');
  deepStrictEqual(await after.list('SELECT name FROM users ORDER BY name'), names);
  const { push } = await after.client.sync();
  equal(push.outcome, 'no_change');
  equal(after.network.count('POST /sync/push-sessions'), 0);
  await assertEqual(simulation, user, [before, after]);
};

/** A second device joins and goes on. */
export const deviceReplacement: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const old = await simulation.device('old', user);
  await old.write((tx) => addUser(tx, 'From the old one'));
  await old.client.sync();
  const fresh = await simulation.device('new', user);
  await fresh.write((tx) => addUser(tx, 'From the new one'));
  await fresh.client.sync();
  await old.client.pullToStable();
  for (const app of [old, fresh]) equal((await app.list('SELECT id FROM users')).length, 2);
  await assertServerCounts(simulation, user, { users: 2 });
  await assertEqual(simulation, user, [old, fresh]);
};

/** What one device deletes stays deleted. */
export const multiDeviceSync: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const [first, second] = [await simulation.device('first', user), await simulation.device('second', user)];
  const a = await first.write((tx) => addUser(tx, 'A'));
  await second.write((tx) => addUser(tx, 'B'));
  for (const app of [first, second, first]) await app.client.sync();
  await first.run('DELETE FROM users WHERE id = ?', a);
  for (const app of [first, second, first, second]) await app.client.sync();
  for (const app of [first, second]) deepStrictEqual(await app.list('SELECT name FROM users'), ['B']);
  await assertServerCounts(simulation, user, { users: 1 });
  await assertEqual(simulation, user, [first, second]);
};

/** Rows are added, changed, deleted and added again on both devices in turn. */
export const multiDeviceComplex: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const [first, second] = [await simulation.device('first', user), await simulation.device('second', user)];
  const ids: string[] = [];
  for (let index = 1; index <= 4; index += 1) ids.push(await first.write((tx) => addUser(tx, `First ${index}`)));
  await first.client.sync();
  await second.client.sync();
  const [kept = '', edited = '', removed = '', back = ''] = ids;
  await second.run("UPDATE users SET name = 'Edited on the second' WHERE id = ?", edited);
  await second.run('DELETE FROM users WHERE id = ?', removed);
  await second.run('DELETE FROM users WHERE id = ?', back);
  await second.write((tx) => addUser(tx, 'Second 1'));
  await second.client.sync();
  await first.client.sync();
  await first.write((tx) => addUser(tx, 'Back again', back));
  await first.run("UPDATE users SET name = 'Edited on the first' WHERE id = ?", kept);
  await first.write((tx) => addUser(tx, 'First 5'));
  await first.client.sync();
  await second.client.sync();
  const names = ['Back again', 'Edited on the first', 'Edited on the second', 'First 5', 'Second 1'];
  for (const app of [first, second]) deepStrictEqual(await app.list('SELECT name FROM users ORDER BY name'), names);
  await assertServerCounts(simulation, user, { users: 5 });
  await assertEqual(simulation, user, [first, second]);
};
