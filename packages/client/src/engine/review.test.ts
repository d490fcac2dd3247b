import { describe, expect, it } from 'vitest';

import { createTestServer, openAttachedDevice, openDevice } from './test-device.ts';
import type { TestDevice } from './test-device.ts';
import { refuse } from './test-server.ts';
import type { TestServer } from './test-server.ts';

const users = (device: TestDevice): readonly string[] => device.list("SELECT id || '=' || name FROM users ORDER BY id");

/** Two synced users; then the server refuses an edit of `u1`, a new `x`, a deletion of `u2`, and a post whose parent is refused. */
async function withRefusedRows(
  options: Parameters<typeof openAttachedDevice>[1] = {},
): Promise<{ server: TestServer; device: TestDevice }> {
  const server = createTestServer();
  const device = await openAttachedDevice(server, options);
  device.sql("INSERT INTO users(id, name) VALUES ('u1', 'a'), ('u2', 'b')");
  await device.client.sync();
  device.sql(
    "UPDATE users SET name = 'bad' WHERE id = 'u1'; INSERT INTO users(id, name) VALUES ('x', 'new'); DELETE FROM users WHERE id = 'u2'",
  );
  device.sql("INSERT INTO posts(id, user_id, body) VALUES ('p', 'x', 'hello')");
  const refused = [
    ['users', 'u1', 'check'],
    ['users', 'x', 'not_null'],
    ['posts', 'p', 'foreign_key'],
    ['users', 'u2', 'foreign_key'],
  ];
  for (const [table, id, kind] of refused) {
    const violation = { kind: kind ?? '', schema: 'main', table: table ?? '', column: 'name', key: { id: id ?? '' } };
    server.override('push_session_commit', () => refuse(400, 'push_commit_invalid', { violation }));
  }
  await device.client.pushPending();
  return { server, device };
}

describe('[T73] rows set aside', () => {
  it('are listed in pages with everything a decision needs', async () => {
    const { device } = await withRefusedRows();
    const rows = await device.client.quarantine.list();
    expect(rows.map(({ table, key, op, code, shows }) => [table, key, op, code, shows])).toEqual([
      ['posts', 'p', 'INSERT', 'foreign_key', 'local'],
      ['users', 'u1', 'UPDATE', 'check', 'local'],
      ['users', 'u2', 'DELETE', 'foreign_key', 'local'],
      ['users', 'x', 'INSERT', 'not_null', 'local'],
    ]);
    expect(rows[1]).toMatchObject({ payload: { id: 'u1', name: 'bad' }, detail: 'name', origin: 'push', attempts: 1 });
    const first = await device.client.quarantine.list({ table: 'users', limit: 2 });
    const last = first.at(-1);
    expect(first.map(({ key }) => key)).toEqual(['u1', 'u2']);
    expect(
      (await device.client.quarantine.list({ table: 'users', ...(last === undefined ? {} : { after: last }) })).map(
        ({ key }) => key,
      ),
    ).toEqual(['x']);
    expect(await device.client.quarantine.get({ table: 'users', key: 'u1' })).toMatchObject({ code: 'check' });
    expect(await device.client.quarantine.get({ table: 'users', key: 'nobody' })).toBeNull();
  });

  it.each([0, -1, 1.5, Number.NaN, 10_001])('[T13] a list of %s rows is refused', async (limit) => {
    const { client } = await openAttachedDevice(createTestServer());
    const refused = { code: 'invalid_argument', details: { argument: 'limit' } };
    await expect(client.quarantine.list({ limit })).rejects.toMatchObject(refused);
    await expect(client.outcomes.list({ limit })).rejects.toMatchObject(refused);
    await expect(client.discardedRows({ limit })).rejects.toMatchObject(refused);
  });

  it('a table is found by its name in any case', async () => {
    const { device } = await withRefusedRows();
    expect(await device.client.quarantine.list({ table: 'Users' })).toHaveLength(3);
    expect(await device.client.quarantine.get({ table: ' USERS ', key: 'u1' })).toMatchObject({ code: 'check' });
    expect(await device.client.outcomes.list({ table: 'USERS', key: 'u1' })).toHaveLength(2);
    expect(await device.client.quarantine.retry({ table: 'Users', key: 'u1' })).toBeGreaterThan(0);
  });

  it('"all" reaches every row, also behind a page of rows that cannot be queued', async () => {
    const { device } = await withRefusedRows();
    device.sql(`WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 130)
      INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
      SELECT 'main', 'posts', json_object('id', printf('a%03d', i)), 'INSERT', 0,
        json_object('id', printf('a%03d', i), 'user_id', 'nobody', 'body', NULL), 'pull', 'foreign_key', 'server', 1 FROM n`);
    expect(await device.client.quarantine.retry('all')).toBe(4);
    expect(await device.client.quarantine.list({ limit: 200 })).toHaveLength(130);
  });

  it('can be queued again: one, with the children that waited for it, or all', async () => {
    const { server, device } = await withRefusedRows();
    expect(await device.client.quarantine.retry({ table: 'users', key: 'x' })).toBe(2);
    await device.client.sync();
    expect(Object.keys(server.rowsOf('posts'))).toEqual(['p']);
    expect(await device.client.quarantine.retry('all')).toBe(2);
    await device.client.sync();
    expect(server.rowsOf('users')).toEqual({ u1: { id: 'u1', name: 'bad' }, x: { id: 'x', name: 'new' } });
    expect(await device.client.pendingSyncStatus()).toMatchObject({ pendingRowCount: 0, quarantinedRowCount: 0 });
  });

  it('can be given up: a new row goes, and rows that refer to it are set aside', async () => {
    const { device } = await withRefusedRows();
    expect(await device.client.quarantine.discard({ table: 'posts', key: 'p' })).toBe(1);
    expect(await device.client.quarantine.discard({ table: 'users', key: 'x' })).toBe(1);
    expect(device.list('SELECT id FROM posts')).toEqual([]);
    expect(users(device)).toEqual(['u1=bad']);
    expect(device.events).toContainEqual({ type: 'quarantineReleased', operation: 'quarantine', count: 1 });
    expect(await device.client.outcomes.list({ table: 'users', key: 'x' })).toMatchObject([
      { outcome: 'rejected', code: 'not_null' },
      { outcome: 'discarded' },
    ]);
  });

  it('an unknown server row comes back with the rebuild that is asked for', async () => {
    const { device } = await withRefusedRows();
    await device.client.quarantine.discard({ table: 'users', key: 'u1' });
    expect(users(device)).toEqual(['u1=bad', 'x=new']);
    await expect(device.client.pushPending()).rejects.toMatchObject({
      code: 'rebuild_required',
      details: { reason: 'restore_row' },
    });
    await device.client.sync();
    expect(users(device)).toContain('u1=a');
  });

  it('a stored server row is shown at once', async () => {
    const { server, device } = await withRefusedRows();
    device.sql("UPDATE _sync_attachment_state SET rebuild_required = 0; UPDATE _sync_operation_state SET reason = ''");
    server.write([{ table: 'users', id: 'u1', payload: { id: 'u1', name: 'server' } }]);
    await device.client.pullToStable();
    expect(await device.client.quarantine.get({ table: 'users', key: 'u1' })).toMatchObject({
      serverRow: { id: 'u1', name: 'server' },
    });
    await device.client.quarantine.discard({ table: 'users', key: 'u1' });
    expect(users(device)).toContain('u1=server');
    expect(await device.client.syncStatus()).toMatchObject({ contestedRowCount: 0 });
  });

  it('a refused deletion whose row is not known is undone by a rebuild, and can be tried again', async () => {
    const { server, device } = await withRefusedRows();
    await device.client.sync();
    expect(users(device)).toContain('u2=b');
    expect(await device.client.quarantine.get({ table: 'users', key: 'u2' })).toMatchObject({ op: 'DELETE', shows: 'server' });
    await device.client.quarantine.retry({ table: 'users', key: 'u2' });
    expect(users(device)).not.toContain('u2=b');
    await device.client.sync();
    expect(server.rowsOf('users')).not.toHaveProperty('u2');
  });

  it('a server row that does not fit beside unsent rows comes back with a rebuild', async () => {
    const { server, device } = await withRefusedRows();
    device.sql("UPDATE _sync_attachment_state SET rebuild_required = 0; UPDATE _sync_operation_state SET reason = ''");
    server.write([{ table: 'users', id: 'u1', payload: { id: 'u1', name: 'taken' } }]);
    await device.client.pullToStable();
    device.sql("UPDATE users SET name = 'taken' WHERE id = 'x'; CREATE UNIQUE INDEX users_name ON users(name)");
    expect(await device.client.quarantine.discard({ table: 'users', key: 'u1' })).toBe(2);
    expect(users(device)).toContain('u1=bad');
    expect(await device.client.sourceInfo()).toMatchObject({ rebuildRequired: true });
    await device.client.rebuild();
    expect(users(device)).toContain('u1=taken');
  });

  it('are listed while a sync runs', async () => {
    const { server, device } = await withRefusedRows();
    const gate = Promise.withResolvers<void>();
    server.override('capabilities', async (_request, answer) => {
      await gate.promise;
      return answer();
    });
    const rebuilding = device.client.rebuild();
    expect(await device.client.quarantine.list()).toHaveLength(4);
    await expect(device.client.quarantine.retry('all')).rejects.toMatchObject({ code: 'operation_in_progress' });
    gate.resolve();
    await rebuilding;
  });
});

describe('[T33] changes set aside by an attach', () => {
  it('can be looked at and forgotten', async () => {
    const server = createTestServer();
    server.write([{ table: 'users', id: 'remote', payload: { id: 'remote', name: 'r' } }]);
    const device = await openDevice(server, { before: "INSERT INTO users(id, name) VALUES ('mine', 'm')" });
    await device.client.attach('user-1');
    expect(await device.client.discardedRows()).toEqual([
      { table: 'users', key: 'mine', op: 'INSERT', payload: { id: 'mine', name: 'm' } },
    ]);
    await device.client.clearDiscarded();
    expect(await device.client.discardedRows()).toEqual([]);
  });
});
