import { readFileSync, readdirSync, existsSync } from 'node:fs';
import { join } from 'node:path';

import { isSyncError } from '@oversync/protocol';
import { describe, expect, test } from 'vitest';

import { createNodeSqliteDriver } from '../../packages/client/src/drivers/node-sqlite.ts';
import type { NodeSqliteDriver } from '../../packages/client/src/drivers/node-sqlite.ts';
import { systemRandom } from '../../packages/client/src/ports/clock.ts';
import type { LocalSchemaConfig } from '../../packages/client/src/rules/local-schema.ts';
import { openLocalSchema } from '../../packages/client/src/store/open-local-schema.ts';
import { CONTRACTS_FOLDER, hasContracts, loadFixtures } from './fixtures.ts';

interface FixtureConfig {
  readonly schema: string;
  readonly syncTables: readonly {
    readonly tableName: string;
    readonly syncKeyColumnName?: string;
    readonly syncKeyColumns?: readonly string[];
  }[];
}

interface ConfigCase {
  readonly name: string;
  readonly schemaSql: readonly string[];
  readonly config: FixtureConfig;
  readonly initializeBeforeValidation?: boolean;
  readonly beforeValidationSql?: readonly string[];
  readonly afterOpenSql?: readonly string[];
  readonly expectedError: { readonly kind: string; readonly messageContains: readonly string[] } | null;
  readonly expectedQueries?: readonly { readonly name: string; readonly sql: string; readonly value: number }[];
}

interface WriteTransitions {
  readonly cases: readonly {
    readonly name: string;
    readonly setupSql: readonly string[];
    readonly actionSql: readonly string[];
    readonly expectedInvalidatedTables?: readonly string[];
  }[];
}

interface ExpectedTransitions {
  readonly cases: readonly {
    readonly name: string;
    readonly dirtyRows: readonly Record<string, unknown>[];
    readonly applicationRowCounts: Readonly<Record<string, number>>;
  }[];
}

interface ExpectedSchema {
  readonly catalog: readonly { readonly type: string; readonly name: string; readonly tableName: string; readonly sql: string }[];
  readonly tables: readonly { readonly name: string }[];
  readonly views: readonly { readonly name: string }[];
}

/** One refusal of a configuration, as `details.violations` lists it. */
interface Violation {
  readonly code: string;
  readonly table?: string;
  readonly column?: string;
  readonly references?: readonly string[];
}

/** What the messages of the fixtures say about each code; ours are fixed per code, and the names are in the details. */
const SENTENCES: Readonly<Record<string, string>> = {
  key_nullable: 'NOT NULL; repair or recreate the local application database before sync initialization',
  key_count: 'must declare exactly one sync key column',
  primary_key_composite: 'must declare exactly one sync key column',
  foreign_key_composite: 'unsupported composite foreign keys',
  key_type_unsupported: 'TEXT PRIMARY KEY or BLOB PRIMARY KEY',
  key_missing: 'syncKeyColumnName or syncKeyColumns explicitly',
  key_column_not_found: 'does not contain configured primary key column',
  scope_column_present: 'reserved server column',
  foreign_key_open: 'managed tables are not FK-closed',
  table_name_qualified: 'must not include a schema qualifier',
};

function sentenceOf({ code, table = '', column = '', references = [] }: Violation): string {
  return [SENTENCES[code] ?? code, column, table, ...references].join(' ');
}

function configOf(config: FixtureConfig): LocalSchemaConfig {
  return { schema: config.schema, tables: config.syncTables, transitionWrites: 'reject' };
}

function prepared(sql: readonly string[]): NodeSqliteDriver {
  const driver = createNodeSqliteDriver(':memory:');
  for (const statement of sql) driver.database.exec(statement);
  return driver;
}

async function violationsOf(driver: NodeSqliteDriver, config: FixtureConfig): Promise<readonly Violation[]> {
  try {
    await openLocalSchema(driver, configOf(config), systemRandom);
    return [];
  } catch (error) {
    if (!isSyncError(error) || error.code !== 'config_invalid') throw error;
    return error.details['violations'] as readonly Violation[];
  }
}

describe.skipIf(!hasContracts)('contract: configuration of managed tables', () => {
  for (const file of loadFixtures('local-schema')) {
    for (const entry of (file.content as { readonly cases: readonly ConfigCase[] }).cases) {
      test(`[T2] [T3] [T5] [K19] ${file.name}: ${entry.name}`, async () => {
        const driver = prepared(entry.schemaSql);
        if (entry.initializeBeforeValidation === true) await openLocalSchema(driver, configOf(entry.config), systemRandom);
        for (const sql of entry.beforeValidationSql ?? []) driver.database.exec(sql);
        const said = (await violationsOf(driver, entry.config)).map(sentenceOf).join('\n');
        for (const sql of entry.afterOpenSql ?? []) driver.database.exec(sql);
        if (entry.expectedError === null) expect(said).toBe('');
        else {
          expect(entry.expectedError.kind).toBe('configuration');
          expect(entry.expectedError.messageContains.filter((fragment) => !said.includes(fragment))).toEqual([]);
          expect(said).not.toBe('');
        }
        for (const query of entry.expectedQueries ?? []) {
          const row = driver.database.prepare(query.sql).get() ?? {};
          expect([query.name, Object.values(row)[0]]).toEqual([query.name, query.value]);
        }
      });
    }
  }
});

const folders = hasContracts
  ? readdirSync(join(CONTRACTS_FOLDER, 'local-schema'), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  : [];

describe.skipIf(!hasContracts)('contract: local schema and captured writes', () => {
  for (const { name } of folders) {
    const folder = join(CONTRACTS_FOLDER, 'local-schema', name);
    const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
    const opened = async (): Promise<NodeSqliteDriver> => {
      const driver = prepared([read('schema.sql')]);
      await openLocalSchema(driver, configOf(JSON.parse(read('config.json')) as FixtureConfig), systemRandom);
      return driver;
    };

    test(`[T4] ${name}: catalogue after open`, async () => {
      const driver = await opened();
      const expected = JSON.parse(read('schema.expected.json')) as ExpectedSchema;
      const folded = (sql: string): string =>
        sql
          .replace(/IF NOT EXISTS /g, '')
          .replace(/\s+/g, ' ')
          .replace(/\( /g, '(')
          .replace(/ \)/g, ')')
          .trim();
      const shown = (entry: ExpectedSchema['catalog'][number]): unknown =>
        entry.type === 'trigger'
          ? [entry.type, entry.name, entry.tableName]
          : [entry.type, entry.name, entry.tableName, folded(entry.sql)];
      const catalog = driver.database
        .prepare(
          `SELECT type, name, tbl_name AS tableName, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '\\_oversync\\_%' ESCAPE '\\' ORDER BY type, name`,
        )
        .all() as unknown as ExpectedSchema['catalog'];
      expect(catalog.map(shown)).toEqual(expected.catalog.map(shown));
      for (const table of expected.tables) expect(describeTable(driver, table.name)).toEqual(table);
    });

    if (!existsSync(join(folder, 'write-transitions.json'))) continue;
    const transitions = JSON.parse(read('write-transitions.json')) as WriteTransitions;
    const expectations = JSON.parse(read('write-transitions.expected.json')) as ExpectedTransitions;
    for (const entry of transitions.cases) {
      test(`[T14] [T111] ${name}: ${entry.name}`, async () => {
        const driver = await opened();
        for (const sql of entry.setupSql) driver.database.exec(sql);
        const announced = new Set<string>();
        const end = driver.onCommit((tables) => tables.forEach((table) => announced.add(table)));
        for (const sql of entry.actionSql) driver.database.exec(sql);
        end();
        if (entry.expectedInvalidatedTables !== undefined) {
          const tables = [...announced].filter((table) => !table.startsWith('_sync_')).sort();
          expect(tables).toEqual(entry.expectedInvalidatedTables);
        }
        const expected = expectations.cases.find((candidate) => candidate.name === entry.name);
        expect(dirtyRows(driver)).toEqual(expected?.dirtyRows);
        for (const [table, count] of Object.entries(expected?.applicationRowCounts ?? {})) {
          expect(driver.database.prepare(`SELECT count(*) AS n FROM ${table}`).get()).toEqual({ n: count });
        }
      });
    }
  }
});

function dirtyRows(driver: NodeSqliteDriver): unknown[] {
  return driver.database
    .prepare(
      `SELECT schema_name AS schemaName, table_name AS tableName, key_json AS keyJson, op, base_row_version AS baseRowVersion, payload,
       dirty_ordinal AS dirtyOrdinal FROM _sync_dirty_rows ORDER BY dirty_ordinal`,
    )
    .all()
    .map((row) => ({ ...row }));
}

function describeTable(driver: NodeSqliteDriver, name: string): unknown {
  const all = (sql: string): Record<string, unknown>[] =>
    driver.database
      .prepare(sql)
      .all(name)
      .map((row) => ({ ...row }));
  const flag = (value: unknown): boolean => value === 1;
  return {
    name,
    columns: all('SELECT * FROM pragma_table_info(?)').map((row) => ({
      cid: row['cid'],
      name: row['name'],
      type: row['type'],
      notNull: flag(row['notnull']),
      defaultValue: row['dflt_value'],
      primaryKeyPosition: row['pk'],
    })),
    foreignKeys: all('SELECT * FROM pragma_foreign_key_list(?)').map((row) => ({
      id: row['id'],
      seq: row['seq'],
      table: row['table'],
      from: row['from'],
      to: row['to'],
      onUpdate: row['on_update'],
      onDelete: row['on_delete'],
      match: row['match'],
    })),
    indexes: all('SELECT * FROM pragma_index_list(?) ORDER BY seq').map((row) => ({
      seq: row['seq'],
      name: row['name'],
      unique: flag(row['unique']),
      origin: row['origin'],
      partial: flag(row['partial']),
      columns: driver.database
        .prepare('SELECT * FROM pragma_index_xinfo(?)')
        .all(String(row['name']))
        .map((column) => ({
          seqno: column['seqno'],
          cid: column['cid'],
          name: column['name'],
          desc: flag(column['desc']),
          collation: column['coll'],
          key: flag(column['key']),
        })),
    })),
  };
}
