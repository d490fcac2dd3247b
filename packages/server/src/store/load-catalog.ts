import type { PgTransaction } from '../ports/postgres.ts';
import type { CatalogFacts, NormalisedTable } from '../rules/catalog-facts.ts';
import { describeColumns, describeTable, shapeColumns } from '../rules/describe-tables.ts';
import type { TableIdentity } from '../rules/describe-tables.ts';
import { tableName } from '../rules/normalise-tables.ts';
import { compareUtf16 } from '../rules/table-description.ts';
import type { Catalog, TableDescription, TableShape } from '../rules/table-description.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { loadTokenSecret } from './migrations.ts';
import type { StoredRegistration } from './registrations.ts';
import { findShape } from './shape-columns.ts';

/** Puts together what the engine works with, from facts and stored registrations that fit each other. */
export async function loadCatalog(
  tx: PgTransaction,
  m: MetadataNames,
  facts: CatalogFacts,
  tables: readonly NormalisedTable[],
  registrations: readonly StoredRegistration[],
  shapes: readonly TableShape[],
): Promise<Catalog> {
  return createCatalog(
    tables.map((table) => describeTable(facts, table, identify(facts, table, registrations, shapes))),
    shapes,
    await loadTokenSecret(tx, m),
  );
}

function identify(
  facts: CatalogFacts,
  table: NormalisedTable,
  registrations: readonly StoredRegistration[],
  shapes: readonly TableShape[],
): TableIdentity {
  const found = registrations.find((stored) => tableName(stored) === tableName(table));
  if (found === undefined) throw new TypeError(`table ${tableName(table)} has no registration`);
  const { tableId } = found;
  const shape = findShape(
    shapes,
    tableId,
    shapeColumns(describeColumns(facts, table), () => 'null'),
  );
  if (shape === undefined) throw new TypeError(`the shape of ${tableName(table)} is not recorded`);
  return { tableId, shapeId: shape.shapeId };
}

export function createCatalog(
  descriptions: readonly TableDescription[],
  shapes: readonly TableShape[],
  tokenSecret: Uint8Array<ArrayBuffer>,
): Catalog {
  const sorted = [...descriptions].sort((left, right) => compareUtf16(left.name, right.name));
  const byId = new Map(sorted.map((table) => [table.tableId, table]));
  const shapesByTable = new Map<number, Map<number, TableShape>>();
  for (const shape of shapes) {
    if (!byId.has(shape.tableId)) continue;
    const ofTable = shapesByTable.get(shape.tableId) ?? new Map<number, TableShape>();
    shapesByTable.set(shape.tableId, ofTable.set(shape.shapeId, shape));
  }
  return {
    tables: new Map(sorted.map((table) => [table.name, table])),
    byId,
    shapes: shapesByTable,
    rowLayout: sorted.map((table) => `${String(table.tableId)}:${table.rowLayout}`).join(';'),
    shapeSet: [...byId.values()]
      .map((table) => `${String(table.tableId)}:${String(table.shapeId)}`)
      .sort(compareUtf16)
      .join(','),
    tokenSecret,
  };
}
