import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from 'pg';

import { Victim } from '../kill/child.ts';
import { openAdoptionServer, POPULATED_DDL } from './adoption-server.ts';
import type { AdoptionMessage } from './messages.ts';

export interface AdoptionRunOptions {
  /** An empty database. */
  readonly databaseUrl: string;
  readonly rows: number;
  readonly scopes: number;
  /** How often the adopting process is killed before it may come to its end. */
  readonly kills: number;
  readonly log: (line: string) => void;
}

export interface AdoptionRunResult {
  /** Scopes that were adopted when each process died. */
  readonly scopesAtKill: readonly number[];
  /** Scopes that the last process had left to do. */
  readonly scopesInLastRun: number;
}

/** Milliseconds between two looks at how far the adoption has come. */
const LOOK_INTERVAL_MS = 5;

/**
 * Fills the tables, kills the adoption at `kills` places spread over the scopes, lets it end, and proves that every scope has one
 * baseline with exactly its rows and that no business row has changed.
 */
export async function runAdoptionTest(options: AdoptionRunOptions): Promise<AdoptionRunResult> {
  const client = new Client({ connectionString: options.databaseUrl });
  await client.connect();
  try {
    await fillTables(client, options);
    const before = await digestTables(client);
    const scopesAtKill: number[] = [];
    for (let kill = 0; kill < options.kills; kill += 1) {
      const wanted = Math.floor((options.scopes * kill) / options.kills);
      scopesAtKill.push(await killAt(client, options, wanted));
      options.log(`killed when ${String(scopesAtKill.at(-1))} of ${String(options.scopes)} scopes were adopted`);
    }
    const last = await runToEnd(options.databaseUrl);
    options.log(`the last process adopted ${String(last.scopes)} scopes, ${String(last.rows)} rows`);
    await checkMetadata(client, options);
    if ((await digestTables(client)) !== before) throw new Error('adoption has changed business rows');
    await checkServing(options);
    return { scopesAtKill, scopesInLastRun: last.scopes };
  } finally {
    await client.end();
  }
}

/** Nine of ten rows are notes; the scopes are equally large up to one row. */
async function fillTables(client: Client, { rows, scopes, log }: AdoptionRunOptions): Promise<void> {
  await client.query(POPULATED_DDL);
  await client.query(
    `INSERT INTO business.notes SELECT 'scope-' || lpad((i % $2::int)::text, 6, '0'), 'note-' || i, 'title of ' || i, i * 0.01, now() - i * interval '1 second'
     FROM generate_series(1, $1::int) i WHERE i % 10 <> 0 OR i <= $2::int`,
    [rows, scopes],
  );
  await client.query(
    `INSERT INTO business.tags SELECT 'scope-' || lpad((i % $2::int)::text, 6, '0'), md5(i::text)::uuid, 'label ' || i
     FROM generate_series(1, $1::int) i WHERE i % 10 = 0 AND i > $2::int`,
    [rows, scopes],
  );
  await client.query('ANALYZE');
  log(`${String(rows)} rows in ${String(scopes)} scopes`);
}

async function digestTables(client: Client): Promise<string> {
  const digest = (table: string): string =>
    `(SELECT count(*) || ':' || sum(hashtextextended(t::text, 0)) FROM business.${table} t)`;
  return readText(client, `SELECT ${digest('notes')} || ' ' || ${digest('tags')}`);
}

/** Kills a process once `wanted` scopes are adopted; returns how many there were then. */
async function killAt(client: Client, options: AdoptionRunOptions, wanted: number): Promise<number> {
  const victim = new Victim<AdoptionMessage>('../adoption/adoption-process.ts', { databaseUrl: options.databaseUrl });
  const ended = victim.next();
  while ((await countAdopted(client)) < wanted) {
    const message = await Promise.race([ended, sleep(LOOK_INTERVAL_MS, 'running' as const)]);
    if (message !== 'running')
      throw new Error(`the process ended before it was killed: ${JSON.stringify(message)} ${victim.ending}`);
  }
  await victim.kill();
  return countAdopted(client);
}

async function countAdopted(client: Client): Promise<number> {
  const hasSchema = await readText(client, `SELECT (to_regclass('sync.bundle') IS NOT NULL)::text`);
  return hasSchema === 'true' ? Number(await readText(client, 'SELECT count(*)::text FROM sync.bundle')) : 0;
}

async function runToEnd(databaseUrl: string): Promise<{ readonly scopes: number; readonly rows: number }> {
  const process = new Victim<AdoptionMessage>('../adoption/adoption-process.ts', { databaseUrl });
  const message = await process.next();
  if (message?.kind !== 'done') throw new Error(`adoption failed: ${JSON.stringify(message)} ${process.ending}`);
  return message;
}

/** Statements that count what must not be there. */
const FAULTS: readonly (readonly [string, string])[] = [
  [
    'scopes without exactly one baseline of their rows',
    `SELECT count(*)::text FROM (
       SELECT _sync_scope_id AS scope_id, count(*) AS n FROM (SELECT _sync_scope_id FROM business.notes UNION ALL SELECT _sync_scope_id FROM business.tags) r
       GROUP BY 1
     ) r FULL JOIN (
       SELECT s.scope_id, count(*) AS bundles, max(b.row_count) AS n, max(s.head) AS head, min(s.state) AS state, max(b.source_id) AS source_id
       FROM sync.bundle b JOIN sync.scope s USING (scope_pk) GROUP BY 1
     ) b USING (scope_id)
     WHERE (b.bundles, b.n, b.head, b.state) IS DISTINCT FROM (1, r.n, 1, 'initialized') OR b.source_id NOT LIKE 'oversync-adoption:%'`,
  ],
  ['baselines that share a source id', 'SELECT (count(*) - count(DISTINCT source_id))::text FROM sync.bundle'],
  [
    'rows without a version, or versions without a row',
    `SELECT ((SELECT count(*) FROM business.notes) + (SELECT count(*) FROM business.tags)
       - (SELECT count(*) FROM sync.row_state WHERE version = 1 AND NOT deleted))::text`,
  ],
  [
    'stored rows that are missing or too many',
    'SELECT (sum(b.row_count) - (SELECT sum(k.row_count) FROM sync.bundle_block k))::text FROM sync.bundle b',
  ],
  ['tables that are not marked as adopted', 'SELECT count(*)::text FROM sync.registered_table WHERE adopted_at IS NULL'],
  ['captured keys that were left behind', 'SELECT count(*)::text FROM sync.capture'],
];

async function checkMetadata(client: Client, { scopes }: AdoptionRunOptions): Promise<void> {
  for (const [what, sql] of FAULTS) {
    const count = await readText(client, sql);
    if (count !== '0') throw new Error(`${count} ${what}`);
  }
  const adopted = await countAdopted(client);
  if (adopted !== scopes) throw new Error(`${String(adopted)} instead of ${String(scopes)} scopes are adopted`);
}

/** The adopted tables can be served: one scope is consistent, and a client gets all of it. */
async function checkServing({ databaseUrl, rows, scopes }: AdoptionRunOptions): Promise<void> {
  const { server, close } = openAdoptionServer(databaseUrl);
  try {
    await server.bootstrap();
    const scopeId = 'scope-000001';
    const check = await server.admin.checkScope(scopeId);
    if (!check.isConsistent) throw new Error(`the adopted scope is not consistent: ${JSON.stringify(check.differences)}`);
    const headers = { authorization: scopeId, 'Oversync-Source-ID': 'device' };
    const request = new Request('http://host.test/sync/snapshot-sessions', { method: 'POST', headers, body: '{}' });
    const snapshot = (await (await server.fetch(request)).json()) as { readonly row_count?: number };
    const wanted = Math.floor((rows - 1) / scopes) + 1;
    if (snapshot.row_count !== wanted)
      throw new Error(`the snapshot holds ${String(snapshot.row_count)} instead of ${String(wanted)} rows`);
    const again = await server.admin.adopt();
    if (again.scopes !== 0) throw new Error('a second adoption found something to do');
  } finally {
    await close();
  }
}

async function readText(client: Client, sql: string): Promise<string> {
  const { rows } = await client.query<{ readonly text: string | null }>(`SELECT (${sql}) AS text`);
  return rows[0]?.text ?? '';
}
