import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { keyJsonOf } from '../rules/check-incoming.ts';
import { keyJsonSql } from '../rules/capture-sql.ts';
import { mergeColumns } from '../rules/resolvers.ts';
import { livePayloadSql } from '../rules/replay-sql.ts';
import { loadClientState } from './client-state.ts';
import { captureExistingRows } from './first-open.ts';
import { openLocalSchema, refreshLocalSchema } from './open-local-schema.ts';
import { countingRandom, dirty, openAttached, openLocal, query } from './test-local.ts';
import type { Local } from './test-local.ts';

const USERS = 'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, email TEXT UNIQUE)';

/** Marks rows as known to the server. */
function synced(local: Local, table: string, version: number, ...ids: string[]): void {
  const insert = local.driver.database.prepare(
    'INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version) VALUES (?, ?, ?, ?)',
  );
  for (const id of ids) insert.run('main', table, JSON.stringify({ id }), version);
}

function silently(local: Local, sql: string): void {
  local.driver.database.exec(`UPDATE _sync_apply_state SET apply_mode = 1; ${sql}; UPDATE _sync_apply_state SET apply_mode = 0`);
}

const unused = (): never => {
  throw new Error('not expected');
};

const short = (local: Local): unknown[] => dirty(local).map((row) => [row[1], row[2], row[3], row[5]]);

describe('capture', () => {
  test('[T15] [T43] [K43] several edits of a key are one record with the first base and place', async () => {
    const local = await openLocal(USERS);
    const { database } = local.driver;
    silently(local, `INSERT INTO users(id) VALUES ('s')`);
    synced(local, 'users', 4, 's');
    database.exec(`INSERT INTO users(id) VALUES ('n'); UPDATE users SET name = '1' WHERE id = 's'`);
    database.exec(`UPDATE _sync_row_state SET row_version = 9; UPDATE users SET name = '2'`);
    expect(short(local)).toEqual([
      ['{"id":"n"}', 'INSERT', 0, 1],
      ['{"id":"s"}', 'UPDATE', 4, 2],
    ]);
    database.exec(`DELETE FROM users`);
    expect(short(local)).toEqual([
      ['{"id":"n"}', 'DELETE', 0, 1],
      ['{"id":"s"}', 'DELETE', 4, 2],
    ]);
    database.exec(`INSERT INTO users(id) VALUES ('s')`);
    expect(short(local)[1]).toEqual(['{"id":"s"}', 'UPDATE', 4, 2]);
  });

  test('[T16] self-references, cycles, ON UPDATE CASCADE and SET NULL are captured', async () => {
    const local = await openLocal(`
      CREATE TABLE parents (id TEXT PRIMARY KEY NOT NULL, self TEXT REFERENCES parents(id) ON DELETE SET NULL);
      CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, parent TEXT REFERENCES parents(id) ON UPDATE CASCADE ON DELETE SET NULL)`);
    silently(local, `INSERT INTO parents VALUES ('p', NULL), ('q', 'p'); INSERT INTO children VALUES ('c', 'p'), ('d', 'q')`);
    local.driver.database.exec(`UPDATE parents SET id = 'p2', self = NULL WHERE id = 'q'`);
    expect(dirty(local).map((row) => [row[0], row[1], row[2]])).toEqual(
      [
        ['children', '{"id":"d"}', 'INSERT'],
        ['parents', '{"id":"q"}', 'DELETE'],
        ['parents', '{"id":"p2"}', 'INSERT'],
      ].sort((a, b) => dirty(local).findIndex((row) => row[1] === a[1]) - dirty(local).findIndex((row) => row[1] === b[1])),
    );
    local.driver.database.exec(`DELETE FROM parents WHERE id = 'p'`);
    expect(dirty(local).find((row) => row[1] === '{"id":"c"}')?.[4]).toBe('{"id":"c","parent":null}');
  });

  test('[T17] [K21] OR REPLACE, OR IGNORE, upserts and INSERT … SELECT keep base and place, evicted rows are deletes', async () => {
    const local = await openLocal(USERS);
    const { database } = local.driver;
    silently(local, `INSERT INTO users VALUES ('a', 'A', '1'), ('b', 'B', '2')`);
    synced(local, 'users', 3, 'a', 'b');
    database.exec(`INSERT OR REPLACE INTO users VALUES ('n', 'N', '1')`);
    expect(short(local)).toEqual([
      ['{"id":"a"}', 'DELETE', 3, 1],
      ['{"id":"n"}', 'INSERT', 0, 2],
    ]);
    database.exec(`INSERT OR REPLACE INTO users VALUES ('b', 'B2', '2'); UPDATE OR IGNORE users SET email = '2' WHERE id = 'n'`);
    expect(short(local)[2]).toEqual(['{"id":"b"}', 'UPDATE', 3, 3]);
    database.exec(`INSERT INTO users VALUES ('b', 'B3', '2') ON CONFLICT (id) DO UPDATE SET name = excluded.name`);
    database.exec(`INSERT OR IGNORE INTO users SELECT id || '!', name, NULL FROM users WHERE id = 'b'`);
    expect(short(local)[3]).toEqual(['{"id":"b!"}', 'INSERT', 0, 4]);
    expect(String(dirty(local)[2]?.[4])).toContain('B3');
    database.exec(`UPDATE OR REPLACE users SET email = '2' WHERE id = 'n'`);
    expect(dirty(local).map((row) => row.slice(1, 3))).toContainEqual(['{"id":"b"}', 'DELETE']);
  });

  test('[T18] [K20] triggers of the application are captured; the documented guard keeps them quiet during apply', async () => {
    const ddl = `${USERS};
      CREATE TABLE log (id TEXT PRIMARY KEY NOT NULL, what TEXT);
      CREATE TRIGGER open_trigger AFTER INSERT ON users BEGIN INSERT INTO log VALUES (NEW.id, 'made'); END;`;
    const local = await openLocal(ddl);
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a')`);
    expect(dirty(local).map((row) => row[0])).toEqual(expect.arrayContaining(['log', 'users']));
    const { warnings } = await openLocalSchema(local.driver, local.config, countingRandom());
    expect(warnings).toEqual([{ code: 'application_trigger', table: 'users', trigger: 'open_trigger' }]);
    local.driver.database.exec(`DROP TRIGGER open_trigger; CREATE TRIGGER guarded AFTER INSERT ON users
      WHEN (SELECT apply_mode FROM _sync_apply_state) = 0 BEGIN INSERT INTO log VALUES (NEW.id, 'made'); END`);
    expect((await openLocalSchema(local.driver, local.config, countingRandom())).warnings).toEqual([]);
    silently(local, `INSERT INTO users(id) VALUES ('b')`);
    expect(query(local, 'SELECT id FROM log')).toEqual([{ id: 'a' }]);
  });

  test('[T20] the base image is the row before the first edit, only where asked for, never of an unsynced row', async () => {
    const tables = [
      { tableName: 'users', syncKeyColumnName: 'id', resolver: mergeColumns({ prefer: 'local' }) },
      { tableName: 'plain', syncKeyColumnName: 'id' },
    ];
    const local = await openLocal(`${USERS}; CREATE TABLE plain (id TEXT PRIMARY KEY NOT NULL, x TEXT)`, { tables });
    silently(local, `INSERT INTO users(id, name) VALUES ('a', 'A'), ('d', 'D'); INSERT INTO plain VALUES ('p', '1')`);
    synced(local, 'users', 5, 'a', 'd');
    synced(local, 'plain', 5, 'p');
    local.driver.database
      .exec(`UPDATE users SET name = 'A1' WHERE id = 'a'; UPDATE users SET name = 'A2' WHERE id = 'a'; DELETE FROM users WHERE id = 'd';
      INSERT INTO users(id) VALUES ('n'); UPDATE users SET name = 'N' WHERE id = 'n'; UPDATE plain SET x = '2'`);
    expect(query(local, 'SELECT key_json, base_row_version, base_payload FROM _oversync_row_bases ORDER BY key_json')).toEqual([
      { key_json: '{"id":"a"}', base_row_version: 5, base_payload: '{"id":"a","name":"A","email":null}' },
      { key_json: '{"id":"d"}', base_row_version: 5, base_payload: '{"id":"d","name":"D","email":null}' },
    ]);
  });

  test('[T21] [K28] [K30] WITHOUT ROWID, STRICT, generated columns, keywords, mixed case and 200 columns', async () => {
    const wide = Array.from({ length: 200 }, (_, index) => `c${index} TEXT`).join(', ');
    const local = await openLocal(
      `CREATE TABLE "Order" ("Id" TEXT NOT NULL PRIMARY KEY, "group" TEXT, "Select" INT) WITHOUT ROWID;
       CREATE TABLE strict_one (id TEXT NOT NULL PRIMARY KEY, n INTEGER, twice INTEGER GENERATED ALWAYS AS (n * 2) STORED, half REAL AS (n / 2.0)) STRICT;
       CREATE TABLE wide (id TEXT NOT NULL PRIMARY KEY, ${wide})`,
    );
    local.driver.database.exec(`INSERT INTO "Order" VALUES ('a"''b', 'g', 1); INSERT INTO strict_one(id, n) VALUES ('s', 21);
      INSERT INTO wide(id, c0, c59, c60, c199) VALUES ('w', '}', '{', '"}', '{"')`);
    const payloads = dirty(local).map((row) => JSON.parse(String(row[4])) as Record<string, unknown>);
    expect(payloads[0]).toEqual({ id: `a"'b`, group: 'g', select: '1' });
    expect(payloads[1]).toEqual({ id: 's', n: '21' });
    expect(Object.keys(payloads[2] ?? {})).toHaveLength(201);
    expect(payloads[2]).toMatchObject({ id: 'w', c0: '}', c59: '{', c60: '"}', c199: '{"', c198: null });
    local.driver.database.exec(`UPDATE wide SET id = 'w2'; DELETE FROM "Order"; DELETE FROM strict_one`);
    expect(dirty(local).filter((row) => row[2] === 'DELETE')).toHaveLength(3);
  });

  test('[I1] [T22] [K37] trigger, first capture and live read give the same text for values of every kind', async () => {
    const value = fc.oneof(
      fc.constant(null),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.double({ noNaN: true }),
      fc.string({ unit: 'binary' }).map((text) => text.replaceAll(/[\ud800-\udfff]/g, '')),
      fc.uint8Array({ maxLength: 20 }).map((bytes) => new Uint8Array(bytes)),
    );
    const row = fc.tuple(value, value, value, value, value);
    const ddl = 'CREATE TABLE t (id TEXT PRIMARY KEY NOT NULL, a INTEGER, b REAL, c TEXT, d BLOB, e)';
    const local = await openLocal(ddl);
    const table = local.schema.tables[0];
    if (table === undefined) throw new Error('the table is described');
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 4 }), async (rows) => {
        local.driver.database.exec('DELETE FROM t; DELETE FROM _sync_dirty_rows');
        const insert = local.driver.database.prepare('INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)');
        rows.forEach((values, index) => insert.run(`k${index}`, ...values));
        const captured = dirty(local).map((found) => found[4]);
        const live = await Promise.all(
          rows.map(async (_, index) => (await local.driver.all(livePayloadSql(table), [`{"id":"k${index}"}`]))[0]?.[0]),
        );
        expect(live).toEqual(captured);
        local.driver.database.exec('DELETE FROM _sync_dirty_rows');
        await captureExistingRows(local.driver, local.schema);
        expect(dirty(local).map((found) => found[4])).toEqual(captured);
      }),
      { numRuns: 60 },
    );
  });

  test('[K15] text keys have one identity in triggers and for incoming rows', async () => {
    const local = await openLocal(USERS);
    const table = local.schema.tables[0];
    if (table === undefined) throw new Error('the table is described');
    const hard = ['<a>&\u2028\u2029', '"\\/', '\u0001\u001f\u007f\b\f\n\r\t', '😀é', "it's", '\ufeff'];
    const check = async (key: string): Promise<void> => {
      const [row] = await local.driver.all(`SELECT ${keyJsonSql(table, 'x')} FROM (SELECT ? AS id) x`, [key]);
      expect(row?.[0]).toBe(keyJsonOf(table, key));
    };
    for (const key of hard) await check(key);
    const anyText = fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed() && !text.includes('\0'));
    await fc.assert(fc.asyncProperty(anyText, check), { numRuns: 300 });
  });

  test('[T23] [K1] a captured write never scans: every access is a search', async () => {
    const local = await openLocal(USERS);
    for (const sql of [
      `INSERT INTO users(id) VALUES ('a')`,
      `UPDATE users SET name = 'x' WHERE id = 'a'`,
      `DELETE FROM users WHERE id = 'a'`,
    ]) {
      const plan = query(local, `EXPLAIN ${sql}`).map((row) => row['opcode']);
      expect(plan).not.toContain('SorterOpen');
    }
    const ordinal = query(local, 'EXPLAIN QUERY PLAN SELECT MAX(dirty_ordinal) FROM _sync_dirty_rows').map(
      (row) => row['detail'],
    );
    expect(ordinal).toEqual(['SEARCH _sync_dirty_rows USING COVERING INDEX idx_sync_dirty_rows_dirty_ordinal']);
    const identity = query(
      local,
      `EXPLAIN QUERY PLAN SELECT deleted FROM _sync_row_state WHERE schema_name = 'main' AND table_name = 'users' AND key_json = json_object('id', 'a')`,
    );
    expect(String(identity[0]?.['detail'])).toContain('SEARCH _sync_row_state USING INDEX');
  });

  test('[T24] [K22] guards abort in a transition under `reject`, never under `capture`', async () => {
    const local = await openAttached(USERS, { transitionWrites: 'reject' });
    local.driver.database.exec(`UPDATE _sync_operation_state SET kind = 'source_recovery'`);
    expect(() => local.driver.database.exec(`INSERT INTO users(id) VALUES ('a')`)).toThrow('SYNC_TRANSITION_PENDING');
    silently(local, `INSERT INTO users(id) VALUES ('quiet')`);
    expect(() => local.driver.database.exec(`UPDATE users SET name = 'x'`)).toThrow('SYNC_TRANSITION_PENDING');
    expect(() => local.driver.database.exec(`DELETE FROM users`)).toThrow('SYNC_TRANSITION_PENDING');
    await openLocalSchema(local.driver, { ...local.config, transitionWrites: 'capture' }, countingRandom());
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a')`);
    expect(dirty(local)).toHaveLength(1);
  });
});

describe('opening', () => {
  test('[T6] [T7] opening twice changes nothing and keeps the trigger objects', async () => {
    const local = await openLocal(USERS);
    const objects = (): unknown => query(local, 'SELECT type, name, rootpage, sql FROM sqlite_schema ORDER BY name');
    const before = objects();
    const version = query(local, 'PRAGMA schema_version');
    const again = await openLocalSchema(local.driver, local.config, countingRandom());
    expect(objects()).toEqual(before);
    expect(query(local, 'PRAGMA schema_version')).toEqual(version);
    expect(again.state).toEqual(await loadClientState(local.driver));
    expect(again.state.lifecycle).toEqual({ name: 'anonymous', sourceId: '00000000-0000-4000-8000-000000000001' });
  });

  test('[T8] existing rows are captured once, in dependency order, with TEXT and BLOB keys', async () => {
    const ddl = `CREATE TABLE children (id TEXT PRIMARY KEY NOT NULL, file BLOB REFERENCES files(id));
      CREATE TABLE files (id BLOB PRIMARY KEY NOT NULL)`;
    const local = await openLocal(ddl, { tables: [] });
    local.driver.database.exec(`INSERT INTO files VALUES (x'${'02'.repeat(16)}'), (x'${'01'.repeat(16)}');
      INSERT INTO children VALUES ('b', NULL), ('a', x'${'01'.repeat(16)}');
      UPDATE _sync_attachment_state SET current_source_id = ''; DELETE FROM _sync_source_state`);
    const config = {
      schema: 'main',
      tables: [
        { tableName: 'children', syncKeyColumnName: 'id' },
        { tableName: 'files', syncKeyColumnName: 'id' },
      ],
    };
    await openLocalSchema(local.driver, config, countingRandom());
    const expected = [
      ['files', `{"id":"${'01'.repeat(16)}"}`, 'INSERT', 0, 1],
      ['files', `{"id":"${'02'.repeat(16)}"}`, 'INSERT', 0, 2],
      ['children', '{"id":"a"}', 'INSERT', 0, 3],
      ['children', '{"id":"b"}', 'INSERT', 0, 4],
    ];
    const captured = (): unknown => dirty(local).map((row) => [row[0], row[1], row[2], row[3], row[5]]);
    expect(captured()).toEqual(expected);
    await openLocalSchema(local.driver, config, countingRandom());
    expect(captured()).toEqual(expected);
  });

  test('[T8] a hundred thousand existing rows are captured by one statement per table', async () => {
    const local = await openLocal(USERS, { tables: [] });
    local.driver.database.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
      INSERT INTO users SELECT printf('u%06d', i), 'name', NULL FROM n;
      UPDATE _sync_attachment_state SET current_source_id = ''; DELETE FROM _sync_source_state`);
    const config = { schema: 'main', tables: [{ tableName: 'users', syncKeyColumnName: 'id' }] };
    const { schema } = await openLocalSchema(local.driver, config, countingRandom());
    expect(
      query(local, 'SELECT count(*) AS n, min(dirty_ordinal) AS low, max(dirty_ordinal) AS high FROM _sync_dirty_rows'),
    ).toEqual([{ n: 100_000, low: 1, high: 100_000 }]);
    const statements: string[] = [];
    const tx = { exec: unused, all: unused, run: (sql: string) => Promise.resolve({ changes: statements.push(sql) }) };
    await captureExistingRows(tx, schema);
    expect(statements).toHaveLength(1);
  });

  test.each(['NOCASE', 'RTRIM'])(
    'a key under the collation %s is refused: two rows of the server would be one here',
    async (collation) => {
      for (const ddl of [
        `CREATE TABLE users (id TEXT COLLATE ${collation} PRIMARY KEY NOT NULL)`,
        `CREATE TABLE users (id TEXT NOT NULL, PRIMARY KEY (id COLLATE ${collation}))`,
        `CREATE TABLE users (id TEXT COLLATE ${collation} PRIMARY KEY NOT NULL) WITHOUT ROWID`,
        `CREATE TABLE users (id TEXT COLLATE ${collation} NOT NULL, PRIMARY KEY (id COLLATE BINARY))`,
      ]) {
        await expect(openLocal(ddl)).rejects.toMatchObject({
          code: 'config_invalid',
          details: { violations: [{ code: 'key_collation_unsupported', table: 'users', column: 'id' }] },
        });
      }
      await openLocal(`CREATE TABLE users (id TEXT COLLATE BINARY PRIMARY KEY NOT NULL, name TEXT COLLATE ${collation} UNIQUE)`);
    },
  );

  test('existing sync state without a source is refused', async () => {
    const local = await openLocal(USERS);
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a'); UPDATE _sync_attachment_state SET current_source_id = ''`);
    await expect(openLocalSchema(local.driver, local.config, countingRandom())).rejects.toMatchObject({
      code: 'local_state_conflict',
      details: { rowState: 0, dirty: 1, outbox: 0 },
    });
  });

  test('[T10] a leaked apply mode is reset', async () => {
    const local = await openLocal(USERS);
    local.driver.database.exec('UPDATE _sync_apply_state SET apply_mode = 1');
    await openLocalSchema(local.driver, local.config, countingRandom());
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a')`);
    expect(dirty(local)).toHaveLength(1);
  });

  test('[T9] another schema name and an older generation are refused', async () => {
    const local = await openLocal(USERS);
    const other = openLocalSchema(local.driver, { ...local.config, schema: 'business' }, countingRandom());
    await expect(other).rejects.toMatchObject({ details: { violations: [{ code: 'schema_name_conflict' }] } });
    local.driver.database.exec(
      `DROP TABLE _sync_outbox_bundle; CREATE TABLE _sync_outbox_bundle (singleton_key INTEGER, state TEXT)`,
    );
    await expect(openLocalSchema(local.driver, local.config, countingRandom())).rejects.toMatchObject({
      details: { violations: [{ code: 'local_schema_incompatible', table: '_sync_outbox_bundle' }] },
    });
  });

  test('[T2] [T3] several violations are reported together, sorted, and nothing is created', async () => {
    const local = await openLocal('', { tables: [] });
    const { database } = local.driver;
    database.exec(`CREATE TABLE a (id INTEGER PRIMARY KEY NOT NULL, "bad name" TEXT, _sync_scope_id TEXT);
      CREATE TABLE b (id TEXT PRIMARY KEY, other TEXT REFERENCES elsewhere(id)); CREATE VIEW v AS SELECT 1; CREATE TABLE elsewhere (id TEXT PRIMARY KEY NOT NULL);
      CREATE VIRTUAL TABLE search USING fts5(body)`);
    const before = query(local, 'SELECT name, sql FROM sqlite_schema');
    const key = { syncKeyColumnName: 'id' };
    const tables = [
      { tableName: 'b', ...key, jsonColumns: ['nope'] },
      { tableName: 'A', ...key },
      { tableName: 'a ', ...key },
      { tableName: 'v', ...key },
      { tableName: 'search', ...key },
      { tableName: 'search_data', ...key },
      { tableName: 'missing', ...key },
      { tableName: 'main.a', ...key },
      { tableName: '_sync_dirty_rows', ...key },
      { tableName: '', ...key },
      { tableName: 'ünknown', ...key },
    ];
    const error: unknown = await openLocalSchema(local.driver, { schema: ' ', tables }, countingRandom()).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: 'config_invalid',
      details: {
        violations: [
          { code: 'schema_missing' },
          { code: 'table_name_missing' },
          { code: 'table_reserved', table: '_sync_dirty_rows' },
          { code: 'table_duplicate', table: 'a' },
          { code: 'scope_column_present', table: 'a', column: '_sync_scope_id' },
          { code: 'column_name_unsupported', table: 'a', column: 'bad name' },
          { code: 'key_type_unsupported', table: 'a', column: 'id' },
          { code: 'foreign_key_open', table: 'b', references: ['b.other -> elsewhere.id'] },
          { code: 'key_nullable', table: 'b', column: 'id' },
          { code: 'json_column_invalid', table: 'b', column: 'nope' },
          { code: 'table_name_qualified', table: 'main.a' },
          { code: 'table_not_found', table: 'missing' },
          { code: 'table_not_ordinary', table: 'search' },
          { code: 'table_not_ordinary', table: 'search_data' },
          { code: 'table_not_ordinary', table: 'v' },
          { code: 'table_name_unsupported', table: 'ünknown' },
        ],
      },
    });
    expect(query(local, 'SELECT name, sql FROM sqlite_schema')).toEqual(before);
  });

  test('[T5] tables of others that begin with _sync_ are left alone', async () => {
    const local = await openLocal(`CREATE TABLE _sync_audit (id TEXT PRIMARY KEY NOT NULL); ${USERS}`, {
      tables: [{ tableName: 'users', syncKeyColumnName: 'id' }],
    });
    local.driver.database.exec(`INSERT INTO _sync_audit VALUES ('kept')`);
    await openLocalSchema(local.driver, local.config, countingRandom());
    expect(query(local, 'SELECT * FROM _sync_audit')).toEqual([{ id: 'kept' }]);
  });

  test('[K17] a table that left the configuration is not captured any more and its pending rows do not block', async () => {
    const local = await openLocal(`${USERS}; CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL)`);
    local.driver.database.exec(`INSERT INTO notes VALUES ('n'); INSERT INTO users(id) VALUES ('u')`);
    const config = { schema: 'main', tables: [{ tableName: 'users', syncKeyColumnName: 'id' }] };
    await openLocalSchema(local.driver, config, countingRandom());
    local.driver.database.exec(`INSERT INTO notes VALUES ('m')`);
    expect(dirty(local).map((row) => row[0])).toEqual(['users']);
    expect(query(local, 'SELECT table_name, code FROM _oversync_quarantine')).toEqual([
      { table_name: 'notes', code: 'table_not_managed' },
    ]);
    expect(query(local, 'SELECT table_name FROM _sync_managed_tables')).toHaveLength(2);
  });

  test('[K42] a column added while the client is open is captured after the next refresh, pending rows included', async () => {
    const local = await openLocal(USERS);
    local.driver.database.exec(`INSERT INTO users(id) VALUES ('a')`);
    expect(await refreshLocalSchema(local.driver, local.config, local.schema)).toBe(local.schema);
    local.driver.database.exec(`ALTER TABLE users ADD COLUMN age INTEGER DEFAULT 3`);
    const fresh = await refreshLocalSchema(local.driver, local.config, local.schema);
    expect(fresh.tables[0]?.columns.map((column) => column.wireName)).toEqual(['id', 'name', 'email', 'age']);
    local.driver.database.exec(`INSERT INTO users(id, age) VALUES ('b', 4)`);
    expect(dirty(local).map((row) => row[4])).toEqual([
      '{"id":"a","name":null,"email":null,"age":"3"}',
      '{"id":"b","name":null,"email":null,"age":"4"}',
    ]);
    expect(await refreshLocalSchema(local.driver, local.config, fresh)).toBe(fresh);
  });
});
