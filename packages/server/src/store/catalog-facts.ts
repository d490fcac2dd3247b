import type { PgRow, PgTransaction } from '../ports/postgres.ts';
import type {
  CatalogFacts,
  ColumnFact,
  ForeignKeyFact,
  FunctionFact,
  IndexFact,
  NormalisedTable,
  RelationFact,
  ServerFacts,
  TriggerFact,
} from '../rules/catalog-facts.ts';
import {
  COLUMNS_SQL,
  FOREIGN_KEYS_SQL,
  FUNCTIONS_SQL,
  INDEXES_SQL,
  RELATIONS_SQL,
  SERVER_FACTS_SQL,
  TRIGGERS_SQL,
} from './catalog.sql.ts';
import { metadataNames } from './metadata.sql.ts';
import { RowReader } from './row-reader.ts';

/** Statement to send with BEGIN of a transaction that reads the catalog. */
export const CATALOG_SETTINGS = 'SET LOCAL search_path = pg_catalog';

/**
 * Reads everything the checks need. The transaction must run with {@link CATALOG_SETTINGS}; it takes no lock on a business
 * table stronger than ACCESS SHARE.
 */
export async function loadCatalogFacts(
  tx: PgTransaction,
  metadataSchema: string,
  tables: readonly NormalisedTable[],
): Promise<CatalogFacts> {
  const server = await loadServerFacts(tx, metadataSchema);
  const names = [tables.map((table) => table.schema), tables.map((table) => table.table)] as const;
  const relations = await load(tx, RELATIONS_SQL, names, readRelation);
  const oids = [relations.map((relation) => relation.oid)] as const;
  return {
    server,
    relations,
    columns: await load(tx, COLUMNS_SQL, oids, readColumn),
    indexes: await load(tx, INDEXES_SQL, oids, readIndex),
    foreignKeys: await load(tx, FOREIGN_KEYS_SQL, oids, readForeignKey),
    triggers: await load(tx, TRIGGERS_SQL, oids, readTrigger),
    functions: await load(tx, FUNCTIONS_SQL, [metadataSchema], readFunction),
  };
}

async function load<T>(
  tx: PgTransaction,
  sql: string,
  params: readonly (string | readonly string[])[],
  read: (row: RowReader) => T,
): Promise<readonly T[]> {
  const { rows } = await tx.query(sql, params);
  return rows.map((row: PgRow) => read(new RowReader(row)));
}

async function loadServerFacts(tx: PgTransaction, metadataSchema: string): Promise<ServerFacts> {
  const [facts] = await load(tx, SERVER_FACTS_SQL, [metadataSchema], (row) => ({
    versionNumber: row.int(),
    encoding: row.text(),
    role: row.text(),
    database: row.text(),
    canCreateSchema: row.flag(),
    exists: row.flag(),
    isEmpty: row.flag(),
    canUse: row.flag(),
    canCreate: row.flag(),
    hasMeta: row.flag(),
  }));
  if (facts === undefined) throw new TypeError('the current database is not listed in pg_database');
  const { exists, isEmpty, canUse, canCreate, hasMeta, ...server } = facts;
  const meta = hasMeta && canUse ? await loadMeta(tx, metadataSchema) : undefined;
  return {
    ...server,
    metadata: {
      schema: metadataSchema,
      exists,
      isEmpty,
      canUse,
      canCreate,
      layout: meta?.layout,
      version: meta?.version ?? 0,
      readableBy: meta?.readableBy ?? 0,
    },
  };
}

/** A schema from before the level can be read by its own version only. */
async function loadMeta(
  tx: PgTransaction,
  metadataSchema: string,
): Promise<{ layout: string; version: number; readableBy: number } | undefined> {
  const sql = `SELECT t.layout, t.version, COALESCE((to_jsonb(t)->>'readable_by')::int4, t.version) FROM ${metadataNames(metadataSchema).meta} t`;
  const [meta] = await load(tx, sql, [], (row) => ({ layout: row.text(), version: row.int(), readableBy: row.int() }));
  return meta;
}

function readRelation(row: RowReader): RelationFact {
  return {
    oid: row.text(),
    rootOid: row.text(),
    schema: row.text(),
    name: row.text(),
    kind: row.text(),
    persistence: row.text(),
    isPartition: row.flag(),
    hasInheritance: row.flag(),
    rowSecurityActive: row.flag(),
    hasRules: row.flag(),
    canUseSchema: row.flag(),
    canReadAndWrite: row.flag(),
    isOwner: row.flag(),
    owner: row.text(),
  };
}

function readColumn(row: RowReader): ColumnFact {
  return {
    relationOid: row.text(),
    attributeNumber: row.int(),
    name: row.text(),
    sqlType: row.text(),
    baseType: row.text(),
    baseTypeSchema: row.text(),
    baseTypeType: row.text(),
    isDomain: row.flag(),
    notNull: row.flag(),
    domainNotNull: row.flag(),
    hasDefault: row.flag(),
    defaultSql: row.optional(),
    isGenerated: row.flag(),
    identity: row.text(),
    collation: row.optional(),
    isCollationDeterministic: row.flag(),
    hasMissingValue: row.flag(),
  };
}

function readIndex(row: RowReader): IndexFact {
  return {
    relationOid: row.text(),
    schema: row.text(),
    name: row.text(),
    isUnique: row.flag(),
    isExclusion: row.flag(),
    isUsable: row.flag(),
    isPartial: row.flag(),
    hasExpressions: row.flag(),
    keyAttributes: row.ints(),
    isInherited: row.flag(),
    constraint: row.optional(),
    constraintDefinition: row.optional(),
    isDeferrable: row.flag(),
    isReferenced: row.flag(),
    exclusionOperators: (row.optional() ?? '').split(',').filter((name) => name !== ''),
  };
}

function readForeignKey(row: RowReader): ForeignKeyFact {
  return {
    relationOid: row.text(),
    constraint: row.text(),
    attributes: row.ints(),
    parentOid: row.text(),
    parentSchema: row.text(),
    parentTable: row.text(),
    parentColumns: row.jsonTexts(),
    onDelete: row.text(),
    onUpdate: row.text(),
    deleteSetAttributes: row.ints(),
    match: row.text(),
    isDeferrable: row.flag(),
    isValidated: row.flag(),
    definition: row.text(),
  };
}

function readTrigger(row: RowReader): TriggerFact {
  return {
    relationOid: row.text(),
    name: row.text(),
    functionSchema: row.text(),
    functionName: row.text(),
    type: row.int(),
    enabled: row.text(),
    oldTable: row.optional(),
    newTable: row.optional(),
  };
}

function readFunction(row: RowReader): FunctionFact {
  return {
    name: row.text(),
    args: row.text(),
    volatility: row.text(),
    isStrict: row.flag(),
    securityDefiner: row.flag(),
    config: row.text(),
    body: row.text(),
  };
}
