import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { useExternalPostgres } from '@oversync/dev-postgres';
import { createTestDatabase, type TestDatabase } from '@oversync/dev-postgres/testing';
import { digestPostgres, loadCities, openServerQuery, playStory, type StoryOptions } from '@oversync/main-job-example';
import { type ReferenceServer, startReferenceServer } from '@oversync/reference-server-example';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const USER = 'story-test';

let database: TestDatabase;
let server: ReferenceServer;
let folder: string;
let serverQuery: ReturnType<typeof openServerQuery>;

beforeAll(async () => {
  database = await createTestDatabase();
  const postgres = useExternalPostgres(database.url);
  server = await startReferenceServer({ postgres, jwtSecret: 'a secret of this test only', devSignIn: true, port: 0 });
  serverQuery = openServerQuery(postgres);
  folder = await mkdtemp(join(tmpdir(), 'oversync-story-'));
});

afterAll(async () => {
  await serverQuery.close();
  await server.close();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

async function makeOptions(rows: number): Promise<StoryOptions> {
  return {
    folder,
    serverUrl: server.url,
    user: USER,
    cities: await loadCities(),
    rows,
    digestServer: () => digestPostgres(serverQuery.query, USER),
    startProgress: () => ({ update: () => undefined, end: () => undefined, abandon: () => undefined }),
    signal: new AbortController().signal,
  };
}

describe('the two-device story', () => {
  it('ends with equal copies on the server and on three devices, and again in a second round with more places', async () => {
    const first = await playStory(await makeOptions(1000));
    expect(first.round).toBe(1);
    expect(new Set(first.dumps.map(({ dump }) => dump.sha256)).size).toBe(1);
    expect(first.dumps.map(({ where }) => where)).toEqual([
      'expected by the rule',
      'PostgreSQL',
      'device-a',
      'device-b',
      'device-c-round-1',
    ]);
    expect(first.conflicts.length).toBeGreaterThanOrEqual(50);

    const second = await playStory(await makeOptions(1500));
    expect(second.round).toBe(2);
    expect(second.isEqual).toBe(true);
    expect(second.dumps[0]?.dump.rowCount).toBeGreaterThan(first.dumps[0]?.dump.rowCount ?? 0);
  });
});
