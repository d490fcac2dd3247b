import { createServer } from 'node:http';
import type { Server } from 'node:http';

import { createSyncServer } from '@oversync/server';
import type { SyncServer } from '@oversync/server';
import { createNodeHandler } from '@oversync/server/node';
import { afterEach, expect, it } from 'vitest';

import { listen, openWorld } from './world.ts';
import type { Device, World } from './world.ts';

const LABELS = {
  name: 'labels',
  serverSql:
    'CREATE TABLE business.labels (_sync_scope_id text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (_sync_scope_id, id))',
  deviceSql: 'CREATE TABLE labels (id TEXT PRIMARY KEY NOT NULL, name TEXT, colour TEXT)',
};
const USER = 'late';

let world: World;
let newer: SyncServer;
let http: Server;
afterEach(async () => {
  http.close();
  http.closeAllConnections();
  await newer.close({ timeoutMs: 1000 });
  await world.close();
});

async function openNewer(): Promise<SyncServer> {
  const server = createSyncServer({
    database: world.database,
    registeredTables: [{ schema: 'business', table: 'labels', syncKeyColumn: 'id' }],
    resolveActor: () => ({ scopeId: USER, userId: USER }),
    maintenance: { enabled: false },
  });
  await server.bootstrap();
  return server;
}

async function openDevice(baseUrl: string): Promise<Device> {
  const tables = [{ tableName: 'labels', syncKeyColumnName: 'id' }];
  const device = await world.openDevice(USER, { baseUrl, tables });
  await device.client.attach(USER);
  return device;
}

const labelsOf = (device: Device) => device.rows('SELECT id, name, colour FROM labels ORDER BY id');

it('[I9] [I17] [O1] a value that the writing server does not know survives pull, edit and push of devices that know it', async () => {
  // Registers nothing anew and looks at nothing again: it goes on without the column, as in the minute after the DDL.
  world = await openWorld(
    { catalogRefreshIntervalMs: 3_600_000, registeredTables: [{ schema: 'business', table: 'labels', syncKeyColumn: 'id' }] },
    LABELS,
  );
  await world.query(`ALTER TABLE business.labels ADD COLUMN colour text DEFAULT 'white'`);
  newer = await openNewer();
  http = createServer(createNodeHandler(newer));
  const url = await listen(http);
  const [first, second] = [await openDevice(url), await openDevice(url)];
  first.sql(`INSERT INTO labels VALUES ('a', 'one', 'red'), ('b', 'one', NULL), ('c', 'one', 'green')`);
  await first.client.sync();
  await world.sync.scopes.execWrite(USER, { writerId: 'back-office' }, async (tx) => {
    await tx.query(`UPDATE business.labels SET name = 'two' WHERE _sync_scope_id = $1`, [USER]);
    await tx.query(`INSERT INTO business.labels (id, name) VALUES ('d', 'two')`);
  });
  const [stored] = await world.query('SELECT row_texts FROM sync.bundle_block ORDER BY bundle_seq DESC LIMIT 1');
  expect(stored?.['row_texts']).not.toContain('colour');

  await Promise.all([first.client.sync(), second.client.sync()]);
  const held = [
    { id: 'a', name: 'two', colour: 'red' },
    { id: 'b', name: 'two', colour: null },
    { id: 'c', name: 'two', colour: 'green' },
    { id: 'd', name: 'two', colour: 'white' },
  ];
  for (const device of [first, second]) expect(labelsOf(device)).toEqual(held);

  second.sql(`UPDATE labels SET name = 'three'; DELETE FROM labels WHERE id = 'c'`);
  await second.client.sync();
  await first.client.sync();
  const edited = held.filter(({ id }) => id !== 'c').map((row) => ({ ...row, name: 'three' }));
  for (const device of [first, second]) {
    expect(labelsOf(device)).toEqual(edited);
    expect(await device.client.verify()).toMatchObject({ isEqual: true });
  }
  expect(await world.query('SELECT id, name, colour FROM business.labels ORDER BY id')).toEqual(edited);
});
