import { DatabaseSync } from 'node:sqlite';

import { createSyncClient } from '../../../packages/client/src/client.ts';
import type { SyncClient } from '../../../packages/client/src/client.ts';
import { createNodeSqliteDriver } from '../../../packages/client/src/drivers/node-sqlite.ts';
import { eagerClock } from '../../../packages/client/src/ports/test-clock.ts';
import type { Resolver } from '../../../packages/client/src/rules/conflict-types.ts';
import { clientWins, keepLocal } from '../../../packages/client/src/rules/resolvers.ts';
import { asObject, asString } from '../json.ts';
import type { FixtureObject } from '../json.ts';
import { ContractServer } from './contract-server.ts';
import { schemaOf } from './schemas.ts';

const RESOLVERS: Readonly<Record<string, Resolver>> = { client_wins: clientWins, keep_local: keepLocal };

/** The database of a case, the client on it, and the server it talks to. */
export interface ContractDevice {
  readonly database: DatabaseSync;
  readonly server: ContractServer;
  client: SyncClient;
  /** Runs statements in one transaction with foreign keys checked at its end. */
  runSql(statements: readonly string[]): void;
  /** Closes the client and makes another one on the same database. */
  reopen(): Promise<void>;
}

/** Makes the device of a case. The client is not opened. */
export function createDevice(fixture: FixtureObject): ContractDevice {
  const { sql, tables } = schemaOf(fixture);
  const database = new DatabaseSync(':memory:');
  database.exec(sql);
  const runSql = (statements: readonly string[]): void => runInTransaction(database, statements);
  const server = new ContractServer(asObject(fixture['serverScript'] ?? {}), tables, { runSql });
  const driver = createNodeSqliteDriver(database);
  const resolver = resolverOf(fixture['resolver']);
  const create = (): SyncClient =>
    createSyncClient({
      driver,
      baseUrl: 'https://sync.test/',
      headers: () => ({ Authorization: 'Bearer token' }),
      schema: 'main',
      tables,
      transitionWrites: 'reject',
      retryPolicy: { maxAttempts: 1, jitterRatio: 0 },
      snapshotCapacityRetryPolicy: { jitterRatio: 0 },
      capabilitiesMaxAgeMs: 0,
      ...(resolver === null ? {} : { resolver }),
      ports: { http: server.fetch, clock: eagerClock() },
    });
  const device: ContractDevice = {
    database,
    server,
    client: create(),
    runSql,
    reopen: async () => {
      await device.client.close();
      device.client = create();
    },
  };
  return device;
}

function runInTransaction(database: DatabaseSync, statements: readonly string[]): void {
  if (statements.length === 0) return;
  database.exec('BEGIN; PRAGMA defer_foreign_keys = ON');
  try {
    for (const statement of statements) database.exec(statement);
    database.exec('COMMIT');
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}

function resolverOf(name: unknown): Resolver | null {
  if (name === undefined) return null;
  const resolver = RESOLVERS[asString(name)];
  if (resolver === undefined) throw new Error(`unknown resolver: ${asString(name)}`);
  return resolver;
}
