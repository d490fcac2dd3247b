import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { PgFault } from '../ports/postgres.ts';
import type { Postgres } from '../ports/postgres.ts';
import { createRequest, manyNotes, newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { NoteRow, TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer();
});
afterAll(() => target.close());

async function openScope(bundles: readonly (readonly NoteRow[])[] = []): Promise<string> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  for (const [index, rows] of bundles.entries()) await pushNotes(target, index + 1, rows, { scope });
  return scope;
}

const oneRow = (count: number): NoteRow[][] =>
  Array.from({ length: count }, (_, index) => [{ op: 'INSERT', id: `n-${String(index)}` }]);
const pull = (scope: string, query = '') => target.call('GET', `/sync/pull${query}`, { scope });
const setFloor = (scope: string, floor: number) =>
  target.query('UPDATE sync.scope SET floor = $2 WHERE scope_id = $1', [scope, String(floor)]);

test('an initialized scope without history gives an empty page', async () => {
  const scope = await openScope();
  expect((await pull(scope)).json).toStrictEqual({ stable_bundle_seq: 0, bundles: [], has_more: false });
});

test('pages follow each other up to a ceiling that stays, whatever is committed meanwhile', async () => {
  const scope = await openScope(oneRow(5));
  const first = await pull(scope, '?max_bundles=2');
  expect(first.json).toMatchObject({ stable_bundle_seq: 5, has_more: true });
  await pushNotes(target, 6, [{ op: 'INSERT', id: 'late' }], { scope });
  const seen = first.json.bundles.map((bundle) => bundle.bundle_seq);
  for (let after = 2, hasMore = true; hasMore;) {
    const page = await pull(scope, `?after_bundle_seq=${String(after)}&target_bundle_seq=5&max_bundles=2`);
    expect(page.json.stable_bundle_seq).toBe(5);
    seen.push(...page.json.bundles.map((bundle) => bundle.bundle_seq));
    after = seen.at(-1) ?? 0;
    hasMore = page.json.has_more;
  }
  expect(seen).toStrictEqual([1, 2, 3, 4, 5]);
});

test('has_more is false when the page ends exactly at the ceiling', async () => {
  const scope = await openScope(oneRow(2));
  expect((await pull(scope, '?max_bundles=2')).json.has_more).toBe(false);
  expect((await pull(scope, '?max_bundles=1')).json.has_more).toBe(true);
  expect((await pull(scope, '?after_bundle_seq=2')).json).toStrictEqual({ stable_bundle_seq: 2, bundles: [], has_more: false });
});

test('[C1] [C4] history is pruned if and only if after is below the floor, and a checkpoint beyond the head is told so', async () => {
  const scope = await openScope(oneRow(4));
  await setFloor(scope, 2);
  const answers = [];
  for (const after of [0, 1, 2, 3, 4, 5]) {
    const { status, json } = await pull(scope, `?after_bundle_seq=${String(after)}`);
    answers.push(status === 200 ? json.bundles.length : json.error);
  }
  expect(answers).toStrictEqual(['history_pruned', 'history_pruned', 2, 1, 0, 'checkpoint_ahead']);
});

test('[C4] the target is checked like the checkpoint, after it, and must not be below it', async () => {
  const scope = await openScope(oneRow(4));
  await setFloor(scope, 2);
  const code = async (query: string) => {
    const { status, json } = await pull(scope, query);
    return status === 200 ? 'accepted' : json.error;
  };
  expect(await code('?after_bundle_seq=2&target_bundle_seq=1')).toBe('history_pruned');
  expect(await code('?after_bundle_seq=2&target_bundle_seq=9')).toBe('checkpoint_ahead');
  expect(await code('?after_bundle_seq=9&target_bundle_seq=1')).toBe('checkpoint_ahead');
  expect(await code('?after_bundle_seq=4&target_bundle_seq=3')).toBe('invalid_request');
  expect(await code('?after_bundle_seq=3&target_bundle_seq=3')).toBe('accepted');
});

test('deleted rows come without payload, and the rows of a bundle are in upload order', async () => {
  const scope = await openScope([
    [
      { op: 'INSERT', id: 'b' },
      { op: 'INSERT', id: 'a' },
    ],
    [{ op: 'DELETE', id: 'b', base: 1 }],
  ]);
  const { json } = await pull(scope);
  expect(json.bundles[0]?.rows.map((row) => row.key.id)).toStrictEqual(['b', 'a']);
  expect(json.bundles[1]?.rows).toStrictEqual([
    { schema: 'business', table: 'notes', key: { id: 'b' }, op: 'DELETE', row_version: 2 },
  ]);
});

test('numbers beyond 53 bits keep every digit', async () => {
  const scope = await openScope([[{ op: 'INSERT', id: 'n', amount: '9007199254740993' }]]);
  expect((await pull(scope)).text).toContain('"amount":"9007199254740993"');
});

test('[P1] a page ends at the byte budget but always holds one bundle, and a bundle above it is sent in batches', async () => {
  const small = await target.second({ maxBytesPerPullPage: 2000, maxBufferedResponseBytes: 200_000 });
  const scope = await openScope([manyNotes(3, 'a'), manyNotes(3, 'b'), manyNotes(2500, 'c'), manyNotes(1, 'd')]);
  const read = async (after: number) => {
    const response = await small.fetch(createRequest('GET', `/sync/pull?after_bundle_seq=${String(after)}`, { scope }));
    return (await response.json()) as {
      bundles: { bundle_seq: number; row_count: number; rows: { key: { id: string } }[] }[];
      has_more: boolean;
    };
  };
  const first = await read(0);
  expect(first.bundles.map((bundle) => bundle.bundle_seq)).toStrictEqual([1, 2]);
  expect(first.has_more).toBe(true);
  const large = await read(2);
  expect(large.bundles).toHaveLength(1);
  expect(large.bundles[0]?.rows.map((row) => row.key.id)).toStrictEqual(manyNotes(2500, 'c').map((row) => row.id));
  expect((await read(3)).bundles[0]?.rows).toHaveLength(1);
});

test('[P1] a connection is free before the client has read its page', async () => {
  const scope = await openScope([manyNotes(2000)]);
  const response = await target.raw('GET', '/sync/pull', { scope });
  expect(target.counting.openTransactions).toBe(0);
  expect(((await response.json()) as { bundles: unknown[] }).bundles).toHaveLength(1);
});

/** Notes of some 600 bytes each, so that a few bundles make a page that is streamed. */
const wideNotes = (count: number, prefix: string): NoteRow[] =>
  manyNotes(count, prefix).map((row) => ({ ...row, title: `${row.id} ü "q" `.repeat(20) }));

test('[P1] a page that is streamed holds the same bytes as its bundles one by one, and frees its connection unread', async () => {
  const scope = await openScope([
    wideNotes(1500, 'a'),
    [{ op: 'DELETE', id: 'a-000001', base: 1 }],
    wideNotes(1500, 'b'),
    oneRow(1)[0] ?? [],
  ]);
  const single = await Promise.all([0, 1, 2, 3].map((after) => pull(scope, `?after_bundle_seq=${String(after)}&max_bundles=1`)));
  const bundles = single.map(({ text }) => text.slice(text.indexOf('['), text.lastIndexOf(']')).slice(1));
  const response = await target.raw('GET', '/sync/pull', { scope });
  await vi.waitFor(() => expect(target.counting.openTransactions).toBe(0));
  const text = await response.text();
  expect(text.length).toBeGreaterThan(1024 * 1024);
  expect(text).toBe(`{"stable_bundle_seq":4,"bundles":[${bundles.join(',')}],"has_more":false}`);
});

/** Lets every COPY to the client fail after so many chunks. */
function failCopies(db: Postgres, chunkCount: number, faults: { left: number }): Postgres {
  return {
    features: db.features,
    query: (...args) => db.query(...args),
    transaction: (begin, fn) =>
      db.transaction(begin, (tx) =>
        fn({
          query: (...args) => tx.query(...args),
          script: (sql) => tx.script(sql),
          copyFrom: (...args) => tx.copyFrom(...args),
          copyTo: async function* (sql) {
            let count = 0;
            for await (const chunk of tx.copyTo(sql)) {
              if (count === chunkCount && faults.left > 0) {
                faults.left -= 1;
                throw new PgFault('canceled', { sqlState: '40001' });
              }
              count += 1;
              yield chunk;
            }
          },
        }),
      ),
  };
}

test('a page that breaks off while it is streamed never looks whole, is not read again, and gives its memory back', async () => {
  const scope = await openScope([wideNotes(1500, 'a'), wideNotes(1500, 'b')]);
  const faults = { left: 1 };
  const failing = await target.second({ database: failCopies(target.db, 2, faults), maxBufferedResponseBytes: 4 * 1024 * 1024 });
  const response = await failing.fetch(createRequest('GET', '/sync/pull', { scope }));
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow('broke off');
  expect(faults.left).toBe(0);
  // The budget has room for one such page only.
  for (let time = 0; time < 3; time += 1) {
    const again = await failing.fetch(createRequest('GET', '/sync/pull', { scope }));
    expect(((await again.json()) as { bundles: unknown[] }).bundles).toHaveLength(2);
  }
});

test('a page that PostgreSQL refuses before its first byte is read again, or answered with an error', async () => {
  const scope = await openScope([wideNotes(1500, 'a'), wideNotes(1500, 'b')]);
  const once = await target.second({ database: failCopies(target.db, 0, { left: 1 }) });
  const response = await once.fetch(createRequest('GET', '/sync/pull', { scope }));
  expect(((await response.json()) as { bundles: unknown[] }).bundles).toHaveLength(2);
  const always = await target.second({ database: failCopies(target.db, 0, { left: 99 }), retry: { attempts: 2, baseMs: 1 } });
  expect((await always.fetch(createRequest('GET', '/sync/pull', { scope }))).status).toBe(503);
});

test('a client that leaves a streamed page half-way frees connection and memory', async () => {
  const scope = await openScope([wideNotes(1500, 'a'), wideNotes(1500, 'b')]);
  const small = await target.second({ maxBufferedResponseBytes: 4 * 1024 * 1024 });
  for (let time = 0; time < 5; time += 1) {
    const gone = new AbortController();
    const response = await small.fetch(createRequest('GET', '/sync/pull', { scope, signal: gone.signal }));
    const reader = response.body?.getReader();
    await reader?.read();
    if (time % 2 === 0) gone.abort();
    await reader?.cancel();
  }
  await vi.waitFor(() => expect(target.counting.openTransactions).toBe(0));
  const response = await small.fetch(createRequest('GET', '/sync/pull', { scope }));
  expect(((await response.json()) as { bundles: unknown[] }).bundles).toHaveLength(2);
});

test('a large bundle that is pruned while it is sent breaks the body off', async () => {
  const small = await target.second({ maxBytesPerPullPage: 2000 });
  const scope = await openScope([manyNotes(2500)]);
  const response = await small.fetch(createRequest('GET', '/sync/pull', { scope }));
  const reader = response.body?.getReader();
  for (let piece = 0; piece < 3; piece += 1) await reader?.read();
  await target.query('DELETE FROM sync.bundle_block WHERE scope_pk = (SELECT scope_pk FROM sync.scope WHERE scope_id = $1)', [
    scope,
  ]);
  await expect(
    (async () => {
      while ((await reader?.read())?.done === false);
    })(),
  ).rejects.toThrow('pruned');
});

test('responses are compressed when the request accepts it', async () => {
  const scope = await openScope([manyNotes(50)]);
  const response = await target.raw('GET', '/sync/pull', { scope, headers: { 'accept-encoding': 'gzip' } });
  expect(response.headers.get('content-encoding')).toBe('gzip');
  const text = await new Response(response.body?.pipeThrough(new DecompressionStream('gzip'))).text();
  expect(text).toBe((await pull(scope)).text.trim());
});

test('committed rows come in pages by rows, and repeat the header on each', async () => {
  const scope = await openScope([manyNotes(1203)]);
  const ids: string[] = [];
  let query = '';
  for (let pages = 0; pages < 10; pages += 1) {
    const { status, json } = await target.call('GET', `/sync/committed-bundles/1/rows?max_rows=500${query}`, { scope });
    expect(status).toBe(200);
    expect(json).toMatchObject({ bundle_seq: 1, row_count: 1203, source_id: 'device-a', source_bundle_id: 1 });
    ids.push(...json.rows.map((row) => row.key.id));
    expect(json.next_row_ordinal).toBe(ids.length - 1);
    if (!json.has_more) break;
    query = `&after_row_ordinal=${String(json.next_row_ordinal)}`;
  }
  expect(ids).toStrictEqual(manyNotes(1203).map((row) => row.id));
  const past = await target.call('GET', '/sync/committed-bundles/1/rows?after_row_ordinal=1202', { scope });
  expect(past.json).toMatchObject({ rows: [], next_row_ordinal: 1202, has_more: false });
});

test('a committed-rows page may end by bytes but holds a row', async () => {
  const small = await target.second({ maxBytesPerCommittedBundleChunk: 1 });
  const scope = await openScope([manyNotes(3)]);
  const response = await small.fetch(createRequest('GET', '/sync/committed-bundles/1/rows', { scope }));
  expect(await response.json()).toMatchObject({ rows: [{ key: { id: 'n-000000' } }], next_row_ordinal: 0, has_more: true });
});

test('committed rows at or below the floor are pruned, unknown ones not found, and any source of the scope may read', async () => {
  const scope = await openScope(oneRow(3));
  await setFloor(scope, 2);
  const codes = [];
  for (const seq of [1, 2, 3, 4]) {
    const { status, json } = await target.call('GET', `/sync/committed-bundles/${String(seq)}/rows`, {
      scope,
      source: 'device-b',
    });
    codes.push(status === 200 ? 'rows' : json.error);
  }
  expect(codes).toStrictEqual(['history_pruned', 'history_pruned', 'rows', 'committed_bundle_not_found']);
});

test('rows of an older shape are re-rendered on pull, never on committed rows', async () => {
  const own = await openTestServer();
  try {
    const scope = newScope();
    await own.call('POST', '/sync/connect', { scope, body: {} });
    await pushNotes(own, 1, [{ op: 'INSERT', id: 'old', amount: '7' }], { scope });
    const before = await own.call('GET', '/sync/committed-bundles/1/rows', { scope });
    await own.script(
      `ALTER TABLE business.notes DROP COLUMN amount; ALTER TABLE business.notes ADD COLUMN mood text NOT NULL DEFAULT 'calm "x"'`,
    );
    const renewed = await own.second();
    const read = async (path: string) =>
      (await (await renewed.fetch(createRequest('GET', path, { scope }))).json()) as { bundles: { rows: unknown[] }[] };
    const page = await read('/sync/pull');
    expect(page.bundles[0]?.rows).toMatchObject([{ payload: { id: 'old', title: 'title of old', mood: 'calm "x"' } }]);
    expect(page.bundles[0]?.rows[0]).not.toHaveProperty('payload.amount');
    expect(await read('/sync/committed-bundles/1/rows')).toStrictEqual(before.json);
    // The server that was running meets the dropped column and looks again by itself.
    const session = await own.call('POST', '/sync/snapshot-sessions', { scope });
    expect([session.status, session.json.row_count]).toStrictEqual([200, 1]);
  } finally {
    await own.close();
  }
});
