import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { findFreePort } from '@oversync/dev-postgres';

/** Servers that PgBouncer opens: fewer than the clients of the tests, so that transactions share them. */
export const POOL_SIZE = 3;

/** Milliseconds that PgBouncer may take to listen. */
const START_TIMEOUT_MS = 10_000;

export const hasPgBouncer = spawnSync('pgbouncer', ['--version']).status === 0;
if (!hasPgBouncer) console.warn('PgBouncer tests skipped: the program pgbouncer is not installed');

export interface PgBouncer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts PgBouncer in transaction mode in front of the database of `url`. */
export async function startPgBouncer(url: string): Promise<PgBouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'oversync-pgbouncer-'));
  const port = await findFreePort();
  const file = join(folder, 'pgbouncer.ini');
  await writeFile(file, formatConfiguration(new URL(url), port));
  await Promise.all([chmod(folder, 0o755), chmod(file, 0o644)]);
  // PgBouncer refuses to run as root.
  const account = process.getuid?.() === 0 ? { uid: lookUp('-u'), gid: lookUp('-g') } : {};
  const child = spawn('pgbouncer', [file], { ...account, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  for (const deadline = Date.now() + START_TIMEOUT_MS; !(await accepts(port));) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new Error(`PgBouncer did not start:\n${log}`);
    }
  }
  const ownUrl = new URL(url);
  ownUrl.host = `127.0.0.1:${String(port)}`;
  return { url: ownUrl.href, stop };
}

function formatConfiguration(target: URL, port: number): string {
  const { hostname, username, password, pathname } = target;
  const quote = (text: string): string => `'${decodeURIComponent(text).replaceAll("'", "''")}'`;
  const address = `host=${hostname} port=${target.port || '5432'} user=${quote(username)} password=${quote(password)}`;
  return [
    '[databases]',
    `${pathname.slice(1)} = ${address}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${String(port)}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    `default_pool_size = ${String(POOL_SIZE)}`,
    'max_client_conn = 100',
    'ignore_startup_parameters = extra_float_digits',
    '',
  ].join('\n');
}

function lookUp(option: '-u' | '-g'): number {
  return Number(execFileSync('id', [option, 'nobody'], { encoding: 'utf8' }).trim());
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(port, '127.0.0.1');
    probe.once('connect', () => (probe.destroy(), resolve(true)));
    probe.once('error', () => setTimeout(resolve, 20, false));
  });
}
