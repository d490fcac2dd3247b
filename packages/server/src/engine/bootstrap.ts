/**
 * Bootstrap (server.md 4): checks first, in a read-only transaction; then, only if something differs, one transaction under an
 * advisory lock that checks again and makes the difference. A failure leaves the database as it was.
 */
import { SyncError } from '@oversync/protocol';

import type { PgTransaction, Postgres } from '../ports/postgres.ts';
import type { CatalogFacts, NormalisedTable } from '../rules/catalog-facts.ts';
import { normaliseTable } from '../rules/normalise-tables.ts';
import { checkSchema } from '../rules/schema-checks.ts';
import type { SchemaReport, SchemaWarning } from '../rules/schema-violation.ts';
import type { Catalog, RegisteredTableConfig } from '../rules/table-description.ts';
import { CATALOG_SETTINGS, loadCatalogFacts } from '../store/catalog-facts.ts';
import { BOOTSTRAP_LOCK_SQL } from '../store/catalog.sql.ts';
import { loadCatalog } from '../store/load-catalog.ts';
import { metadataNames } from '../store/metadata.sql.ts';
import { hasChangedMigration, METADATA_LAYOUT, METADATA_VERSION } from '../store/migrations.ts';
import { markAdopted } from '../store/registrations.ts';
import { planInstallation } from '../store/plan-installation.ts';
import type { InstallationPlan, StoredMetadata } from '../store/plan-installation.ts';
import { applyInstallation, loadStoredMetadata } from '../store/apply-installation.ts';
import { findUnadoptedTables } from './find-unadopted.ts';
import { formatPinnedSettings } from './transaction.ts';

/** The part of the server's options that bootstrap needs. */
export interface BootstrapOptions {
  readonly database: Postgres;
  readonly metadataSchema: string;
  readonly registeredTables: readonly RegisteredTableConfig[];
  readonly bootstrapPolicy: 'apply' | 'check';
  readonly lockTimeoutMs: number;
  readonly bulkStatementTimeoutMs: number;
}

export interface BootstrapResult {
  readonly catalog: Catalog;
  readonly warnings: readonly SchemaWarning[];
  /** Versions of the migrations that this call applied. */
  readonly appliedMigrations: readonly number[];
  /** Names of the tables whose registration, shape or triggers this call changed. */
  readonly changedTables: readonly string[];
}

/**
 * Makes the database ready and reads the catalog. Idempotent, and safe in many processes at once.
 *
 * @throws SyncError `schema_violation` with `details.violations` and `details.warnings`, and with `details.pending` (statements
 * and steps still to be made) when `bootstrapPolicy` is `check` and the database is not ready. Nothing is written in any of
 * these cases.
 */
export async function bootstrap(options: BootstrapOptions): Promise<BootstrapResult> {
  const tables = options.registeredTables.map(normaliseTable);
  const found = await inTransaction(options, true, (tx) => inspect(tx, options, tables));
  if (found.catalog !== undefined) {
    return { catalog: found.catalog, warnings: found.report.warnings, appliedMigrations: [], changedTables: [] };
  }
  if (options.bootstrapPolicy === 'check') throw createSchemaError(found.report, found.plan.pending);
  return inTransaction(options, false, (tx) => install(tx, options, tables));
}

interface Inspection {
  readonly facts: CatalogFacts;
  readonly stored: StoredMetadata;
  readonly report: SchemaReport;
  readonly plan: InstallationPlan;
  /** Present when nothing is to be done. */
  readonly catalog: Catalog | undefined;
}

async function inspect(tx: PgTransaction, options: BootstrapOptions, tables: readonly NormalisedTable[]): Promise<Inspection> {
  const m = metadataNames(options.metadataSchema);
  const facts = await loadCatalogFacts(tx, options.metadataSchema, tables);
  const stored = await loadStoredMetadata(tx, m, facts);
  const plan = await planInstallation(tx, m, facts, tables, stored);
  const checked = checkSchema({
    facts,
    tables,
    registrations: stored.registrations,
    layout: METADATA_LAYOUT,
    layoutVersion: METADATA_VERSION,
    hasChangedMigration: hasChangedMigration(stored.migrations),
    changesMetadata: plan.pending.length > 0,
    changedRelations: plan.changedRelations,
  });
  const unadopted = await findUnadoptedTables(tx, m, facts, tables, stored);
  const report = { violations: [...checked.violations, ...unadopted], warnings: checked.warnings };
  if (report.violations.length > 0) throw createSchemaError(report, plan.pending);
  const isReady = plan.pending.length === 0;
  const catalog = isReady ? await loadCatalog(tx, m, facts, tables, stored.registrations, stored.shapes) : undefined;
  return { facts, stored, report, plan, catalog };
}

async function install(
  tx: PgTransaction,
  options: BootstrapOptions,
  tables: readonly NormalisedTable[],
): Promise<BootstrapResult> {
  await tx.query(BOOTSTRAP_LOCK_SQL, [options.metadataSchema]);
  const { facts, stored, report, plan, catalog } = await inspect(tx, options, tables);
  if (catalog !== undefined) return { catalog, warnings: report.warnings, appliedMigrations: [], changedTables: [] };
  const m = metadataNames(options.metadataSchema);
  const applied = await applyInstallation(tx, m, { facts, tables, stored, plan });
  // Looked at again now that the triggers are in place: until they were, anybody could still insert.
  const unadopted = await findUnadoptedTables(tx, m, facts, tables, stored);
  if (unadopted.length > 0) throw createSchemaError({ violations: unadopted, warnings: report.warnings }, []);
  await markAdopted(tx, m);
  const after = await inspect(tx, options, tables);
  if (after.catalog === undefined) {
    throw new TypeError(`bootstrap left differences behind: ${after.plan.pending.join('; ')}`);
  }
  return { catalog: after.catalog, warnings: after.report.warnings, ...applied };
}

function createSchemaError(report: SchemaReport, pending: readonly string[]): SyncError {
  const { violations, warnings } = report;
  const summary = violations
    .slice(0, 20)
    .map((violation) => `${violation.schema}.${violation.table} ${violation.code}: ${violation.message}`);
  const message =
    violations.length > 0
      ? `the database does not fit the registered tables: ${summary.join('; ')}${violations.length > summary.length ? '; …' : ''}`
      : `the database is not set up for this server: ${String(pending.length)} steps are pending`;
  return new SyncError('schema_violation', { message, operation: 'bootstrap', details: { violations, warnings, pending } });
}

function inTransaction<T>(options: BootstrapOptions, readOnly: boolean, fn: (tx: PgTransaction) => Promise<T>): Promise<T> {
  const settings = formatPinnedSettings({
    lockTimeoutMs: options.lockTimeoutMs,
    statementTimeoutMs: options.bulkStatementTimeoutMs,
  });
  // READ COMMITTED when writing: the second look must see what another process made while this one waited for the lock.
  const isolation = readOnly ? 'repeatable read' : 'read committed';
  return options.database.transaction({ isolation, readOnly, settings: `${settings};${CATALOG_SETTINGS}` }, fn);
}
