import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { createSyncClient, type Resolver, type SyncClient } from '@oversync/client';
import { createNodeSqliteDriver, type NodeSqliteDriver } from '@oversync/client/node-sqlite';

import { LOCAL_SCHEMA_SQL } from './local-places.ts';
import { createNetwork, createSignIn, type Network } from './network.ts';
import { createStoryLog } from './story-log.ts';

/** Rows of an upload request; the first import is large, so requests are as well. */
const UPLOAD_ROWS = 2000;

export interface DeviceOptions {
  readonly folder: string;
  readonly name: string;
  readonly serverUrl: string;
  readonly user: string;
  readonly resolver?: Resolver;
}

/** One device: a SQLite file, the sync client on it, and a network that can be taken away. */
export interface Device {
  readonly name: string;
  readonly driver: NodeSqliteDriver;
  readonly client: SyncClient;
  readonly network: Network;
  close(): Promise<void>;
}

/** Path of a device's file. */
export function deviceFile(folder: string, name: string): string {
  return join(folder, `${name}.sqlite`);
}

/** Opens the application's file and the sync client on it. No request is made. */
export async function openDevice(options: DeviceOptions): Promise<Device> {
  mkdirSync(options.folder, { recursive: true });
  const driver = createNodeSqliteDriver(deviceFile(options.folder, options.name));
  const network = createNetwork();
  const client = createSyncClient({
    driver,
    baseUrl: options.serverUrl,
    headers: createSignIn(options.serverUrl, options.user),
    schema: 'business',
    tables: [{ tableName: 'places', syncKeyColumnName: 'id' }],
    uploadLimit: UPLOAD_ROWS,
    ports: { http: network.transport },
    ...(options.resolver === undefined ? {} : { resolver: options.resolver }),
  });
  try {
    await driver.exec(LOCAL_SCHEMA_SQL);
    await createStoryLog(driver);
    await client.open();
  } catch (error) {
    driver.close();
    throw error;
  }
  return {
    name: options.name,
    driver,
    client,
    network,
    close: async () => {
      await client.close();
      driver.close();
    },
  };
}
