import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from 'pg';

import { LEAVE_TIMEOUT_MS, POLL_INTERVAL_MS } from './limits.ts';

export interface TestDatabase {
  /** Connection URL of an empty database of its own. */
  readonly url: string;
  /** Drops the database; connections that are still open are ended. */
  drop(): Promise<void>;
}

/** URL of the PostgreSQL that the test run uses; set by the global set-up, or by the person who runs the tests. */
export function getTestServerUrl(): string {
  const url = process.env['TEST_DATABASE_URL'];
  if (url === undefined) throw new Error('TEST_DATABASE_URL is not set: run the tests through vitest with its global set-up');
  return url;
}

/** Creates an empty UTF-8 database on the test server; a test file makes its own, so that files run side by side. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const serverUrl = getTestServerUrl();
  const name = `oversync_test_${randomBytes(6).toString('hex')}`;
  await runOnServer(serverUrl, `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: () => dropDatabase(serverUrl, name),
  };
}

/**
 * A pool counts as ended before PostgreSQL has seen its connections go. Ending those by force would reach their clients as an error
 * that nobody listens to any more, so they get a moment to leave.
 */
async function dropDatabase(serverUrl: string, name: string): Promise<void> {
  await withClient(serverUrl, async (client) => {
    const deadline = Date.now() + LEAVE_TIMEOUT_MS;
    const countConnections = async (): Promise<string | undefined> => {
      const sql = 'SELECT count(*) AS count FROM pg_stat_activity WHERE datname = $1';
      return (await client.query<{ count: string }>(sql, [name])).rows[0]?.count;
    };
    while (Date.now() < deadline && (await countConnections()) !== '0') await sleep(POLL_INTERVAL_MS);
    await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  });
}

async function runOnServer(url: string, sql: string): Promise<void> {
  await withClient(url, (client) => client.query(sql));
}

async function withClient(url: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
