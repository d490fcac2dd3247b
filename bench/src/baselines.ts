import type { DatabaseSync } from 'node:sqlite';
import { pipeline } from 'node:stream/promises';

import type { Pool } from 'pg';
import { to as copyTo } from 'pg-copy-streams';

import { type BenchRow, makeBenchRows } from './bench-rows.ts';
import { type AnyCase, defineCase } from './harness/benchmark.ts';
import type { Sandbox } from './harness/sandbox.ts';
import { selectBenchRows } from './sql-rows.ts';
import { createDevice, insertInOneTransaction, SQLITE_INSERT, toSqliteValues } from './sqlite-table.ts';

/** Rows that one statement sends to PostgreSQL while a baseline is prepared. */
const LOAD_BATCH_ROWS = 5000;

const PG_COLUMNS = `id uuid, name text, country text, admin1 text, lat numeric(8, 5), lng double precision, rating bigint,
  visited boolean, note text, updated_at timestamptz`;

/** The table of the example server, as its schema creates it, but for its name. */
const PG_TARGET = `CREATE TABLE raw_target (_sync_scope_id text NOT NULL, ${PG_COLUMNS}, PRIMARY KEY (_sync_scope_id, id))`;

/** The default page size of a new file. */
const SQLITE_PAGE_BYTES = 4096;

/** Raw write on the server: `INSERT … SELECT` of the same rows from an unlogged table into the same table, one transaction. */
export async function rawInsertSelect(sandbox: Sandbox, rows: readonly BenchRow[]): Promise<AnyCase> {
  const pool = sandbox.connect(await sandbox.createDatabase());
  await pool.query(`CREATE UNLOGGED TABLE raw_source (${PG_COLUMNS}); ${PG_TARGET}`);
  await loadRows(pool, rows);
  return defineCase({
    name: 'raw INSERT … SELECT',
    isRaw: true,
    prepare: () => pool.query('TRUNCATE raw_target; CHECKPOINT'),
    run: async () => {
      await pool.query("INSERT INTO raw_target SELECT 'scope', * FROM raw_source");
    },
  });
}

/** Raw way to a device: `COPY … TO STDOUT` of the rows, then prepared inserts of the same rows into SQLite, one transaction. */
export async function rawCopyAndInsert(sandbox: Sandbox, rows: readonly BenchRow[]): Promise<AnyCase> {
  const pool = sandbox.connect(await sandbox.createDatabase());
  await pool.query(`CREATE TABLE raw_source (${PG_COLUMNS})`);
  await loadRows(pool, rows);
  return defineCase({
    name: 'raw COPY TO + prepared SQLite inserts',
    isRaw: true,
    prepare: () => Promise.resolve(createDevice(sandbox.newFile('raw'))),
    run: async (device) => {
      await readByCopy(pool);
      insertInOneTransaction(device, rows);
    },
    finish: (device) => {
      sandbox.noteFile('plain table', Number(device.prepare('PRAGMA page_count').get()?.['page_count']) * SQLITE_PAGE_BYTES);
      device.close();
      return Promise.resolve();
    },
  });
}

/** Different rows that many are made of: what a row is beside its key does not matter for the time it takes. */
const MANY_FROM_ROWS = 10_000;

/** The same for any number of rows, made by PostgreSQL on one side and row by row on the other, so that no process holds all of them. */
export async function rawCopyAndInsertMany(sandbox: Sandbox, count: number): Promise<AnyCase> {
  const pool = sandbox.connect(await sandbox.createDatabase());
  await pool.query(`CREATE UNLOGGED TABLE raw_source AS ${selectBenchRows(count)}`);
  const few = makeBenchRows(Math.min(count, MANY_FROM_ROWS)).map(toSqliteValues);
  return defineCase({
    name: 'raw COPY TO + prepared SQLite inserts',
    isRaw: true,
    prepare: () => Promise.resolve(createDevice(sandbox.newFile('raw'))),
    run: async (device) => {
      await readByCopy(pool);
      insertMany(device, few, count);
    },
    finish: (device) => {
      sandbox.noteFile('plain table', Number(device.prepare('PRAGMA page_count').get()?.['page_count']) * SQLITE_PAGE_BYTES);
      device.close();
      return Promise.resolve();
    },
  });
}

function insertMany(device: DatabaseSync, few: readonly (string | number | bigint)[][], count: number): void {
  const insert = device.prepare(SQLITE_INSERT);
  device.exec('BEGIN IMMEDIATE');
  for (let index = 0; index < count; index += 1) {
    const values = few[index % few.length] ?? [];
    values[0] = `${String(index).padStart(8, '0')}${String(values[0]).slice(8)}`;
    insert.run(...values);
  }
  device.exec('COMMIT');
}

async function loadRows(pool: Pool, rows: readonly BenchRow[]): Promise<void> {
  for (let from = 0; from < rows.length; from += LOAD_BATCH_ROWS) {
    const batch = rows.slice(from, from + LOAD_BATCH_ROWS);
    const json = JSON.stringify(
      batch.map(({ rating, updatedAt, ...row }) => ({ ...row, rating: String(rating), updated_at: updatedAt })),
    );
    await pool.query(`INSERT INTO raw_source SELECT * FROM json_to_recordset($1) AS row (${PG_COLUMNS})`, [json]);
  }
}

async function readByCopy(pool: Pool): Promise<void> {
  const client = await pool.connect();
  try {
    await pipeline(client.query(copyTo('COPY raw_source TO STDOUT')), async (chunks: AsyncIterable<Buffer>) => {
      for await (const _ of chunks);
    });
  } finally {
    client.release();
  }
}
