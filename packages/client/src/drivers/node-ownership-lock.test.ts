import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import { createNodeSqliteDriver } from './node-sqlite.ts';

/** Opens a client on a file in a process of its own, says so, and waits. */
const OWNER = `
import { createSyncClient } from '${fileURLToPath(new URL('../client.ts', import.meta.url))}';
import { createNodeSqliteDriver } from '${fileURLToPath(new URL('./node-sqlite.ts', import.meta.url))}';
const client = createSyncClient({ driver: createNodeSqliteDriver(process.argv[1]), baseUrl: 'https://h', headers: () => ({}), schema: 'main', tables: [] });
await client.open();
process.stdout.write('open');
setInterval(() => undefined, 1000);`;

let folder = '';
let owner: ChildProcess | null = null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oversync-lock-'));
});
afterEach(async () => {
  owner?.kill('SIGKILL');
  owner = null;
  await rm(folder, { recursive: true, force: true });
});

function newClient(ownership: 'reject' | 'wait'): SyncClient {
  const driver = createNodeSqliteDriver(join(folder, 'app.db'));
  return createSyncClient({ driver, baseUrl: 'https://h', headers: () => ({}), schema: 'main', tables: [], ownership });
}

async function startOwner(): Promise<ChildProcess> {
  const args = ['--conditions=oversync-source', '--input-type=module', '-e', OWNER, join(folder, 'app.db')];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the owner ended with ${code}`)));
  });
  return child;
}

describe('[T11] [K31] ownership across processes', () => {
  it('refuses a second process, and hands over to a waiting one when the first is killed', async () => {
    owner = await startOwner();
    await expect(newClient('reject').open()).rejects.toMatchObject({ code: 'database_owned', recovery: 'stop' });
    const waiting = newClient('wait');
    const opening = waiting.open();
    owner.kill('SIGKILL');
    expect(await opening).toEqual({ binding: 'anonymous' });
    await expect(newClient('reject').open()).rejects.toMatchObject({ code: 'database_owned' });
    await waiting.close();
    const next = newClient('reject');
    expect(await next.open()).toEqual({ binding: 'anonymous' });
    await next.close();
  });

  it('a caller that gives up stops waiting', async () => {
    owner = await startOwner();
    const caller = new AbortController();
    const opening = newClient('wait').open({ signal: caller.signal });
    caller.abort();
    await expect(opening).rejects.toMatchObject({ code: 'aborted' });
  });
});
