import { SyncError } from '@oversync/protocol';

import { OUTCOME_LIMIT, SQLITE_BUSY_TIMEOUT_MS, SQLITE_CACHE_BYTES } from '../limits.ts';
import type { Random } from '../ports/clock.ts';
import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { Catalog } from '../rules/catalog.ts';
import { describeTables, warningsOf } from '../rules/describe-tables.ts';
import type {
  ConfigViolation,
  LocalSchema,
  LocalSchemaConfig,
  LocalTable,
  SchemaWarning,
  SqliteFeatures,
} from '../rules/local-schema.ts';
import { sortViolations, validateTables } from '../rules/validate-tables.ts';
import { loadCatalog, loadSchemaVersion } from './catalog.ts';
import { loadClientState } from './client-state.ts';
import type { ClientState } from './client-state.ts';
import { ensureSource, normaliseAttachment } from './first-open.ts';
import { installTables } from './install-tables.ts';
import { saveMeta } from './meta.ts';
import { requestMissingValues } from './schema-change.ts';
import { testSqlite } from './self-test.ts';
import { prepareTemporary } from './temporary.ts';
import { CREATE_LOCAL_SCHEMA, RESERVED_TABLE_NAMES, SHARED_TABLES } from './tables.sql.ts';
import { translatingFaults } from './transaction.ts';

export interface OpenedSchema {
  readonly schema: LocalSchema;
  readonly warnings: readonly SchemaWarning[];
  readonly state: ClientState;
}

/**
 * Makes the database ready for the engine (client.md 5.2): settings, validation, then one transaction that creates what is missing,
 * installs the triggers, and, at the very first time, gives the database its source id and captures the rows that are already there.
 * Doing it twice changes nothing.
 *
 * @throws SyncError `config_invalid` with all violations; nothing has been created then. `local_state_conflict`, `storage_failed`.
 */
export function openLocalSchema(driver: SqliteDriver, config: LocalSchemaConfig, random: Random): Promise<OpenedSchema> {
  return translatingFaults('open', async () => {
    await applyPragmas(driver, config);
    await prepareTemporary(driver, config);
    const { schema, warnings } = await driver.transaction('deferred', (tx) => validate(tx, config));
    return driver.transaction('immediate', async (tx) => {
      await tx.exec(CREATE_LOCAL_SCHEMA);
      await saveMeta(tx, 'outcome_limit', String(config.outcomeLimit ?? OUTCOME_LIMIT));
      await installTables(tx, schema, config, true);
      await ensureSource(tx, schema, random);
      await normaliseAttachment(tx);
      await requestMissingValues(tx);
      const schemaVersion = await loadSchemaVersion(tx);
      return { schema: { ...schema, schemaVersion }, warnings, state: await loadClientState(tx) };
    });
  });
}

/**
 * The description for the next operation (client.md 4.6): the same object while no DDL has run since, else validated again with
 * triggers refreshed and pending rows captured with the new columns.
 */
export async function refreshLocalSchema(
  driver: SqliteDriver,
  config: LocalSchemaConfig,
  schema: LocalSchema,
): Promise<LocalSchema> {
  return translatingFaults('open', async () => {
    if ((await loadSchemaVersion(driver)) === schema.schemaVersion) return schema;
    return driver.transaction('immediate', async (tx) => {
      const { schema: validated } = await validate(tx, config);
      await installTables(tx, validated, config, false);
      return { ...validated, schemaVersion: await loadSchemaVersion(tx) };
    });
  });
}

async function applyPragmas(driver: SqliteDriver, config: LocalSchemaConfig): Promise<void> {
  const { journalMode = 'wal', recursiveTriggers = true, busyTimeoutMs, cacheBytes } = config.pragmas ?? {};
  await driver.all(`PRAGMA busy_timeout = ${busyTimeoutMs ?? SQLITE_BUSY_TIMEOUT_MS}`);
  if (journalMode !== 'unchanged') await driver.all(`PRAGMA journal_mode = ${journalMode}`);
  await driver.exec(
    [
      'PRAGMA foreign_keys = ON',
      `PRAGMA recursive_triggers = ${recursiveTriggers ? 'ON' : 'OFF'}`,
      `PRAGMA cache_size = -${Math.floor((cacheBytes ?? SQLITE_CACHE_BYTES) / BYTES_PER_CACHE_UNIT)}`,
    ].join(';'),
  );
}

/** A negative `cache_size` counts KiB. */
const BYTES_PER_CACHE_UNIT = 1024;

async function validate(
  tx: SqliteTx,
  config: LocalSchemaConfig,
): Promise<{ readonly schema: LocalSchema; readonly warnings: readonly SchemaWarning[] }> {
  const names = config.tables.map((table) => table.tableName.trim().toLowerCase());
  const catalog = await loadCatalog(tx, names);
  const features = await testSqlite(tx, catalog.sqliteVersion);
  const { violations, tables } = validateTables(config, catalog, RESERVED_TABLE_NAMES);
  const described = describeTables(config, tables);
  const all = [...violations, ...stateViolations(config, catalog), ...featureViolations(features, described)];
  if (features === null || all.length > 0) {
    throw new SyncError('config_invalid', {
      operation: 'open',
      details: { violations: sortViolations(all) },
    });
  }
  return {
    schema: {
      name: config.schema.trim(),
      tables: described,
      tablesByName: new Map(described.map((table) => [table.wireName, table])),
      schemaVersion: await loadSchemaVersion(tx),
      features,
    },
    warnings: warningsOf(described, tables, catalog),
  };
}

/** What this build of SQLite lacks for these tables. */
function featureViolations(features: SqliteFeatures | null, tables: readonly LocalTable[]): ConfigViolation[] {
  if (features === null) return [{ code: 'sqlite_unsupported' }];
  return tables.flatMap((table) =>
    table.columns
      .filter(({ kind }) =>
        kind === 'real' ? !features.readsRealsExactly : (kind === 'blob' || kind === 'uuidBlob') && !features.hasUnhex,
      )
      .map((column): ConfigViolation => ({ code: 'sqlite_unsupported', table: table.wireName, column: column.wireName })),
  );
}

/** Sync state that another schema name, or another generation of client, has left. */
function stateViolations(config: LocalSchemaConfig, catalog: Catalog): ConfigViolation[] {
  const violations: ConfigViolation[] = [];
  const schemaName = config.schema.trim();
  if (schemaName !== '' && catalog.knownSchemaNames.some((name) => name !== schemaName)) {
    violations.push({ code: 'schema_name_conflict' });
  }
  for (const { name, columns } of SHARED_TABLES) {
    const found = catalog.sharedColumns.get(name);
    if (found !== undefined && found.join() !== columns.join())
      violations.push({ code: 'local_schema_incompatible', table: name });
  }
  return violations;
}
