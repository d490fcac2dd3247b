/** `npm run adoption-test -- [--rows N] [--scopes N] [--kills N]`: adopts populated tables while the adopting process is killed again and again. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { startPostgres } from '@oversync/dev-postgres';

import { runAdoptionTest } from './adoption-run.ts';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    scopes: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '5' },
  },
});
const folder = await mkdtemp(join(tmpdir(), 'oversync-adoption-'));
const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), engine: 'embedded' });
if (postgres.kind === 'pglite') throw new Error('a PostgreSQL server is needed');
try {
  const startedAt = performance.now();
  await runAdoptionTest({
    databaseUrl: postgres.url,
    rows: readCount(values.rows),
    scopes: readCount(values.scopes),
    kills: readCount(values.kills),
    log: (line) => console.log(line),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  console.log(
    `${values.rows} rows adopted in ${seconds} s with ${values.kills} kills: every scope has one complete baseline, no row changed`,
  );
} finally {
  await postgres.destroy();
  await rm(folder, { recursive: true, force: true });
}

function readCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new Error(`${text} is not a whole number above 0`);
  return count;
}
