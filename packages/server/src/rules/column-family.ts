import type { ColumnFact } from './catalog-facts.ts';
import type { ColumnFamily } from './table-description.ts';

/** Base types of `pg_catalog` that a published column may have. Whatever is not listed has no agreed wire form. */
const TYPES: Readonly<Record<ColumnFamily, string>> = {
  integer: 'int2 int4 int8',
  numeric: 'numeric',
  float4: 'float4',
  float8: 'float8',
  boolean: 'bool',
  bytea: 'bytea',
  uuid: 'uuid',
  timestamptz: 'timestamptz',
  datetime: 'timestamp date time timetz',
  json: 'json jsonb',
  text:
    'text varchar bpchar char name interval inet cidr macaddr macaddr8 bit varbit xml ' +
    'tsvector tsquery jsonpath point line lseg box path polygon circle',
};

/** Every family, for code that checks stored names. */
export const COLUMN_FAMILIES: readonly ColumnFamily[] = [
  'integer',
  'numeric',
  'float4',
  'float8',
  'boolean',
  'bytea',
  'uuid',
  'text',
  'timestamptz',
  'datetime',
  'json',
];

const FAMILIES: ReadonlyMap<string, ColumnFamily> = new Map(
  COLUMN_FAMILIES.flatMap((family) => TYPES[family].split(' ').map((type) => [type, family] as const)),
);

/** `undefined` for a type that cannot be published. Enums of any schema travel as text. */
export function decideColumnFamily(
  column: Pick<ColumnFact, 'baseType' | 'baseTypeSchema' | 'baseTypeType'>,
): ColumnFamily | undefined {
  if (column.baseTypeType === 'e') return 'text';
  if (column.baseTypeType !== 'b' || column.baseTypeSchema !== 'pg_catalog') return undefined;
  return FAMILIES.get(column.baseType);
}
