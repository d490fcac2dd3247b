import { compareUtf16, INTEGER_RANGES } from './table-description.ts';
import type { Catalog, ColumnDescription, ColumnFamily, TableDescription } from './table-description.ts';

/** A column with everything that a test does not care about filled in. */
export function describeColumn(
  name: string,
  family: ColumnFamily,
  facts: Partial<ColumnDescription> & { readonly integerType?: 'int2' | 'int4' | 'int8' } = {},
): ColumnDescription {
  const { integerType, ...others } = facts;
  const baseType = family === 'integer' ? (integerType ?? 'int4') : (SQL_TYPES[family] ?? family);
  const range = INTEGER_RANGES.get(baseType);
  return {
    name,
    family,
    sqlType: `pg_catalog.${baseType}`,
    baseType,
    ...(range === undefined ? {} : { integerRange: range }),
    notNull: false,
    hasDefault: false,
    isGenerated: false,
    jsonAsText: false,
    ...others,
  };
}

const SQL_TYPES: Partial<Record<ColumnFamily, string>> = { boolean: 'bool', datetime: 'timestamp', json: 'jsonb' };

export function describeTable(
  table: string,
  columns: readonly ColumnDescription[],
  facts: Partial<TableDescription> = {},
): TableDescription {
  const keyColumn = facts.keyColumn ?? 'id';
  const key = describeColumn(keyColumn, facts.keyKind === 'uuid' ? 'uuid' : 'text', { notNull: true });
  const published = [key, ...columns].toSorted((left, right) => compareUtf16(left.name, right.name));
  return {
    tableId: 1,
    schema: 'business',
    table,
    name: `business.${table}`,
    keyColumn,
    keyKind: 'text',
    keyCollation: undefined,
    shapeId: 1,
    columns: published,
    columnByName: new Map(published.map((column) => [column.name, column])),
    rowColumns: ['_sync_scope_id', keyColumn, ...columns.map(({ name }) => name)],
    literalColumns: [],
    rowLayout: table,
    hasNestedJson: published.some((column) => column.family === 'json' && !column.jsonAsText),
    deletesFirst: true,
    capturesPushes: false,
    ...facts,
  };
}

export function createCatalog(...tables: readonly TableDescription[]): Catalog {
  return {
    tables: new Map(tables.map((table) => [table.name, table])),
    byId: new Map(tables.map((table) => [table.tableId, table])),
    shapes: new Map(),
    rowLayout: tables.map(({ rowLayout }) => rowLayout).join(';'),
    shapeSet: '',
    tokenSecret: new Uint8Array(32),
  };
}
