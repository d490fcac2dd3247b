/**
 * A route handler of Next.js: `app/api/sync/[...path]/route.ts`. Clients then use the base URL `https://your.app/api`. Long-running
 * servers only (`next start`, a container): a platform that ends the process after each request ends watch streams as well.
 */
import { createPgDatabase } from '@oversync/server/pg';
import { nodeGzip } from '@oversync/server/node';
import { Pool } from 'pg';

import { createNotesServer } from './sync-server.ts';

export const runtime = 'nodejs';
export const dynamic = 'force-dynamic';

const pool = new Pool({ connectionString: process.env['DATABASE_URL'], connectionTimeoutMillis: 5000 });
pool.on('error', () => undefined);

const server = createNotesServer(createPgDatabase(pool), (token) => Promise.resolve(token === '' ? null : token));
const ready = server.bootstrap();

async function handle(request: Request): Promise<Response> {
  await ready;
  return server.fetch(request, { gzip: nodeGzip });
}

export { handle as DELETE, handle as GET, handle as POST };
