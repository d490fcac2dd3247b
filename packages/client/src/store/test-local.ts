import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { NodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { Random } from '../ports/clock.ts';
import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { IncomingRow } from '../rules/incoming-row.ts';
import type { LocalSchema, LocalSchemaConfig } from '../rules/local-schema.ts';
import { saveLifecycle } from './client-state.ts';
import { openLocalSchema } from './open-local-schema.ts';
import type { ApplyInput, FreezeInput } from './store-types.ts';

/** Ids in a row, so that tests can name them. */
export function countingRandom(): Random {
  let count = 0;
  return {
    fraction: () => 0,
    uuid: () => {
      count += 1;
      return `00000000-0000-4000-8000-${count.toString().padStart(12, '0')}`;
    },
  };
}

export interface Local {
  readonly driver: NodeSqliteDriver;
  readonly schema: LocalSchema;
  readonly config: LocalSchemaConfig;
}

/** A database with the given tables, opened; table names are found in the DDL, keys are called `id`. */
export async function openLocal(ddl: string, extra: Partial<LocalSchemaConfig> = {}): Promise<Local> {
  const driver = createNodeSqliteDriver(':memory:');
  driver.database.exec(ddl);
  const names = [...ddl.matchAll(/CREATE TABLE "?([a-zA-Z0-9_]+)/g)].map(([, name = '']) => name);
  const tables = names.map((tableName) => ({ tableName, syncKeyColumnName: 'id' }));
  const config: LocalSchemaConfig = { schema: 'main', tables, ...extra };
  const { schema } = await openLocalSchema(driver, config, countingRandom());
  return { driver, schema, config };
}

/** The same, attached to a user with checkpoint 0. */
export async function openAttached(ddl: string, extra: Partial<LocalSchemaConfig> = {}): Promise<Local> {
  const local = await openLocal(ddl, extra);
  await local.driver.transaction('immediate', (tx) =>
    saveLifecycle(tx, 'main', {
      name: 'attached',
      sourceId: SOURCE_ID,
      userId: 'user-1',
      lastBundleSeqSeen: 0n,
      initializationId: null,
      staged: null,
    }),
  );
  return local;
}

export const SOURCE_ID = '00000000-0000-4000-8000-000000000001';

export const FREEZE: FreezeInput = {
  rowsMax: 10_000,
  bytesMax: 16 * 1024 * 1024,
  bundleRowsMax: null,
  bundleBytesMax: null,
  rowBytesMax: 4 * 1024 * 1024,
  ordinalMax: null,
  initializationId: null,
  sourceId: SOURCE_ID,
  page: { rowsMax: 500, bytesMax: 1024 * 1024 },
  quarantineMax: 100,
};

export const APPLY: ApplyInput = {
  page: { rowsMax: 500, bytesMax: 1024 * 1024 },
  quarantineMax: 100,
  outcomeLimit: 100,
  pullWithPending: 'rebase',
};

/** Rows of a query as plain objects. */
export function query(local: Local, sql: string, ...params: (string | number | bigint | null)[]): Record<string, unknown>[] {
  return local.driver.database
    .prepare(sql)
    .all(...params)
    .map((row) => ({ ...row }));
}

/** The dirty rows as short lines: table, key, op, base, payload, ordinal. */
export function dirty(local: Local): SqlValue[][] {
  return local.driver.database
    .prepare(
      'SELECT table_name, key_json, op, base_row_version, payload, dirty_ordinal FROM _sync_dirty_rows ORDER BY dirty_ordinal',
    )
    .all()
    .map((row) => Object.values(row));
}

/** A server row with a text key. */
export function serverRow(
  table: string,
  id: string,
  rowVersion: bigint,
  members: Readonly<Record<string, unknown>> | null,
  op: 'INSERT' | 'UPDATE' | 'DELETE' = members === null ? 'DELETE' : 'UPDATE',
): IncomingRow {
  const payload = members === null ? null : JSON.stringify({ id, ...members });
  return { schema: 'main', table, keyColumn: 'id', keyValue: id, op, rowVersion, payload };
}

/** The most rows that one statement has handed over. */
export class HeldRows {
  most = 0;
  readonly driver: SqliteDriver;

  constructor(inner: SqliteDriver) {
    const count = (tx: SqliteTx): SqliteTx => ({
      exec: (sql) => tx.exec(sql),
      run: (sql, params) => tx.run(sql, params),
      all: async (sql, params) => {
        const rows = await tx.all(sql, params);
        this.most = Math.max(this.most, rows.length);
        return rows;
      },
    });
    this.driver = {
      ...count(inner),
      databaseId: () => inner.databaseId(),
      transaction: (mode, fn) => inner.transaction(mode, (tx) => fn(count(tx))),
    };
  }
}
