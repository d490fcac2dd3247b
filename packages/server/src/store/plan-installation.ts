/** What bootstrap would have to do, as data: empty on an unchanged start. */
import type { PgTransaction } from '../ports/postgres.ts';
import type { CatalogFacts, NormalisedTable } from '../rules/catalog-facts.ts';
import { decideColumnFamily } from '../rules/column-family.ts';
import { columnsOf, describeColumns, findRoot, publishedColumns, shapeColumns } from '../rules/describe-tables.ts';
import { describeTable } from '../rules/describe-tables.ts';
import { tableName } from '../rules/normalise-tables.ts';
import type { TableShape } from '../rules/table-description.ts';
import { planFunctions, planRelations, STRAY_TRIGGERS_SQL } from './capture-plan.ts';
import type { InstalledTable } from './capture-plan.ts';
import { dropTriggerSql } from './capture.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';
import type { AppliedMigration, Migration } from './migrations.ts';
import type { StoredRegistration } from './registrations.ts';
import { RowReader } from './row-reader.ts';
import { findLargestShape, findShape } from './shape-columns.ts';
import { quoteQualified } from '../rules/sql-text.ts';

/** Contents of the metadata schema; all empty while it does not exist. */
export interface StoredMetadata {
  readonly migrations: readonly AppliedMigration[];
  readonly registrations: readonly StoredRegistration[];
  readonly shapes: readonly TableShape[];
}

/** What is to be installed, apart from the tables' triggers. */
export interface InstallationScope {
  /** All migrations of the metadata schema. */
  readonly migrations: readonly Migration[];
  /** Leaves tables alone that are registered and not among the given ones. */
  readonly keepsOthers: boolean;
}

export interface InstallationPlan {
  /** Everything to be done, one line or statement each. */
  readonly pending: readonly string[];
  /** Oids of the relations that would get DDL: the role must own them. */
  readonly changedRelations: ReadonlySet<string>;
}

export async function planInstallation(
  tx: PgTransaction,
  m: MetadataNames,
  facts: CatalogFacts,
  tables: readonly NormalisedTable[],
  stored: StoredMetadata,
  { migrations, keepsOthers }: InstallationScope,
): Promise<InstallationPlan> {
  const installed = installedTables(facts, tables, stored.registrations);
  const relations = installed.flatMap((table) => planRelations(m, facts, table));
  const unregistered = tables.filter((table) => findRegistration(stored.registrations, table)?.isActive !== true);
  const changed = new Set(relations.map((plan) => plan.relation.oid));
  for (const table of unregistered) {
    for (const relation of facts.relations) if (relation.rootOid === findRoot(facts, table)?.oid) changed.add(relation.oid);
  }
  const pending = [
    ...migrations
      .filter(({ version }) => version > facts.server.metadata.version)
      .map(({ version, name }) => `migration ${String(version)}: ${name}`),
    ...unregistered.map((table) => `register ${tableName(table)}`),
    ...(keepsOthers ? [] : removedRegistrations(tables, stored.registrations)).map(
      (removed) => `unregister ${tableName(removed)}`,
    ),
    ...changedShapes(facts, tables, stored).map((table) => `record the shape of ${tableName(table)}`),
    ...planFunctions(m, facts, installed),
    ...relations.flatMap((plan) => plan.statements),
    ...(keepsOthers ? [] : await loadStrayTriggers(tx, facts)),
  ];
  return { pending, changedRelations: changed };
}

/**
 * The table as a process publishes it that records no columns: as many of them as some shape has. Columns that came since wait; where one
 * is gone or of another kind, the table stays as configured, and cannot be described until it is recorded.
 */
export function keepRecordedColumns(facts: CatalogFacts, table: NormalisedTable, stored: StoredMetadata): NormalisedTable {
  const registration = findRegistration(stored.registrations, table);
  if (registration === undefined || !isDescribable(facts, table)) return table;
  const columns = shapeColumns(describeColumns(facts, table), () => 'null');
  const shape = findLargestShape(stored.shapes, registration.tableId, columns);
  if (shape === undefined || shape.columns.length === columns.length) return table;
  const recorded = shape.columns.map(({ name }) => name);
  const unrecordedColumns = columns.map(({ name }) => name).filter((name) => !recorded.includes(name));
  return { ...table, columns: recorded, unrecordedColumns };
}

/** What a process that installs nothing has to wait for: it works as soon as its tables are registered and their columns recorded. */
export function planFollowing(facts: CatalogFacts, tables: readonly NormalisedTable[], stored: StoredMetadata): InstallationPlan {
  const unregistered = tables.filter((table) => findRegistration(stored.registrations, table) === undefined);
  const pending = [
    ...unregistered.map((table) => `register ${tableName(table)}`),
    ...changedShapes(facts, tables, stored).map((table) => `record the shape of ${tableName(table)}`),
  ];
  return { pending, changedRelations: new Set() };
}

export function findRegistration(
  registrations: readonly StoredRegistration[],
  table: { readonly schema: string; readonly table: string },
): StoredRegistration | undefined {
  return registrations.find((stored) => tableName(stored) === tableName(table));
}

export function removedRegistrations(
  tables: readonly NormalisedTable[],
  registrations: readonly StoredRegistration[],
): readonly StoredRegistration[] {
  const wanted = new Set(tables.map(tableName));
  return registrations.filter((stored) => stored.isActive && !wanted.has(tableName(stored)));
}

/** Registered tables that exist, with what their capture function depends on. */
export function installedTables(
  facts: CatalogFacts,
  tables: readonly NormalisedTable[],
  registrations: readonly StoredRegistration[],
): readonly InstalledTable[] {
  return tables.flatMap((table) => {
    const registration = findRegistration(registrations, table);
    const root = findRoot(facts, table);
    if (registration?.isActive !== true || root === undefined || !isDescribable(facts, table)) return [];
    const { tableId, keyColumn, keyKind, capturesPushes } = describeTable(facts, table, registration);
    return [{ tableId, keyColumn, keyKind, capturesPushes, rootOid: root.oid }];
  });
}

/** Tables whose published columns are no recorded shape. */
export function changedShapes(
  facts: CatalogFacts,
  tables: readonly NormalisedTable[],
  stored: StoredMetadata,
): readonly NormalisedTable[] {
  return tables.filter((table) => {
    const registration = findRegistration(stored.registrations, table);
    if (registration === undefined || !isDescribable(facts, table)) return false;
    const columns = shapeColumns(describeColumns(facts, table), () => 'null');
    return findShape(stored.shapes, registration.tableId, columns) === undefined;
  });
}

/** False while a check will refuse the table anyway. */
export function isDescribable(facts: CatalogFacts, table: NormalisedTable): boolean {
  const columns = columnsOf(facts, findRoot(facts, table));
  return (
    columns.some((column) => column.name === table.keyColumn) &&
    publishedColumns(columns, table).every((column) => decideColumnFamily(column) !== undefined)
  );
}

/** Statements that take the triggers off tables that are no longer registered. */
export async function loadStrayTriggers(tx: PgTransaction, facts: CatalogFacts): Promise<readonly string[]> {
  const { rows } = await tx.query(STRAY_TRIGGERS_SQL, [
    facts.server.metadata.schema,
    facts.relations.map((relation) => relation.oid),
  ]);
  return rows.map((row) => {
    const reader = new RowReader(row);
    return dropTriggerSql(quoteQualified(reader.text(), reader.text()), reader.text());
  });
}
