import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { systemRandom } from '../../packages/client/src/ports/clock.ts';
import type { SqliteDriver } from '../../packages/client/src/ports/sqlite-driver.ts';
import { openLocalSchema } from '../../packages/client/src/store/open-local-schema.ts';
import { DRIVER_KINDS } from '../client/driver-kinds.ts';
import { CONTRACTS_FOLDER, hasContracts } from './fixtures.ts';

interface FixtureConfig {
  readonly schema: string;
  readonly syncTables: readonly { readonly tableName: string; readonly syncKeyColumnName?: string }[];
}

interface Transitions {
  readonly cases: readonly {
    readonly name: string;
    readonly setupSql: readonly string[];
    readonly actionSql: readonly string[];
  }[];
}

interface Expected {
  readonly cases: readonly { readonly name: string; readonly dirtyRows: readonly unknown[] }[];
}

const DIRTY_ROWS = `SELECT schema_name AS schemaName, table_name AS tableName, key_json AS keyJson, op, base_row_version AS baseRowVersion, payload,
 dirty_ordinal AS dirtyOrdinal FROM _sync_dirty_rows ORDER BY dirty_ordinal`;

const folders = hasContracts
  ? readdirSync(join(CONTRACTS_FOLDER, 'local-schema'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(CONTRACTS_FOLDER, 'local-schema', name))
      .filter((folder) => existsSync(join(folder, 'write-transitions.json')))
  : [];

const readJson = (folder: string, file: string): unknown => JSON.parse(readFileSync(join(folder, file), 'utf8'));

/** Rows as the fixtures have them: small integers are JSON numbers. */
async function dirtyRows(driver: SqliteDriver): Promise<unknown[]> {
  const { columns, rows } = (await driver.allNamed?.(DIRTY_ROWS)) ?? { columns: [], rows: [] };
  return rows.map((row) => {
    const members = row.map(
      (value, index) => [String(columns[index]), typeof value === 'bigint' ? Number(value) : value] as const,
    );
    return Object.fromEntries<unknown>(members);
  });
}

describe.skipIf(!hasContracts)('contract: captured writes on every driver', () => {
  for (const kind of DRIVER_KINDS) {
    for (const folder of folders) {
      const { schema, syncTables } = readJson(folder, 'config.json') as FixtureConfig;
      const { cases } = readJson(folder, 'write-transitions.json') as Transitions;
      const expected = readJson(folder, 'write-transitions.expected.json') as Expected;
      test.each(cases)(`[T14] [T119] ${kind.name}: $name`, async ({ name, setupSql, actionSql }) => {
        const driver = kind.open(':memory:');
        await driver.exec(readFileSync(join(folder, 'schema.sql'), 'utf8'));
        await openLocalSchema(driver, { schema, tables: syncTables, transitionWrites: 'reject' }, systemRandom);
        for (const sql of [...setupSql, ...actionSql]) await driver.exec(sql);
        expect(await dirtyRows(driver)).toEqual(expected.cases.find((entry) => entry.name === name)?.dirtyRows);
        driver.close();
      });
    }
  }
});
