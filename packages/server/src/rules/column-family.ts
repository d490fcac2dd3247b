import type { ColumnFact } from './catalog-facts.ts';
import type { ColumnFamily } from './table-description.ts';

/** Base types of `pg_catalog` that a published column may have. Whatever is not listed has no agreed wire form. */
const FAMILIES: ReadonlyMap<string, ColumnFamily> = new Map<string, ColumnFamily>([
  ['int2', 'integer'],
  ['int4', 'integer'],
  ['int8', 'integer'],
  ['numeric', 'numeric'],
  ['float4', 'float4'],
  ['float8', 'float8'],
  ['bool', 'boolean'],
  ['bytea', 'bytea'],
  ['uuid', 'uuid'],
  ['timestamptz', 'timestamptz'],
  ['timestamp', 'datetime'],
  ['date', 'datetime'],
  ['time', 'datetime'],
  ['timetz', 'datetime'],
  ['json', 'json'],
  ['jsonb', 'json'],
  ...[
    ...['text', 'varchar', 'bpchar', 'char', 'name'],
    ...['interval', 'inet', 'cidr', 'macaddr', 'macaddr8', 'bit', 'varbit', 'xml'],
    ...['tsvector', 'tsquery', 'jsonpath', 'point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle'],
  ].map((name) => [name, 'text'] as const),
]);

/** `undefined` for a type that cannot be published. Enums of any schema travel as text. */
export function decideColumnFamily(
  column: Pick<ColumnFact, 'baseType' | 'baseTypeSchema' | 'baseTypeType'>,
): ColumnFamily | undefined {
  if (column.baseTypeType === 'e') return 'text';
  if (column.baseTypeType !== 'b' || column.baseTypeSchema !== 'pg_catalog') return undefined;
  return FAMILIES.get(column.baseType);
}
