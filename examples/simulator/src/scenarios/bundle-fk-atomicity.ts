import { deepStrictEqual, equal, ok, rejects } from 'node:assert/strict';

import type { SimulatedApp } from '../app.ts';
import { addCategory, addPost, addTeam, addUser } from '../domain.ts';
import { assertServerCounts, isEqual } from '../verify.ts';
import type { Scenario } from './scenario.ts';

const GRAPH = ['users', 'posts', 'categories', 'teams', 'team_members'] as const;

/** A graph with a tree and a cycle appears and disappears as one bundle, while another device edits a leaf of it. */
export const bundleFkAtomicity: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const first = await simulation.device('first', user);
  const leaf = await seedGraph(first);
  await first.client.sync();
  const [second, third] = [await simulation.device('second', user), await simulation.device('third', user)];
  ok(await isEqual(simulation, user, [first, second, third]));

  await second.run("UPDATE categories SET name = 'Edited leaf' WHERE id = ?", leaf);
  await first.run("UPDATE categories SET name = 'Renamed root' WHERE parent_id IS NULL");
  await first.client.sync();
  await second.restart({ pullWithPending: 'reject' });
  await rejects(second.client.pullToStable(), { code: 'dirty_state_rejected' });
  await second.restart();
  await second.client.pullToStable();
  deepStrictEqual(await second.list('SELECT name FROM categories WHERE id = ?', leaf), ['Edited leaf']);
  deepStrictEqual(await second.list('SELECT name FROM categories WHERE parent_id IS NULL'), ['Renamed root']);
  await third.client.pullToStable();

  await deleteGraph(first);
  equal((await first.client.pushPending()).bundles.length, 1);
  const checkpoint = await third.client.lastBundleSeqSeen();
  equal((await third.client.pullToStable()).outcome, 'applied_incremental');
  equal((await third.client.lastBundleSeqSeen()) - checkpoint, 1n, 'bundles for the whole graph');
  for (const table of GRAPH) equal((await third.rowCounts())[table], 0, `${table} on the third device`);

  await second.client.sync();
  const setAside = await second.client.quarantine.list();
  ok(setAside.every((row) => row.table === 'categories' && row.key === leaf));
  equal((await second.list('SELECT id FROM categories WHERE id <> ?', leaf)).length, 0);
  for (const row of setAside) await second.client.quarantine.discard(row);
  await second.client.sync();
  await first.client.sync();
  await third.client.sync();
  ok(await isEqual(simulation, user, [first, second, third]));
  await assertServerCounts(simulation, user, { users: 0, posts: 0, categories: 0, teams: 0, team_members: 0 });
};

async function seedGraph(app: SimulatedApp): Promise<string> {
  return app.write(async (tx) => {
    const author = await addUser(tx, 'Author');
    for (const title of ['One', 'Two', 'Three']) await addPost(tx, author, title);
    const root = await addCategory(tx, 'Root', null);
    const branch = await addCategory(tx, 'Branch', root);
    await addTeam(tx, 'Team');
    return addCategory(tx, 'Leaf', branch);
  });
}

async function deleteGraph(app: SimulatedApp): Promise<void> {
  await app.write(async (tx) => {
    await tx.run('DELETE FROM categories WHERE parent_id IS NULL');
    await tx.run('DELETE FROM teams');
    await tx.run('DELETE FROM posts');
    await tx.run('DELETE FROM users');
  });
}
