import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startPostgres } from './start-postgres.ts';

/** Durability is of no use to a server whose data is deleted at the end of the run. */
const TEST_SETTINGS = { fsync: 'off', synchronous_commit: 'on', full_page_writes: 'off', max_connections: '200' };

/**
 * Gives the test run a PostgreSQL: the one of `TEST_DATABASE_URL`, else a private one in a temporary folder, which is stopped and
 * deleted at the end. Workers find it in the same variable.
 */
export default async function setUp(): Promise<(() => Promise<void>) | undefined> {
  if (process.env['TEST_DATABASE_URL'] !== undefined) return undefined;
  const dataDir = await mkdtemp(join(tmpdir(), 'oversync-tests-'));
  const server = await startPostgres({ dataDir, engine: 'embedded', settings: TEST_SETTINGS });
  if (server.kind === 'pglite') throw new Error('the tests need a PostgreSQL server');
  process.env['TEST_DATABASE_URL'] = server.url;
  return async () => {
    await server.destroy();
    delete process.env['TEST_DATABASE_URL'];
  };
}
