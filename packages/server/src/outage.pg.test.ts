import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startPostgres, type PostgresByUrl } from '@oversync/dev-postgres';
import { Pool } from 'pg';
import { expect, test } from 'vitest';

import { createSyncServer } from './create-sync-server.ts';
import { createPgDatabase } from './drivers/pg.ts';
import { createRequest, NOTES_DDL, NOTES_TABLE, pushNotes, readAnswer } from './test-server.ts';
import type { CallOptions } from './test-server.ts';

async function startOwnPostgres(dataDir: string, port: number | 'free' = 'free'): Promise<PostgresByUrl> {
  const started = await startPostgres({ dataDir, port, engine: 'embedded' });
  if (started.kind === 'pglite') throw new Error('an embedded server was asked for');
  return started;
}

test('[E2] while PostgreSQL is stopped operations answer 503, and work again by themselves when it is back', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'oversync-outage-'));
  let postgres = await startOwnPostgres(dataDir);
  const pool = new Pool({ connectionString: postgres.url, max: 3, connectionTimeoutMillis: 2000 });
  pool.on('error', () => {});
  const server = createSyncServer({
    database: createPgDatabase(pool),
    registeredTables: [NOTES_TABLE],
    resolveActor: () => ({ scopeId: 's' }),
    maintenance: { enabled: false },
  });
  const call = async (method: string, path: string, options?: CallOptions) =>
    readAnswer(await server.fetch(createRequest(method, path, options)));
  const health = async () => (await server.ops.fetch(new Request('http://host.test/health'))).status;
  try {
    await pool.query(NOTES_DDL);
    await server.bootstrap();
    await call('POST', '/sync/connect', { body: {} });
    await pushNotes({ call }, 1, [{ op: 'INSERT', id: 'a' }]);
    expect(await health()).toBe(200);

    const { port } = postgres;
    await postgres.stop();
    for (const [method, path, options] of [
      ['GET', '/sync/pull', {}],
      ['POST', '/sync/connect', { body: {} }],
      ['POST', '/sync/snapshot-sessions', {}],
      ['GET', '/sync/committed-bundles/1/rows', {}],
      [
        'POST',
        '/sync/push-sessions',
        { body: { source_bundle_id: 2, planned_row_count: 1, canonical_request_hash: 'a'.repeat(64) } },
      ],
    ] as const) {
      const answer = await call(method, path, options);
      expect([path, answer.status, answer.json.error, answer.headers.get('retry-after')]).toStrictEqual([
        path,
        503,
        'service_unavailable',
        '1',
      ]);
    }
    expect((await call('GET', '/sync/capabilities')).status).toBe(200);

    postgres = await startOwnPostgres(dataDir, port);
    await pushNotes({ call }, 2, [{ op: 'INSERT', id: 'b' }]);
    expect((await call('GET', '/sync/pull')).json.bundles).toHaveLength(2);
  } finally {
    await server.close({ timeoutMs: 1000 });
    await pool.end();
    await postgres.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
});
