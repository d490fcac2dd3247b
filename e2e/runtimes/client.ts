/**
 * The life of a client in one run, for JavaScript runtimes that have no test runner of ours:
 *
 *     bun --conditions=oversync-source e2e/runtimes/client.ts node-sqlite
 *     deno run -A --conditions=oversync-source --node-modules-dir=manual --no-lock e2e/runtimes/client.ts node-sqlite
 *
 * Runs the driver suite, then two devices and a server of one scope over HTTP. Prints a line per step; ends with 1 when one fails.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { createSyncClient } from '@oversync/client';
import type { SqliteDriver, SyncClient } from '@oversync/client';
import { sqliteDriverChecks } from '@oversync/client/testing';

import { TestServer } from '../../packages/client/src/engine/test-server.ts';

interface ClosableDriver extends SqliteDriver {
  close(): void;
}

/** Each driver on a file, or in memory where it has none here. */
const DRIVERS: Readonly<Record<string, (path: string) => Promise<ClosableDriver>>> = {
  'node-sqlite': async (path) => (await import('@oversync/client/node-sqlite')).createNodeSqliteDriver(path),
  'better-sqlite3': async (path) => (await import('@oversync/client/better-sqlite3')).createBetterSqlite3Driver(path),
  'node-sqlite3-wasm': async (path) => (await import('@oversync/client/node-sqlite3-wasm')).createNodeSqlite3WasmDriver(path),
  'sqlite-wasm': async () => {
    const { createSqliteWasmDriver } = await import('@oversync/client/sqlite-wasm');
    const { default: load } = await import('@sqlite.org/sqlite-wasm');
    return createSqliteWasmDriver({ sqlite3: await load() });
  },
};

export const DRIVER_NAMES: readonly string[] = Object.keys(DRIVERS);

/** Runs everything with one driver. Returns what does not hold. */
export async function runClient(driverName: string, log: (line: string) => void): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'oversync-runtime-'));
  const open = DRIVERS[driverName];
  if (open === undefined) return [`no driver ${driverName}`];
  let files = 0;
  const nextDriver = (): Promise<ClosableDriver> => open(join(folder, `${String((files += 1))}.db`));
  try {
    const failed = await runChecks(nextDriver);
    log(`driver suite: ${String(sqliteDriverChecks.length - failed.length)} of ${String(sqliteDriverChecks.length)}`);
    return [...failed, ...(await syncTwoDevices(nextDriver, log))];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runChecks(nextDriver: () => Promise<ClosableDriver>): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const check of sqliteDriverChecks) {
    const driver = await nextDriver();
    try {
      await check.run(driver);
    } catch (error) {
      failed.push(`${check.name}: ${String(error)}`);
    } finally {
      driver.close();
    }
  }
  return failed;
}

async function syncTwoDevices(
  nextDriver: () => Promise<ClosableDriver>,
  log: (line: string) => void,
): Promise<readonly string[]> {
  const server = new TestServer([{ table: 'users', key: 'id' }]);
  const http = await listen(server);
  const drivers = [await nextDriver(), await nextDriver()] as const;
  const [first, second] = drivers;
  const clients = [await openClient(first, http.url), await openClient(second, http.url)] as const;
  try {
    return await live({ server, first, second, clients, log });
  } finally {
    for (const client of clients) await client.close();
    for (const driver of drivers) driver.close();
    await http.close();
  }
}

interface Devices {
  readonly server: TestServer;
  readonly first: SqliteDriver;
  readonly second: SqliteDriver;
  readonly clients: readonly [SyncClient, SyncClient];
  readonly log: (line: string) => void;
}

async function live({ server, first, second, clients: [here, there], log }: Devices): Promise<readonly string[]> {
  const failed: string[] = [];
  const expectUsers = async (step: string, driver: SqliteDriver, users: string): Promise<void> => {
    const rows = await driver.all("SELECT id || '=' || name FROM users ORDER BY id");
    const found = rows.map(([text]) => String(text)).join(' ');
    log(`${step}: ${found}`);
    if (found !== users) failed.push(`${step}: ${users} was expected`);
  };
  await first.run("INSERT INTO users VALUES ('u1', 'Ada'), ('u2', 'Eve')");
  await here.attach('user');
  await here.sync();
  await there.attach('user');
  await expectUsers('attach with a rebuild', second, 'u1=Ada u2=Eve');
  await second.run("UPDATE users SET name = 'Zoë' WHERE id = 'u1'");
  await there.sync();
  await first.run("UPDATE users SET name = 'lost to the server' WHERE id = 'u1'");
  const shown: string[] = [];
  const end = here.liveQuery("SELECT name FROM users WHERE id = 'u1'").subscribe((rows) => shown.push(String(rows[0]?.[0])));
  await here.sync();
  await expectUsers('conflict and pull', first, 'u1=Zoë u2=Eve');
  const loop = here.start({ uploadDebounceMs: 1 });
  await here.write((tx) => tx.run("INSERT INTO users VALUES ('u3', 'by the loop')"));
  await until(() => server.rowsOf('users')['u3'] !== undefined && shown.at(-1) === 'Zoë');
  await loop.stop();
  end();
  await here.rebuild();
  await expectUsers('loop, live query and rebuild', first, 'u1=Zoë u2=Eve u3=by the loop');
  return failed;
}

async function openClient(driver: SqliteDriver, baseUrl: string): Promise<SyncClient> {
  await driver.exec('CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL)');
  const client = createSyncClient({
    driver,
    baseUrl,
    headers: () => ({}),
    schema: 'main',
    tables: [{ tableName: 'users', syncKeyColumnName: 'id' }],
  });
  await client.open();
  return client;
}

/** Time after which something that should happen is taken for lost. */
const PATIENCE_MS = 10_000;

async function until(isSo: () => boolean): Promise<void> {
  for (let waitedMs = 0; !isSo(); waitedMs += 10) {
    if (waitedMs > PATIENCE_MS) throw new Error('it never happened');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function listen(sync: TestServer): Promise<{ readonly url: string; close(): Promise<void> }> {
  const http: Server = createServer((incoming, outgoing) => {
    const parts: Uint8Array[] = [];
    incoming.on('data', (part: Uint8Array) => parts.push(part));
    incoming.on('end', () => {
      const { method = 'GET', url = '/' } = incoming;
      const headers = new Headers();
      for (const [name, value] of Object.entries(incoming.headers)) if (typeof value === 'string') headers.set(name, value);
      const body = method === 'GET' || method === 'DELETE' ? {} : { body: Buffer.concat(parts) };
      void sync.fetch(new Request(new URL(url, 'http://127.0.0.1'), { method, headers, ...body })).then(async (answer) => {
        outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
        outgoing.end(Buffer.from(await answer.arrayBuffer()));
      });
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  http.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = http.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    url: `http://127.0.0.1:${String(address.port)}`,
    close: () =>
      new Promise((ended) => {
        http.closeAllConnections();
        http.close(() => ended());
      }),
  };
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const failed = await runClient(process.argv[2] ?? '', (line) => console.log(line));
  for (const line of failed) console.error(line);
  process.exit(failed.length === 0 ? 0 : 1);
}
