import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { findFreePort } from '@oversync/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../examples/main-job/src/main.ts', import.meta.url));

/** Pause between two looks at the output, in milliseconds. */
const POLL_INTERVAL_MS = 10;

const started: ChildProcess[] = [];

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oversync-main-job-'));
  // When root runs the tests, PostgreSQL runs under another account, which has to pass this folder.
  await chmod(folder, 0o755);
});

afterAll(async () => {
  for (const child of started) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

interface Run {
  readonly child: ChildProcess;
  output: string;
}

async function start(...args: readonly string[]): Promise<Run> {
  const port = String(await findFreePort());
  const { DATABASE_URL: _unused, ...env } = process.env;
  const child = spawn(
    process.execPath,
    ['--conditions=oversync-source', MAIN, '--data', folder, '--rows', '1000', '--port', port, ...args],
    {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  started.push(child);
  const run: Run = { child, output: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      run.output += chunk.toString('utf8');
    });
  }
  return run;
}

/** Waits until the program has printed `text`; fails when it ends before. */
async function waitFor(run: Run, text: string): Promise<void> {
  while (!run.output.includes(text)) {
    if (run.child.exitCode !== null) throw new Error(`ended without “${text}”:\n${run.output}`);
    await sleep(POLL_INTERVAL_MS);
  }
}

async function end(run: Run): Promise<number | null> {
  if (run.child.exitCode === null && run.child.signalCode === null) await once(run.child, 'close');
  return run.child.exitCode;
}

describe('npm start', () => {
  it('goes on after Ctrl-C and after a kill, proves the story, and plays another round on the same folder', async () => {
    const interrupted = await start('--once');
    await waitFor(interrupted, '✓ device A imports');
    interrupted.child.kill('SIGINT');
    expect(await end(interrupted), interrupted.output).toBe(130);

    const killed = await start('--once');
    await waitFor(killed, '✓ device B joins');
    killed.child.kill('SIGKILL');
    await end(killed);

    const finished = await start('--once');
    expect(await end(finished), finished.output).toBe(0);
    expect(finished.output).toContain('Round 1, going on where it stopped');
    expect(finished.output).toContain('PROVED');
    expect(finished.output).toContain('development sign-in is ON');
    expect(existsSync(join(folder, 'jwt-secret'))).toBe(true);

    const serving = await start();
    await waitFor(serving, 'keeps serving');
    expect(serving.output).toContain('Round 2');
    const url = /(http:\/\/127\.0\.0\.1:\d+)\/sync/.exec(serving.output)?.[1];
    expect((await fetch(`${url}/syncx/health`)).status).toBe(200);
    serving.child.kill('SIGINT');
    expect(await end(serving), serving.output).toBe(0);
  });
});
