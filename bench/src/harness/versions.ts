import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { DatabaseSync } from 'node:sqlite';

import { Client } from 'pg';

export interface Environment {
  readonly oversync: string;
  readonly node: string;
  readonly sqlite: string;
  readonly postgresql: string;
  readonly platform: string;
  readonly cpuModel: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
}

/** What a figure depends on beside the code. */
export async function readEnvironment(serverUrl: string): Promise<Environment> {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return {
    oversync: manifest.version,
    node: process.versions.node,
    sqlite: readSqliteVersion(),
    postgresql: await readPostgresVersion(serverUrl),
    platform: `${process.platform}-${process.arch}`,
    cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
    cpuCount: cpus().length,
    memoryBytes: totalmem(),
  };
}

function readSqliteVersion(): string {
  const database = new DatabaseSync(':memory:');
  try {
    return String(database.prepare('SELECT sqlite_version() AS version').get()?.['version']);
  } finally {
    database.close();
  }
}

async function readPostgresVersion(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ version: string }>("SELECT current_setting('server_version') AS version");
    return rows[0]?.version ?? 'unknown';
  } finally {
    await client.end();
  }
}
