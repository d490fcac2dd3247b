/** What plain PostgreSQL takes for the work of the server, in the same run. */
import { pipeline } from 'node:stream/promises';

import type { Pool } from 'pg';
import { to as copyTo } from 'pg-copy-streams';

import type { BenchRow } from './bench-rows.ts';
import { type AnyCase, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';

/** Rows that one statement sends while a baseline is prepared. */
const LOAD_BATCH_ROWS = 5000;

const BYTES_PER_MIB = 2 ** 20;

const COLUMNS = `id uuid, name text, country text, admin1 text, lat numeric(8, 5), lng double precision, rating bigint,
  visited boolean, note text, updated_at timestamptz`;

const TABLES = `
  CREATE UNLOGGED TABLE raw_source (${COLUMNS});
  CREATE TABLE raw_target (_sync_scope_id text NOT NULL, ${COLUMNS}, PRIMARY KEY (_sync_scope_id, id));
  CREATE TABLE raw_scope (scope_id text PRIMARY KEY, head bigint NOT NULL);
  CREATE TABLE raw_log (log_id bigserial PRIMARY KEY, scope_id text NOT NULL, body text NOT NULL)`;

const FILL = `INSERT INTO raw_target SELECT 'scope', * FROM raw_source`;

/** `UPDATE … FROM` of all columns of the same rows, one transaction. */
export function rawUpdate(sandbox: Sandbox, rows: readonly BenchRow[], group: string): Promise<AnyCase> {
  const assignments = ['name', 'country', 'admin1', 'lat', 'lng', 'rating', 'visited', 'note', 'updated_at'].map(
    (c) => `${c} = s.${c}`,
  );
  const sql = `UPDATE raw_target t SET ${assignments.join(', ')} FROM raw_source s WHERE t._sync_scope_id = 'scope' AND t.id = s.id`;
  return rawStatement(sandbox, rows, { name: 'raw UPDATE … FROM', group, sql });
}

/** `DELETE … USING` of the same rows, one transaction. */
export function rawDelete(sandbox: Sandbox, rows: readonly BenchRow[], group: string): Promise<AnyCase> {
  const sql = `DELETE FROM raw_target t USING raw_source s WHERE t._sync_scope_id = 'scope' AND t.id = s.id`;
  return rawStatement(sandbox, rows, { name: 'raw DELETE … USING', group, sql });
}

/** `COPY (SELECT …) TO STDOUT` of the same rows, read to its end. */
export async function rawCopy(sandbox: Sandbox, rows: readonly BenchRow[]): Promise<AnyCase> {
  const pool = await openRaw(sandbox, rows);
  await pool.query(FILL);
  return defineCase({
    name: 'raw COPY … TO STDOUT',
    isRaw: true,
    prepare: () => Promise.resolve(),
    run: async () => {
      const client = await pool.connect();
      let bytes = 0;
      try {
        const stream = client.query(copyTo(`COPY (SELECT * FROM raw_target WHERE _sync_scope_id = 'scope') TO STDOUT`));
        await pipeline(stream, async (chunks: AsyncIterable<Buffer>) => {
          for await (const chunk of chunks) bytes += chunk.length;
        });
      } finally {
        client.release();
      }
      sandbox.noteFact('COPY', `${(bytes / BYTES_PER_MIB).toFixed(1)} MiB`);
    },
  });
}

async function rawStatement(
  sandbox: Sandbox,
  rows: readonly BenchRow[],
  { name, group, sql }: { readonly name: string; readonly group: string; readonly sql: string },
): Promise<AnyCase> {
  const pool = await openRaw(sandbox, rows);
  return defineCase({
    name,
    group,
    isRaw: true,
    prepare: () => pool.query(`TRUNCATE raw_target; ${FILL}; CHECKPOINT`),
    run: async () => {
      await pool.query(sql);
    },
  });
}

async function openRaw(sandbox: Sandbox, rows: readonly BenchRow[]): Promise<Pool> {
  const pool = sandbox.connect(await sandbox.createDatabase());
  await pool.query(TABLES);
  for (let from = 0; from < rows.length; from += LOAD_BATCH_ROWS) {
    const batch = rows.slice(from, from + LOAD_BATCH_ROWS);
    const json = batch.map(({ rating, updatedAt, ...row }) => ({ ...row, rating: String(rating), updated_at: updatedAt }));
    await pool.query(`INSERT INTO raw_source SELECT * FROM json_to_recordset($1) AS row (${COLUMNS})`, [JSON.stringify(json)]);
  }
  return pool;
}

/** Transactions of BEGIN, four prepared statements and COMMIT, from so many writers at once, each on a connection of its own. */
export async function rawTransactions(
  sandbox: Sandbox,
  writers: number,
): Promise<(writer: number, row: BenchRow) => Promise<void>> {
  const pool = await openRaw(sandbox, []);
  await pool.query(`INSERT INTO raw_scope SELECT 'scope ' || n, 0 FROM generate_series(0, ${writers - 1}) n`);
  pool.options.max = writers;
  return async (writer, row) => {
    const client = await pool.connect();
    const scopeId = `scope ${writer}`;
    const { id, name, country, admin1, lat, lng, rating, visited, note, updatedAt } = row;
    const run = (text: string, values: readonly unknown[]) =>
      client.query({ name: text.slice(0, 30), text, values: [...values] });
    try {
      await client.query('BEGIN');
      await run('SELECT head FROM raw_scope WHERE scope_id = $1 FOR NO KEY UPDATE', [scopeId]);
      const values = [scopeId, id, name, country, admin1, lat, lng, rating, visited, note, updatedAt];
      await run('INSERT INTO raw_target VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)', values);
      await run('INSERT INTO raw_log (scope_id, body) VALUES ($1, $2)', [scopeId, note]);
      await run('UPDATE raw_scope SET head = head + 1 WHERE scope_id = $1', [scopeId]);
      await client.query('COMMIT');
    } finally {
      client.release();
    }
  };
}
