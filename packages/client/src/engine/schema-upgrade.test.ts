import { beforeEach, describe, expect, it } from 'vitest';

import type { RowUpgrader } from '../rules/local-schema.ts';
import { releaseTablesForMigration } from './schema-upgrade.ts';
import { createTestServer, openAttachedDevice } from './test-device.ts';
import type { TestDevice } from './test-device.ts';
import { refuse } from './test-server.ts';
import type { TestServer } from './test-server.ts';

let server: TestServer;
let device: TestDevice;

beforeEach(async () => {
  server = createTestServer();
  device = await openAttachedDevice(server);
});

const tables = (upgradeRow?: RowUpgrader) => [
  { tableName: 'users', syncKeyColumnName: 'id', ...(upgradeRow === undefined ? {} : { upgradeRow }) },
  { tableName: 'posts', syncKeyColumnName: 'id' },
];

/** What the client has stored, apart from times. */
const stored = (): readonly string[] =>
  device.list(`SELECT 'q' || table_name || key_json || payload || shows FROM _oversync_quarantine UNION ALL
    SELECT 'd' || table_name || key_json || payload FROM _sync_dirty_rows UNION ALL
    SELECT 'm' || name || value FROM _oversync_meta UNION ALL SELECT 't' || name || sql FROM sqlite_schema ORDER BY 1`);

const textOf = (value: unknown): string => (typeof value === 'string' ? value : 'no text');

/** A row whose local value is nowhere but in the quarantine. */
function setAside(id: string, name: string): void {
  device.sql(`INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
    VALUES ('main', 'users', '{"id":"${id}"}', 'INSERT', 0, '{"id":"${id}","name":"${name}"}', 'pull', 'unique_local', 'server', 1)`);
}

describe('a new version of the application', () => {
  it('adds a column: unsent rows are captured again, and a rebuild fetches the values that the server has', async () => {
    device.sql("INSERT INTO users VALUES ('u1', 'Ada')");
    await device.client.sync();
    device.sql("INSERT INTO users VALUES ('u2', 'Bob')");
    await device.client.close();
    device.sql("ALTER TABLE users ADD COLUMN city TEXT DEFAULT 'Rome'");
    await device.restart();
    expect(device.list("SELECT payload FROM _sync_dirty_rows WHERE table_name = 'users'")).toEqual([
      '{"id":"u2","name":"Bob","city":"Rome"}',
    ]);
    expect(await device.client.sourceInfo()).toMatchObject({ rebuildRequired: true, sourceRecoveryRequired: false });
    await device.restart();
    expect(device.dirtyKeys()).toEqual(['{"id":"u2"}']);
  });

  it('adds a column to a table without rows of the server: nothing has to be fetched', async () => {
    device.sql("INSERT INTO users VALUES ('u1', 'Ada')");
    await device.client.close();
    device.sql('ALTER TABLE users ADD COLUMN city TEXT');
    await device.restart();
    expect(await device.client.sourceInfo()).toMatchObject({ rebuildRequired: false });
    expect(device.list("SELECT payload ->> 'city' FROM _sync_dirty_rows")).toEqual(['null']);
  });

  it('renames a column: unsent rows carry the new name and the value of the live row', async () => {
    device.sql("INSERT INTO users VALUES ('u1', 'Ada')");
    await device.client.close();
    device.sql('ALTER TABLE users RENAME COLUMN name TO full_name');
    await device.restart();
    expect(device.list('SELECT payload FROM _sync_dirty_rows')).toEqual(['{"id":"u1","full_name":"Ada"}']);
    device.sql("UPDATE users SET full_name = 'Eve'");
    expect(device.list('SELECT payload FROM _sync_dirty_rows')).toEqual(['{"id":"u1","full_name":"Eve"}']);
  });

  it('drops a column: the triggers give way for the migration and come back with the next open', async () => {
    device.sql("INSERT INTO users VALUES ('u1', 'Ada')");
    await device.client.close();
    expect(() => device.sql('ALTER TABLE users DROP COLUMN name')).toThrow(/trigger/);
    await releaseTablesForMigration(device.driver, ['Users']);
    device.sql("ALTER TABLE users DROP COLUMN name; INSERT INTO users VALUES ('u2')");
    await device.restart();
    expect(device.list('SELECT payload FROM _sync_dirty_rows ORDER BY key_json')).toEqual(['{"id":"u1"}', '{"id":"u2"}']);
  });

  it('loses a column of rows that are kept nowhere else: without an upgrader nothing is touched', async () => {
    setAside('u9', 'Zoe');
    await device.client.close();
    device.sql('ALTER TABLE users RENAME COLUMN name TO full_name');
    const before = stored();
    await expect(device.restart()).rejects.toMatchObject({
      code: 'config_invalid',
      operation: 'open',
      details: { violations: [{ code: 'upgrade_missing', table: 'users', references: ['name'] }] },
    });
    expect(stored()).toEqual(before);
    const seen: unknown[] = [];
    await device.restart({
      tables: tables((row) => {
        seen.push(row);
        return { id: row.values['id'] ?? null, full_name: `${textOf(row.values['name'])} Smith` };
      }),
    });
    expect(seen).toEqual([
      { table: 'users', key: 'u9', values: { id: 'u9', name: 'Zoe' }, added: ['full_name'], lost: ['name'] },
    ]);
    expect(await device.client.quarantine.list()).toMatchObject([
      { key: 'u9', payload: { id: 'u9', full_name: 'Zoe Smith' }, shows: 'server', code: 'unique_local' },
    ]);
    expect(await device.client.quarantine.retry({ table: 'users', key: 'u9' })).toBe(1);
    expect(device.list('SELECT full_name FROM users')).toEqual(['Zoe Smith']);
    await device.restart({ tables: tables(() => Promise.reject(new Error('not asked again')) as never) });
  });

  it.each<[string, RowUpgrader]>([
    [
      'throws',
      () => {
        throw new Error('no idea');
      },
    ],
    ['leaves a column out', (row) => ({ id: row.values['id'] ?? null })],
    ['changes the key', () => ({ id: 'other', name: 1n })],
    ['returns a value of another type', (row) => ({ id: row.values['id'] ?? null, name: 'text' })],
  ])('an upgrader that %s is refused, and nothing is touched', async (_name, upgrader) => {
    setAside('u9', '7');
    await device.client.close();
    device.sql(
      `PRAGMA foreign_keys = OFF; DROP TABLE users; CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name INTEGER); PRAGMA foreign_keys = ON`,
    );
    const before = stored();
    await expect(device.restart({ tables: tables(upgrader) })).rejects.toMatchObject({
      code: 'config_invalid',
      details: { violations: [{ code: 'upgrade_failed', table: 'users' }] },
    });
    expect(stored()).toEqual(before);
    await device.restart({
      tables: tables((row) => ({ id: row.values['id'] ?? null, name: BigInt(textOf(row.values['name'])) })),
    });
    expect(device.list('SELECT payload FROM _oversync_quarantine')).toEqual(['{"id":"u9","name":"7"}']);
  });

  it('changes a type: rows set aside whose value the table still shows are captured again', async () => {
    device.sql("INSERT INTO users VALUES ('u1', '5')");
    device.sql(`INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
      SELECT schema_name, table_name, key_json, op, 0, payload, 'push', 'check', 'local', 1 FROM _sync_dirty_rows; DELETE FROM _sync_dirty_rows`);
    await device.client.close();
    device.sql(`PRAGMA foreign_keys = OFF; CREATE TABLE u (id TEXT PRIMARY KEY NOT NULL, name REAL); INSERT INTO u SELECT * FROM users;
      DROP TABLE users; ALTER TABLE u RENAME TO users; PRAGMA foreign_keys = ON`);
    await device.restart();
    expect(device.list('SELECT payload FROM _oversync_quarantine')).toEqual(['{"id":"u1","name":"5.0"}']);
  });

  it('adds a table: its rows are captured; a table that comes back is synchronised again with what was set aside', async () => {
    const [users] = tables();
    await device.restart({ tables: users === undefined ? [] : [users] });
    device.sql("INSERT INTO users VALUES ('u1', 'Ada'); INSERT INTO posts VALUES ('p1', 'u1', 'not captured')");
    expect(device.dirtyKeys()).toEqual(['{"id":"u1"}']);
    await device.restart({ tables: tables() });
    expect(device.dirtyKeys()).toEqual(['{"id":"u1"}', '{"id":"p1"}']);
    await device.restart({ tables: users === undefined ? [] : [users] });
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 1, quarantinedRowCount: 1 });
    await device.restart({ tables: tables() });
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 2, quarantinedRowCount: 0 });
    expect((await device.client.quarantine.list()).length).toBe(0);
  });

  it('rows that were frozen in the old shape are pushed in the new one when the server refuses them', async () => {
    device.sql("INSERT INTO users VALUES ('u1', 'Ada')");
    server.override('push_session_create', () => Promise.reject(new TypeError('cut')), 3);
    await expect(device.client.pushPending()).rejects.toMatchObject({ code: 'retry_exhausted' });
    expect(device.list('SELECT wire_payload FROM _sync_outbox_rows')).toEqual(['{"id":"u1","name":"Ada"}']);
    await device.client.close();
    device.sql('ALTER TABLE users RENAME COLUMN name TO full_name');
    await device.restart();
    await device.client.attach('user-1');
    const violation = {
      kind: 'unknown_column',
      schema: 'main',
      table: 'users',
      column: 'name',
      row_ordinal: 0,
      key: { id: 'u1' },
    };
    server.override('push_session_chunk', () => refuse(400, 'push_chunk_invalid', { violation }));
    expect(await device.client.pushPending()).toMatchObject({ outcome: 'committed', quarantined: [] });
    expect(server.rowsOf('users')).toEqual({ u1: { id: 'u1', full_name: 'Ada' } });
  });
});
