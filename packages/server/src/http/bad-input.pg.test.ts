import { afterAll, beforeAll, expect, test } from 'vitest';

import { newScope, openTestServer, pushNotes } from '../test-server.ts';
import type { CallOptions, TestServer } from '../test-server.ts';

let target: TestServer;
let scope: string;
let pushPath: string;

const HASH = 'a'.repeat(64);
const goodRow = {
  schema: 'business',
  table: 'notes',
  key: { id: 'k' },
  op: 'INSERT',
  base_row_version: 0,
  payload: { id: 'k', title: 't', amount: '1' },
};
const FINGERPRINT = `
  SELECT (SELECT string_agg(n::text, '|' ORDER BY n::text) FROM business.notes n),
    (SELECT string_agg(b::text, '|' ORDER BY b::text) FROM sync.bundle b),
    (SELECT string_agg(r::text, '|' ORDER BY r::text) FROM sync.row_state r),
    (SELECT string_agg(s::text, '|' ORDER BY s::text) FROM sync.scope s),
    (SELECT string_agg(s::text, '|' ORDER BY s::text) FROM sync.source s),
    (SELECT count(*) FROM sync.push_row), (SELECT count(*) FROM sync.push_session), (SELECT count(*) FROM sync.capture)`;

beforeAll(async () => {
  target = await openTestServer({
    maxRowsPerPushChunk: 3,
    defaultRowsPerPushChunk: 3,
    maxPlannedRowsPerPush: 100,
    maxRequestBodyBytes: 100_000,
    maxDecodedBodyBytes: 100_000,
  });
  scope = newScope();
  await target.call('POST', '/sync/connect', { scope, body: {} });
  await pushNotes(target, 1, [{ op: 'INSERT', id: 'existing' }], { scope });
  const created = await target.call('POST', '/sync/push-sessions', {
    scope,
    body: { source_bundle_id: 2, planned_row_count: 2, canonical_request_hash: HASH },
  });
  pushPath = `/sync/push-sessions/${created.json.push_id}`;
});
afterAll(() => target.close());

/** Sends a bad request; the answer is typed and nothing in the database has changed. */
async function expectRefused(method: string, path: string, options: CallOptions, status: number, code: string): Promise<object> {
  const before = await target.query(FINGERPRINT);
  const answer = await target.call(method, path, { scope, ...options });
  expect([answer.status, answer.json.error]).toStrictEqual([status, code]);
  expect((await target.query(FINGERPRINT)).rows).toStrictEqual(before.rows);
  expect(answer.text.length).toBeLessThanOrEqual(65_536);
  return answer.json;
}

const chunkOf = (...rows: unknown[]) => ({ start_row_ordinal: 0, rows });
const row = (more: object) => ({ ...goodRow, ...more });
const payload = (more: object) => row({ payload: { ...goodRow.payload, ...more } });

test.each([
  ['no JSON', { rawBody: '{"start_row_ordinal":0,' }],
  ['text after the JSON', { rawBody: '{"start_row_ordinal":0,"rows":[]}{}' }],
  ['no bytes', { rawBody: '' }],
  ['broken UTF-8', { rawBody: new Uint8Array([0x7b, 0xff, 0x7d]) }],
  ['a duplicate member', { rawBody: '{"start_row_ordinal":0,"start_row_ordinal":0,"rows":[]}' }],
  ['a list instead of an object', { body: [] }],
  ['rows that are no list', { body: { start_row_ordinal: 0, rows: {} } }],
  ['an ordinal that is a string', { body: { start_row_ordinal: '0', rows: [goodRow] } }],
  ['an ordinal with a fraction', { rawBody: `{"start_row_ordinal":0.0,"rows":[${JSON.stringify(goodRow)}]}` }],
  [
    'a version with an exponent',
    { rawBody: JSON.stringify(chunkOf(goodRow)).replace('"base_row_version":0', '"base_row_version":1e2') },
  ],
] as const)('a chunk with %s is an invalid request', async (_, options) => {
  await expectRefused('POST', `${pushPath}/chunks`, options, 400, 'invalid_request');
});

test.each([
  ['a negative ordinal', { start_row_ordinal: -1, rows: [goodRow] }, undefined],
  ['no rows', chunkOf(), undefined],
  ['too many rows', chunkOf(goodRow, goodRow, goodRow, goodRow), undefined],
  ['an unknown table', chunkOf(row({ table: 'strangers' })), { kind: 'table', row_ordinal: 0 }],
  ['an unknown operation', chunkOf(row({ op: 'UPSERT' })), { row_ordinal: 0 }],
  ['a key of two members', chunkOf(row({ key: { id: 'k', x: 'y' } })), { kind: 'key', row_ordinal: 0 }],
  ['a key of another name', chunkOf(row({ key: { name: 'k' } })), { kind: 'key', row_ordinal: 0 }],
  ['a blank key', chunkOf(row({ key: { id: ' ' }, payload: { title: 't' } })), { kind: 'key', row_ordinal: 0 }],
  ['a key that the payload contradicts', chunkOf(payload({ id: 'other' })), { row_ordinal: 0 }],
  ['a negative version', chunkOf(row({ base_row_version: -1 })), { row_ordinal: 0 }],
  ['no payload', chunkOf(row({ payload: undefined })), { kind: 'payload', row_ordinal: 0 }],
  ['a payload for a deletion', chunkOf(row({ op: 'DELETE' })), { kind: 'payload', row_ordinal: 0 }],
  ['an unknown column', chunkOf(payload({ shoe: 'x' })), { kind: 'unknown_column', column: 'shoe', row_ordinal: 0 }],
  ['the hidden column', chunkOf(payload({ _sync_scope_id: 's' })), { row_ordinal: 0 }],
  [
    'a number in a numeric column',
    chunkOf(payload({ amount: 1 })),
    { kind: 'number_format', category: 'legacy_json_number', column: 'amount' },
  ],
  [
    'a number that is out of range',
    chunkOf(payload({ amount: '9223372036854775808' })),
    { kind: 'out_of_range', column: 'amount' },
  ],
  ['U+0000 in a text', chunkOf(payload({ title: 'a\0b' })), { kind: 'nul_character', column: 'title', row_ordinal: 0 }],
  ['NULL for a column that forbids it', chunkOf(payload({ title: null })), { kind: 'not_null', column: 'title' }],
  ['the same key twice', chunkOf(goodRow, goodRow), { kind: 'duplicate_row', row_ordinal: 1 }],
  [
    'a bad row after a good one',
    chunkOf(goodRow, row({ key: { id: 'j' }, payload: { id: 'j', title: 't', amount: '01' } })),
    { row_ordinal: 1, category: 'leading_zero' },
  ],
] as const)('a chunk with %s is refused and names the place', async (_, body, violation) => {
  const json = await expectRefused('POST', `${pushPath}/chunks`, { body }, 400, 'push_chunk_invalid');
  if (violation !== undefined) expect(json).toMatchObject({ violation });
});

test.each([
  [{ source_bundle_id: 0, planned_row_count: 1, canonical_request_hash: HASH }, 'push_session_invalid'],
  [{ source_bundle_id: 2, planned_row_count: 0, canonical_request_hash: HASH }, 'push_session_invalid'],
  [{ source_bundle_id: 2, planned_row_count: 101, canonical_request_hash: HASH }, 'push_session_invalid'],
  [{ source_bundle_id: 2, planned_row_count: 1, canonical_request_hash: 'A'.repeat(64) }, 'push_session_invalid'],
  [{ source_bundle_id: 2, planned_row_count: 1, canonical_request_hash: HASH, initialization_id: 'x' }, 'push_session_invalid'],
  [{ source_bundle_id: '2', planned_row_count: 1, canonical_request_hash: HASH }, 'invalid_request'],
  [{ source_bundle_id: 2, planned_row_count: 1.5, canonical_request_hash: HASH }, 'invalid_request'],
  [{ source_bundle_id: 2, planned_row_count: 1, canonical_request_hash: 7 }, 'invalid_request'],
] as const)('the push session %j is refused', async (body, code) => {
  await expectRefused('POST', '/sync/push-sessions', { body }, 400, code);
});

test('a tuple that was committed with other content is refused, and so is a gap in the sequence', async () => {
  const create = (sourceBundleId: number) => ({
    body: { source_bundle_id: sourceBundleId, planned_row_count: 1, canonical_request_hash: HASH },
  });
  await expectRefused('POST', '/sync/push-sessions', create(1), 400, 'push_session_invalid');
  await expectRefused('POST', '/sync/push-sessions', create(7), 409, 'source_sequence_out_of_order');
});

test('[I5] a commit before all rows are there, and one whose rows do not give the announced hash, change nothing', async () => {
  await expectRefused('POST', `${pushPath}/commit`, {}, 400, 'push_commit_invalid');
  const other = { ...goodRow, key: { id: 'k2' }, payload: { id: 'k2', title: 't', amount: null } };
  const staged = await target.call('POST', `${pushPath}/chunks`, { scope, body: chunkOf(goodRow, other) });
  expect(staged.status).toBe(200);
  await expectRefused('POST', `${pushPath}/commit`, {}, 400, 'push_commit_invalid');
});

test('a chunk that does not continue where the last one ended is out of order', async () => {
  await expectRefused(
    'POST',
    `${pushPath}/chunks`,
    { body: { start_row_ordinal: 5, rows: [goodRow] } },
    409,
    'push_chunk_out_of_order',
  );
});

test('[I13] tokens of another scope and of another source are forbidden', async () => {
  const stranger = newScope();
  await target.call('POST', '/sync/connect', { scope: stranger, body: {} });
  for (const options of [{ scope: stranger }, { source: 'device-b' }]) {
    await expectRefused('POST', `${pushPath}/chunks`, { ...options, body: chunkOf(goodRow) }, 403, 'push_session_forbidden');
    await expectRefused('POST', `${pushPath}/commit`, options, 403, 'push_session_forbidden');
    await expectRefused('DELETE', pushPath, options, 403, 'push_session_forbidden');
    await expectRefused('GET', pushPath, options, 403, 'push_session_forbidden');
  }
});

test('[S1] a chunk over the body limits is a 413 that names the option, also when it only inflates to that size', async () => {
  const large = JSON.stringify({ pad: 'x'.repeat(120_000) });
  const json = await expectRefused('POST', `${pushPath}/chunks`, { rawBody: large }, 413, 'request_too_large');
  expect(json).toMatchObject({ limit_exceeded: { name: 'maxRequestBodyBytes', limit: 100_000 } });
  const zipped = await new Response(new Blob([large]).stream().pipeThrough(new CompressionStream('gzip'))).bytes();
  const inflated = await expectRefused(
    'POST',
    `${pushPath}/chunks`,
    { rawBody: zipped, headers: { 'content-encoding': 'gzip' } },
    413,
    'request_too_large',
  );
  expect(inflated).toMatchObject({ limit_exceeded: { name: 'maxDecodedBodyBytes', limit: 100_000 } });
  await expectRefused(
    'POST',
    `${pushPath}/chunks`,
    { rawBody: 'xx', headers: { 'content-encoding': 'gzip' } },
    400,
    'invalid_request',
  );
  await expectRefused(
    'POST',
    `${pushPath}/chunks`,
    { rawBody: 'xx', headers: { 'content-encoding': 'br' } },
    415,
    'unsupported_content_encoding',
  );
});

test('[S1] nesting is accepted up to the limit, and one level more names it', async () => {
  const nested = (levels: number) => ({ scope, rawBody: `{"x":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}` });
  expect((await target.call('POST', '/sync/connect', nested(100))).status).toBe(200);
  const json = await expectRefused('POST', '/sync/connect', nested(101), 400, 'invalid_request');
  expect(json).toMatchObject({ limit_exceeded: { name: 'maxJsonDepth', limit: 100 } });
  await expectRefused('POST', '/sync/snapshot-sessions', nested(101), 400, 'snapshot_session_invalid');
  await expectRefused('POST', '/sync/connect', { rawBody: '['.repeat(60_000) }, 400, 'invalid_request');
});

test('no answer repeats a value of the request', async () => {
  const secret = 'SECRET-VALUE';
  for (const body of [
    chunkOf(payload({ amount: secret })),
    chunkOf(payload({ shoe: secret })),
    chunkOf(row({ table: secret })),
    { start_row_ordinal: secret, rows: [] },
  ]) {
    const answer = await target.call('POST', `${pushPath}/chunks`, { scope, body });
    expect([answer.status, answer.json.message.includes(secret)]).toStrictEqual([400, false]);
  }
});
