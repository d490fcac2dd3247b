import { describe, expect, test } from 'vitest';

import { checkIncomingRows } from '../rules/check-incoming.ts';
import { applyBundles } from './apply-bundles.ts';
import { loadClientState } from './client-state.ts';
import { freezeOutbox } from './freeze.ts';
import { loadOutboxChunk, storeCommittedRemote, unfreezeOutbox, verifyOutbox } from './outbox.ts';
import { APPLY, FREEZE, SOURCE_ID, dirty, openAttached, openLocal, query, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';
import type { FreezeInput, FreezeResult } from './store-types.ts';

const USERS = 'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER, score REAL)';
const TREE = `
CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent_id TEXT REFERENCES parents(id));
CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL, name TEXT)`;

function freeze(local: Local, input: Partial<FreezeInput> = {}): Promise<FreezeResult> {
  return freezeOutbox(local.driver, local.schema, { ...FREEZE, ...input });
}

function outbox(local: Local): unknown[][] {
  return local.driver.database
    .prepare(
      'SELECT row_ordinal, table_name, op, base_row_version, wire_key_json, wire_payload FROM _sync_outbox_rows ORDER BY row_ordinal',
    )
    .all()
    .map((row) => Object.values(row));
}

async function seed(local: Local, ...ids: string[]): Promise<void> {
  const rows = checkIncomingRows(
    local.schema,
    ids.map((id) => serverRow('users', id, 4n, { name: id, age: null, score: null })),
  );
  await applyBundles(local.driver, local.schema, [{ bundleSeq: 4n, rows }], APPLY);
}

describe('freezing', () => {
  test('[I2] [T42] [T43] the worked example of the protocol: rows, order and request hash', async () => {
    const local = await openAttached(USERS);
    await seed(local, 'user-2');
    local.driver.database.exec(`DELETE FROM users WHERE id = 'user-2'; INSERT INTO users VALUES ('user-1', 'Ada <b>', 36, 1.5)`);
    const result = await freeze(local);
    expect(outbox(local)).toEqual([
      [0, 'users', 'INSERT', 0, '{"id":"user-1"}', '{"age":"36","id":"user-1","name":"Ada <b>","score":"1.5"}'],
      [1, 'users', 'DELETE', 4, '{"id":"user-2"}', null],
    ]);
    expect(result.outbox).toEqual({
      state: 'prepared',
      sourceId: SOURCE_ID,
      sourceBundleId: 1n,
      initializationId: null,
      requestHash: 'a3338775c22c2251995c390654bb36fe45dce751bb7d7bfeccbf977c989db3c3',
      rowCount: 2,
    });
    expect((await loadClientState(local.driver)).outbox).toEqual(result.outbox);
    expect(dirty(local)).toEqual([]);
    await verifyOutbox(local.driver, local.schema);
    const chunk = await loadOutboxChunk(local.driver, 0, { rowsMax: 10, bytesMax: 1000 });
    expect(JSON.parse(`[${chunk.rowsText}]`)).toEqual([
      {
        schema: 'main',
        table: 'users',
        key: { id: 'user-1' },
        op: 'INSERT',
        base_row_version: 0,
        payload: { id: 'user-1', name: 'Ada <b>', age: '36', score: '1.5' },
      },
      { schema: 'main', table: 'users', key: { id: 'user-2' }, op: 'DELETE', base_row_version: 4 },
    ]);
  });

  test('[T41] [K3] a row made and deleted before the first push leaves nothing to push', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a'); DELETE FROM users`);
    expect(dirty(local)).toHaveLength(1);
    const result = await freeze(local);
    expect(result).toMatchObject({ outbox: { state: 'none' }, hasMore: false });
    expect(dirty(local)).toEqual([]);
  });

  test('[T44] parents first, children deleted first, ties by ordinal', async () => {
    const local = await openAttached(TREE);
    const { database } = local.driver;
    const rows = checkIncomingRows(local.schema, [
      serverRow('parents', 'old', 1n, { name: null }),
      serverRow('children', 'old', 1n, { parent_id: 'old' }),
    ]);
    await applyBundles(local.driver, local.schema, [{ bundleSeq: 1n, rows }], APPLY);
    database.exec(`PRAGMA defer_foreign_keys = ON; BEGIN; PRAGMA defer_foreign_keys = ON;
      INSERT INTO children VALUES ('c1', 'p1'); INSERT INTO parents VALUES ('p2', ''), ('p1', '');
      DELETE FROM parents WHERE id = 'old'; DELETE FROM children WHERE id = 'old'; COMMIT`);
    await freeze(local);
    expect(outbox(local).map((row) => [row[1], row[2], row[4]])).toEqual([
      ['parents', 'INSERT', '{"id":"p2"}'],
      ['parents', 'INSERT', '{"id":"p1"}'],
      ['children', 'INSERT', '{"id":"c1"}'],
      ['children', 'DELETE', '{"id":"old"}'],
      ['parents', 'DELETE', '{"id":"old"}'],
    ]);
  });

  test('[T45] chunks follow rows and bytes; one large row still fits', async () => {
    const local = await openAttached(USERS);
    for (let index = 0; index < 5; index += 1)
      local.driver.database.exec(`INSERT INTO users(id, name) VALUES ('u${index}', '${'x'.repeat(100)}')`);
    await freeze(local);
    const sizes: [number, number][] = [];
    for (let from = 0; ;) {
      const chunk = await loadOutboxChunk(local.driver, from, { rowsMax: 2, bytesMax: 100_000 });
      if (chunk.rowCount === 0) break;
      sizes.push([chunk.rowCount, chunk.nextOrdinal]);
      from = chunk.nextOrdinal;
    }
    expect(sizes).toEqual([
      [2, 2],
      [2, 4],
      [1, 5],
    ]);
    expect(await loadOutboxChunk(local.driver, 3, { rowsMax: 10, bytesMax: 5 })).toMatchObject({ rowCount: 1, nextOrdinal: 4 });
  });

  test('[T46] a split freeze keeps the rest dirty and the order safe for foreign keys', async () => {
    const local = await openAttached(TREE);
    local.driver.database.exec(`BEGIN; PRAGMA defer_foreign_keys = ON;
      INSERT INTO children VALUES ('c1', 'p1'), ('c2', 'p2'); INSERT INTO parents VALUES ('p1', ''), ('p2', ''), ('p3', ''); COMMIT`);
    const first = await freeze(local, { rowsMax: 2 });
    expect(first).toMatchObject({ hasMore: true, outbox: { rowCount: 2, sourceBundleId: 1n } });
    expect(outbox(local).map((row) => row[1])).toEqual(['parents', 'parents']);
    expect(dirty(local)).toHaveLength(3);
    expect(first.ordinalMax).toBe(5n);
  });

  test('[T46] further parts go on with the plan of the first; what changed meanwhile waits for a new one', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a'), ('b'), ('c'), ('d'), ('e')`);
    const parts: unknown[] = [];
    let input: Partial<FreezeInput> = { rowsMax: 2 };
    for (let part = 0; part < 5; part += 1) {
      const result = await freeze(local, input);
      parts.push(outbox(local).map((row) => [row[4], row[2]]));
      if (part === 0)
        local.driver.database.exec(
          `UPDATE users SET name = 'edited' WHERE id = 'c'; DELETE FROM users WHERE id = 'd'; INSERT INTO users(id) VALUES ('late')`,
        );
      await local.driver.exec(`DELETE FROM _sync_outbox_rows; UPDATE _sync_outbox_bundle SET state = 'none'`);
      if (!result.hasMore) break;
      input = { rowsMax: 2, ordinalMax: result.ordinalMax };
    }
    expect(parts).toEqual([
      [
        ['{"id":"a"}', 'INSERT'],
        ['{"id":"b"}', 'INSERT'],
      ],
      [
        ['{"id":"c"}', 'INSERT'],
        ['{"id":"e"}', 'INSERT'],
      ],
      [],
    ]);
    expect(dirty(local).map((row) => row[1])).toEqual(['{"id":"late"}']);
  });

  test('[T46] rows that come back from a refused part are frozen before the rest of its plan', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a'), ('b'), ('c')`);
    const first = await freeze(local, { rowsMax: 2 });
    await local.driver.transaction('immediate', (tx) => unfreezeOutbox(tx));
    await freeze(local, { rowsMax: 2, ordinalMax: first.ordinalMax });
    expect(outbox(local).map((row) => row[4])).toEqual(['{"id":"a"}', '{"id":"b"}']);
  });

  test('[T46] the upserts of a table that refers to itself are not cut apart', async () => {
    const local = await openAttached('CREATE TABLE nodes (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES nodes(id))');
    local.driver.database.exec(`INSERT INTO nodes VALUES ('a', NULL), ('b', 'a'), ('c', 'b'), ('d', 'c')`);
    await expect(freeze(local, { bundleRowsMax: 3 })).rejects.toMatchObject({
      code: 'bundle_too_large',
      details: { table: 'nodes', limit: 3 },
    });
    expect(dirty(local)).toHaveLength(4);
    const result = await freeze(local, { rowsMax: 2 });
    expect(result).toMatchObject({ hasMore: false, outbox: { rowCount: 4 } });
  });

  test('[T46] a group that does not fit any more goes into the next bundle', async () => {
    const ddl = `CREATE TABLE plain (id TEXT PRIMARY KEY NOT NULL);
      CREATE TABLE nodes (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES nodes(id))`;
    const local = await openAttached(ddl);
    local.driver.database.exec(`INSERT INTO nodes VALUES ('a', NULL), ('b', 'a'); INSERT INTO plain VALUES ('x'), ('y')`);
    const result = await freeze(local, { bundleRowsMax: 3 });
    expect(result).toMatchObject({ hasMore: true, outbox: { rowCount: 2 } });
    expect(outbox(local).map((row) => row[1])).toEqual(['plain', 'plain']);
  });

  test('[T72] [K37] each value that cannot be sent goes to quarantine and the others are frozen', async () => {
    const ddl = `CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, n INTEGER, r REAL, s TEXT, j TEXT, u BLOB);
      CREATE TABLE p (id BLOB PRIMARY KEY NOT NULL);
      CREATE TABLE c (id TEXT PRIMARY KEY NOT NULL, p BLOB REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)`;
    const tables = [
      { tableName: 't', syncKeyColumnName: 'id', jsonColumns: ['j'] },
      { tableName: 'p', syncKeyColumnName: 'id' },
      { tableName: 'c', syncKeyColumnName: 'id' },
    ];
    const local = await openAttached(ddl, { tables });
    const { database } = local.driver;
    database.exec('PRAGMA foreign_keys = OFF');
    database.exec(`
      INSERT INTO t(id, n) VALUES ('integer', 'abc');
      INSERT INTO t(id, r) VALUES ('infinite', 9e999), ('word', 'abc');
      INSERT INTO t(id, s) VALUES ('nul', 'a' || char(0) || 'b'), ('blob', x'00ff'), ('utf', CAST(x'ff41' AS TEXT)), ('fine', 'ok \ufffd');
      INSERT INTO t(id, j) VALUES ('json', '{nope'), ('json-number', '{"a":1e999}');
      INSERT INTO t(id) VALUES (' ');
      INSERT INTO t(id, s) VALUES ('large', hex(zeroblob(300)));
      INSERT INTO p VALUES (x'01');
      INSERT INTO c VALUES ('uuid', x'0102')`);
    const result = await freeze(local, { rowBytesMax: 500 });
    expect(Object.fromEntries(result.quarantined.map(({ key, code }) => [key, code]))).toEqual({
      integer: 'integer_invalid',
      infinite: 'number_not_finite',
      word: 'real_invalid',
      nul: 'nul_character',
      blob: 'unsupported_value',
      utf: 'invalid_unicode',
      json: 'json_invalid',
      'json-number': 'number_not_finite',
      ' ': 'invalid_key',
      large: 'row_too_large',
      '01': 'invalid_key',
      uuid: 'invalid_uuid',
    });
    expect(outbox(local).map((row) => row[4])).toEqual(['{"id":"fine"}']);
    expect(query(local, `SELECT count(*) AS n FROM _oversync_quarantine WHERE origin = 'freeze' AND shows = 'local'`)).toEqual([
      { n: 12 },
    ]);
    expect(dirty(local)).toEqual([]);
    await verifyOutbox(local.driver, local.schema);
  });

  test('[T72] rows behind a whole part of refused ones are frozen by the same call', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users(id, age) VALUES ('a', 'x'), ('b', 'x'), ('c', 'x'), ('d', 4), ('e', 5)`);
    const result = await freeze(local, { rowsMax: 1 });
    expect(result.quarantined.map((row) => row.key)).toEqual(['a', 'b', 'c']);
    expect(outbox(local).map((row) => row[4])).toEqual(['{"id":"d"}']);
    expect(result.hasMore).toBe(true);
  });

  test('too many refused rows fail the freeze and change nothing', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users(id, age) VALUES ('a', 'x'), ('b', 'x')`);
    await expect(freeze(local, { quarantineMax: 1 })).rejects.toMatchObject({ code: 'quarantine_limit_reached' });
    expect(dirty(local)).toHaveLength(2);
  });

  test('[T73] an edit of a quarantined row takes the older base and ends the quarantine', async () => {
    const local = await openAttached(USERS);
    await seed(local, 'a');
    local.driver.database.exec(`UPDATE users SET age = 'x' WHERE id = 'a'`);
    await freeze(local);
    local.driver.database.exec(`UPDATE _sync_row_state SET row_version = 9; UPDATE users SET age = 1 WHERE id = 'a'`);
    expect(dirty(local)[0]?.[3]).toBe(9);
    await freeze(local);
    expect(outbox(local).map((row) => [row[2], row[3]])).toEqual([['UPDATE', 4]]);
    expect(query(local, 'SELECT * FROM _oversync_quarantine')).toEqual([]);
  });

  test('[K9] [T62] BLOB keys and values travel as UUID and base64', async () => {
    const local = await openAttached('CREATE TABLE files (id BLOB PRIMARY KEY NOT NULL, data BLOB)');
    local.driver.database.exec(
      `INSERT INTO files VALUES (x'00112233445566778899aabbccddeeff', x'deadbeef'), (x'10112233445566778899aabbccddeeff', NULL)`,
    );
    await freeze(local);
    expect(outbox(local).map((row) => row.slice(4))).toEqual([
      ['{"id":"00112233-4455-6677-8899-aabbccddeeff"}', '{"data":"3q2+7w==","id":"00112233-4455-6677-8899-aabbccddeeff"}'],
      ['{"id":"10112233-4455-6677-8899-aabbccddeeff"}', '{"data":null,"id":"10112233-4455-6677-8899-aabbccddeeff"}'],
    ]);
  });

  test('[K10] unfreezing returns rows with their old base ahead of newer edits, which keep their payload', async () => {
    const local = await openAttached(USERS);
    await seed(local, 'a', 'b');
    local.driver.database.exec(`UPDATE users SET name = 'first'`);
    await freeze(local);
    local.driver.database.exec(`UPDATE _sync_row_state SET row_version = 7; UPDATE users SET name = 'second' WHERE id = 'a'`);
    const count = await local.driver.transaction('immediate', (tx) => unfreezeOutbox(tx));
    expect(count).toBe(2);
    expect(dirty(local).map((row) => [row[1], row[3], String(row[4]).includes('second')])).toEqual([
      ['{"id":"b"}', 4, false],
      ['{"id":"a"}', 4, true],
    ]);
    expect((await loadClientState(local.driver)).outbox).toEqual({ state: 'none' });
  });

  test.each([
    ['rows_without_header', `UPDATE _sync_outbox_bundle SET state = 'none'`],
    ['row_count', 'UPDATE _sync_outbox_bundle SET row_count = 5'],
    ['row_count', 'DELETE FROM _sync_outbox_rows'],
    ['source_bundle_id', 'UPDATE _sync_outbox_rows SET source_bundle_id = 9'],
    ['source_id', `UPDATE _sync_outbox_bundle SET source_id = 'other'`],
    ['request_hash', `UPDATE _sync_outbox_rows SET wire_payload = '{"id":"z"}'`],
    ['request_hash', `UPDATE _sync_outbox_rows SET base_row_version = 3`],
    ['commit', `UPDATE _sync_outbox_bundle SET state = 'committed_remote'`],
  ])('an outbox with a broken %s is refused', async (rule, damage) => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a')`);
    await freeze(local);
    await verifyOutbox(local.driver, local.schema);
    local.driver.database.exec(damage);
    await expect(verifyOutbox(local.driver, local.schema)).rejects.toMatchObject({ code: 'outbox_corrupt', details: { rule } });
  });

  test('the commit is stored once, durably, and only for the prepared bundle', async () => {
    const local = await openAttached(USERS);
    local.driver.database.exec(`PRAGMA synchronous = NORMAL; INSERT INTO users(id) VALUES ('a')`);
    const { outbox: frozen } = await freeze(local);
    if (frozen.state !== 'prepared') throw new Error('nothing was frozen');
    const committed = await storeCommittedRemote(local.driver, frozen, { bundleSeq: 9n, bundleHash: 'h' });
    expect((await loadClientState(local.driver)).outbox).toEqual(committed);
    expect(query(local, 'PRAGMA synchronous')).toEqual([{ synchronous: 1 }]);
    await expect(storeCommittedRemote(local.driver, frozen, { bundleSeq: 9n, bundleHash: 'h' })).rejects.toMatchObject({
      code: 'outbox_corrupt',
    });
  });

  test('nested JSON keeps its digits on the wire and is hashed as binary64', async () => {
    const tables = [{ tableName: 'docs', syncKeyColumnName: 'id', jsonColumns: ['j'] }];
    const local = await openLocal('CREATE TABLE docs (id TEXT PRIMARY KEY NOT NULL, j TEXT)', { tables });
    local.driver.database.prepare('INSERT INTO docs VALUES (?, ?)').run('d', '{"b":[1,2.0,9007199254740993,1e21,-0],"a":{}}');
    await freeze(local);
    expect(outbox(local)[0]?.[5]).toBe('{"id":"d","j":{"a":{},"b":[1,2.0,9007199254740993,1e21,-0]}}');
    await verifyOutbox(local.driver, local.schema);
  });
});
