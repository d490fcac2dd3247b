import { randomBytes } from 'node:crypto';

import { Client } from 'pg';

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
    drop: () => runOnServer(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function runOnServer(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
