import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { Client } from 'pg';

/** Tables of a device that must be empty when everything is synchronised. */
const EMPTY_WHEN_SYNCED = [
  '_sync_dirty_rows',
  '_sync_outbox_rows',
  '_sync_snapshot_stage',
  '_oversync_bundle_stage',
  '_oversync_quarantine',
];

/** Every SQLite file is sound, silences no capture, and has nothing waiting. */
export function checkSqliteFiles(folder: string): Promise<void> {
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.sqlite'))) {
    const database = new DatabaseSync(join(folder, name), { readOnly: true });
    try {
      expectEqual(readOne(database, 'PRAGMA integrity_check'), 'ok', `integrity_check of ${name}`);
      expectEqual(readOne(database, 'SELECT apply_mode FROM _sync_apply_state'), 0, `apply mode of ${name}`);
      for (const table of EMPTY_WHEN_SYNCED)
        expectEqual(readOne(database, `SELECT count(*) FROM ${table}`), 0, `rows of ${table} in ${name}`);
    } finally {
      database.close();
    }
  }
  return Promise.resolve();
}

/** The history of each scope is 1, 2, 3 … up to its head, each push once, and every live row has its version. */
export async function checkServerHistory(databaseUrl: string): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    for (const [what, sql] of Object.entries(SERVER_CHECKS)) {
      const { rows } = await client.query<{ faults: string }>(sql);
      expectEqual(rows[0]?.faults, '0', what);
    }
  } finally {
    await client.end();
  }
}

const SERVER_CHECKS = {
  'scopes whose bundles are not 1 … head': `
    SELECT count(*) AS faults FROM sync.scope s
    WHERE s.head <> (SELECT count(*) FROM sync.bundle b WHERE b.scope_pk = s.scope_pk)
       OR s.head <> (SELECT coalesce(max(b.bundle_seq), 0) FROM sync.bundle b WHERE b.scope_pk = s.scope_pk)`,
  'sources whose pushes are not 1 … n': `
    SELECT count(*) AS faults FROM (
      SELECT scope_pk, source_id FROM sync.bundle GROUP BY scope_pk, source_id
      HAVING max(source_bundle_id) <> count(*) OR min(source_bundle_id) <> 1) AS broken`,
  'live rows without exactly one live version': `
    SELECT abs((SELECT count(*) FROM business.places) - (SELECT count(*) FROM sync.row_state WHERE NOT deleted)) AS faults`,
} as const;

function readOne(database: DatabaseSync, sql: string): unknown {
  return Object.values(database.prepare(sql).get() ?? {})[0];
}

function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: expected ${String(expected)}, found ${String(actual)}`);
}
