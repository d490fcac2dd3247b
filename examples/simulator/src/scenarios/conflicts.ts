import { deepStrictEqual, equal } from 'node:assert/strict';

import { clientWins, latestBy, mergeColumns, serverWins } from '@oversync/client';
import type { Resolver } from '@oversync/client';

import type { SimulatedApp } from '../app.ts';
import { addUser } from '../domain.ts';
import type { Simulation } from '../simulation.ts';
import { assertEqual } from '../verify.ts';
import type { Scenario } from './scenario.ts';

const SIBLINGS = 6;

interface Policy {
  readonly name: string;
  readonly resolver: Resolver;
  /** Name and mail address of the contested row afterwards. */
  readonly expected: readonly [name: string, email: string];
}

const POLICIES: readonly Policy[] = [
  { name: 'serverWins', resolver: serverWins, expected: ['Name of the first', 'target@example.com'] },
  { name: 'clientWins', resolver: clientWins, expected: ['Target', 'second@example.com'] },
  { name: 'latestBy', resolver: latestBy('updated_at'), expected: ['Target', 'second@example.com'] },
  { name: 'mergeColumns', resolver: mergeColumns({ prefer: 'local' }), expected: ['Name of the first', 'second@example.com'] },
];

/** Two devices change the same row; each policy decides in its own way, and nothing else of the push suffers. */
export const conflicts: Scenario = async (simulation) => {
  for (const policy of POLICIES) await runPolicy(simulation, policy);
};

async function runPolicy(simulation: Simulation, policy: Policy): Promise<void> {
  const user = simulation.newUser();
  const options = { resolver: policy.resolver, uploadLimit: 3 };
  const first = await simulation.device(`${policy.name}-first`, user, { options });
  const target = await first.write((tx) => addUser(tx, 'Target'));
  await first.run("UPDATE users SET email = 'target@example.com' WHERE id = ?", target);
  for (let index = 1; index <= SIBLINGS; index += 1) await first.write((tx) => addUser(tx, `Sibling ${index}`));
  await first.client.sync();
  const second = await simulation.device(`${policy.name}-second`, user, { options });

  await edit(first, target, 'name', 'Name of the first', '2026-01-01T10:00:00Z');
  await first.client.sync();
  await edit(second, target, 'email', 'second@example.com', '2026-01-01T11:00:00Z');
  await second.run("UPDATE users SET name = name || ', edited' WHERE name LIKE 'Sibling %'");
  const before = second.network.count('POST /sync/push-sessions');
  await second.client.pushPending();
  equal(second.network.count('POST /sync/push-sessions') - before, 2, `push sessions with ${policy.name}`);
  await second.client.pullToStable();
  await first.client.sync();
  for (const app of [first, second]) {
    const [row = []] = await app.driver.all('SELECT name, email FROM users WHERE id = ?', [target]);
    deepStrictEqual(row, policy.expected, `${policy.name} on ${app.name}`);
    equal((await app.list("SELECT id FROM users WHERE name LIKE 'Sibling %, edited'")).length, SIBLINGS);
  }
  await assertEqual(simulation, user, [first, second]);
}

async function edit(app: SimulatedApp, id: string, column: 'name' | 'email', value: string, at: string): Promise<void> {
  await app.run(`UPDATE users SET ${column} = ?, updated_at = ? WHERE id = ?`, value, at, id);
}
