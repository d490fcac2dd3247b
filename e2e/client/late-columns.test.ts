import { createServer } from 'node:http';
import type { Server } from 'node:http';

import { createSyncServer } from '@oversync/server';
import type { SyncServer, SyncServerOptions } from '@oversync/server';
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

const LABELS_ALONE = [{ schema: 'business', table: 'labels', syncKeyColumn: 'id' }] as const;

async function openNewer(registeredTables: SyncServerOptions['registeredTables'] = LABELS_ALONE): Promise<SyncServer> {
  const server = createSyncServer({
    database: world.database,
    registeredTables,
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
  world = await openWorld({ catalogRefreshIntervalMs: 3_600_000, registeredTables: LABELS_ALONE }, LABELS);
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

const LABELLING = `
  CREATE FUNCTION business.add_label() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO business.labels (_sync_scope_id, id, name) VALUES (NEW._sync_scope_id, NEW.id, 'added');
    UPDATE business.labels SET name = 'touched' WHERE _sync_scope_id = NEW._sync_scope_id AND id = 'old';
    RETURN NULL;
  END $$;
  CREATE TRIGGER add_label AFTER INSERT ON business.users FOR EACH ROW EXECUTE FUNCTION business.add_label()`;

it('[I14] [I17] a push whose own bundle lacks a column of the device, because the server did not know it, is brought home by a rebuild', async () => {
  world = await openWorld({ catalogRefreshIntervalMs: 3_600_000 }, LABELS);
  await world.query(LABELLING);
  await world.query(`ALTER TABLE business.labels ADD COLUMN colour text DEFAULT 'white'`);
  const tables = ['users', 'posts', 'labels'].map((table) => ({ schema: 'business', table, syncKeyColumn: 'id' }));
  newer = await openNewer(tables);
  http = createServer(createNodeHandler(newer));
  const newerUrl = await listen(http);
  let isNewerAsked = true;
  const ask = (request: Request): Promise<Response> => {
    const url = isNewerAsked ? request.url.replace(world.url, newerUrl) : request.url;
    return fetch(url, new Request(request));
  };
  const device = await world.openDevice(USER, { ports: { http: ask }, resolver: () => ({ kind: 'keepLocal' }) });
  await device.client.attach(USER);
  device.sql(`INSERT INTO labels VALUES ('old', 'mine', 'red')`);
  await device.client.sync();

  isNewerAsked = false;
  device.sql(`INSERT INTO users VALUES ('u1', 'Ada', 1)`);
  await expect(device.client.sync()).rejects.toMatchObject({ code: 'protocol_violation', recovery: 'retry' });
  await expect(device.client.sync()).rejects.toMatchObject({ code: 'rebuild_required', recovery: 'rebuild' });
  device.sql(`UPDATE labels SET name = 'edited' WHERE id = 'old'`);
  isNewerAsked = true;
  expect(await device.client.sync()).toMatchObject({ remote: { outcome: 'applied_snapshot' } });
  await device.client.sync();

  const held = [
    { id: 'old', name: 'edited', colour: 'red' },
    { id: 'u1', name: 'added', colour: 'white' },
  ];
  expect(labelsOf(device)).toEqual(held);
  expect(await world.query('SELECT id, name, colour FROM business.labels ORDER BY id')).toEqual(held);
  expect(await device.client.verify()).toMatchObject({ isEqual: true });
});
