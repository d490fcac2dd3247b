import { afterAll, beforeAll, expect, test } from 'vitest';

import { createRequest, manyNotes, newScope, openTestServer, pushNotes, readAnswer } from '../test-server.ts';
import type { CallOptions, NoteRow, TestServer } from '../test-server.ts';

let target: TestServer;
beforeAll(async () => {
  target = await openTestServer();
});
afterAll(() => target.close());

async function openScope(rows: readonly NoteRow[] = []): Promise<string> {
  const scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  if (rows.length > 0) await pushNotes(target, 1, rows, { scope });
  return scope;
}

const create = (scope: string, options: CallOptions = {}) =>
  target.call('POST', '/sync/snapshot-sessions', { scope, ...options });
const chunk = (scope: string, id: string, query = '', options: CallOptions = {}) =>
  target.call('GET', `/sync/snapshot-sessions/${id}${query}`, { scope, ...options });
const countImages = async (scope: string) =>
  Number(
    (await target.query('SELECT count(*) FROM sync.snapshot_image JOIN sync.scope USING (scope_pk) WHERE scope_id = $1', [scope]))
      .rows[0]?.[0],
  );

/** Row texts as they stand in the chunk, cut out by their braces. */
function rowTexts(text: string): string[] {
  const start = text.indexOf('"rows":[') + '"rows":['.length;
  const inner = text.slice(start, text.lastIndexOf('],"next_row_ordinal"'));
  return inner === '' ? [] : inner.split(/(?<=\}),(?=\{"schema")/);
}

test('an empty scope gives a session without rows', async () => {
  const scope = await openScope();
  const session = await create(scope);
  expect(session.json).toStrictEqual({
    snapshot_id: expect.any(String),
    snapshot_bundle_seq: 0,
    row_count: 0,
    byte_count: 0,
    expires_at: expect.stringMatching(/^\d{4}-.*Z$/),
  });
  expect((await chunk(scope, session.json.snapshot_id)).json).toMatchObject({
    rows: [],
    byte_count: 0,
    next_row_ordinal: 0,
    has_more: false,
  });
});

test('byte counts are the UTF-8 lengths of the rows as they are sent, over all chunks, whatever the chunk size', async () => {
  const rows: NoteRow[] = manyNotes(1300).map((row, index) => ({ ...row, title: 'é"\\\n😀'.repeat(index % 7) }));
  const scope = await openScope(rows);
  const session = await create(scope);
  for (const limits of ['max_rows=7', 'max_rows=499', 'max_rows=5000&max_bytes=1000', 'max_bytes=100000']) {
    let next = 0;
    let bytes = 0;
    let isFirst = true;
    while (isFirst || next < 1300) {
      isFirst = false;
      const page = await chunk(scope, session.json.snapshot_id, `?after_row_ordinal=${String(next)}&${limits}`);
      expect(Object.keys(page.json)).toStrictEqual([
        'snapshot_id',
        'snapshot_bundle_seq',
        'rows',
        'next_row_ordinal',
        'has_more',
        'byte_count',
      ]);
      const texts = rowTexts(page.text);
      expect(texts).toHaveLength(page.json.rows.length);
      expect(texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)).toBe(page.json.byte_count);
      expect(page.json.next_row_ordinal).toBe(next + texts.length);
      next = page.json.next_row_ordinal;
      bytes += page.json.byte_count;
      expect(page.json.has_more).toBe(next < 1300);
      if (texts.length === 0) throw new Error('a chunk without rows would loop for ever');
      if (limits === 'max_rows=7' && next > 1000) break;
    }
    if (limits !== 'max_rows=7') expect([next, bytes]).toStrictEqual([session.json.row_count, session.json.byte_count]);
  }
});

test('a chunk is byte for byte the same when it is asked for again, and rows are in the order of their key bytes', async () => {
  const scope = await openScope(['é', 'z', 'Z', 'a', '😀', '\uE000'].map((id) => ({ op: 'INSERT', id })));
  const session = await create(scope);
  const first = await chunk(scope, session.json.snapshot_id);
  expect((await chunk(scope, session.json.snapshot_id)).text).toBe(first.text);
  const ids = first.json.rows.map((row) => row.key.id);
  expect(ids).toStrictEqual(ids.toSorted((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right))));
});

test('a row that does not fit is named by its size, and one byte more is enough', async () => {
  const scope = await openScope([{ op: 'INSERT', id: 'wide', title: 'x'.repeat(500) }]);
  const session = await create(scope);
  const size = session.json.byte_count;
  const tooSmall = await chunk(scope, session.json.snapshot_id, `?max_bytes=${String(size - 1)}`);
  expect([tooSmall.status, tooSmall.json.error, tooSmall.json.required_byte_count]).toStrictEqual([
    400,
    'snapshot_chunk_too_small',
    size,
  ]);
  expect((await chunk(scope, session.json.snapshot_id, `?max_bytes=${String(size)}`)).json.rows).toHaveLength(1);
  expect((await chunk(scope, session.json.snapshot_id, '?after_row_ordinal=1&max_bytes=1')).json).toMatchObject({
    rows: [],
    has_more: false,
  });
  expect(
    (await chunk(scope, session.json.snapshot_id, '?after_row_ordinal=9223372036854775807')).json.next_row_ordinal,
  ).toBeGreaterThan(9e18);
});

test('a session is frozen: later commits and pruning do not change it', async () => {
  const scope = await openScope(manyNotes(3));
  const session = await create(scope);
  const before = await chunk(scope, session.json.snapshot_id);
  await pushNotes(
    target,
    2,
    [
      { op: 'UPDATE', id: 'n-000000', base: 1, title: 'changed' },
      { op: 'DELETE', id: 'n-000001', base: 1 },
    ],
    { scope },
  );
  await target.query('UPDATE sync.scope SET floor = head WHERE scope_id = $1', [scope]);
  expect((await chunk(scope, session.json.snapshot_id)).text).toBe(before.text);
  const fresh = await create(scope);
  const page = await chunk(scope, fresh.json.snapshot_id);
  expect(page.json).toMatchObject({
    snapshot_bundle_seq: 2,
    rows: [{ row_version: 2, payload: { title: 'changed' } }, { row_version: 1 }],
  });
});

test('[I12] [P2] sessions of one head share one image, also when they are asked for at the same time', async () => {
  const scope = await openScope(manyNotes(20));
  const sessions = await Promise.all(['a', 'b', 'c', 'd'].map((source) => create(scope, { source })));
  expect(sessions.map((session) => session.status)).toStrictEqual([200, 200, 200, 200]);
  expect(new Set(sessions.map((session) => session.json.snapshot_id)).size).toBe(4);
  expect(await countImages(scope)).toBe(1);
  await pushNotes(target, 2, [{ op: 'INSERT', id: 'new' }], { scope });
  await create(scope);
  expect(await countImages(scope)).toBe(2);
});

test('[P7] a snapshot neither waits for the scope lock nor takes it', async () => {
  const scope = await openScope(manyNotes(5));
  await target.db.transaction({ isolation: 'read committed' }, async (tx) => {
    await tx.query('SELECT FROM sync.scope WHERE scope_id = $1 FOR NO KEY UPDATE', [scope]);
    expect((await create(scope)).status).toBe(200);
  });
});

test('a third session of a source retires its oldest, the others stay', async () => {
  const scope = await openScope(manyNotes(1));
  const ids = [];
  for (let index = 0; index < 3; index += 1) ids.push((await create(scope)).json.snapshot_id);
  const states = [];
  for (const id of ids) states.push((await chunk(scope, id)).json.error ?? 'alive');
  expect(states).toStrictEqual(['snapshot_session_expired', 'alive', 'alive']);
});

test('[S1] the sessions of a scope are bounded', async () => {
  const scope = await openScope(manyNotes(1));
  const other = await target.second({ maxSnapshotSessionsPerScope: 2 });
  const answers = [];
  for (const source of ['a', 'b', 'c']) {
    answers.push(await readAnswer(await other.fetch(createRequest('POST', '/sync/snapshot-sessions', { scope, source }))));
  }
  expect(answers.map((answer) => answer.status)).toStrictEqual([200, 200, 429]);
  expect(answers[2]?.json).toMatchObject({
    error: 'snapshot_build_capacity',
    limit_exceeded: { name: 'maxSnapshotSessionsPerScope', limit: 2, actual: 3 },
  });
  expect(answers[2]?.headers.get('retry-after')).toBe('1');
});

test('[E4] a session over its limits is a typed 409 and leaves nothing behind', async () => {
  const scope = await openScope(manyNotes(5));
  for (const [options, dimension] of [
    [{ maxRowsPerSnapshotSession: 4 }, 'row_count'],
    [{ maxBytesPerSnapshotSession: 100 }, 'byte_count'],
    [{ maxBytesPerSnapshotRow: 10 }, 'row_byte_count'],
  ] as const) {
    const other = await target.second(options);
    const answer = await readAnswer(await other.fetch(createRequest('POST', '/sync/snapshot-sessions', { scope })));
    expect([answer.status, answer.json.error, answer.json.dimension]).toStrictEqual([
      409,
      'snapshot_session_limit_exceeded',
      dimension,
    ]);
    expect(answer.json.actual).toBeGreaterThan(answer.json.limit);
  }
  expect(await countImages(scope)).toBe(0);
});

test('a scope whose metadata and table disagree gets no image, and an event tells it', async () => {
  const scope = await openScope(manyNotes(3));
  await target.query(
    'DELETE FROM sync.row_state WHERE scope_pk = (SELECT scope_pk FROM sync.scope WHERE scope_id = $1) AND key_bytes = $2::bytea',
    [scope, Buffer.from('n-000001')],
  );
  const answer = await create(scope);
  expect([answer.status, answer.json.error]).toStrictEqual([500, 'snapshot_session_create_failed']);
  expect(target.events).toContainEqual(expect.objectContaining({ name: 'integrityMismatch', scopeId: scope }));
  expect(await countImages(scope)).toBe(0);
});

test('deleting ends a session at once and may be repeated; sessions of other scopes are forbidden', async () => {
  const scope = await openScope(manyNotes(1));
  const stranger = await openScope(manyNotes(1));
  const { json } = await create(scope);
  const path = `/sync/snapshot-sessions/${json.snapshot_id}`;
  for (const method of ['GET', 'DELETE']) {
    const answer = await target.call(method, path, { scope: stranger });
    expect([answer.status, answer.json.error]).toStrictEqual([403, 'snapshot_session_forbidden']);
  }
  expect((await chunk(scope, json.snapshot_id, '', { source: 'device-b' })).status).toBe(200);
  for (let repeat = 0; repeat < 2; repeat += 1) {
    const deleted = await target.call('DELETE', path, { scope });
    expect([deleted.status, deleted.text]).toStrictEqual([204, '']);
  }
  const gone = await chunk(scope, json.snapshot_id);
  expect([gone.status, gone.json.error]).toStrictEqual([410, 'snapshot_session_expired']);
});

test.each([
  ['', 200],
  ['null', 200],
  ['{}', 200],
  ['{"source_replacement":null}', 200],
  [' \n', 200],
  ['[]', 400],
  ['{"extra":1}', 400],
  ['{} {}', 400],
  ['{"source_replacement":{}}', 400],
  ['{"source_replacement":{"previous_source_id":"device-a","new_source_id":"n","reason":"history_pruned","x":1}}', 400],
  ['{"source_replacement":{"previous_source_id":"device-a","new_source_id":"n","reason":"fun"}}', 400],
  ['{"source_replacement":{"previous_source_id":"other","new_source_id":"n","reason":"history_pruned"}}', 400],
  ['{"source_replacement":{"previous_source_id":"device-a","new_source_id":1,"reason":"history_pruned"}}', 400],
])('a snapshot request with the body %s answers %d', async (rawBody, status) => {
  const answer = await create(await openScope(), { rawBody });
  expect(answer.status).toBe(status);
  if (status === 400) expect(answer.json.error).toBe('snapshot_session_invalid');
});

const replace = (scope: string, previous: string, next: string) =>
  create(scope, {
    source: previous,
    body: { source_replacement: { previous_source_id: previous, new_source_id: next, reason: 'history_pruned' } },
  });

test('a replaced source can read but not push, and the new one starts at 1', async () => {
  const scope = await openScope(manyNotes(1));
  expect((await replace(scope, 'device-a', 'device-a2')).status).toBe(200);
  expect((await replace(scope, 'device-a', 'device-a2')).status).toBe(200);
  const refused = await target.call('POST', '/sync/push-sessions', {
    scope,
    body: { source_bundle_id: 2, planned_row_count: 1, canonical_request_hash: 'a'.repeat(64) },
  });
  expect([refused.status, refused.json]).toMatchObject([
    409,
    { error: 'source_retired', source_id: 'device-a', replaced_by_source_id: 'device-a2' },
  ]);
  expect((await create(scope)).status).toBe(200);
  expect((await target.call('GET', '/sync/pull', { scope })).status).toBe(200);
  expect(await pushNotes(target, 1, [{ op: 'INSERT', id: 'x' }], { scope, source: 'device-a2' })).toMatchObject({
    source_id: 'device-a2',
  });
});

test('a replacement is one transaction with its session, and its refusals name what is known', async () => {
  const scope = await openScope(manyNotes(1));
  await pushNotes(target, 1, [{ op: 'INSERT', id: 'b' }], { scope, source: 'device-b' });
  const taken = await replace(scope, 'device-a', 'device-b');
  expect([taken.status, taken.json.error]).toStrictEqual([409, 'source_replacement_invalid']);
  await replace(scope, 'device-a', 'device-c');
  const diverged = await replace(scope, 'device-a', 'device-d');
  expect([diverged.status, diverged.json]).toMatchObject([
    409,
    { error: 'source_retired', source_id: 'device-a', replaced_by_source_id: 'device-c' },
  ]);
  const sources = await target.query(
    'SELECT c.source_id, c.state FROM sync.source c JOIN sync.scope USING (scope_pk) WHERE scope_id = $1 ORDER BY 1',
    [scope],
  );
  expect(sources.rows).toStrictEqual([
    ['device-a', 'retired'],
    ['device-b', 'active'],
    ['device-c', 'reserved'],
  ]);
});

test('concurrent replacements of one source by two ids let exactly one win', async () => {
  const scope = await openScope(manyNotes(1));
  const answers = await Promise.all([replace(scope, 'device-a', 'new-1'), replace(scope, 'device-a', 'new-2')]);
  expect(answers.map((answer) => answer.status).toSorted((left, right) => left - right)).toStrictEqual([200, 409]);
});

test('[S5] with bound sources another user of the scope is refused, and a replacement inherits the binding', async () => {
  const own = await openTestServer({ bindSourcesToUser: true });
  try {
    const scope = newScope();
    await own.call('POST', '/sync/connect', { scope, user: 'ada', body: {} });
    const codes = [];
    for (const user of ['ada', 'bob', undefined]) {
      const answer = await own.call('GET', '/sync/pull', user === undefined ? { scope } : { scope, user });
      codes.push(answer.status === 200 ? 'ok' : answer.json.error);
    }
    expect(codes).toStrictEqual(['ok', 'source_forbidden', 'source_forbidden']);
    expect((await own.call('GET', '/sync/capabilities', { scope, user: 'bob' })).status).toBe(200);
    const body = { source_replacement: { previous_source_id: 'device-a', new_source_id: 'device-n', reason: 'history_pruned' } };
    expect((await own.call('POST', '/sync/snapshot-sessions', { scope, user: 'ada', body })).status).toBe(200);
    const stolen = await own.call('GET', '/sync/pull', { scope, user: 'bob', source: 'device-n' });
    expect([stolen.status, stolen.json.error]).toStrictEqual([403, 'source_forbidden']);
  } finally {
    await own.close();
  }
});

test('a source id that server code writes with is refused like a malformed one', async () => {
  const scope = await openScope();
  await target.query(
    `INSERT INTO sync.source (scope_pk, source_id, state, kind) SELECT scope_pk, 'writer', 'active', 'server' FROM sync.scope WHERE scope_id = $1`,
    [scope],
  );
  for (const [method, path] of [
    ['GET', '/sync/pull'],
    ['POST', '/sync/connect'],
    ['POST', '/sync/snapshot-sessions'],
    ['GET', '/sync/committed-bundles/1/rows'],
  ] as const) {
    const answer = await target.call(method, path, {
      scope,
      source: 'writer',
      ...(path.endsWith('connect') ? { body: {} } : {}),
    });
    expect([path, answer.status, answer.json.error]).toStrictEqual([path, 400, 'invalid_request']);
  }
  expect((await replace(scope, 'device-z', 'writer')).json.error).toBe('snapshot_session_invalid');
});
