/** `npm run kill-test -- [--kills N] [--rows N] [--seed N]`: kills processes in the middle of the story, and proves that nothing is lost. */
import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { startPostgres } from '@oversync/dev-postgres';

import { type Kill, runKillTest } from './kill-run.ts';

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '50' }, rows: { type: 'string', default: '5000' }, seed: { type: 'string' } },
});
const seed = values.seed === undefined ? randomInt(2 ** 31) : readCount(values.seed);
const folder = await mkdtemp(join(tmpdir(), 'oversync-kill-'));
const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), engine: 'embedded' });
if (postgres.kind === 'pglite') throw new Error('a PostgreSQL server is needed');
try {
  console.log(`seed ${seed}`);
  const startedAt = performance.now();
  const result = await runKillTest({
    kills: readCount(values.kills),
    rows: readCount(values.rows),
    seed,
    folder: join(folder, 'devices'),
    databaseUrl: postgres.url,
    log: (line) => console.log(line),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(`\n${formatKills(result.kills)}`);
  console.log(`${result.kills.length} kills in ${seconds} s, ${result.rounds} rounds proved: nothing lost, doubled or corrupted`);
} finally {
  await postgres.destroy();
  await rm(folder, { recursive: true, force: true });
}

/** How often each victim was hit in each step. */
function formatKills(kills: readonly Kill[]): string {
  const steps = [...new Set(kills.map((kill) => kill.step))];
  const count = (step: string, victim: Kill['victim']): string =>
    String(kills.filter((kill) => kill.step === step && kill.victim === victim).length).padStart(8);
  return [
    `${'step'.padEnd(16)} devices  server`,
    ...steps.map((step) => `${step.padEnd(16)}${count(step, 'devices')}${count(step, 'server')}`),
  ].join('\n');
}

function readCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new Error(`${text} is not a whole number above 0`);
  return count;
}
