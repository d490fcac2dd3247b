import { randomUUID } from 'node:crypto';

import { JsonNumber, parseJson } from '@oversync/protocol';
import type { JsonValue } from '@oversync/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { hasContracts, loadFixtures } from '../contracts/fixtures.ts';
import { asArray, asObject, asString } from '../contracts/json.ts';
import type { FixtureObject } from '../contracts/json.ts';
import { openRichDevice, RICH_TABLE_NAMES } from './rich-device.ts';
import type { RichDevice } from './rich-device.ts';
import { signIn, startServerProcess } from './server-process.ts';
import type { ServerProcess } from './server-process.ts';

const MAIN = 'reference-server/src/main.ts';

let server: ServerProcess;
const devices: RichDevice[] = [];
beforeAll(async () => {
  server = await startServerProcess(MAIN, ['--dev', '--test-routes']);
});
afterAll(async () => {
  await Promise.all(devices.map((device) => device.close()));
  await server.stop();
});

async function openDevice(user: string): Promise<RichDevice> {
  const device = await openRichDevice(server.url, user);
  devices.push(device);
  return device;
}

const post = (path: string, body: unknown): Promise<Response> =>
  fetch(`${server.url}${path}`, { method: 'POST', body: JSON.stringify(body) });

describe('the reference server as a process', () => {
  it('asks for a secret unless it is started for development', async () => {
    await expect(startServerProcess(MAIN, [])).rejects.toThrow('JWT_SECRET is not set');
  });

  it('ends with exit code 0 when it is told to stop', async () => {
    const other = await startServerProcess(MAIN, ['--schema', 'places'], { JWT_SECRET: 'a secret of this test only' });
    expect((await fetch(`${other.url}/dummy-signin`, { method: 'POST' })).status).toBe(404);
    expect((await fetch(`${other.url}/test/reset`, { method: 'POST' })).status).toBe(404);
    expect(await other.stop()).toBe(0);
  });

  it('signs in, tells how long the token lasts, and lets pages of every origin call', async () => {
    const answer = await post('/dummy-signin', { user: 'ada', password: 'x' });
    expect(await answer.json()).toEqual({ token: expect.any(String), expires_in: 3600, user: 'ada' });
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    const preflight = await fetch(`${server.url}/sync/pull`, {
      method: 'OPTIONS',
      headers: { 'Access-Control-Request-Method': 'GET', 'Access-Control-Request-Headers': 'authorization,oversync-source-id' },
    });
    expect([preflight.status, preflight.headers.get('access-control-allow-headers')]).toEqual([
      204,
      'authorization,oversync-source-id',
    ]);
  });

  it('syncs a graph of rows over all eight tables, cycles and cascades included', async () => {
    const user = randomUUID();
    const first = await openDevice(user);
    insertGraph(first);
    await first.client.sync();
    const second = await openDevice(user);
    await second.client.sync();
    for (const table of RICH_TABLE_NAMES) {
      const all = `SELECT * FROM ${table} ORDER BY id`;
      expect(second.rows(all), table).toEqual(first.rows(all));
      expect(second.rows(all).length, table).toBeGreaterThan(0);
    }
    second.run(`DELETE FROM categories WHERE parent_id IS NULL`);
    second.run(`DELETE FROM files`);
    await second.client.sync();
    await first.client.sync();
    expect(['categories', 'files', 'file_reviews'].map((table) => first.rows(`SELECT * FROM ${table}`).length)).toEqual([
      0, 0, 0,
    ]);
  });

  it('counts open watch streams of a user', async () => {
    const user = randomUUID();
    const count = async (): Promise<unknown> => (await fetch(`${server.url}/test/watch-subscribers?user_id=${user}`)).json();
    expect(await count()).toEqual({ user_id: user, subscriber_count: 0 });
    const device = await openDevice(user);
    await device.client.sync();
    const gone = new AbortController();
    const headers = { ...(await signIn(server.url, user)), 'Oversync-Source-ID': 'watcher' };
    const stream = await fetch(`${server.url}/sync/watch`, { headers, signal: gone.signal });
    expect(stream.status).toBe(200);
    expect(await count()).toEqual({ user_id: user, subscriber_count: 1 });
    gone.abort();
    while (JSON.stringify(await count()).includes(':1')) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it('wakes a device that watches one process when another process commits', async () => {
    const secret = { JWT_SECRET: 'a secret of both processes' };
    const one = await startServerProcess(MAIN, ['--dev'], secret);
    const other = await startServerProcess(MAIN, ['--dev'], secret, one);
    const gone = new AbortController();
    try {
      const user = randomUUID();
      const headers = { ...(await signIn(one.url, user)), 'Oversync-Source-ID': 'watcher' };
      await fetch(`${one.url}/sync/connect`, { method: 'POST', headers, body: '{}' });
      const stream = await fetch(`${one.url}/sync/watch`, { headers, signal: gone.signal });
      const device = await openRichDevice(other.url, user);
      devices.push(device);
      device.run('INSERT INTO categories VALUES (?, ?, NULL)', randomUUID(), 'from the other process');
      await device.client.sync();
      let heard = '';
      const decoder = new TextDecoder();
      for await (const bytes of stream.body ?? []) {
        heard += decoder.decode(bytes, { stream: true });
        if (heard.includes('event: bundle')) break;
      }
      expect(heard).toMatch(
        /^: connected\n\nevent: bundle\ndata: \{"bundle_seq":1,"source_id":"[^"]+","source_bundle_id":1\}\n\n$/,
      );
    } finally {
      gone.abort();
      await other.stop();
      await one.stop();
    }
  });

  it('forgets bundles when told to, so that a device that was away rebuilds', async () => {
    const user = randomUUID();
    const [first, second] = [await openDevice(user), await openDevice(user)];
    for (const name of ['one', 'two']) {
      first.run('INSERT INTO categories VALUES (?, ?, NULL)', randomUUID(), name);
      await first.client.sync();
    }
    for (const body of [{}, { user_id: user, retained_bundle_floor: 3 }, { user_id: 'nobody', retained_bundle_floor: 1 }]) {
      expect((await post('/test/retention-floor', body)).status).toBe(400);
    }
    const raised = await post('/test/retention-floor', { user_id: user, retained_bundle_floor: 2 });
    expect([raised.status, await raised.json()]).toEqual([200, { user_id: user, retained_bundle_floor: 2 }]);
    await second.client.sync();
    expect(second.rows('SELECT name FROM categories ORDER BY name')).toEqual([{ name: 'one' }, { name: 'two' }]);
  });

  it('starts from nothing after a reset, while it goes on serving', async () => {
    const user = randomUUID();
    const first = await openDevice(user);
    insertGraph(first);
    await first.client.sync();
    expect((await post('/test/reset', {})).status).toBe(200);
    const second = await openDevice(user);
    await second.client.sync();
    expect(second.rows('SELECT * FROM users')).toEqual([]);
    expect(await second.client.lastBundleSeqSeen()).toBe(0n);
    expect((await post('/test/elsewhere', {})).status).toBe(404);
  });
});

describe.skipIf(!hasContracts)('numeric scenarios of the contract', () => {
  it.each(loadScenarios())('$name', async ({ local, committed }) => {
    const user = randomUUID();
    const first = await openDevice(user);
    const names = Object.keys(local);
    const row = { enabled_flag: '0', ...local };
    const columns = Object.keys(row);
    const sql = `INSERT INTO typed_rows (id, name, ${columns.join(', ')}) VALUES (?, 'n', ${columns.map(() => '?').join(', ')})`;
    first.run(sql, randomUUID(), ...columns.map((name) => toLocalValue(name, asString(Reflect.get(row, name)))));
    await first.client.sync();
    const payload = await pullPayload(user);
    expect(Object.fromEntries(names.map((name) => [name, spell(payload[name])]))).toEqual(committed);
    const second = await openDevice(user);
    await second.client.sync();
    const columnsSql = `SELECT ${names.join(', ')} FROM typed_rows`;
    expect(second.rows(columnsSql)).toEqual([toLocalRow(committed)]);
    expect(first.rows(columnsSql)).toEqual(second.rows(columnsSql));
  });
});

interface Scenario {
  readonly name: string;
  readonly local: FixtureObject;
  readonly committed: FixtureObject;
}

function loadScenarios(): readonly Scenario[] {
  return loadFixtures('rich-schema')
    .flatMap(({ content }) => asArray(asObject(content)['numericScenarios']))
    .map((each) => {
      const { name, local, committed } = asObject(each);
      return { name: asString(name), local: asObject(local), committed: asObject(committed) };
    });
}

/** The payload of the only row of a user, as the server sends it. */
async function pullPayload(user: string): Promise<Readonly<Record<string, JsonValue>>> {
  const headers = { ...(await signIn(server.url, user)), 'Oversync-Source-ID': 'reader' };
  const text = await (await fetch(`${server.url}/sync/pull?after_bundle_seq=0`, { headers })).text();
  const found = /"payload":(\{[^}]*\})/.exec(text)?.[1];
  const payload = parseJson(found ?? '', { depthMax: 10 });
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload) || payload instanceof JsonNumber)
    throw new Error(`no payload in ${text}`);
  return payload;
}

function spell(value: JsonValue | undefined): string {
  if (value instanceof JsonNumber) return value.lexeme;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

const REAL_COLUMNS: ReadonlySet<string> = new Set(['rating', 'float4_value']);

/** A value as SQLite holds it. */
function toLocalValue(name: string, text: string): string | bigint | number {
  if (REAL_COLUMNS.has(name)) return Number(text);
  if (name === 'exact_amount') return text;
  if (name === 'enabled_flag' && /^[tf]/.test(text)) return text === 'true' ? 1n : 0n;
  return BigInt(text);
}

function toLocalRow(texts: FixtureObject): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, toLocalValue(name, asString(text))]));
}

function insertGraph(device: RichDevice): void {
  const now = '2026-03-24T18:42:11.12Z';
  const [user, post, team, member, root, child] = Array.from({ length: 6 }, () => randomUUID());
  if (user === undefined || post === undefined || team === undefined) throw new Error('six keys are needed');
  const [file, review] = [randomUUID(), randomUUID()].map((key) => Buffer.from(key.replaceAll('-', ''), 'hex'));
  if (member === undefined || root === undefined || child === undefined || file === undefined || review === undefined)
    throw new Error('six keys are needed');
  device.run('BEGIN');
  device.run('INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?)', post, 'a post', 'quotes " and \\', user, now, now);
  device.run('INSERT INTO users VALUES (?, ?, ?, ?, ?)', user, 'Ada', 'ada@example.com', now, now);
  device.run('INSERT INTO categories VALUES (?, ?, ?)', child, 'child', root);
  device.run('INSERT INTO categories VALUES (?, ?, NULL)', root, 'root');
  device.run('INSERT INTO teams VALUES (?, ?, ?)', team, 'a team', member);
  device.run('INSERT INTO team_members VALUES (?, ?, ?)', member, 'a captain', team);
  device.run('INSERT INTO file_reviews VALUES (?, ?, ?)', review, 'good', file);
  device.run('INSERT INTO files VALUES (?, ?, ?)', file, 'a file', new Uint8Array([0, 1, 255]));
  device.run(
    'INSERT INTO typed_rows VALUES (?, ?, NULL, ?, 1, 2, ?, 1, ?, 0.5, ?, ?)',
    randomUUID(),
    'typed',
    9_007_199_254_740_993n,
    '12.50',
    0.1,
    new Uint8Array([7]),
    now,
  );
  device.run('COMMIT');
}
