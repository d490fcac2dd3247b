import type { Pool } from 'pg';

import { makeBenchRow } from './bench-rows.ts';
import { type BenchServer, startBenchServer } from './harness/bench-server.ts';
import { type AnyCase, type Benchmark, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { BENCH_ROW_COLUMNS, selectBenchRows } from './sql-rows.ts';
import { encodeWirePush, WireSource } from './wire-push.ts';

/** Pushed rows get numbers beyond those that SQL makes. */
const PUSHED_ROWS_FROM = 100_000_000;

/** The image of a scope, built for its first reader and shared by the next ones. */
export const snapshot: Benchmark = {
  name: 'snapshot',
  title: 'a snapshot session is opened: image built, image reused at the same head; raw is INSERT … SELECT of the same rows',
  rowsDefault: 100_000,
  repetitionsDefault: 3,
  async setUp({ rows, sandbox }) {
    const server = await startBenchServer(sandbox);
    const { token } = await server.newUser();
    const [writer, reader, second] = [0, 1, 2].map(() => new WireSource(server.url, token));
    if (writer === undefined || reader === undefined || second === undefined) throw new Error('three sources are needed');
    await writer.connectEmpty();
    let bundles = 0;
    const moveHead = async (): Promise<void> => {
      bundles += 1;
      await writer.commit(await writer.stage(encodeWirePush([makeBenchRow(PUSHED_ROWS_FROM + bundles)]), bundles));
    };
    await moveHead();
    const pool = sandbox.connect(server.databaseUrl);
    await fillScope(pool, rows);
    const open = async (source: WireSource): Promise<void> => {
      const count = await source.createSnapshot();
      if (count !== BigInt(rows + bundles)) throw new Error(`the snapshot has ${count} rows`);
    };
    return [
      rawInsertSelect(pool),
      defineCase({ name: 'image built', prepare: moveHead, run: () => open(reader) }),
      defineCase({ name: 'image reused by another device', prepare: () => Promise.resolve(), run: () => open(second) }),
      readWholeImage(server, sandbox, second),
    ];
  },
};

/**
 * Puts rows and their versions into the only scope by SQL, which takes seconds where pushes of a million rows would take minutes. They
 * look as if the first bundle had written them.
 */
async function fillScope(pool: Pool, rows: number): Promise<void> {
  const { rows: triggers } = await pool.query<{ name: string; enable: string }>(
    `SELECT quote_ident(tgname) AS name, CASE tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END AS enable
     FROM pg_trigger WHERE tgrelid = 'business.places'::regclass AND NOT tgisinternal`,
  );
  await pool.query(`CREATE UNLOGGED TABLE raw_source AS ${selectBenchRows(rows)}`);
  await pool.query('CREATE TABLE raw_target (LIKE business.places INCLUDING INDEXES)');
  await pool.query('ALTER TABLE business.places DISABLE TRIGGER USER');
  await pool.query(
    `INSERT INTO business.places (_sync_scope_id, ${BENCH_ROW_COLUMNS}) SELECT s.scope_id, r.* FROM raw_source r, sync.scope s ORDER BY r.id`,
  );
  for (const { name, enable } of triggers) await pool.query(`ALTER TABLE business.places ${enable} TRIGGER ${name}`);
  await pool.query(
    `INSERT INTO sync.row_state (scope_pk, table_id, key_bytes, version, deleted)
     SELECT s.scope_pk, t.table_id, uuid_send(r.id), 1, false FROM raw_source r, sync.scope s, sync.registered_table t ORDER BY r.id`,
  );
}

function rawInsertSelect(pool: Pool): AnyCase {
  return defineCase({
    name: 'raw INSERT … SELECT',
    isRaw: true,
    prepare: () => pool.query('TRUNCATE raw_target; CHECKPOINT'),
    run: async () => {
      await pool.query(`INSERT INTO raw_target (_sync_scope_id, ${BENCH_ROW_COLUMNS}) SELECT 'scope', r.* FROM raw_source r`);
    },
  });
}

function readWholeImage(server: BenchServer, sandbox: Sandbox, source: WireSource): AnyCase {
  let longestDelayMs = 0;
  return defineCase({
    name: 'image read, 5,000 rows or 16 MiB a chunk',
    prepare: () => Promise.resolve(),
    run: async () => {
      longestDelayMs = Math.max(longestDelayMs, await server.measureLoopDelay(() => source.readSnapshot()));
      sandbox.noteFact('longest block of the event loop of the server meanwhile', `${longestDelayMs.toFixed(1)} ms`);
    },
  });
}
