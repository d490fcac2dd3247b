import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { createTestDatabase } from '@oversync/dev-postgres/testing';

const PROJECT_FOLDER = fileURLToPath(new URL('../..', import.meta.url));

export interface ServerProcess {
  readonly url: string;
  /** The database that it serves. */
  readonly databaseUrl: string;
  /** Ends the process as an operator does; resolves to its exit code. */
  stop(): Promise<number | null>;
}

/**
 * Starts a server program of `examples/` on a database of its own, or on the one of `beside`, and waits until it says where it listens.
 */
export async function startServerProcess(
  main: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  beside?: ServerProcess,
): Promise<ServerProcess> {
  const database = beside === undefined ? await createTestDatabase() : { url: beside.databaseUrl, drop: () => Promise.resolve() };
  const folder = await mkdtemp(join(tmpdir(), 'oversync-server-'));
  const command = [
    '--conditions=oversync-source',
    join(PROJECT_FOLDER, 'examples', main),
    '--port',
    '0',
    '--data',
    folder,
    ...args,
  ];
  const child = spawn(process.execPath, command, {
    env: { ...process.env, JWT_SECRET: '', ...env, DATABASE_URL: database.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const exited = once(child, 'exit');
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM');
    await exited;
    await database.drop();
    await rm(folder, { recursive: true, force: true });
    return child.exitCode;
  };
  for await (const line of createInterface({ input: child.stdout })) {
    output += `${line}\n`;
    const url = /^listening on (\S+)$/.exec(line)?.[1];
    if (url !== undefined) return { url, databaseUrl: database.url, stop };
  }
  await stop();
  throw new Error(`the server did not start:\n${output}`);
}

/** A bearer header for a user, from the development sign-in. */
export async function signIn(url: string, user: string): Promise<{ readonly Authorization: string }> {
  const response = await fetch(`${url}/dummy-signin`, { method: 'POST', body: JSON.stringify({ user, password: 'any' }) });
  const body: unknown = await response.json();
  if (typeof body !== 'object' || body === null || !('token' in body) || typeof body.token !== 'string')
    throw new Error(`the sign-in was answered with status ${String(response.status)}`);
  return { Authorization: `Bearer ${body.token}` };
}
