import { getTestServerUrl } from '@oversync/dev-postgres/testing';
import { Client } from 'pg';

/** `server_version_num` from which some tests can be written: `ON DELETE SET NULL (column)`, statistics on demand. */
const MODERN_VERSION = 150_000;

async function loadVersion(): Promise<number> {
  const client = new Client({ connectionString: getTestServerUrl() });
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version_num: string }>('SHOW server_version_num');
    return Number(rows[0]?.server_version_num);
  } finally {
    await client.end();
  }
}

/** True on PostgreSQL 14, the oldest that the server accepts. */
export const isOldestServer = (await loadVersion()) < MODERN_VERSION;
