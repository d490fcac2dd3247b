import type { PgTransaction } from '../ports/postgres.ts';
import type { CatalogFacts, NormalisedTable } from '../rules/catalog-facts.ts';
import { findRoot } from '../rules/describe-tables.ts';
import { tableName } from '../rules/normalise-tables.ts';
import type { SchemaViolation } from '../rules/schema-violation.ts';
import type { MetadataNames } from '../store/metadata.sql.ts';
import { findRegistration } from '../store/plan-installation.ts';
import type { StoredMetadata } from '../store/plan-installation.ts';
import { hasRowsToAdopt } from '../store/unadopted-rows.ts';

/**
 * Tables that hold rows without sync metadata. Serving them would leave these rows out of every snapshot and break pushes of
 * their keys, so the server refuses to start.
 */
export async function findUnadoptedTables(
  tx: PgTransaction,
  m: MetadataNames,
  facts: CatalogFacts,
  tables: readonly NormalisedTable[],
  stored: StoredMetadata,
): Promise<readonly SchemaViolation[]> {
  const violations: SchemaViolation[] = [];
  for (const table of tables) {
    const registration = findRegistration(stored.registrations, table);
    if (registration?.isAdopted === true || !isReadable(facts, table)) continue;
    const { schema, table: name } = table;
    if (await hasRowsToAdopt(tx, m, { schema, table: name, tableId: registration?.tableId })) {
      const message = `${tableName(table)} holds rows without sync metadata`;
      violations.push({ code: 'adoption_required', schema, table: name, message, fixSql: [] });
    }
  }
  return violations;
}

/** False where the look would fail; another check reports why. */
function isReadable(facts: CatalogFacts, table: NormalisedTable): boolean {
  const root = findRoot(facts, table);
  return root !== undefined && ['r', 'p'].includes(root.kind) && root.canReadAndWrite && root.canUseSchema;
}
