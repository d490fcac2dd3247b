/** Makes what {@link planInstallation} found missing, inside the caller's transaction and under its advisory lock. */
import type { PgTransaction } from '../ports/postgres.ts';
import type { CatalogFacts, NormalisedTable } from '../rules/catalog-facts.ts';
import { describeColumns, describeTable, findRoot, shapeColumns } from '../rules/describe-tables.ts';
import { tableName } from '../rules/normalise-tables.ts';
import { planFunctions, planRelations } from './capture-plan.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { applyMigrations, compareMetadata, loadAppliedMigrations, METADATA_LAYOUT } from './migrations.ts';
import type { Migration } from './migrations.ts';
import {
  changedShapes,
  findRegistration,
  installedTables,
  loadStrayTriggers,
  removedRegistrations,
} from './plan-installation.ts';
import type { InstallationScope, StoredMetadata } from './plan-installation.ts';
import type { StoredRegistration } from './registrations.ts';
import {
  insertRegistration,
  insertShape,
  loadMissingValue,
  loadRegistrations,
  loadShapes,
  setRegistrationActive,
} from './registrations.ts';

export interface Installation extends InstallationScope {
  readonly facts: CatalogFacts;
  readonly tables: readonly NormalisedTable[];
  readonly stored: StoredMetadata;
}

export interface AppliedInstallation {
  readonly appliedMigrations: readonly number[];
  readonly changedTables: readonly string[];
}

/** Reads the metadata schema; empty while it does not exist, is not ours, or is too new for this code. */
export async function loadStoredMetadata(
  tx: PgTransaction,
  m: MetadataNames,
  facts: CatalogFacts,
  migrations: readonly Migration[],
): Promise<StoredMetadata> {
  const { metadata } = facts.server;
  if (metadata.layout !== METADATA_LAYOUT || compareMetadata(metadata, migrations) === 'outdated')
    return { migrations: [], registrations: [], shapes: [] };
  return {
    migrations: await loadAppliedMigrations(tx, m),
    registrations: await loadRegistrations(tx, m),
    shapes: await loadShapes(tx, m),
  };
}

export async function applyInstallation(
  tx: PgTransaction,
  m: MetadataNames,
  { facts, tables, stored, migrations, keepsOthers }: Installation,
): Promise<AppliedInstallation> {
  if (!facts.server.metadata.exists) await tx.script(`CREATE SCHEMA ${m.schema}`);
  const applied = await applyMigrations(tx, m, migrations, facts.server.metadata.version);
  const changed = new Set<string>();
  const removed = keepsOthers ? [] : removedRegistrations(tables, stored.registrations);
  await applyRegistrations(tx, m, { facts, tables, stored, removed }, changed);
  const registrations = await loadRegistrations(tx, m);
  const installed = installedTables(facts, tables, registrations);
  const relations = installed.flatMap((table) => planRelations(m, facts, table));
  for (const { relation } of relations) changed.add(`${relation.schema}.${relation.name}`);
  const statements = [
    ...planFunctions(m, facts, installed),
    ...relations.flatMap((plan) => plan.statements),
    ...(keepsOthers ? [] : await loadStrayTriggers(tx, facts)),
  ];
  if (statements.length > 0) await tx.script(statements.join(';\n'));
  await applyShapes(tx, m, facts, tables, changed);
  return { appliedMigrations: applied.map((migration) => migration.version), changedTables: [...changed].sort() };
}

async function applyRegistrations(
  tx: PgTransaction,
  m: MetadataNames,
  {
    facts,
    tables,
    stored,
    removed,
  }: Omit<Installation, keyof InstallationScope> & { readonly removed: readonly StoredRegistration[] },
  changed: Set<string>,
): Promise<void> {
  for (const table of tables) {
    const registration = findRegistration(stored.registrations, table);
    if (registration?.isActive === true) continue;
    changed.add(tableName(table));
    if (registration === undefined) await insertRegistration(tx, m, describeTable(facts, table, { tableId: 0, shapeId: 0 }));
    else await setRegistrationActive(tx, m, registration.tableId, true);
  }
  for (const other of removed) {
    changed.add(tableName(other));
    await setRegistrationActive(tx, m, other.tableId, false);
  }
}

/** A new shape keeps what an older one recorded; only columns that are new get the value that stored rows show in them. */
async function applyShapes(
  tx: PgTransaction,
  m: MetadataNames,
  facts: CatalogFacts,
  tables: readonly NormalisedTable[],
  changed: Set<string>,
): Promise<void> {
  const stored = { migrations: [], registrations: await loadRegistrations(tx, m), shapes: await loadShapes(tx, m) };
  for (const table of changedShapes(facts, tables, stored)) {
    const registration = findRegistration(stored.registrations, table);
    if (registration === undefined || findRoot(facts, table) === undefined) continue;
    const recorded = stored.shapes.filter(({ tableId }) => tableId === registration.tableId).flatMap((shape) => shape.columns);
    const known = new Map(recorded.map((column) => [column.origin, column.missingValue]));
    const description = describeTable(facts, table, registration);
    const missing = new Map<string, string>();
    for (const { name, origin } of recorded.length === 0 ? [] : description.columns) {
      missing.set(name, known.get(origin) ?? (await loadMissingValue(tx, m, description, name)));
    }
    await insertShape(
      tx,
      m,
      registration.tableId,
      shapeColumns(describeColumns(facts, table), (name) => missing.get(name) ?? 'null'),
    );
    changed.add(tableName(table));
  }
}
