/** Turns facts of the catalog into the descriptions that the engine works with. Only called when the checks found nothing. */
import type { CatalogFacts, ColumnFact, NormalisedTable, RelationFact } from './catalog-facts.ts';
import { decideColumnFamily } from './column-family.ts';
import { tableName } from './normalise-tables.ts';
import { compareUtf16, INTEGER_RANGES, SCOPE_COLUMN } from './table-description.ts';
import type { ColumnDescription, ShapeColumn, TableDescription } from './table-description.ts';

/** What the metadata schema stores about a registration. */
export interface TableIdentity {
  readonly tableId: number;
  readonly shapeId: number;
}

/** `tgtype` bits of a trigger that may replace the row before it is stored. */
const ROW_BEFORE = 1 | 2;
const INSERT_OR_UPDATE = 4 | 16;

export function describeTable(facts: CatalogFacts, table: NormalisedTable, identity: TableIdentity): TableDescription {
  const root = findRoot(facts, table);
  const rowFacts = columnsOf(facts, root);
  const columns = describeColumns(facts, table);
  const key = rowFacts.find((column) => column.name === table.keyColumn);
  return {
    tableId: identity.tableId,
    shapeId: identity.shapeId,
    schema: table.schema,
    table: table.table,
    name: tableName(table),
    keyColumn: table.keyColumn,
    keyKind: key?.baseType === 'uuid' ? 'uuid' : 'text',
    keyCollation: key?.collation,
    columns,
    columnByName: new Map(columns.map((column) => [column.name, column])),
    rowColumns: rowFacts.map((column) => column.name),
    literalColumns: rowFacts.filter((column) => column.domainNotNull).map((column) => column.name),
    rowLayout: rowFacts.map((column) => `${String(column.attributeNumber)} ${column.name} ${column.sqlType}`).join(','),
    hasNestedJson: columns.some((column) => column.family === 'json' && !column.jsonAsText),
    deletesFirst: canDeleteFirst(facts, root),
    capturesPushes: mayChangePushedRows(facts, root),
    ...(table.unrecordedColumns === undefined ? {} : { unrecordedColumns: table.unrecordedColumns }),
  };
}

/** The published columns in their order on the wire. */
export function describeColumns(facts: CatalogFacts, table: NormalisedTable): readonly ColumnDescription[] {
  const root = findRoot(facts, table);
  const published = publishedColumns(columnsOf(facts, root), table);
  const jsonAsText = new Set(table.jsonAsText);
  const isConstrained = findConstrained(facts, root);
  return published
    .map((column) => ({ ...describeColumn(column, jsonAsText), isConstrained: isConstrained(column.attributeNumber) }))
    .sort((left, right) => compareUtf16(left.name, right.name));
}

/** Which attributes a foreign key or a unique index looks at; an expression may look at each of them. */
function findConstrained(facts: CatalogFacts, root: RelationFact | undefined): (attributeNumber: number) => boolean {
  const keys = facts.foreignKeys.filter((key) => key.relationOid === root?.oid);
  const indexes = facts.indexes.filter((index) => index.relationOid === root?.oid && (index.isUnique || index.isExclusion));
  const attributes = new Set([
    ...keys.flatMap((key) => key.attributes),
    ...indexes.flatMap((index) => (index.hasExpressions ? [] : index.keyAttributes)),
  ]);
  const hasExpressions = indexes.some((index) => index.hasExpressions);
  return (attributeNumber) => hasExpressions || attributes.has(attributeNumber);
}

/** `columns` (default all) minus `excludeColumns` minus the scope column; the key is always published. */
export function publishedColumns(columns: readonly ColumnFact[], table: NormalisedTable): readonly ColumnFact[] {
  const wanted = table.columns === undefined ? undefined : new Set(table.columns);
  const excluded = new Set(table.excludeColumns);
  return columns.filter(({ name }) => {
    if (name === SCOPE_COLUMN) return false;
    return name === table.keyColumn || ((wanted?.has(name) ?? true) && !excluded.has(name));
  });
}

export function columnsOf(facts: CatalogFacts, relation: RelationFact | undefined): readonly ColumnFact[] {
  return relation === undefined ? [] : facts.columns.filter((column) => column.relationOid === relation.oid);
}

/** The configured relation itself, not one of its partitions. */
export function findRoot(facts: CatalogFacts, table: NormalisedTable): RelationFact | undefined {
  return facts.relations.find(
    (relation) => relation.oid === relation.rootOid && relation.schema === table.schema && relation.name === table.table,
  );
}

/** What is stored about the columns of one shape; `missingValue` is JSON text. */
export function shapeColumns(
  columns: readonly ColumnDescription[],
  missingValue: (name: string) => string,
): readonly ShapeColumn[] {
  return columns.map(({ name, family, jsonAsText, origin }) => ({
    name,
    family,
    jsonAsText,
    ...(origin === undefined ? {} : { origin }),
    missingValue: missingValue(name),
  }));
}

function describeColumn(column: ColumnFact, jsonAsText: ReadonlySet<string>): ColumnDescription {
  const family = decideColumnFamily(column);
  if (family === undefined) throw new TypeError(`column ${column.name} has no wire form`);
  const integerRange = family === 'integer' ? INTEGER_RANGES.get(column.baseType) : undefined;
  return {
    name: column.name,
    family,
    sqlType: column.sqlType,
    baseType: column.baseTypeType === 'e' ? 'enum' : column.baseType,
    ...(integerRange === undefined ? {} : { integerRange }),
    notNull: column.notNull || column.domainNotNull,
    hasDefault: column.hasDefault,
    isGenerated: column.isGenerated || column.identity === 'a',
    jsonAsText: family === 'json' && jsonAsText.has(column.name),
    origin: `${column.relationOid}.${String(column.attributeNumber)}`,
  };
}

/** RESTRICT is checked at once even when deferrable, and CASCADE and SET would act on rows that the push still updates. */
function canDeleteFirst(facts: CatalogFacts, root: RelationFact | undefined): boolean {
  return facts.foreignKeys.every((key) => key.parentOid !== root?.oid || key.onDelete === 'a');
}

/** BEFORE ROW triggers and rules of the application can store something else than the push said. */
function mayChangePushedRows(facts: CatalogFacts, root: RelationFact | undefined): boolean {
  const members = facts.relations.filter((relation) => relation.rootOid === root?.oid);
  if (members.some((relation) => relation.hasRules)) return true;
  const oids = new Set(members.map((relation) => relation.oid));
  return facts.triggers.some(
    (trigger) =>
      oids.has(trigger.relationOid) &&
      trigger.functionSchema !== facts.server.metadata.schema &&
      (trigger.type & ROW_BEFORE) === ROW_BEFORE &&
      (trigger.type & INSERT_OR_UPDATE) !== 0 &&
      (trigger.enabled === 'O' || trigger.enabled === 'A'),
  );
}
