import type { Pool } from 'pg';

import { BENCH_ROW_COLUMNS, type BenchKeys, selectBenchRows } from './sql-rows.ts';

/**
 * Puts rows and their versions into the only scope by SQL, which takes seconds where pushes of a million rows would take minutes. They
 * look as if the first bundle had written them, in the order of their numbers whatever their keys are.
 */
export async function fillScope(pool: Pool, rows: number, keys: BenchKeys = 'ordered'): Promise<void> {
  const { rows: triggers } = await pool.query<{ name: string; enable: string }>(
    `SELECT quote_ident(tgname) AS name, CASE tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE' END AS enable
     FROM pg_trigger WHERE tgrelid = 'business.places'::regclass AND NOT tgisinternal`,
  );
  await pool.query(`CREATE UNLOGGED TABLE raw_source AS ${selectBenchRows(rows, keys)}`);
  await pool.query('CREATE TABLE raw_target (LIKE business.places INCLUDING INDEXES)');
  await pool.query('ALTER TABLE business.places DISABLE TRIGGER USER');
  await pool.query(
    `INSERT INTO business.places (_sync_scope_id, ${BENCH_ROW_COLUMNS}) SELECT s.scope_id, r.* FROM raw_source r, sync.scope s`,
  );
  for (const { name, enable } of triggers) await pool.query(`ALTER TABLE business.places ${enable} TRIGGER ${name}`);
  await pool.query(
    `INSERT INTO sync.row_state (scope_pk, table_id, key_bytes, version, deleted)
     SELECT s.scope_pk, t.table_id, uuid_send(r.id), 1, false FROM raw_source r, sync.scope s, sync.registered_table t`,
  );
}
