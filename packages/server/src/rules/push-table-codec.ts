import { isTextKey, isUuidKey } from '@oversync/protocol';

import { SCOPE_COLUMN } from './table-description.ts';
import type { ColumnDescription, TableDescription } from './table-description.ts';
import { createValueReader, isBareFamily } from './value-field.ts';
import type { ValueReader } from './value-field.ts';

/** One published column as the reader of a pushed row needs it. */
export interface ColumnSlot {
  readonly column: ColumnDescription;
  /** Place in the row literal. */
  readonly position: number;
  readonly isKey: boolean;
  /** A row literal takes the text as it is. */
  readonly isBare: boolean;
  readonly read: ValueReader;
}

/** Everything about a table that does not depend on the row; made once per description. */
export interface TableCodec {
  readonly table: TableDescription;
  readonly slots: ReadonlyMap<string, ColumnSlot>;
  readonly keyPosition: number;
  readonly scopePosition: number;
  readonly isKey: (text: string) => boolean;
  /** Columns that an INSERT has to name: NOT NULL, and nothing else gives them a value. */
  readonly requiredColumns: readonly string[];
  /** `JSON.stringify` would not give canonical text: nested json values, or names that JavaScript orders as numbers. */
  readonly needsCanonicaliser: boolean;
  /** Canonical request row before the key text, and after the row ordinal. */
  readonly canonicalKeyStart: string;
  readonly canonicalEnd: string;
}

const codecs = new WeakMap<TableDescription, TableCodec>();

export function getTableCodec(table: TableDescription): TableCodec {
  const known = codecs.get(table);
  if (known !== undefined) return known;
  const codec = createTableCodec(table);
  codecs.set(table, codec);
  return codec;
}

const INTEGER_NAME = /^[0-9]+$/;

function createTableCodec(table: TableDescription): TableCodec {
  const settable = table.columns.filter((column) => !column.isGenerated);
  return {
    table,
    slots: new Map(table.columns.map((column) => [column.name, createSlot(table, column)])),
    keyPosition: table.rowColumns.indexOf(table.keyColumn),
    scopePosition: table.rowColumns.indexOf(SCOPE_COLUMN),
    isKey: table.keyKind === 'uuid' ? isUuidKey : isTextKey,
    requiredColumns: settable
      .filter((column) => column.notNull && !column.hasDefault && column.name !== table.keyColumn)
      .map((column) => column.name),
    needsCanonicaliser: table.hasNestedJson || table.columns.some((column) => INTEGER_NAME.test(column.name)),
    canonicalKeyStart: `","key":{${JSON.stringify(table.keyColumn)}:`,
    canonicalEnd: `","schema":${JSON.stringify(table.schema)},"table":${JSON.stringify(table.table)}}`,
  };
}

function createSlot(table: TableDescription, column: ColumnDescription): ColumnSlot {
  return {
    column,
    position: table.rowColumns.indexOf(column.name),
    isKey: column.name === table.keyColumn,
    isBare: isBareFamily(column.family),
    read: createValueReader(column),
  };
}
