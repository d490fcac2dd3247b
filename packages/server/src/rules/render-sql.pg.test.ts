import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { metadataNames } from '../store/metadata.sql.ts';
import { openPgFixture, TEST_PINNED_SETTINGS } from '../test-pg.ts';
import type { PgFixture } from '../test-pg.ts';
import { renderPayload } from './render-sql.ts';
import type { TableDescription } from './table-description.ts';

const SCHEMA = `
CREATE SCHEMA business;
CREATE TYPE business.mood AS ENUM ('so "so"', 'ok');
CREATE DOMAIN business.cents AS numeric(12, 2);
CREATE DOMAIN business.flag AS boolean;
CREATE DOMAIN business.inner_time AS timestamptz;
CREATE DOMAIN business.outer_time AS business.inner_time;
CREATE TABLE business.everything (
  _sync_scope_id text NOT NULL, id text NOT NULL,
  i2 int2, i8 int8, num numeric, amount business.cents, f4 float4, f8 float8, yes boolean, no business.flag, bin bytea, u uuid,
  v varchar(9), c char(4), e business.mood, ip inet, net cidr, b bit(4), x xml, tz timestamptz, dtz business.outer_time, ts timestamp, d date,
  t time, ttz timetz, iv interval, j json, jb jsonb, jt jsonb, gen int8 GENERATED ALWAYS AS (i8 * 2) STORED, nul text, hidden text,
  PRIMARY KEY (_sync_scope_id, id));
CREATE TABLE business.copy (LIKE business.everything);
INSERT INTO business.copy (_sync_scope_id, id, i2, i8, num, amount, f4, f8, yes, no, bin, u, v, c, e, ip, net, b, x, tz, dtz, ts, d, t, ttz, iv, j, jb, jt, hidden)
VALUES ('s', E'k "\\\\\\u0001\\u007f\\u2028é', -32768, 9007199254740993, 12345678901234567890.1230, 12.3, 1.2345678901234567, 1e21, true, false,
  decode(repeat('fbff00', 30), 'hex'), 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'v', 'c', 'so "so"', '10.0.0.1', '10.0.0.0/8', B'1010', '<a b="c"/>',
  '2026-03-24 20:42:11.120000+02', '-infinity', '2026-03-24 18:42:11.5', '2026-03-24', '18:42:11.25', '18:42:11+02', '1 day 02:03:04',
  '{"b": 1.50, "a": [1e400, "\\u00e9"], "a": null}', '{"z":1,"a":{"k":"v"}}', '{"z":1}', 'never sent');`;

describe('rendering on PostgreSQL', () => {
  let pg: PgFixture;
  let table: TableDescription;
  beforeAll(async () => {
    pg = await openPgFixture();
    await pg.run(SCHEMA);
    const config = {
      schema: 'business',
      table: 'everything',
      syncKeyColumn: 'id',
      excludeColumns: ['hidden'],
      jsonAsText: ['jt'],
    };
    const { catalog } = await pg.bootstrap([config]);
    table = catalog.tables.get('business.everything') ?? expect.fail('no table');
  });
  afterAll(() => pg.close());

  async function render(settings = ''): Promise<string> {
    const sql = `SELECT ${renderPayload(table, 't', metadataNames('sync'))} FROM business.copy t`;
    const hostSettings = `${settings};${TEST_PINNED_SETTINGS}`;
    const { rows } = await pg.db.transaction({ isolation: 'read committed', settings: hostSettings }, (tx) => tx.query(sql));
    return rows[0]?.[0] ?? '';
  }

  it('writes each type as the contract says', async () => {
    const text = await render();
    expect(JSON.parse(text)).toEqual({
      amount: '12.30',
      b: '1010',
      bin: '+/8A'.repeat(30),
      c: 'c   ',
      d: '2026-03-24',
      dtz: '-infinity',
      e: 'so "so"',
      f4: '1.2345678806304932',
      f8: '1e+21',
      gen: null,
      i2: '-32768',
      i8: '9007199254740993',
      id: 'k "\\\u0001\u007f\u2028é',
      ip: '10.0.0.1',
      iv: '1 day 02:03:04',
      j: { a: null, b: 1.5 },
      jb: { a: { k: 'v' }, z: 1 },
      jt: '{"z": 1}',
      net: '10.0.0.0/8',
      no: false,
      nul: null,
      num: '12345678901234567890.1230',
      t: '18:42:11.25',
      ts: '2026-03-24T18:42:11.5',
      ttz: '18:42:11+02',
      tz: '2026-03-24T18:42:11.12+00:00',
      u: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      v: 'v',
      x: '<a b="c"/>',
      yes: true,
    });
    expect(Object.keys(JSON.parse(text) as object)).toEqual(table.columns.map((column) => column.name));
    expect(text).toContain('"j":{"a": null, "b": 1.50}');
    expect(text).toContain('"id":"k \\"\\\\\\u0001\u007f\u2028é"');
  });

  it('[C8] gives the same text whatever the settings of the session', async () => {
    const odd = [
      `SET LOCAL TimeZone='America/St_Johns'`,
      `SET LOCAL DateStyle='SQL, DMY'`,
      `SET LOCAL IntervalStyle='iso_8601'`,
      `SET LOCAL bytea_output='escape'`,
      'SET LOCAL extra_float_digits=-5',
      `SET LOCAL search_path=''`,
    ];
    expect(await render(odd.join(';'))).toBe(await render());
  });

  it('describes columns for the checks of pushed values', () => {
    expect(table.columnByName.get('i2')).toMatchObject({ family: 'integer', integerRange: { min: -32768n, max: 32767n } });
    expect(table.columnByName.get('amount')).toMatchObject({ family: 'numeric', sqlType: 'business.cents', baseType: 'numeric' });
    expect(table.columnByName.get('dtz')).toMatchObject({ family: 'timestamptz', baseType: 'timestamptz' });
    expect(table.columnByName.get('gen')).toMatchObject({ isGenerated: true });
    expect(table.columnByName.get('jt')).toMatchObject({ family: 'json', jsonAsText: true });
    expect(table.columnByName.has('hidden')).toBe(false);
    expect(table.rowColumns.slice(0, 3)).toEqual(['_sync_scope_id', 'id', 'i2']);
    expect(table.rowColumns).toContain('hidden');
  });
});
