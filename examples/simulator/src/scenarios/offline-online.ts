import { equal, ok } from 'node:assert/strict';

import type { SimulatedApp } from '../app.ts';
import { addUser } from '../domain.ts';
import { isEqual } from '../verify.ts';
import { waitFor } from '../wait.ts';
import type { Scenario } from './scenario.ts';

const CYCLES = 3;

/** A train with tunnels: nobody calls anything, the loop does it all. */
export const offlineOnline: Scenario = async (simulation) => {
  const user = simulation.newUser();
  const [first, second] = [await simulation.device('first', user), await simulation.device('second', user)];
  const loop = { bundleChangeWatchReconnectMinMs: 50, backoffMinMs: 50 };
  for (const app of [first, second]) app.startLoop(loop);
  const agree = (what: string): Promise<void> =>
    waitFor(what, simulation.arrivalTimeoutMs, () => isEqual(simulation, user, [first, second]));

  for (let cycle = 1; cycle <= CYCLES; cycle += 1) {
    const edited = await first.write((tx) => addUser(tx, `Online ${cycle}`));
    const removed = await first.write((tx) => addUser(tx, `To be removed ${cycle}`));
    await agree(`cycle ${cycle}, online`);
    first.network.switchTo(false);
    const sentBefore = first.network.requests.length;
    const refusedBefore = first.network.refusedCount;
    await first.write((tx) => addUser(tx, `In the tunnel ${cycle}`));
    await first.run("UPDATE users SET name = name || ', edited' WHERE id = ?", edited);
    await first.run('DELETE FROM users WHERE id = ?', removed);
    await second.write((tx) => addUser(tx, `Meanwhile ${cycle}`));
    await waitFor('the other device sends', simulation.arrivalTimeoutMs, async () => (await second.screen()).badge === 0);
    await assertWaiting(first, 3);
    await first.restart();
    await assertWaiting(first, 3);
    first.startLoop(loop);
    await waitFor('the loop rests', simulation.arrivalTimeoutMs, () => first.client.start().state === 'offline');
    equal(first.network.requests.length, sentBefore, 'requests without a network');
    ok(first.network.refusedCount - refusedBefore <= 1, 'busy requests without a network');
    first.network.switchTo(true);
    await agree(`cycle ${cycle}, online again`);
  }
  equal((await first.list("SELECT id FROM users WHERE name LIKE 'In the tunnel%'")).length, CYCLES);
  equal((await first.list("SELECT id FROM users WHERE name LIKE '%, edited'")).length, CYCLES);
  equal((await second.list("SELECT id FROM users WHERE name LIKE 'To be removed%'")).length, 0);
};

async function assertWaiting(app: SimulatedApp, pendingRowCount: number): Promise<void> {
  equal((await app.client.pendingSyncStatus()).pendingRowCount, pendingRowCount);
  const { banner, badge } = await app.screen();
  equal(banner, 'offline');
  equal(badge, pendingRowCount);
}
