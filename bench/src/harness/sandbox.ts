import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { startPostgres } from '@oversync/dev-postgres';
import { Client, Pool } from 'pg';

/** Everything a benchmark may use, and one place that closes all of it, newest first. */
export class Sandbox {
  readonly folder: string;
  /** URL of the PostgreSQL server. */
  readonly serverUrl: string;
  /** Largest resident set, in bytes, by process name. */
  readonly rssPeakBytes: Record<string, number> = {};
  /** Largest database file, in bytes, by what it holds. */
  readonly fileBytes: Record<string, number> = {};
  /** What else a benchmark has found out, by what it is about. */
  readonly facts: Record<string, string> = {};
  readonly #closers: (() => Promise<void>)[] = [];
  #databaseCount = 0;
  #fileCount = 0;

  private constructor(folder: string, serverUrl: string) {
    this.folder = folder;
    this.serverUrl = serverUrl;
  }

  /** A temporary folder, and PostgreSQL from npm with its durable default settings, or the one of `DATABASE_URL`. */
  static async open(): Promise<Sandbox> {
    const folder = await mkdtemp(join(tmpdir(), 'oversync-bench-'));
    const settings = { shared_buffers: '512MB', max_wal_size: '4GB', autovacuum: 'off' };
    const postgres = await startPostgres({ dataDir: join(folder, 'postgres'), settings });
    if (postgres.kind === 'pglite') throw new Error('benchmarks need a PostgreSQL server: set DATABASE_URL');
    const sandbox = new Sandbox(folder, postgres.url);
    sandbox.onClose(() => rm(folder, { recursive: true, force: true }));
    sandbox.onClose(() => postgres.destroy());
    return sandbox;
  }

  onClose(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  /** A new empty database; dropped at the end. Returns its URL. */
  async createDatabase(): Promise<string> {
    this.#databaseCount += 1;
    const name = `oversync_bench_${process.pid}_${this.#databaseCount}`;
    await runOnce(this.serverUrl, `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8'`);
    this.onClose(() => runOnce(this.serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    const url = new URL(this.serverUrl);
    url.pathname = `/${name}`;
    return url.href;
  }

  /** A pool that the sandbox ends. */
  connect(url: string): Pool {
    const pool = new Pool({ connectionString: url, max: 4 });
    // Connections that are being closed when the database is dropped end in an error that concerns nobody; queries report their own.
    pool.on('error', () => {});
    this.onClose(() => pool.end());
    return pool;
  }

  /** Path of a file that does not exist yet. */
  newFile(name: string): string {
    this.#fileCount += 1;
    return join(this.folder, `${name}-${this.#fileCount}.sqlite`);
  }

  noteFile(name: string, bytes: number): void {
    this.fileBytes[name] = Math.max(this.fileBytes[name] ?? 0, bytes);
  }

  noteFact(name: string, text: string): void {
    this.facts[name] = text;
  }

  noteRss(processName: string, bytes: number): void {
    this.rssPeakBytes[processName] = Math.max(this.rssPeakBytes[processName] ?? 0, bytes);
  }
}

async function runOnce(url: string, sql: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
