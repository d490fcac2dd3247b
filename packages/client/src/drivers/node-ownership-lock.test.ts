import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createSyncClient } from '../client.ts';
import type { SyncClient } from '../client.ts';
import type { SqliteDriver } from '../ports/sqlite-driver.ts';
import { createBetterSqlite3Driver } from './better-sqlite3.ts';
import { createNodeSqliteDriver } from './node-sqlite.ts';
import { createNodeSqlite3WasmDriver } from './node-sqlite3-wasm.ts';

const KINDS = [
  { module: './node-sqlite.ts', factory: 'createNodeSqliteDriver', create: createNodeSqliteDriver },
  { module: './better-sqlite3.ts', factory: 'createBetterSqlite3Driver', create: createBetterSqlite3Driver },
  { module: './node-sqlite3-wasm.ts', factory: 'createNodeSqlite3WasmDriver', create: createNodeSqlite3WasmDriver },
] as const;

type Kind = (typeof KINDS)[number];

/** Opens a client on a file in a process of its own, then runs `then`, says so, and waits to be killed. */
const ownerSource = ({ module, factory }: Kind, then: string): string => `
import { createSyncClient } from '${fileURLToPath(new URL('../client.ts', import.meta.url))}';
import { ${factory} } from '${fileURLToPath(new URL(module, import.meta.url))}';
const driver = ${factory}(process.argv[1]);
const client = createSyncClient({ driver, baseUrl: 'https://h', headers: () => ({}), schema: 'main', tables: [] });
await client.open();
${then}
process.stdout.write('ready');
setInterval(() => undefined, 1000);`;

/** Leaves a transaction open, with so much in it that pages have been written to the file and a journal lies beside it. */
const OPEN_TRANSACTION = `
await driver.exec('PRAGMA cache_size = 10; CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes VALUES (1, \\'kept\\')');
await driver.exec("BEGIN IMMEDIATE; UPDATE notes SET body = 'lost'; WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO notes SELECT i, hex(randomblob(100)) FROM n");
`;

let folder = '';
const owners: ChildProcess[] = [];
const drivers: { close(): void }[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'oversync-lock-'));
});
afterEach(async () => {
  for (const owner of owners.splice(0)) owner.kill('SIGKILL');
  for (const driver of drivers.splice(0)) driver.close();
  await rm(folder, { recursive: true, force: true });
});

const file = (): string => join(folder, 'app.db');

function openDriver(kind: Kind): SqliteDriver & { close(): void } {
  const driver = kind.create(file());
  drivers.push(driver);
  return driver;
}

function newClient(driver: SqliteDriver, ownership: 'reject' | 'wait'): SyncClient {
  return createSyncClient({ driver, baseUrl: 'https://h', headers: () => ({}), schema: 'main', tables: [], ownership });
}

async function startOwner(kind: Kind, then = ''): Promise<ChildProcess> {
  const args = ['--conditions=oversync-source', '--input-type=module', '-e', ownerSource(kind, then), file()];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  owners.push(child);
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the owner ended with ${code}`)));
  });
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => {
    child.once('exit', resolve);
  });
  child.kill('SIGKILL');
  await ended;
}

describe.each(KINDS)('[T11] [K31] ownership across processes with $module', (kind) => {
  it('refuses a second process, and hands over to a waiting one when the first is killed', async () => {
    const owner = await startOwner(kind);
    const refused = newClient(openDriver(kind), 'reject');
    await expect(refused.open()).rejects.toMatchObject({ code: 'database_owned', recovery: 'stop' });
    const waiting = newClient(openDriver(kind), 'wait');
    const opening = waiting.open();
    await kill(owner);
    expect(await opening).toEqual({ binding: 'anonymous' });
    await expect(newClient(openDriver(kind), 'reject').open()).rejects.toMatchObject({ code: 'database_owned' });
    await waiting.close();
    const next = newClient(openDriver(kind), 'reject');
    expect(await next.open()).toEqual({ binding: 'anonymous' });
    await next.close();
  });

  it('an owner that is killed inside a transaction blocks nobody, and what it had not committed is gone', async () => {
    const owner = await startOwner(kind, OPEN_TRANSACTION);
    const waiting = kind.module === './node-sqlite3-wasm.ts' ? newClient(openDriver(kind), 'wait') : null;
    const handedOver = waiting?.open();
    await kill(owner);
    await handedOver;
    await waiting?.close();
    for (const driver of drivers.splice(0)) driver.close();
    const driver = openDriver(kind);
    const client = newClient(driver, 'reject');
    await client.open();
    expect((await driver.all('SELECT id, body FROM notes')).map((row) => row.map(String))).toEqual([['1', 'kept']]);
    await driver.run("INSERT INTO notes VALUES (2, 'new')");
    await client.close();
    expect(existsSync(`${file()}.lock`)).toBe(false);
  });
});

describe('the lock of node-sqlite3-wasm', () => {
  const kind = KINDS[2];

  it('is left by a killed process and removed by the next one that opens the file', async () => {
    const owner = await startOwner(kind, OPEN_TRANSACTION);
    expect(existsSync(`${file()}.lock`)).toBe(true);
    await kill(owner);
    expect(existsSync(`${file()}.lock`)).toBe(true);
    const driver = openDriver(kind);
    expect((await driver.all('SELECT body FROM notes'))[0]).toEqual(['kept']);
  });

  it('is left alone while another process that uses the file lives', async () => {
    await startOwner(kind, OPEN_TRANSACTION);
    const driver = openDriver(kind);
    expect(existsSync(`${file()}.lock`)).toBe(true);
    await driver.exec('PRAGMA busy_timeout = 0');
    await expect(driver.all('SELECT body FROM notes')).rejects.toMatchObject({ kind: 'busy' });
  });
});

it('a caller that gives up stops waiting', async () => {
  await startOwner(KINDS[0]);
  const caller = new AbortController();
  const opening = newClient(openDriver(KINDS[0]), 'wait').open({ signal: caller.signal });
  caller.abort();
  await expect(opening).rejects.toMatchObject({ code: 'aborted' });
});
