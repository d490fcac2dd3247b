import { describe, expect, test } from 'vitest';

import { createNodeSqliteDriver } from '../../packages/client/src/drivers/node-sqlite.ts';
import type { NodeSqliteDriver } from '../../packages/client/src/drivers/node-sqlite.ts';
import { systemRandom } from '../../packages/client/src/ports/clock.ts';
import { openLocalSchema } from '../../packages/client/src/store/open-local-schema.ts';
import { hasContracts, loadFixtures } from './fixtures.ts';
import { dumpState } from './runner/state.ts';

interface RuntimeSchema {
  readonly pragmas: { readonly foreignKeys: number };
  readonly tables: readonly { readonly name: string; readonly columns: readonly unknown[] }[];
  readonly indexes: readonly {
    readonly name: string;
    readonly unique: boolean;
    readonly table: string;
    readonly columns: readonly string[];
  }[];
  readonly triggers: readonly { readonly name: string; readonly table: string }[];
  readonly state: Readonly<Record<string, readonly unknown[]>>;
}

const USERS = 'CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL)';

async function opened(): Promise<NodeSqliteDriver> {
  const driver = createNodeSqliteDriver(':memory:');
  driver.database.exec(USERS);
  const tables = [{ tableName: 'users', syncKeyColumnName: 'id' }];
  await openLocalSchema(driver, { schema: 'main', tables, transitionWrites: 'reject' }, systemRandom);
  return driver;
}

function rows(driver: NodeSqliteDriver, sql: string, ...params: string[]): Record<string, unknown>[] {
  return driver.database
    .prepare(sql)
    .all(...params)
    .map((row) => ({ ...row }));
}

describe.skipIf(!hasContracts)('contract: runtime state', () => {
  for (const file of loadFixtures('runtime-state/schema')) {
    const expected = file.content as RuntimeSchema;

    test(`[T4] ${file.name}: the shared tables are exactly those of the contract`, async () => {
      const driver = await opened();
      const names = rows(
        driver,
        `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_sync\\_%' ESCAPE '\\' ORDER BY name`,
      );
      expect(names.map((row) => row['name'])).toEqual(expected.tables.map((table) => table.name));
      for (const table of expected.tables) {
        const columns = rows(driver, 'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', table.name);
        expect(
          columns.map((row) => ({
            name: row['name'],
            type: row['type'],
            notNull: row['notnull'] === 1,
            defaultValue: row['dflt_value'],
            primaryKeyPosition: row['pk'],
          })),
        ).toEqual(table.columns);
      }
    });

    test(`[T4] ${file.name}: index, trigger names, foreign keys`, async () => {
      const driver = await opened();
      const indexes = rows(
        driver,
        `SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name`,
      );
      expect(
        indexes.map((row) => ({
          name: row['name'],
          unique: false,
          table: row['tbl_name'],
          columns: rows(driver, 'SELECT name FROM pragma_index_info(?)', String(row['name'])).map((column) => column['name']),
        })),
      ).toEqual(expected.indexes);
      const triggers = rows(driver, `SELECT name, tbl_name AS "table" FROM sqlite_schema WHERE type = 'trigger' ORDER BY name`);
      expect(triggers).toEqual(expected.triggers.map(({ name, table }) => ({ name, table })));
      expect(rows(driver, 'PRAGMA foreign_keys')).toEqual([{ foreign_keys: expected.pragmas.foreignKeys }]);
    });

    test(`[T4] [T6] ${file.name}: the state after the first open`, async () => {
      const driver = await opened();
      expect(dumpState(driver.database)['state']).toEqual(expected.state);
    });
  }
});
