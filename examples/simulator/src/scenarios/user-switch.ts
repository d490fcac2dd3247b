import { deepStrictEqual, equal, notEqual } from 'node:assert/strict';

import type { SimulatedApp } from '../app.ts';
import { addUser } from '../domain.ts';
import { assertEqual, assertServerCounts } from '../verify.ts';
import type { Scenario } from './scenario.ts';

/** Two people share a tablet. */
export const userSwitch: Scenario = async (simulation) => {
  const [ada, ben] = [simulation.newUser(), simulation.newUser()];
  const app = await simulation.device('tablet', ada);
  const namesOf = (name: string, count: number): readonly string[] =>
    Array.from({ length: count }, (_, index) => `${name} ${index + 1}`);
  const addAll = async (names: readonly string[]): Promise<void> => {
    for (const name of names) await app.write((tx) => addUser(tx, name));
  };
  const shown = (): Promise<readonly string[]> => app.list('SELECT name FROM users ORDER BY name');

  await addAll(namesOf('Ada', 5));
  await leave(app, async () => equal((await app.client.syncThenDetach()).detach.outcome, 'detached'));
  await app.signIn(ben);
  deepStrictEqual(await shown(), []);
  await addAll(namesOf('Ben', 3));
  await app.client.sync();
  deepStrictEqual(await shown(), namesOf('Ben', 3));
  await assertEqual(simulation, ben, [app]);
  await leave(app, async () => equal((await app.client.detach()).outcome, 'detached'));
  await app.signIn(ada);
  deepStrictEqual(await shown(), namesOf('Ada', 5));
  await assertEqual(simulation, ada, [app]);

  await addAll(['Unsent']);
  const blocked = await app.client.detach();
  deepStrictEqual(blocked, { outcome: 'blocked_unsynced_data', pendingRowCount: 1, quarantinedRowCount: 0 });
  equal((await shown()).length, 6);
  await leave(app, async () => equal((await app.client.detach({ discardPending: true })).outcome, 'detached'));
  await assertServerCounts(simulation, ada, { users: 5 });
  await assertServerCounts(simulation, ben, { users: 3 });
};

/** Detaches, and looks that nothing of the user is left. */
async function leave(app: SimulatedApp, detach: () => Promise<void>): Promise<void> {
  const { currentSourceId } = await app.client.sourceInfo();
  await detach();
  notEqual((await app.client.sourceInfo()).currentSourceId, currentSourceId);
  const counts = await app.rowCounts();
  deepStrictEqual(
    Object.values(counts),
    Object.values(counts).map(() => 0),
  );
}
