import { capturedValueSql, keyJsonSql } from './capture-sql.ts';
import type { LocalColumn, LocalReference, LocalTable } from './local-schema.ts';
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';
import { insertIntoSql, keyValueSql, tableSql, upsertClauseSql, wireValueSql, wireValuesSql } from './wire-sql.ts';

/* Statements over single rows of application tables, for the paths that decide row by row. */

const PAYLOAD = 'COALESCE(p.sql_payload, p.payload)';

/** Parameter: ordinal of a page row. */
export function upsertOneSql(table: LocalTable): string {
  return `${insertIntoSql(table)} SELECT ${wireValuesSql(table, PAYLOAD)} FROM _oversync_work._oversync_page p WHERE p.ordinal = ? ${upsertClauseSql(table)}`;
}

/** Parameter: key_json. */
export function deleteOneSql(table: LocalTable): string {
  return `DELETE FROM ${tableSql(table)} WHERE ${keyIsSql(table, '?')}`;
}

/** The condition that a row of the table has the key inside `keyJson`. */
export function keyIsSql(table: LocalTable, keyJson: string): string {
  return `${quoteIdentifier(table.key.name)} = ${keyValueSql(table, keyJson)}`;
}

/** An EXISTS over the live row of the key inside `keyJson`. */
export function isLiveSql(table: LocalTable, keyJson: string): string {
  return `EXISTS (SELECT 1 FROM ${tableSql(table)} x WHERE x.${keyIsSql(table, keyJson)})`;
}

/** Ordinal of a page row. Keys of other rows that hold the same values in the columns of one unique index. */
export function holdersSql(table: LocalTable, columns: readonly LocalColumn[]): string {
  const key = quoteIdentifier(table.key.name);
  const same = columns.map((column) => `x.${quoteIdentifier(column.name)} = ${wireValueSql(column, PAYLOAD)}`);
  return (
    `SELECT ${keyJsonSql(table, 'x')} FROM _oversync_work._oversync_page p, ${tableSql(table)} x ` +
    `WHERE p.ordinal = ? AND x.${key} IS NOT ${keyValueSql(table, 'p.key_json')} AND ${same.join(' AND ')}`
  );
}

/**
 * Parameter: key_json. Frees the unique values of a row that a later row of the same bundle changes: NULL where the column takes it,
 * else a value that no other row has.
 */
export function parkSql(table: LocalTable, columns: readonly LocalColumn[]): string {
  const sets = columns
    .filter((column) => column !== table.key)
    .map((column) => `${quoteIdentifier(column.name)} = ${parkedValueSql(table, column)}`);
  return `UPDATE ${tableSql(table)} SET ${sets.join(', ')} WHERE ${keyIsSql(table, '?')}`;
}

function parkedValueSql(table: LocalTable, column: LocalColumn): string {
  if (!column.isNotNull) return 'NULL';
  const name = quoteIdentifier(column.name);
  const marker = `'oversync-parked:' || hex(${quoteIdentifier(table.key.name)})`;
  switch (column.kind) {
    case 'integer':
    case 'real':
      return `(SELECT MIN(y.${name}) - 1 FROM ${tableSql(table)} y)`;
    case 'blob':
    case 'uuidBlob':
      return `CAST(${marker} AS BLOB)`;
    case 'text':
      return marker;
  }
}

/** Keys of rows whose parent does not exist, with the key_json the parent would have. */
export function orphansSql(table: LocalTable, reference: LocalReference, parent: LocalTable): string {
  const value = `x.${quoteIdentifier(reference.column.name)}`;
  const parentColumn = parent.columns.find((column) => column.wireName === reference.parentColumn) ?? parent.key;
  const parentKey = `json_object(${quoteLiteral(parent.key.wireName)}, ${capturedValueSql(reference.column, 'x')})`;
  return (
    `SELECT ${keyJsonSql(table, 'x')}, ${parentKey} FROM ${tableSql(table)} x WHERE ${value} IS NOT NULL AND NOT EXISTS ` +
    `(SELECT 1 FROM ${tableSql(parent)} y WHERE y.${quoteIdentifier(parentColumn.name)} = ${value})`
  );
}

/** Parameter: key_json of a parent. Keys of the rows that refer to it. */
export function childrenSql(table: LocalTable, reference: LocalReference, parent: LocalTable): string {
  const parentColumn = parent.columns.find((column) => column.wireName === reference.parentColumn) ?? parent.key;
  return (
    `SELECT ${keyJsonSql(table, 'x')} FROM ${tableSql(table)} x JOIN ${tableSql(parent)} y ` +
    `ON y.${quoteIdentifier(parentColumn.name)} = x.${quoteIdentifier(reference.column.name)} WHERE y.${keyIsSql(parent, '?')}`
  );
}
