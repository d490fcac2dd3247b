import { createTestDatabase } from '@oversync/dev-postgres/testing';
import type { TestDatabase } from '@oversync/dev-postgres/testing';
import { useExternalPostgres } from '@oversync/dev-postgres';
import { startReferenceServer } from '@oversync/reference-server-example';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { openEnvironment } from './environment.ts';
import type { Environment } from './environment.ts';
import { runScenario, runSimulation, selectScenarios } from './run.ts';
import { SCENARIOS } from './scenarios/index.ts';

/** `watch-proxy-cut` takes four seconds instead of two minutes; the machine may be busy with other tests. */
const SETTINGS = { isVerifying: true, isCleaning: true, timeScale: 0.03, patience: 6 };

const SECRET = 'a secret of this test only';

let database: TestDatabase;
let environment: Environment;

beforeAll(async () => {
  database = await createTestDatabase();
  environment = await openEnvironment({ db: database.url });
});

afterAll(async () => {
  await environment.close();
  await database.drop();
});

describe('[K32] [T121] the simulator', () => {
  it.each(Object.keys(SCENARIOS))('%s', async (name) => {
    const report = await runSimulation(environment, { ...SETTINGS, scenarios: [name], parallel: 1 });
    expect(report.scenarios.map(({ status, error }) => ({ status, error }))).toEqual([{ status: 'passed', error: undefined }]);
    expect(report).toMatchObject({ status: 'passed', passed: 1, failed: 0 });
    expect(report.scenarios[0]?.counts['requests']).toBeGreaterThan(0);
  });

  it('three users at once, each with their own devices', async () => {
    const report = await runSimulation(environment, { ...SETTINGS, scenarios: [], parallel: 3 });
    expect(report.scenarios.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    expect(report).toMatchObject({ status: 'passed', passed: 3, failed: 0 });
  });

  it('a server that runs already, whose tables have no rules of the simulator afterwards', async () => {
    const external = await createTestDatabase();
    const server = await startReferenceServer({
      postgres: useExternalPostgres(external.url),
      jwtSecret: SECRET,
      devSignIn: false,
      schema: 'rich',
      port: 0,
    });
    const far = await openEnvironment({ server: server.url, db: external.url, jwtSecret: SECRET });
    const scenarios = ['poison-row', 'watch-server-originated'];
    const report = await runSimulation(far, { ...SETTINGS, scenarios, parallel: 1 });
    await far.close();
    const client = new Client({ connectionString: external.url });
    await client.connect();
    const { rowCount } = await client.query(
      "SELECT FROM pg_constraint WHERE conname IN ('users_email_key', 'users_name_not_empty')",
    );
    await client.end();
    await server.close();
    await external.drop();
    expect(report.scenarios.map(({ error }) => error)).toEqual([undefined, undefined]);
    expect(rowCount).toBe(0);
  });

  it('refuses a server of which it knows neither database nor secret', async () => {
    await expect(openEnvironment({ server: environment.serverUrl })).rejects.toThrow('--server needs --db and --jwt-secret');
  });

  it('leaves nothing open when it cannot start', async () => {
    const empty = await createTestDatabase();
    await expect(openEnvironment({ server: environment.serverUrl, db: empty.url, jwtSecret: SECRET })).rejects.toThrow(
      'does not exist',
    );
    const client = new Client({ connectionString: empty.url });
    await client.connect();
    const others = 'SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()';
    await vi.waitFor(async () => expect((await client.query(others)).rowCount).toBe(0), { timeout: 10_000 });
    await client.end();
    await empty.drop();
  });

  it('cleans up after itself', async () => {
    expect(await environment.query('SELECT count(*)::text FROM business.users', [])).toEqual([['0']]);
    expect(await environment.query('SELECT count(*)::text FROM business.posts', [])).toEqual([['0']]);
  });

  it('reports a scenario that fails as failed, with its error', async () => {
    const failing = (): Promise<void> => Promise.reject(new Error('the sky fell down'));
    const result = await runScenario(environment, SETTINGS, 'broken', failing);
    expect(result).toMatchObject({ scenario: 'broken', status: 'failed', error: 'the sky fell down' });
    const report = await runSimulation(environment, { ...SETTINGS, scenarios: [], parallel: 1 });
    expect(report.status).toBe('failed');
  });

  it('knows its scenarios by name', () => {
    expect(selectScenarios('all')).toHaveLength(23);
    expect(selectScenarios('watch-all')).toHaveLength(8);
    expect(selectScenarios('clone')).toEqual(['clone']);
    expect(() => selectScenarios('x')).toThrow('unknown scenario x');
  });
});
