import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { type PostgresByUrl, startPostgres } from './start-postgres.ts';

let dataDir: string;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'oversync-dev-postgres-'));
});

afterAll(async () => {
  await rm(dataDir, { recursive: true, force: true });
});

async function start(): Promise<PostgresByUrl> {
  const server = await startPostgres({ dataDir, engine: 'embedded' });
  if (server.kind === 'pglite') throw new Error('expected a server with a URL');
  return server;
}

async function query(url: string, sql: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ value: string }>(sql);
    return rows[0]?.value ?? '';
  } finally {
    await client.end();
  }
}

/** A process of its own that starts the server in `dataDir`, prints its URL and then waits to be killed. */
async function startElsewhere(): Promise<{ readonly pid: number; readonly url: string }> {
  const module = fileURLToPath(new URL('./start-postgres.ts', import.meta.url));
  const script = `const { startPostgres } = await import(${JSON.stringify(module)});
    const server = await startPostgres({ dataDir: ${JSON.stringify(dataDir)}, engine: 'embedded' });
    console.log(server.url); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [chunk] = (await once(child.stdout, 'data')) as [Buffer];
  if (child.pid === undefined) throw new Error('no process');
  return { pid: child.pid, url: chunk.toString('utf8').trim() };
}

describe('the embedded PostgreSQL', () => {
  it('keeps its data, refuses a wrong password, and starts again on the same folder', async () => {
    const first = await start();
    await query(first.url, "CREATE TABLE kept AS SELECT 'still here' AS value");
    const wrong = new URL(first.url);
    wrong.password = 'postgres';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow(/password/);
    await first.stop();
    await first.stop();

    const second = await start();
    expect(await query(second.url, 'SELECT value FROM kept')).toBe('still here');
    await second.stop();
    expect((await stat(join(dataDir, 'password'))).mode & 0o777).toBe(0o600);
  });

  it('refuses a folder that a living process uses, and recovers when that process was killed', async () => {
    const other = await startElsewhere();
    await expect(start()).rejects.toThrow(`in use by process ${other.pid}`);
    await query(other.url, "CREATE TABLE survived AS SELECT 'yes' AS value");

    process.kill(other.pid, 'SIGKILL');
    const server = await start();
    expect(await query(server.url, 'SELECT value FROM survived')).toBe('yes');
    await server.stop();
  });

  it('destroys its data, also where the server could not live below the data folder', async () => {
    // A folder that only its owner may pass, as /root is: PostgreSQL then runs under another account, elsewhere.
    const closed = await mkdtemp(join(tmpdir(), 'oversync-closed-'));
    const server = await startPostgres({ dataDir: join(closed, 'postgres'), engine: 'embedded' });
    if (server.kind === 'pglite') throw new Error('expected a server with a URL');
    const cluster = await query(server.url, "SELECT current_setting('data_directory') AS value");
    expect(existsSync(cluster)).toBe(true);
    await server.destroy();
    expect(existsSync(cluster)).toBe(false);
    expect(await readdir(closed)).toEqual([]);
    await rm(closed, { recursive: true });
  });

  it('ends with its process when that is killed', async () => {
    const other = await startElsewhere();
    process.kill(other.pid, 'SIGKILL');
    await expect
      .poll(
        () =>
          query(other.url, 'SELECT 1').then(
            () => 'up',
            () => 'down',
          ),
        { timeout: 20_000 },
      )
      .toBe('down');
  });
});

describe('PGlite', () => {
  it('keeps its data in the folder', async () => {
    const folder = join(dataDir, 'in-process');
    const first = await startPostgres({ dataDir: folder, engine: 'pglite' });
    if (first.kind !== 'pglite') throw new Error('expected PGlite');
    await first.database.exec("CREATE TABLE kept AS SELECT 'still here' AS value");
    await first.stop();

    const second = await startPostgres({ dataDir: folder, engine: 'pglite' });
    if (second.kind !== 'pglite') throw new Error('expected PGlite');
    expect((await second.database.query('SELECT value FROM kept')).rows).toEqual([{ value: 'still here' }]);
    await second.stop();
  });
});
