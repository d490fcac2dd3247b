import { encodeBase64, formatFloat, isSyncError } from '@oversync/protocol';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import type { SqlValue } from '../ports/sqlite-driver.ts';
import { applyBundles } from '../store/apply-bundles.ts';
import { freezeOutbox } from '../store/freeze.ts';
import { APPLY, FREEZE, openAttached, query } from '../store/test-local.ts';
import type { Local } from '../store/test-local.ts';
import { checkIncomingRow, checkIncomingRows } from './check-incoming.ts';
import { hexPayload } from './hex-payload.ts';
import type { IncomingRow } from './incoming-row.ts';

const DDL = `CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, i INTEGER, r REAL, s TEXT, b BLOB, j TEXT, f BOOLEAN, u BLOB REFERENCES p(id));
  CREATE TABLE p (id BLOB PRIMARY KEY NOT NULL)`;
const TABLES = [
  { tableName: 't', syncKeyColumnName: 'id', jsonColumns: ['j'] },
  { tableName: 'p', syncKeyColumnName: 'id' },
];

async function opened(): Promise<Local> {
  const local = await openAttached(DDL, { tables: TABLES });
  local.driver.database.exec('PRAGMA foreign_keys = OFF');
  return local;
}

const incoming = (payload: string, table = 't'): IncomingRow => ({
  schema: 'main',
  table,
  keyColumn: 'id',
  keyValue: 'a',
  op: 'UPDATE',
  rowVersion: 1n,
  payload,
});

const full = (members: string): string => `{"b":null,"f":null,"i":null,"id":"a","j":null,"r":null,"s":null,"u":null${members}}`;
const withMember = (name: string, value: string): string => full('').replace(`"${name}":null`, `"${name}":${value}`);

const wellFormed = fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed() && !text.includes('\0'));
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const bytes = fc.uint8Array({ maxLength: 40 });
const uuid = fc.uuid();
const json = fc.jsonValue({ maxDepth: 3 });

describe('values', () => {
  test('[T115] [K9] [K11] SQLite → local → wire → SQLite is the identity for every kind', async () => {
    const from = await opened();
    const to = await opened();
    const row = fc.record({
      i: fc.option(int64),
      r: fc.option(finite),
      s: fc.option(wellFormed),
      b: fc.option(bytes),
      j: fc.option(json),
      f: fc.option(fc.boolean()),
      u: fc.option(uuid),
    });
    const select = `SELECT CAST(i AS TEXT) AS i, r, s, hex(b) AS b, b IS NULL AS nb, typeof(r) AS tr, f, hex(u) AS u FROM t`;
    let version = 0n;
    await fc.assert(
      fc.asyncProperty(row, async ({ i, r, s, b, j, f, u }) => {
        from.driver.database.exec(
          'DELETE FROM t; DELETE FROM _sync_dirty_rows; DELETE FROM _sync_row_state; DELETE FROM _sync_outbox_rows',
        );
        from.driver.database.exec(`UPDATE _sync_outbox_bundle SET state = 'none'`);
        const values: SqlValue[] = [
          'a',
          i,
          r === 0 ? 0 : r,
          s,
          b === null ? null : new Uint8Array(b),
          j === null ? null : JSON.stringify(j),
        ];
        const uuidBytes =
          u === null ? null : Uint8Array.from(u.replaceAll('-', '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
        await from.driver.run('INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)', [
          ...values,
          f === null ? null : f ? 1n : 0n,
          uuidBytes,
        ]);
        await freezeOutbox(from.driver, from.schema, FREEZE);
        const payload = query(from, 'SELECT wire_payload AS p FROM _sync_outbox_rows')[0]?.['p'];
        version += 1n;
        const checked = checkIncomingRow(to.schema, { ...incoming(String(payload)), rowVersion: version });
        await applyBundles(to.driver, to.schema, [{ bundleSeq: version, rows: [checked] }], APPLY);
        expect(query(to, select)).toEqual(query(from, select));
        const [[stored] = []] = await to.driver.all('SELECT j FROM t');
        // What was written is the text of `j`, which has no -0.
        expect(typeof stored === 'string' ? JSON.parse(stored) : null).toEqual(JSON.parse(JSON.stringify(j)));
      }),
      { numRuns: 200 },
    );
  });

  test('[T115] wire → SQLite → wire gives the same canonical text', async () => {
    const local = await opened();
    let version = 0n;
    const row = fc.record({
      i: fc.option(int64),
      r: fc.option(finite),
      s: fc.option(wellFormed),
      b: fc.option(bytes),
      u: fc.option(uuid),
      f: fc.option(fc.constantFrom('0', '1')),
    });
    await fc.assert(
      fc.asyncProperty(row, async ({ i, r, s, b, u, f }) => {
        version += 1n;
        const payload = JSON.stringify({
          b: b === null ? null : encodeBase64(b),
          f,
          i: i === null ? null : i.toString(),
          id: 'a',
          j: null,
          r: r === null ? null : formatFloat(r),
          s,
          u,
        });
        const checked = checkIncomingRow(local.schema, { ...incoming(payload), rowVersion: version });
        local.driver.database.exec(
          `DELETE FROM _sync_dirty_rows; DELETE FROM _sync_outbox_rows; UPDATE _sync_outbox_bundle SET state = 'none'`,
        );
        await applyBundles(local.driver, local.schema, [{ bundleSeq: version, rows: [checked] }], APPLY);
        local.driver.database.exec('UPDATE t SET s = s');
        await freezeOutbox(local.driver, local.schema, FREEZE);
        expect(query(local, 'SELECT wire_payload AS p FROM _sync_outbox_rows')).toEqual([{ p: payload }]);
      }),
      { numRuns: 200 },
    );
  });

  test('[T114] [T116] booleans, nulls and nested JSON of the server are stored as the local kinds', async () => {
    const local = await opened();
    const payload = `{"b":"AAE=","f":true,"i":"-9223372036854775808","id":"a","j":{"z":[1.50, 9007199254740993 ,-0,"\\u00e9"],"a":null},"r":"5e-324","s":"x","u":"00112233-4455-6677-8899-aabbccddeeff","later":1}`;
    const rows = checkIncomingRows(local.schema, [incoming(payload)]);
    await applyBundles(local.driver, local.schema, [{ bundleSeq: 1n, rows }], APPLY);
    expect(query(local, 'SELECT hex(b) AS b, f, CAST(i AS TEXT) AS i, j, r, s, hex(u) AS u FROM t')).toEqual([
      {
        b: '0001',
        f: 1,
        i: '-9223372036854775808',
        j: '{"z":[1.50,9007199254740993,-0,"\\u00e9"],"a":null}',
        r: 5e-324,
        s: 'x',
        u: '00112233445566778899AABBCCDDEEFF',
      },
    ]);
  });

  test.each([
    ['i', '1', 'legacy_json_number'],
    ['i', '"01"', 'leading_zero'],
    ['i', '"1.0"', 'fraction'],
    ['i', '"-0"', 'negative_zero'],
    ['i', '"9223372036854775808"', 'out_of_range'],
    ['i', '"word"', 'malformed'],
    ['i', '{}', 'malformed'],
    ['r', '1.5', 'legacy_json_number'],
    ['r', '"1.0"', 'noncanonical'],
    ['r', '"-0"', 'noncanonical'],
    ['r', '"1e400"', 'non_finite'],
    ['r', '"NaN"', 'non_finite'],
    ['r', 'true', 'malformed'],
    ['s', '1', 'legacy_json_number'],
    ['s', 'true', 'malformed'],
    ['s', '{"a":1}', 'malformed'],
    ['s', '"a\\u0000b"', 'nul_character'],
    ['j', '"\\u0000"', 'nul_character'],
    ['b', '"AAE"', 'noncanonical'],
    ['b', '"AAF="', 'noncanonical'],
    ['u', '"00112233445566778899AABBCCDDEEFF"', 'malformed'],
    ['id', '"other"', 'key'],
  ])('[T114] column %s refuses %s as %s', async (column, value, category) => {
    const local = await opened();
    const payload = column === 'id' ? full('').replace('"id":"a"', `"id":${value}`) : withMember(column, value);
    expect(() => checkIncomingRow(local.schema, incoming(payload))).toThrow(
      expect.objectContaining({ code: 'payload_value_invalid', details: { table: 't', column, category } }),
    );
  });

  test('[K16] unknown members are kept and ignored, a missing column is named', async () => {
    const local = await opened();
    expect(checkIncomingRow(local.schema, incoming(full(',"new":[1,{"a":"}"}]'))).payload).toContain('"new"');
    expect(() => checkIncomingRow(local.schema, incoming(full('').replace('"r":null,', '')))).toThrow(
      expect.objectContaining({ code: 'payload_column_missing', details: { table: 't', column: 'r' } }),
    );
  });

  test('white space and escaped names are rewritten, values keep their text', async () => {
    const local = await opened();
    const payload =
      ` { "b" : null , "f" : false , "\\u0069" : "1" , "id" : "a" , "j" : { "n" : 1.0 } , "r" : null , "s" : "\\u0041" , "u" : null } `.trim();
    const checked = checkIncomingRow(local.schema, incoming(payload));
    expect(checked.payload).toBe('{"b":null,"f":false,"i":"1","id":"a","j":{"n":1.0},"r":null,"s":"A","u":null}');
  });

  test.each([
    [{ schema: 'other' }, 'protocol_violation'],
    [{ table: 'nope' }, 'table_unknown'],
    [{ keyColumn: 'x' }, 'protocol_violation'],
    [{ keyValue: '  ' }, 'protocol_violation'],
    [
      { table: 'p', payload: null, op: 'DELETE' as const, keyValue: 'A0112233-4455-6677-8899-aabbccddeeff' },
      'protocol_violation',
    ],
  ])('[T76] identity %o is refused as %s', async (change, code) => {
    const local = await opened();
    let thrown: unknown = null;
    try {
      checkIncomingRow(local.schema, { ...incoming(full('')), ...change });
    } catch (error) {
      thrown = error;
    }
    expect(isSyncError(thrown) && thrown.code).toBe(code);
  });

  test('BLOBs are found also where a nested value has a member of the same name', async () => {
    const local = await opened();
    const table = local.schema.tablesByName.get('t');
    if (table === undefined) throw new Error('the table is described');
    const payload = withMember('j', '{"b":"AAE="}').replace('"b":null', '"b":"/w=="');
    expect(JSON.parse(hexPayload(table, payload))).toMatchObject({ b: 'ff', j: { b: 'AAE=' } });
  });
});
