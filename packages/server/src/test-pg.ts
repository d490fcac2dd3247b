/** What PostgreSQL tests of this package share: a database of their own behind the real driver. */
import { createTestDatabase } from '@oversync/dev-postgres/testing';

import { bootstrap } from './engine/bootstrap.ts';
import type { BootstrapOptions, BootstrapResult } from './engine/bootstrap.ts';
import type { FinaliseOptions } from './engine/finalise.ts';
import { formatPinnedSettings } from './engine/transaction.ts';
import { OPTION_DEFAULTS } from './limits.ts';
import type { PgResult, PgTransaction, PgValue, Postgres } from './ports/postgres.ts';
import type { RegisteredTableConfig } from './rules/table-description.ts';
import { openTestDriver } from './test-driver.ts';

export interface PgFixture {
  readonly url: string;
  readonly db: Postgres;
  /** Statements without parameters; the result of the last one. */
  run(sql: string): Promise<PgResult>;
  query(sql: string, params?: readonly PgValue[]): Promise<PgResult>;
  /** One transaction with the pinned settings. */
  transaction<T>(fn: (tx: PgTransaction) => Promise<T>, settings?: string): Promise<T>;
  bootstrap(tables: readonly RegisteredTableConfig[], overrides?: Partial<BootstrapOptions>): Promise<BootstrapResult>;
  close(): Promise<void>;
}

export const TEST_FINALISE_OPTIONS: FinaliseOptions = {
  metadataSchema: 'sync',
  maxRowsPerBundle: OPTION_DEFAULTS.maxRowsPerBundle,
  maxBytesPerBundle: OPTION_DEFAULTS.maxBytesPerBundle,
  maxBytesPerSnapshotRow: OPTION_DEFAULTS.maxBytesPerSnapshotRow,
  retainedBundlesPerScope: OPTION_DEFAULTS.retainedBundlesPerScope,
  retainedBundleAgeMs: null,
  retainedBundleBytesPerScope: null,
  retentionPruneBatchSize: OPTION_DEFAULTS.retentionPruneBatchSize,
};

export const TEST_PINNED_SETTINGS = formatPinnedSettings({ lockTimeoutMs: 10_000, statementTimeoutMs: 60_000, isBulk: true });

export async function openPgFixture(): Promise<PgFixture> {
  const database = await createTestDatabase();
  const { db, end } = openTestDriver(database.url, { max: 4 });
  return {
    url: database.url,
    db,
    run: async (sql) => {
      const results = await db.transaction({ isolation: 'read committed' }, (tx) => tx.script(sql));
      return results.at(-1) ?? { rows: [], rowCount: 0 };
    },
    query: (sql, params) => db.query(sql, params),
    transaction: (fn, settings) =>
      db.transaction(
        {
          isolation: 'read committed',
          settings: settings === undefined ? TEST_PINNED_SETTINGS : `${TEST_PINNED_SETTINGS};${settings}`,
        },
        fn,
      ),
    bootstrap: (registeredTables, overrides) =>
      bootstrap({
        database: db,
        registeredTables,
        bootstrapPolicy: 'apply',
        lockTimeoutMs: 10_000,
        bulkStatementTimeoutMs: 60_000,
        adoption: 'refuse',
        retry: { attempts: 3, baseMs: 1 },
        maxScopeIdBytes: OPTION_DEFAULTS.maxScopeIdBytes,
        ...TEST_FINALISE_OPTIONS,
        ...overrides,
      }),
    close: async () => {
      await end();
      await database.drop();
    },
  };
}
