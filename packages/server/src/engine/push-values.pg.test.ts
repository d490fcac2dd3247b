import { isJsonObject, parseJson, stringifyJson } from '@oversync/protocol';
import type { JsonObject, JsonValue } from '@oversync/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { initializeScope, openPushFixture, push, readBundle } from './test-push.ts';
import type { PushFixture } from './test-push.ts';

const SCHEMA = `
CREATE TYPE mood AS ENUM ('sad', 'so "happy"', 'it''s');
CREATE DOMAIN counter AS int8;
CREATE DOMAIN flag AS boolean;
CREATE DOMAIN code AS varchar(5);
CREATE TABLE things (
  _sync_scope_id text NOT NULL, id text NOT NULL, unpublished text DEFAULT 'kept', i2 int2, i4 int4, i8 int8, dec numeric(30,9), free numeric,
  f4 float4, f8 float8, yes boolean, bytes bytea, other uuid, t text, vc varchar(5), fixed char(4), mood mood, seen timestamptz, moment timestamp,
  day date, clock time, zoned timetz, span interval, ip inet, mac macaddr, bits bit varying(8), doc jsonb, plain json, textual jsonb,
  counter counter, flag flag, code code, twice int4 GENERATED ALWAYS AS (i2 * 2) STORED, "10" text, "9" text,
  PRIMARY KEY (_sync_scope_id, id));`;
const TABLES = [{ table: 'things', syncKeyColumn: 'id', excludeColumns: ['unpublished'], jsonAsText: ['textual'] }];

const EVERY_BYTE = Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte)).toString('base64');

/** Column, value as pushed, value as served. */
const CASES: readonly (readonly [string, JsonValue, JsonValue])[] = [
  ...['-32768', '32767', '0', '-1'].map((text) => ['i2', text, text] as const),
  ...['-2147483648', '2147483647'].map((text) => ['i4', text, text] as const),
  ...['-9223372036854775808', '9223372036854775807', '9007199254740993', '-9007199254740993'].map(
    (text) => ['i8', text, text] as const,
  ),
  ['dec', '1234567890.123456789', '1234567890.123456789'],
  ['dec', '-0.000000001', '-0.000000001'],
  ['dec', '1.25e3', '1250.000000000'],
  ['dec', '999999999999999999999.999999999', '999999999999999999999.999999999'],
  ['free', '0.1000', '0.1000'],
  ['free', '1E+40', `1${'0'.repeat(40)}`],
  ['free', '1e-40', `0.${'0'.repeat(39)}1`],
  ['f4', '1.2345678901234567', '1.2345678806304932'],
  ['f4', '1.401298464324817e-45', '1.401298464324817e-45'],
  ['f4', '3.4028234663852886e+38', '3.4028234663852886e+38'],
  ['f4', '1.0000000596046448', '1'],
  ...[
    '5e-324',
    '-5e-324',
    '1.7976931348623157e+308',
    '2.2250738585072014e-308',
    '0',
    '0.1',
    '1e+21',
    '1e-7',
    '0.000001',
    '123456789012345680000',
  ].map((text) => ['f8', text, text] as const),
  ...['22678212089436850', '9007199254740992', '9007199254740994', '1000000000000000', '-76423596593151000'].map(
    (text) => ['f8', text, text] as const,
  ),
  ['yes', true, true],
  ['yes', '0', false],
  ['flag', '1', true],
  ['bytes', EVERY_BYTE, EVERY_BYTE],
  ['bytes', '', ''],
  ['bytes', 'XA==', 'XA=='],
  ['other', '2F2D3F7A-CD1F-42B9-8D08-C4D2B45D9F88', '2f2d3f7a-cd1f-42b9-8d08-c4d2b45d9f88'],
  ...[
    '',
    ' ',
    '"',
    '\\',
    '\\N',
    '()',
    ',',
    '(,)',
    'NULL',
    '\n\r\t',
    '\u0001\u0002\u0003',
    '\u007f\u0085\u2028\u2029',
    '<>&/',
    'é\u0301',
    '\u{1F600}\u{10FFFF}\uE000\uFFFF',
    "it's $1 %s {}",
  ].map((text) => ['t', text, text] as const),
  ['vc', 'äöüß\u{1F600}', 'äöüß\u{1F600}'],
  ['code', 'abcde', 'abcde'],
  ['counter', '9223372036854775807', '9223372036854775807'],
  ['fixed', 'ab', 'ab  '],
  ['mood', 'so "happy"', 'so "happy"'],
  ['mood', "it's", "it's"],
  ['seen', '2026-03-24T18:42:11.120+00:00', '2026-03-24T18:42:11.12+00:00'],
  ['seen', '2026-03-24 20:42:11+02', '2026-03-24T18:42:11+00:00'],
  ['seen', '2026-03-24 18:42:11', '2026-03-24T18:42:11+00:00'],
  ['seen', 'infinity', 'infinity'],
  ['seen', '-infinity', '-infinity'],
  ['seen', '0001-01-01T00:00:00+00:00', '0001-01-01T00:00:00+00:00'],
  ['moment', '0999-12-31T23:59:59.000001', '0999-12-31T23:59:59.000001'],
  ['day', '0044-03-15', '0044-03-15'],
  ['day', '0044-03-15 BC', '0044-03-15 BC'],
  ['day', 'infinity', 'infinity'],
  ['day', '9999-12-31', '9999-12-31'],
  ['clock', '23:59:59.999999', '23:59:59.999999'],
  ['zoned', '12:00:00+05:30', '12:00:00+05:30'],
  ['span', '1 year 2 mons 3 days 04:05:06.7', '1 year 2 mons 3 days 04:05:06.7'],
  ['ip', '2001:db8::/32', '2001:db8::/32'],
  ['mac', '08:00:2b:01:02:03', '08:00:2b:01:02:03'],
  ['bits', '10110', '10110'],
  ['9', 'nine', 'nine'],
  ['10', 'ten', 'ten'],
  ['textual', '{"b": 1.50, "a": [null]}', '{"a": [null], "b": 1.50}'],
  ...['i2', 'i8', 'dec', 'f4', 'f8', 'yes', 'bytes', 'other', 't', 'mood', 'seen', 'day', 'doc', 'plain', 'textual', 'flag'].map(
    (name) => [name, null, null] as const,
  ),
];

/** Text of the nested value, as pushed and as served. */
const NESTED: readonly (readonly [string, string, string])[] = [
  [
    'doc',
    '{"b":[1,2.0,9007199254740993,1e21,-0],"a":{}}',
    '{"a": {}, "b": [1, 2.0, 9007199254740993, 1000000000000000000000, 0]}',
  ],
  ['doc', '"text \\"x\\" \\\\ \\u2028"', '"text \\"x\\" \\\\ \u2028"'],
  ['doc', '[true,false,null]', '[true, false, null]'],
  ['plain', '{"a":1.50,"a2":"\\ud83d\\ude00"}', '{"a": 1.50, "a2": "\u{1F600}"}'],
];

function payloadOf(row: JsonObject | undefined): JsonObject {
  const payload = row?.['payload'];
  if (!isJsonObject(payload)) throw new Error('the row has no payload');
  return payload;
}

describe('a value', () => {
  let fixture: PushFixture;
  let sourceBundleId = 0n;
  const actor = { scopeId: 'values', sourceId: 'device-a' };
  beforeAll(async () => {
    fixture = await openPushFixture({ schema: SCHEMA, tables: TABLES });
    await initializeScope(fixture.pg, actor.scopeId);
  });
  afterAll(() => fixture.close());

  /** Pushes payloads in one bundle, returns what clients get. */
  async function roundTrip(payloads: readonly JsonObject[], prefix: string): Promise<readonly JsonObject[]> {
    sourceBundleId += 1n;
    const rows = payloads.map((payload, index) => ({
      table: 'things',
      key: { id: `${prefix}${index}` },
      op: 'INSERT' as const,
      payload,
    }));
    const reply = await push(fixture.ctx, actor, rows, { sourceBundleId });
    return readBundle(fixture.pg, reply.bundle_seq);
  }

  it.each(['small', 'copied'])('[C2] [C8] survives push, storage and rendering exactly (%s chunk)', async (size) => {
    const filler = size === 'small' ? [] : Array.from({ length: 300 }, () => ({ t: 'filler' }));
    const found = await roundTrip([...CASES.map(([name, value]) => ({ [name]: value })), ...filler], size);
    const served = CASES.map(([name], index) => [name, payloadOf(found[index])[name]]);
    expect(served).toEqual(CASES.map(([name, , value]) => [name, value]));
  });

  it('[C2] inside json keeps its digits', async () => {
    const found = await roundTrip(
      NESTED.map(([name, pushed]) => ({ [name]: parseJson(pushed, { depthMax: 10 }) })),
      'nested',
    );
    NESTED.forEach(([name, , served], index) => {
      expect(stringifyJson(payloadOf(found[index])[name] ?? null)).toBe(stringifyJson(parseJson(served, { depthMax: 10 })));
    });
  });

  it('of a generated column is ignored when it is pushed, and served', async () => {
    const [row] = await roundTrip([{ i2: '21', twice: 'nonsense' }], 'generated');
    expect(row?.['payload']).toMatchObject({ i2: '21', twice: '42' });
  });

  it('of an unpublished column gets its default and is never served', async () => {
    const [row] = await roundTrip([{}], 'unpublished');
    expect(row?.['payload']).not.toHaveProperty('unpublished');
    const { rows } = await fixture.pg.query(`SELECT unpublished FROM things WHERE id='unpublished0'`);
    expect(rows).toEqual([['kept']]);
  });

  it('that is the key survives as text whatever its characters', async () => {
    sourceBundleId += 1n;
    const ids = ['a"b', "a'b", 'a\\b', ' a ', 'é\u{1F600}', '\u0001\u0002\u0003', 'a,b', '(x)', 'line\nbreak', 'NULL', '\uFFFE'];
    const rows = ids.map((id) => ({ table: 'things', key: { id }, op: 'INSERT' as const, payload: {} }));
    await push(fixture.ctx, actor, rows, { sourceBundleId });
    sourceBundleId += 1n;
    const updates = ids.map((id) => ({
      table: 'things',
      key: { id },
      op: 'UPDATE' as const,
      base: sourceBundleId - 1n,
      payload: { t: id },
    }));
    const reply = await push(fixture.ctx, actor, updates, { sourceBundleId });
    const found = await readBundle(fixture.pg, reply.bundle_seq);
    expect(found.map((row) => [row['op'], row['key'], payloadOf(row)['t']])).toEqual(ids.map((id) => ['UPDATE', { id }, id]));
  });
});
