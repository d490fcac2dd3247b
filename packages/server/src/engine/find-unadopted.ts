import type { PgTransaction } from '../ports/postgres.ts';
import type { CatalogFacts, NormalisedTable } from '../rules/catalog-facts.ts';
import { describeTable, findRoot } from '../rules/describe-tables.ts';
import { tableName } from '../rules/normalise-tables.ts';
import type { SchemaViolation } from '../rules/schema-violation.ts';
import type { TableDescription } from '../rules/table-description.ts';
import type { MetadataNames } from '../store/metadata.sql.ts';
import { findRegistration, isDescribable } from '../store/plan-installation.ts';
import type { StoredMetadata } from '../store/plan-installation.ts';
import { hasRowsToAdopt } from '../store/unadopted-rows.ts';

export interface UnadoptedTables {
  /** Tables that hold something to adopt. */
  readonly populated: readonly TableDescription[];
  /** Registered tables that are not marked as adopted, though they hold nothing. */
  readonly empty: readonly number[];
}

/**
 * Tables that are not adopted yet: new, back after a pause, or left by an interrupted adoption. Serving their rows without metadata
 * would leave them out of every snapshot and break pushes of their keys.
 */
export async function findUnadoptedTables(
  tx: PgTransaction,
  m: MetadataNames,
  facts: CatalogFacts,
  tables: readonly NormalisedTable[],
  stored: StoredMetadata,
): Promise<UnadoptedTables> {
  const populated: TableDescription[] = [];
  const empty: number[] = [];
  for (const table of tables) {
    const registration = findRegistration(stored.registrations, table);
    if (registration?.isAdopted === true || !isReadable(facts, table)) continue;
    const isPopulated = await hasRowsToAdopt(tx, m, { schema: table.schema, table: table.table, tableId: registration?.tableId });
    if (isPopulated) populated.push(describeTable(facts, table, registration ?? { tableId: 0, shapeId: 0 }));
    else if (registration !== undefined) empty.push(registration.tableId);
  }
  return { populated, empty };
}

/** What `adoption: 'refuse'` says about populated tables. */
export function adoptionRequired(tables: readonly TableDescription[]): readonly SchemaViolation[] {
  return tables.map((table) => ({
    code: 'adoption_required',
    schema: table.schema,
    table: table.table,
    message: `${tableName(table)} holds rows without sync metadata`,
    fixSql: [],
  }));
}

/** False where the look would fail; another check reports why. */
function isReadable(facts: CatalogFacts, table: NormalisedTable): boolean {
  const root = findRoot(facts, table);
  const isTable = root !== undefined && ['r', 'p'].includes(root.kind) && root.canReadAndWrite && root.canUseSchema;
  return isTable && isDescribable(facts, table);
}
