import { array, assert, asyncProperty, constantFrom, integer, record } from 'fast-check';
import { afterEach, expect, test } from 'vitest';

import type { SyncServer } from './create-sync-server.ts';
import { compareUtf16 } from './rules/table-description.ts';
import { createRequest, manyNotes, newScope, NOTES_TABLE, openTestServer, pushNotes, readAnswer } from './test-server.ts';
import type { Answer, TestServer, TestServerOptions } from './test-server.ts';

const DDL = `
CREATE SCHEMA business;
CREATE TABLE business.notes (_sync_scope_id text NOT NULL, id text NOT NULL, title text NOT NULL, amount int8, PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.parts (_sync_scope_id text NOT NULL, id uuid NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id));`;
const TABLES = [NOTES_TABLE, { schema: 'business', table: 'parts', syncKeyColumn: 'id' }] as const;
/** A server that never publishes the columns: a push makes one that only has not looked yet look. */
const WITHOUT_COLUMNS = [{ ...NOTES_TABLE, columns: ['id', 'title', 'amount'] }, TABLES[1]];
/** Both kinds of columns: one that every row may take early, and one that only unchanged rows may. */
const CHANGE = `
ALTER TABLE business.notes ADD COLUMN colour text DEFAULT 'white', ADD COLUMN code int4;
CREATE UNIQUE INDEX notes_code ON business.notes (_sync_scope_id, code);
ALTER TABLE business.parts ADD COLUMN at timestamptz;`;

interface PulledRow {
  readonly table: string;
  readonly op: string;
  readonly key: { readonly id: string };
  readonly payload?: Readonly<Record<string, string | null>>;
}

interface World {
  /** Does not know the columns of {@link CHANGE}, and does not look again. */
  readonly older: SyncServer;
  readonly newer: SyncServer;
  readonly target: TestServer;
  readonly scope: string;
}

let target: TestServer | undefined;
afterEach(async () => target?.close());

async function openWorld(options: TestServerOptions = {}): Promise<World> {
  target = await openTestServer({
    ddl: DDL,
    registeredTables: TABLES,
    catalogRefreshIntervalMs: 3_600_000,
    poolMax: 10,
    ...options,
  });
  await target.script(CHANGE);
  const newer = await target.second({ registeredTables: TABLES });
  return { older: target.server, newer, target, scope: newScope() };
}

/** One server write, with `$1` and so on. */
function write(world: World, server: SyncServer, ...statements: readonly (readonly [string, ...(string | null)[]])[]) {
  return server.scopes.execWrite(world.scope, { writerId: 'worker' }, async (tx) => {
    for (const [sql, ...params] of statements) await tx.query(sql, params);
  });
}

const RETITLE = `UPDATE business.notes SET title = $2 WHERE _sync_scope_id = current_setting('oversync.scope_id') AND id = $1`;

const call = async (server: SyncServer, path: string, world: World): Promise<Answer> =>
  readAnswer(await server.fetch(createRequest('GET', path, { scope: world.scope, source: 'reader' })));

async function pullPage(world: World, after: number, maxBundles = 1000): Promise<Answer> {
  const answer = await call(world.newer, `/sync/pull?after_bundle_seq=${String(after)}&max_bundles=${String(maxBundles)}`, world);
  if (answer.status !== 200) throw new Error(answer.text);
  return answer;
}

const rowsOf = (answer: Answer): readonly PulledRow[] =>
  answer.json.bundles.flatMap((bundle) => bundle.rows as unknown as readonly PulledRow[]);

async function storedShapes(world: World): Promise<readonly string[]> {
  const { rows } = await world.target.query('SELECT DISTINCT unnest(shape_keys) FROM sync.bundle_block ORDER BY 1');
  return rows.map(([key]) => key ?? '');
}

test('[I9] [I17] [O1] a row that a server without the column writes reaches devices with the value that the table holds', async () => {
  const world = await openWorld();
  await write(world, world.newer, [
    `INSERT INTO business.notes (id, title, colour, code) VALUES ('a', 't', 'red', 7), ('b', 't', NULL, 8)`,
  ]);
  await write(
    world,
    world.older,
    [RETITLE, 'a', 'u'],
    [RETITLE, 'b', 'u'],
    [`INSERT INTO business.notes (id, title) VALUES ('c', 't')`],
  );
  expect(await storedShapes(world)).toEqual(['1:1', '1:2']);
  const payloads = rowsOf(await pullPage(world, 1)).map(({ payload }) => payload);
  expect(payloads).toEqual([
    { amount: null, code: '7', colour: 'red', id: 'a', title: 'u' },
    { amount: null, code: '8', colour: null, id: 'b', title: 'u' },
    { amount: null, code: null, colour: 'white', id: 'c', title: 't' },
  ]);
});

test('[I9] values of several tables, with keys of all kinds, are written as the server writes them', async () => {
  const world = await openWorld();
  const keys = ['Ab', 'ab', `q'"\\`, ' é\u2028😀', '{},[]'];
  const uuid = '0A1B2C3D-0000-4000-8000-00000000000F';
  await write(
    world,
    world.newer,
    ...keys.map(
      (key, index) => [`INSERT INTO business.notes (id, title, colour) VALUES ($1, 't', $2)`, key, `c${String(index)}`] as const,
    ),
    [`INSERT INTO business.parts (id, name, at) VALUES ($1, 'n', '2026-02-03 04:05:06.789+01')`, uuid],
  );
  await write(world, world.older, ...keys.map((key) => [RETITLE, key, 'u'] as const), [
    `UPDATE business.parts SET name = 'm' WHERE id = $1`,
    uuid,
  ]);
  const held = rowsOf(await pullPage(world, 0)).map((row) =>
    JSON.stringify([row.key, row.payload?.['colour'], row.payload?.['at']]),
  );
  const [before, after] = [held.slice(0, keys.length + 1), held.slice(keys.length + 1)];
  expect(after.toSorted(compareUtf16)).toEqual(before.toSorted(compareUtf16));
  expect(held.some((row) => row.includes('2026-02-03T03:05:06.789+00:00'))).toBe(true);
});

test('a row that is gone is shown with the recorded value, and its deletion follows', async () => {
  const world = await openWorld();
  await write(world, world.older, [`INSERT INTO business.notes (id, title) VALUES ('a', 't')`]);
  await write(world, world.newer, [`UPDATE business.notes SET colour = 'red'`]);
  await write(world, world.older, [`DELETE FROM business.notes WHERE id = 'a'`]);
  const rows = rowsOf(await pullPage(world, 0));
  expect(rows.map(({ op, payload }) => [op, payload?.['colour']])).toEqual([
    ['INSERT', 'white'],
    ['UPDATE', 'red'],
    ['DELETE', undefined],
  ]);
});

test('a later value comes early, except where a unique index or a foreign key could refuse it', async () => {
  const world = await openWorld();
  await write(world, world.older, [`INSERT INTO business.notes (id, title) VALUES ('a', 't')`]);
  await write(world, world.newer, [`UPDATE business.notes SET colour = 'red', code = 5`]);
  const rows = rowsOf(await pullPage(world, 0)).map(({ payload }) => [payload?.['colour'], payload?.['code']]);
  expect(rows).toEqual([
    ['red', null],
    ['red', '5'],
  ]);
});

test('a column that was dropped and added again with another type has the values of the table', async () => {
  const world = await openWorld();
  await write(world, world.older, [`INSERT INTO business.notes (id, title, amount) VALUES ('a', 't', 9)`]);
  await world.target.script(
    `ALTER TABLE business.notes DROP COLUMN amount; ALTER TABLE business.notes ADD COLUMN amount jsonb DEFAULT '{"n":1.50}'`,
  );
  const latest = { ...world, newer: await world.target.second() };
  expect(rowsOf(await pullPage(latest, 0))).toMatchObject([{ payload: { amount: { n: 1.5 } } }]);
  await world.target.script(`ALTER TABLE business.notes ALTER COLUMN amount TYPE text USING 'was ' || amount::text`);
  const last = { ...world, newer: await world.target.second() };
  expect(rowsOf(await pullPage(last, 0))).toMatchObject([{ payload: { amount: 'was {"n": 1.50}' } }]);
});

test('rows that are read back after a push stay the bytes that were hashed', async () => {
  const world = await openWorld({ registeredTables: WITHOUT_COLUMNS });
  await world.target.call('POST', '/sync/connect', { scope: world.scope, body: {} });
  await pushNotes(world.target, 1, [{ op: 'INSERT', id: 'a' }], { scope: world.scope });
  const path = '/sync/committed-bundles/1/rows';
  const [older, newer] = [await call(world.older, path, world), await call(world.newer, path, world)];
  expect(newer.text).toBe(older.text);
  expect(newer.text).not.toContain('colour');
});

test('[I15] looking values up takes as many round trips for a thousand rows as for one', async () => {
  const world = await openWorld({ registeredTables: WITHOUT_COLUMNS });
  await world.target.call('POST', '/sync/connect', { scope: world.scope, body: {} });
  await pushNotes(world.target, 1, manyNotes(1), { scope: world.scope });
  await pushNotes(world.target, 2, manyNotes(1000, 'm'), { scope: world.scope });
  const one = await world.target.counting.measure(() => pullPage(world, 0, 1));
  const thousand = await world.target.counting.measure(() => pullPage(world, 1, 1));
  expect(thousand).toBe(one);
});

test('values that make too large a page leave bundles for the next one, and a bundle that is too large is sent in parts', async () => {
  const world = await openWorld();
  const small = await world.target.second({ maxBytesPerPullPage: 100_000 });
  const insert = (id: string) =>
    [`INSERT INTO business.notes (id, title, colour) VALUES ($1, 't', repeat($1, 20000))`, id] as const;
  await write(world, world.newer, ...['a', 'b', 'c'].map(insert));
  await write(world, world.newer, ...'defghijklm'.split('').map(insert));
  await write(world, world.older, [RETITLE, 'a', 'u']);
  await write(world, world.older, [RETITLE, 'b', 'u']);
  await write(world, world.older, [`UPDATE business.notes SET title = 'v'`]);
  await write(world, world.older, [RETITLE, 'c', 'w']);
  const pages: Answer[] = [];
  for (let after = 2; after < 6; after = pages.at(-1)?.json.bundles.at(-1)?.bundle_seq ?? Infinity) {
    pages.push(await pullPage({ ...world, newer: small }, after));
  }
  expect(pages.map(({ json }) => [json.bundles.map(({ bundle_seq }) => bundle_seq), json.has_more])).toEqual([
    [[3, 4], true],
    [[5], true],
    [[6], false],
  ]);
  const rows = pages.flatMap(rowsOf);
  expect(rows).toHaveLength(2 + 13 + 1);
  for (const { key, payload } of rows) expect(payload?.['colour']).toBe(key.id.repeat(20_000));
  const reported = world.target.events.flatMap((event) => (event.name === 'pullPage' ? [[event.bundles, event.rows]] : []));
  expect(reported).toEqual([
    [2, 2],
    [1, 13],
    [1, 1],
  ]);
});

interface Step {
  readonly server: 'older' | 'newer';
  readonly kind: 'put' | 'colour' | 'delete';
  readonly id: string;
  readonly text: string | null;
}

const OWN = `_sync_scope_id = current_setting('oversync.scope_id')`;
const STEPS: Readonly<Record<Step['kind'], string>> = {
  put: `INSERT INTO business.notes (id, title) VALUES ($1, coalesce($2, '-'))
    ON CONFLICT (_sync_scope_id, id) DO UPDATE SET title = excluded.title || '!'`,
  colour: `UPDATE business.notes SET colour = $2 WHERE ${OWN} AND id = $1`,
  delete: `DELETE FROM business.notes WHERE ${OWN} AND id = $1 AND coalesce($2, '') <> 'kept'`,
};

/** Every write touches a row that always exists, too: a write that changes nothing is refused. */
async function takeSteps(world: World, steps: readonly Step[]): Promise<void> {
  for (const { server, kind, id, text } of steps)
    await write(world, world[server], [STEPS[kind], id, text], [STEPS.put, 'always', text]);
}

/** Applies pages as a device does, until the writers have ended and nothing is left. */
async function followUntil(world: World, writing: Promise<void>, maxBundles: number): Promise<ReadonlyMap<string, unknown>> {
  const held = new Map<string, unknown>();
  let isOver = false;
  const finished = writing.finally(() => {
    isOver = true;
  });
  finished.catch(() => undefined);
  let after = 0;
  for (let isLast = false; !isLast;) {
    const wasOver = isOver;
    const page = await pullPage(world, after, maxBundles);
    for (const { op, key, payload } of rowsOf(page)) {
      if (op === 'DELETE') held.delete(key.id);
      else held.set(key.id, payload);
    }
    after = page.json.bundles.at(-1)?.bundle_seq ?? after;
    isLast = wasOver && !page.json.has_more;
  }
  await finished;
  return held;
}

test('[I17] whoever pulls, in pages of any size and while writers of both kinds go on, holds what the table holds in the end', async () => {
  const world = await openWorld();
  const step = record({
    server: constantFrom('older' as const, 'newer' as const),
    kind: constantFrom('put' as const, 'put' as const, 'colour' as const, 'delete' as const),
    id: constantFrom('a', 'b', 'c'),
    text: constantFrom('x', 'y', 'kept', null),
  });
  const follow = async (steps: readonly Step[], maxBundles: number): Promise<void> => {
    const inScope = { ...world, scope: newScope() };
    await takeSteps(inScope, [{ server: 'older', kind: 'put', id: 'a', text: 'first' }]);
    const held = await followUntil(inScope, takeSteps(inScope, steps), maxBundles);
    const sql = 'SELECT id, title, colour FROM business.notes WHERE _sync_scope_id = $1';
    const { rows } = await world.target.query(sql, [inScope.scope]);
    const expected = rows.map(([id, title, colour]) => [id, { amount: null, code: null, colour, id, title }]);
    expect(Object.fromEntries(held)).toEqual(Object.fromEntries(expected));
  };
  await assert(asyncProperty(array(step, { minLength: 10, maxLength: 25 }), integer({ min: 1, max: 5 }), follow), { numRuns: 8 });
});
