/** All checks of server.md 3.2, decided from facts: nothing here reads or writes the database. */
import type { CatalogFacts, NormalisedTable, RelationFact } from './catalog-facts.ts';
import { findRoot } from './describe-tables.ts';
import { checkColumns } from './schema-checks-columns.ts';
import { checkIndexes, findUniqueWarnings } from './schema-checks-indexes.ts';
import { checkForeignKeys, findReferenceWarnings } from './schema-checks-references.ts';
import { checkRelation } from './schema-checks-relation.ts';
import { checkConfig, checkServer } from './schema-checks-server.ts';
import { sortFindings } from './schema-violation.ts';
import type { SchemaReport, SchemaViolation, SchemaWarning } from './schema-violation.ts';

/** A registration as the metadata schema stores it. */
export interface StoredKey {
  readonly schema: string;
  readonly table: string;
  readonly keyColumn: string;
  readonly keyKind: 'uuid' | 'text';
}

export interface SchemaCheckInput {
  readonly facts: CatalogFacts;
  readonly tables: readonly NormalisedTable[];
  readonly registrations: readonly StoredKey[];
  /** Layout name and version that this code makes. */
  readonly layout: string;
  readonly layoutVersion: number;
  /** The schema is of a newer release whose metadata this code cannot work with. */
  readonly isOutdated: boolean;
  /** A migration that this schema has was made from other statements than the code's. */
  readonly hasChangedMigration: boolean;
  /** Something in the metadata schema has to be created or replaced. */
  readonly changesMetadata: boolean;
  /** Oids of relations that need DDL: the role must own them. */
  readonly changedRelations: ReadonlySet<string>;
}

/** One registered table that exists, with everything a check of it looks at. */
export interface CheckedTable {
  readonly table: NormalisedTable;
  readonly root: RelationFact;
  /** The root and its partitions. */
  readonly members: readonly RelationFact[];
}

/** Reports every violation at once, sorted, so that a host can put all of them right in one go. */
export function checkSchema(input: SchemaCheckInput): SchemaReport {
  const { facts, tables } = input;
  const violations: SchemaViolation[] = [...checkServer(input), ...checkConfig(tables)];
  const warnings: SchemaWarning[] = [];
  const existing: CheckedTable[] = [];
  for (const table of uniqueTables(tables)) {
    const root = findRoot(facts, table);
    if (root === undefined) {
      violations.push(tableMissing(table));
      continue;
    }
    existing.push({ table, root, members: facts.relations.filter((relation) => relation.rootOid === root.oid) });
  }
  for (const checked of existing) {
    const relationViolations = checkRelation(input, checked);
    violations.push(...relationViolations);
    if (relationViolations.some((violation) => violation.code === 'relation_kind_unsupported')) continue;
    violations.push(
      ...checkColumns(input, checked),
      ...checkIndexes(facts, checked),
      ...checkForeignKeys(facts, checked, existing),
    );
    warnings.push(...findUniqueWarnings(facts, checked), ...findReferenceWarnings(facts, checked));
  }
  return { violations: sortFindings(violations), warnings: sortFindings(warnings) };
}

function uniqueTables(tables: readonly NormalisedTable[]): readonly NormalisedTable[] {
  const seen = new Set<string>();
  return tables.filter((table) => {
    const name = `${table.schema}.${table.table}`;
    if (seen.has(name)) return false;
    seen.add(name);
    return true;
  });
}

function tableMissing({ schema, table }: NormalisedTable): SchemaViolation {
  return { code: 'table_missing', schema, table, message: 'the table does not exist', fixSql: [] };
}
