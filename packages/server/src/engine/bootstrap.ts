/**
 * Bootstrap (server.md 4): checks first, in a read-only transaction; then, only if something differs, one transaction under an
 * advisory lock that checks again and makes the difference. A failure leaves the database as it was.
 */
import { SyncError } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import type { CatalogFacts, NormalisedTable } from '../rules/catalog-facts.ts';
import { normaliseTable } from '../rules/normalise-tables.ts';
import { checkSchema } from '../rules/schema-checks.ts';
import { sortFindings } from '../rules/schema-violation.ts';
import type { SchemaReport, SchemaViolation, SchemaWarning } from '../rules/schema-violation.ts';
import type { Catalog, TableDescription } from '../rules/table-description.ts';
import { applyInstallation, loadStoredMetadata } from '../store/apply-installation.ts';
import type { AppliedInstallation } from '../store/apply-installation.ts';
import { CATALOG_SETTINGS, loadCatalogFacts } from '../store/catalog-facts.ts';
import { BOOTSTRAP_LOCK_SQL } from '../store/catalog.sql.ts';
import { loadCatalog } from '../store/load-catalog.ts';
import { metadataNames } from '../store/metadata.sql.ts';
import { compareMetadata, getMetadataVersion, hasChangedMigration, METADATA_LAYOUT, MIGRATIONS } from '../store/migrations.ts';
import type { Migration } from '../store/migrations.ts';
import { findRegistration, keepRecordedColumns, planFollowing, planInstallation } from '../store/plan-installation.ts';
import type { InstallationPlan, InstallationScope, StoredMetadata } from '../store/plan-installation.ts';
import { markAdopted } from '../store/registrations.ts';
import { adoptTables } from './adopt.ts';
import type { AdoptionOptions, AdoptionReport } from './adopt.ts';
import { findAdoptionFaults } from './check-adoption.ts';
import { adoptionRequired, findUnadoptedTables } from './find-unadopted.ts';
import type { UnadoptedTables } from './find-unadopted.ts';
import type { ResolvedOptions } from './options.ts';
import { retryTransient } from './retry-transient.ts';
import { formatPinnedSettings } from './transaction.ts';

/** The part of the server's options that bootstrap needs. */
export type BootstrapOptions = AdoptionOptions &
  Pick<ResolvedOptions, 'registeredTables' | 'bootstrapPolicy' | 'adoption' | 'maxScopeIdBytes'> & {
    /**
     * Which tables are registered stays as it is: a server that looks at the catalog again must not undo what a newer one beside it has
     * set up. A table that was unregistered meanwhile is left out of the catalog.
     */
    readonly keepsRegistrations?: boolean;
    /** Migrations of the metadata schema; those of this release unless a test stands for another one. */
    readonly migrations?: readonly Migration[];
  };

export interface BootstrapResult {
  readonly catalog: Catalog;
  readonly warnings: readonly SchemaWarning[];
  /** Versions of the migrations that this call applied. */
  readonly appliedMigrations: readonly number[];
  /** Names of the tables whose registration, shape or triggers this call changed. */
  readonly changedTables: readonly string[];
  /** Baselines that this call wrote. */
  readonly adopted: AdoptionReport;
  /** The metadata schema is of a newer release: nothing is installed or adopted. */
  readonly follows: boolean;
}

const NOTHING_APPLIED: AppliedInstallation = { appliedMigrations: [], changedTables: [] };

/**
 * Makes the database ready and reads the catalog. Idempotent, and safe in many processes at once.
 *
 * @throws SyncError `schema_violation` with `details.violations` and `details.warnings`, and with `details.pending` (statements
 * and steps still to be made) when `bootstrapPolicy` is `check` and the database is not ready. Nothing is written in any of
 * these cases.
 */
export async function bootstrap(options: BootstrapOptions): Promise<BootstrapResult> {
  const tables = options.registeredTables.map(normaliseTable);
  let found = await inTransaction(options, true, (tx) => inspect(tx, options, tables, 'new'));
  if (options.bootstrapPolicy === 'check' || found.follows) refusePending(found);
  let applied: AppliedInstallation = NOTHING_APPLIED;
  // A table may change between installing and looking again; the last look has to find nothing to do.
  for (
    let look = 1;
    look <= LOOKS_MAX && (found.plan.pending.length > 0 || (look === 1 && hasUnmarkedTables(found)));
    look += 1
  ) {
    const installed = await inTransaction(options, false, (tx) => install(tx, options, tables));
    found = installed.inspection;
    applied = addInstallation(applied, installed.applied);
    // A newer release may have come while this process waited for its turn.
    if (found.follows) refusePending(found);
  }
  const catalog = getCatalog(found);
  const adopted = await adopt(options, catalog, found);
  return { catalog, warnings: found.report.warnings, ...applied, adopted, follows: found.follows };
}

/** Tables that change faster than this are nothing to wait for. */
const LOOKS_MAX = 5;

function hasUnmarkedTables({ unadopted }: Inspection): boolean {
  return unadopted.empty.length > 0;
}

function addInstallation(before: AppliedInstallation, more: AppliedInstallation): AppliedInstallation {
  return {
    appliedMigrations: [...before.appliedMigrations, ...more.appliedMigrations],
    changedTables: [...new Set([...before.changedTables, ...more.changedTables])].sort(),
  };
}

interface Inspection {
  readonly facts: CatalogFacts;
  readonly stored: StoredMetadata;
  /** The tables that the server works with. */
  readonly tables: readonly NormalisedTable[];
  readonly report: SchemaReport;
  readonly plan: InstallationPlan;
  readonly unadopted: UnadoptedTables;
  /** The metadata schema is of a newer release that this one can work with. */
  readonly follows: boolean;
  /** Present when nothing is to be installed. */
  readonly catalog: Catalog | undefined;
}

/**
 * Whose rows are looked at before they are adopted. That reads whole tables, so it is done once more than needed at most: a table that
 * is registered already was checked when its triggers came, and no row has changed since.
 */
type RowChecks = 'none' | 'new' | 'all';

async function inspect(
  tx: PgTransaction,
  options: BootstrapOptions,
  configured: readonly NormalisedTable[],
  rowChecks: RowChecks,
): Promise<Inspection> {
  const m = metadataNames(options.metadataSchema);
  const facts = await loadCatalogFacts(tx, options.metadataSchema, configured);
  const scope = getScope(options);
  const stored = await loadStoredMetadata(tx, m, facts, scope.migrations);
  const release = compareRelease(facts, scope);
  const follows = release === 'follow';
  const isActive = (table: { readonly schema: string; readonly table: string }): boolean =>
    findRegistration(stored.registrations, table)?.isActive === true;
  const isServed = (table: NormalisedTable): boolean =>
    isActive(table) || (!scope.keepsOthers && (!follows || findRegistration(stored.registrations, table) === undefined));
  // A server that may write nothing finds its tables changed by others, too.
  const isPassive = follows || (scope.keepsOthers && options.bootstrapPolicy === 'check');
  const served = configured.filter(isServed);
  const tables = isPassive ? served.map((table) => keepRecordedColumns(facts, table, stored)) : served;
  const plan = isPassive ? planFollowing(facts, tables, stored) : await planInstallation(tx, m, facts, tables, stored, scope);
  const checked = checkSchema({
    facts,
    tables,
    registrations: stored.registrations,
    layout: METADATA_LAYOUT,
    layoutVersion: getMetadataVersion(scope.migrations),
    isOutdated: release === 'outdated',
    hasChangedMigration: hasChangedMigration(stored.migrations, scope.migrations),
    changesMetadata: !isPassive && plan.pending.length > 0,
    changedRelations: plan.changedRelations,
  });
  const unadopted =
    isOurMetadata(checked) && !isPassive ? await findUnadoptedTables(tx, m, facts, tables, stored) : NOTHING_UNADOPTED;
  const isChecked = (table: TableDescription): boolean => rowChecks === 'all' || (rowChecks === 'new' && !isActive(table));
  const violations = [...checked.violations, ...(await checkUnadopted(tx, options, facts, unadopted, checked, isChecked))];
  const report = { violations: sortFindings(violations), warnings: checked.warnings };
  if (violations.length > 0) throw createSchemaError(report, plan.pending);
  const isReady = plan.pending.length === 0;
  const catalog = isReady ? await loadCatalog(tx, m, facts, tables, stored.registrations, stored.shapes) : undefined;
  return { facts, stored, tables, report, plan, unadopted, follows, catalog };
}

function compareRelease({ server }: CatalogFacts, { migrations }: InstallationScope): 'own' | 'follow' | 'outdated' {
  return server.metadata.layout === METADATA_LAYOUT ? compareMetadata(server.metadata, migrations) : 'own';
}

function getScope(options: BootstrapOptions): InstallationScope {
  return { migrations: options.migrations ?? MIGRATIONS, keepsOthers: options.keepsRegistrations ?? false };
}

const NOTHING_UNADOPTED: UnadoptedTables = { empty: [], populated: [] };

/** Of another product's metadata, or those of a newer release, nothing is read: which tables are adopted is not known then. */
function isOurMetadata({ violations }: SchemaReport): boolean {
  return !violations.some(({ code }) => code === 'metadata_schema_foreign' || code === 'metadata_schema_newer');
}

/** Rows can only be looked at in a table that is as it should be. */
async function checkUnadopted(
  tx: PgTransaction,
  options: BootstrapOptions,
  facts: CatalogFacts,
  unadopted: UnadoptedTables,
  checked: SchemaReport,
  isChecked: (table: TableDescription) => boolean,
): Promise<readonly SchemaViolation[]> {
  if (options.adoption === 'refuse') return adoptionRequired(unadopted.populated);
  const isFine = (table: TableDescription): boolean =>
    !checked.violations.some((violation) => violation.schema === table.schema && violation.table === table.table);
  const bounds = { ...options, versionNumber: facts.server.versionNumber };
  const violations: SchemaViolation[] = [];
  for (const table of unadopted.populated.filter((table) => isChecked(table) && isFine(table)))
    violations.push(...(await findAdoptionFaults(tx, table, bounds)));
  return violations;
}

async function install(
  tx: PgTransaction,
  options: BootstrapOptions,
  configured: readonly NormalisedTable[],
): Promise<{ readonly inspection: Inspection; readonly applied: AppliedInstallation }> {
  await tx.query(BOOTSTRAP_LOCK_SQL, [options.metadataSchema]);
  const { facts, stored, plan, tables, follows } = await inspect(tx, options, configured, 'none');
  const m = metadataNames(options.metadataSchema);
  const applied =
    follows || plan.pending.length === 0
      ? NOTHING_APPLIED
      : await applyInstallation(tx, m, { facts, tables, stored, ...getScope(options) });
  // Looked at again now that the triggers are in place: until they were, anybody could still insert.
  const inspection = await inspect(tx, options, configured, 'all');
  await markAdopted(tx, m, inspection.unadopted.empty);
  return { inspection, applied };
}

async function adopt(options: BootstrapOptions, catalog: Catalog, { unadopted }: Inspection): Promise<AdoptionReport> {
  const tables = unadopted.populated.flatMap((table) => catalog.tables.get(table.name) ?? []);
  return tables.length === 0 ? { scopes: 0, rows: 0 } : adoptTables(options, catalog, tables);
}

function getCatalog({ catalog, plan }: Inspection): Catalog {
  if (catalog === undefined) throw new TypeError(`bootstrap left differences behind: ${plan.pending.join('; ')}`);
  return catalog;
}

function refusePending({ plan, report, unadopted }: Inspection): void {
  const pending = [...plan.pending, ...unadopted.populated.map((table) => `adopt the rows of ${table.name}`)];
  if (pending.length > 0) throw createSchemaError(report, pending);
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
  return retryTransient(options.retry, () =>
    options.database.transaction({ isolation, readOnly, settings: `${settings};${CATALOG_SETTINGS}` }, fn),
  );
}
