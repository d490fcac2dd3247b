import { createSyncClient, type SyncClient } from '@oversync/client';
import { createNodeSqliteDriver, type NodeSqliteDriver } from '@oversync/client/node-sqlite';

import { SQLITE_TABLE } from '../baselines.ts';

export interface BenchDevice {
  readonly driver: NodeSqliteDriver;
  readonly client: SyncClient;
  close(): Promise<void>;
}

export interface BenchDeviceOptions {
  readonly file: string;
  readonly serverUrl: string;
  readonly token: string;
  readonly tempStore?: 'memory';
}

/** A device with default settings, but for the size of an upload request, which an app with large pushes would raise as well. */
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
    uploadLimit: 2000,
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
