import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startPostgres, type PostgresByUrl } from '@oversync/dev-postgres';
import { Pool } from 'pg';
import { expect, test, vi } from 'vitest';

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

/** What clients may be told while PostgreSQL is away: come again, or ask what became of it. Sessions do not outlive a crash. */
const PASSING_CODES: ReadonlySet<string> = new Set(['service_unavailable', 'commit_outcome_unknown', 'push_session_not_found']);

test(
  '[I3] [E2] PostgreSQL killed under load and started again loses no push and doubles none, and clients hear of nothing but 503',
  { timeout: 60_000 },
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'oversync-killed-'));
    let postgres = await startOwnPostgres(dataDir);
    const pool = new Pool({ connectionString: postgres.url, max: 6, connectionTimeoutMillis: 2000 });
    pool.on('error', () => {});
    const server = createSyncServer({
      database: createPgDatabase(pool),
      registeredTables: [NOTES_TABLE],
      resolveActor: (request) => ({ scopeId: request.headers.get('authorization') ?? '' }),
      maintenance: { enabled: true, intervalMs: 50 },
      watch: { enabled: true },
    });
    const refusals = new Set<string>();
    const call = async (method: string, path: string, options?: CallOptions) => {
      const answer = await readAnswer(await server.fetch(createRequest(method, path, options)));
      if (answer.status !== 200) refusals.add(answer.json.error);
      return answer;
    };
    let isOver = false;
    const committed = new Map<string, number>();
    /** Pushes one bundle after the other, each until the server says that it is committed. */
    const runClient = async (scope: string): Promise<void> => {
      for (let id = 1; !isOver; id += 1) {
        const rows = [{ op: 'INSERT', id: `${scope}-${String(id)}` }] as const;
        for (let isCommitted = false; !isCommitted;) {
          isCommitted = await pushNotes({ call }, id, rows, { scope }).then(
            () => true,
            (error: unknown) => error instanceof Error && error.message.includes('already_committed'),
          );
        }
        committed.set(scope, id);
      }
    };
    const killPostgres = async (): Promise<void> => {
      const [pid] = (await readFile(join(dataDir, 'cluster', 'postmaster.pid'), 'utf8')).split('\n');
      process.kill(Number(pid), 'SIGKILL');
      await postgres.stop();
    };
    try {
      await pool.query(NOTES_DDL);
      await server.bootstrap();
      const scopes = Array.from({ length: 8 }, () => randomUUID());
      for (const scope of scopes) await call('POST', '/sync/connect', { scope, body: {} });
      const clients = Promise.all(scopes.map(runClient));
      const waitForPushes = async (more: number): Promise<void> => {
        const before = new Map(committed);
        await vi.waitFor(
          () => expect(scopes.every((scope) => (committed.get(scope) ?? 0) >= (before.get(scope) ?? 0) + more)).toBe(true),
          { timeout: 30_000 },
        );
      };
      await waitForPushes(3);
      const { port } = postgres;
      await killPostgres();
      await vi.waitFor(() => expect(refusals).toContain('service_unavailable'), { timeout: 20_000 });
      postgres = await startOwnPostgres(dataDir, port);
      await waitForPushes(3);
      isOver = true;
      await clients;

      for (const scope of scopes) {
        const { json } = await call('GET', '/sync/pull', { scope });
        const count = committed.get(scope) ?? 0;
        expect(json.bundles.map((bundle) => bundle.bundle_seq)).toStrictEqual(
          Array.from({ length: count }, (_, index) => index + 1),
        );
        const keys = json.bundles.flatMap((bundle) => bundle.rows.map((row) => row.key.id));
        expect(keys).toStrictEqual(Array.from({ length: count }, (_, index) => `${scope}-${String(index + 1)}`));
        expect(await server.admin.checkScope(scope)).toMatchObject({ isConsistent: true });
      }
      expect([...refusals].filter((code) => !PASSING_CODES.has(code))).toStrictEqual([]);
    } finally {
      isOver = true;
      await server.close({ timeoutMs: 1000 });
      await pool.end();
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
);
