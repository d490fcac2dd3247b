/** Requests that no client of ours makes: each is answered in the terms of the contract, and a refusal changes nothing. */
import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { newScope, openTestServer, pushNotes, readAnswer } from '../test-server.ts';
import type { CallOptions, TestServer } from '../test-server.ts';

let target: TestServer;
const scope = newScope();
let pushPath: string;
let snapshotPath: string;

const HASH = 'a'.repeat(64);
const ROW = {
  schema: 'business',
  table: 'notes',
  key: { id: 'k' },
  op: 'INSERT',
  base_row_version: 0,
  payload: { id: 'k', title: 't', amount: '1' },
};

const WEIRD_NUMBERS = '0 -0 -1 1.5 1e2 9223372036854775807 9223372036854775808 1e400 -1e-400 0x10 undefined null true'.split(' ');
const WEIRD_STRINGS = [
  '',
  ' ',
  'x',
  '\0',
  '🙂',
  '-1',
  '1e400',
  'NaN',
  'Infinity',
  randomUUID().toUpperCase(),
  'x'.repeat(10_000),
];
const WEIRD_STRUCTURES = [
  '[]',
  '{}',
  '[[]]',
  '[null]',
  '{"":0}',
  '{"__proto__":1}',
  '{"constructor":{"prototype":1}}',
  '{"a":1,"a":1}',
];

/** JSON texts, or what might pass for one, to put in the place of any member. */
const WEIRD = [
  ...WEIRD_NUMBERS,
  ...WEIRD_STRINGS.map((text) => JSON.stringify(text)),
  ...WEIRD_STRUCTURES,
  String.raw`"\ud800"`,
  String.raw`"\udc00\ud800"`,
  '9'.repeat(5000),
];

const FINGERPRINT = `
  SELECT (SELECT string_agg(n::text, '|' ORDER BY n::text) FROM business.notes n),
    (SELECT string_agg(b::text, '|' ORDER BY b::text) FROM sync.bundle b),
    (SELECT string_agg(s::text, '|' ORDER BY s::text) FROM sync.source s), (SELECT count(*) FROM sync.scope),
    (SELECT count(*) FROM sync.push_row), (SELECT count(*) FROM sync.push_session), (SELECT count(*) FROM sync.capture),
    (SELECT count(*) FROM sync.snapshot_session)`;

beforeAll(async () => {
  target = await openTestServer({ maxRequestBodyBytes: 1_000_000, maxDecodedBodyBytes: 1_000_000, watch: { enabled: true } });
  await target.call('POST', '/sync/connect', { scope, body: {} });
  await pushNotes(target, 1, [{ op: 'INSERT', id: 'existing' }], { scope });
  const body = { source_bundle_id: 2, planned_row_count: 2, canonical_request_hash: HASH };
  pushPath = `/sync/push-sessions/${(await target.call('POST', '/sync/push-sessions', { scope, body })).json.push_id}`;
  snapshotPath = `/sync/snapshot-sessions/${(await target.call('POST', '/sync/snapshot-sessions', { scope, source: 'reader' })).json.snapshot_id}`;
});
afterAll(() => target.close());

/** What is wrong with an answer, if anything. */
async function faultOf(method: string, path: string, options: CallOptions): Promise<string | null> {
  const before = await fingerprint();
  const response = await target.raw(method, path, { scope, ...options });
  if (response.status === 200 || response.status === 204) {
    await response.body?.cancel();
    return null;
  }
  const answer = await readAnswer(response);
  if (answer.status >= 500) return `${String(answer.status)} ${answer.text}`;
  if (typeof answer.json.error !== 'string' || typeof answer.json.message !== 'string') return `no error body: ${answer.text}`;
  if (answer.text.length > 65_536) return 'a large error body';
  return (await fingerprint()) === before ? null : `${String(answer.status)} and something has changed`;
}

const fingerprint = async (): Promise<string> => JSON.stringify((await target.query(FINGERPRINT)).rows);

/** The text of a JSON value with one value of it, at any depth, replaced, left out, or written twice. */
function mutations(value: unknown): readonly string[] {
  const inner = entriesOf(value).flatMap(({ name, member, rebuild }) => [
    ...mutations(member).map((text) => rebuild([[name, text]])),
    rebuild([]),
    rebuild([
      [name, JSON.stringify(member)],
      [name, JSON.stringify(member)],
    ]),
  ]);
  return [...WEIRD, ...inner];
}

type Members = readonly (readonly [string, string])[];

function entriesOf(value: unknown): readonly { name: string; member: unknown; rebuild: (members: Members) => string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  return entries.map(([name, member], index) => ({
    name,
    member,
    rebuild: (members) => {
      const all: Members = entries.flatMap(([other, kept], at) =>
        at === index ? members : [[other, JSON.stringify(kept)] as const],
      );
      const texts = all.map(([other, text]) => (isList ? text : `${JSON.stringify(other)}:${text}`));
      return isList ? `[${texts.join(',')}]` : `{${texts.join(',')}}`;
    },
  }));
}

test.each([
  ['/sync/connect', { has_local_pending_rows: false }],
  [
    '/sync/push-sessions',
    { source_bundle_id: 9, planned_row_count: 1, canonical_request_hash: HASH, initialization_id: randomUUID() },
  ],
  ['chunks', { start_row_ordinal: 1, rows: [ROW] }],
  ['chunks', { start_row_ordinal: 1, rows: [{ ...ROW, op: 'DELETE', payload: null }] }],
  ['commit', {}],
  [
    '/sync/snapshot-sessions',
    { source_replacement: { previous_source_id: 'device-b', new_source_id: 'device-c', reason: 'history_pruned' } },
  ],
  [
    '/sync/verify',
    {
      bundle_seq: 7,
      schema: 'business',
      table: 'notes',
      columns: ['id', 'title'],
      parts: 2,
      ranges: [{ after: 'a', through: 'z' }],
      excluded_keys: ['k'],
    },
  ],
  ['/sync/verify/rows', { bundle_seq: 7, schema: 'business', table: 'notes', after: 'a', through: 'z', max_rows: 3 }],
] as const)('%s with a body that is wrong anywhere is refused, or taken, but no fault: %j', async (path, body) => {
  const faults: string[] = [];
  for (const rawBody of mutations(body)) {
    const whole = path.startsWith('/') ? path : `${pushPath}/${path}`;
    const fault = await faultOf('POST', whole, { rawBody });
    if (fault !== null) faults.push(`${rawBody.slice(0, 200)}: ${fault}`);
  }
  expect(faults).toEqual([]);
});

const NUMBERS = [
  '',
  '0',
  '-1',
  '+1',
  ' 1',
  '1 ',
  '1.0',
  '1e3',
  '0x1',
  'NaN',
  'null',
  '%00',
  '%F0%9F%99%82',
  '9223372036854775807',
];
const TOO_LARGE = ['9223372036854775808', '-9223372036854775809', '9'.repeat(3000)];

test.each([
  ['/sync/pull', ['after_bundle_seq', 'max_bundles', 'target_bundle_seq']],
  ['/sync/committed-bundles/1/rows', ['after_row_ordinal', 'max_rows']],
  ['snapshot', ['after_row_ordinal', 'max_rows', 'max_bytes']],
] as const)('%s with query parameters that are wrong, or given twice, is refused or taken, but no fault', async (path, names) => {
  const whole = path === 'snapshot' ? snapshotPath : path;
  const faults: string[] = [];
  for (const name of names) {
    for (const value of [...NUMBERS, ...TOO_LARGE]) {
      for (const query of [
        `${name}=${value}`,
        `${name}=1&${name}=${value}`,
        `${name}=${value}&%ZZ=1&=&&x`,
        `${name}[]=${value}`,
      ]) {
        const fault = await faultOf('GET', `${whole}?${query}`, {});
        if (fault !== null) faults.push(`${query.slice(0, 100)}: ${fault}`);
      }
    }
  }
  expect(faults).toEqual([]);
});

test.each([
  ['POST', (token: string) => `/sync/push-sessions/${token}/chunks`],
  ['POST', (token: string) => `/sync/push-sessions/${token}/commit`],
  ['GET', (token: string) => `/sync/push-sessions/${token}`],
  ['DELETE', (token: string) => `/sync/push-sessions/${token}`],
  ['GET', (token: string) => `/sync/committed-bundles/${token}/rows`],
  ['GET', (token: string) => `/sync/snapshot-sessions/${token}`],
  ['DELETE', (token: string) => `/sync/snapshot-sessions/${token}`],
] as const)('%s of a token of any form is not found or refused, but no fault', async (method, path) => {
  const strange = [
    '%00',
    '%2F',
    '%2e%2e',
    '%E0%A4%A',
    '%ff',
    '🙂',
    "'",
    '"',
    '1',
    '-1',
    '1e9',
    ...TOO_LARGE,
    randomUUID(),
    randomUUID().toUpperCase(),
  ];
  const faults: string[] = [];
  for (const token of [...strange, 'x'.repeat(10_000)]) {
    const body = method === 'POST' ? { body: { start_row_ordinal: 0, rows: [ROW] } } : {};
    const fault = await faultOf(method, path(token), body);
    if (fault !== null) faults.push(`${token.slice(0, 50)}: ${fault}`);
  }
  expect(faults).toEqual([]);
});

test('headers of any form are refused or ignored, but no fault', async () => {
  const faults: string[] = [];
  const values = [
    '',
    ' ',
    'x',
    '*',
    'gzip;q=abc',
    'gzip;q=-1, *;q=0',
    'gzip,gzip',
    'identity;q=0',
    '\u00e9',
    'a'.repeat(8000),
    ';;;,,,',
    '"',
  ];
  for (const name of [
    'accept',
    'accept-encoding',
    'content-encoding',
    'content-type',
    'transfer-encoding',
    'range',
    'if-none-match',
    'oversync-source-id',
    'traceparent',
    'x-forwarded-for',
  ]) {
    for (const value of values) {
      for (const [method, path] of [
        ['GET', '/sync/capabilities'],
        ['GET', '/sync/pull'],
        ['POST', '/sync/verify/rows'],
      ] as const) {
        const body = method === 'POST' ? { body: { bundle_seq: 1, schema: 'business', table: 'notes' } } : {};
        const fault = await faultOf(method, path, { ...body, headers: { [name]: value } });
        if (fault !== null) faults.push(`${path} ${name}: ${value.slice(0, 50)}: ${fault}`);
      }
    }
  }
  expect(faults).toEqual([]);
});

test('a body that comes byte by byte is read in time that grows with its length alone', async () => {
  const own = newScope();
  await target.call('POST', '/sync/connect', { scope: own, body: {} });
  const title = 'é'.repeat(100_000);
  const body = { source_bundle_id: 1, planned_row_count: 1, canonical_request_hash: HASH };
  const { json } = await target.call('POST', '/sync/push-sessions', { scope: own, body });
  const bytes = new TextEncoder().encode(
    JSON.stringify({ start_row_ordinal: 0, rows: [{ ...ROW, payload: { ...ROW.payload, title } }] }),
  );
  let at = 0;
  const rawBody = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (at === bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(at, at + 1));
      at += 1;
    },
  });
  const answer = await target.call('POST', `/sync/push-sessions/${json.push_id}/chunks`, { scope: own, rawBody });
  expect([answer.status, answer.json.error]).toEqual([200, undefined]);
  const { rows } = await target.query('SELECT max(octet_length(apply_text)) > 200000 FROM sync.push_row');
  expect(rows).toEqual([['t']]);
});
