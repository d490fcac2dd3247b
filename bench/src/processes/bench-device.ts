import { createSyncClient, type SyncClient } from '@oversync/client';
import { createNodeSqliteDriver, type NodeSqliteDriver } from '@oversync/client/node-sqlite';

import { SQLITE_TABLE } from '../sqlite-table.ts';

export interface BenchDevice {
  readonly driver: NodeSqliteDriver;
  readonly client: SyncClient;
  close(): Promise<void>;
}

/** Settings that a case may choose. */
export interface DeviceChoices {
  readonly tempStore?: 'file';
  readonly acceptEncoding?: 'identity';
}

export interface BenchDeviceOptions extends DeviceChoices {
  readonly file: string;
  readonly serverUrl: string;
  readonly token: string;
}

/** A device with the default settings, but for what is given. */
export async function openBenchDevice(options: BenchDeviceOptions): Promise<BenchDevice> {
  const driver = createNodeSqliteDriver(options.file);
  await driver.exec('PRAGMA journal_mode = wal; PRAGMA synchronous = NORMAL');
  await driver.exec(SQLITE_TABLE);
  const client = createSyncClient({
    driver,
    baseUrl: options.serverUrl,
    headers: () => ({ Authorization: `Bearer ${options.token}` }),
    schema: 'business',
    tables: [{ tableName: 'places', syncKeyColumnName: 'id' }],
    ...(options.acceptEncoding === undefined ? {} : { acceptEncoding: options.acceptEncoding }),
    ...(options.tempStore === undefined ? {} : { pragmas: { tempStore: options.tempStore } }),
  });
  await client.open();
  return {
    driver,
    client,
    close: async () => {
      await client.close();
      driver.close();
    },
  };
}

/** Attaches, and fails when the server asks to wait: a benchmark has the scope for itself. */
export async function attachNow(device: BenchDevice, user: string): Promise<void> {
  const result = await device.client.attach(user);
  if (result.status !== 'connected') throw new Error('the scope is busy');
}
