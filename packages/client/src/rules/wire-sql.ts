import type { LocalColumn, LocalTable } from './local-schema.ts';
import { memberPath, quoteIdentifier } from './sql-text.ts';

/**
 * SQL that turns wire payloads into rows of application tables. `payload` is an SQL expression of the wire JSON in which BLOB columns
 * are hexadecimal (`hexPayload`): SQLite has no base64.
 */
export function wireValueSql(column: LocalColumn, payload: string): string {
  const value = `${payload}->>${memberPath(column.wireName)}`;
  switch (column.kind) {
    case 'integer':
      return `CAST(${value} AS INTEGER)`;
    case 'real':
      return `CAST(${value} AS REAL)`;
    case 'blob':
      return `unhex(${value})`;
    case 'uuidBlob':
      return `unhex(${value}, '-')`;
    case 'text':
      return column.isJson ? nestedValueSql(column, payload) : value;
  }
}

/** A JSON `null` is SQL NULL; anything else keeps its compact text with the digits of its numbers. */
function nestedValueSql(column: LocalColumn, payload: string): string {
  const path = memberPath(column.wireName);
  return `CASE json_type(${payload}, ${path}) WHEN 'null' THEN NULL ELSE ${payload}->${path} END`;
}

/** The value of the key column for a `key_json`. */
export function keyValueSql(table: LocalTable, keyJson: string): string {
  const value = `${keyJson}->>${memberPath(table.key.wireName)}`;
  return table.key.kind === 'uuidBlob' ? `unhex(${value})` : value;
}

/** The table in the main schema. */
export function tableSql(table: LocalTable): string {
  return `main.${quoteIdentifier(table.name)}`;
}

/** `INSERT INTO t(columns)`. */
export function insertIntoSql(table: LocalTable): string {
  return `INSERT INTO ${tableSql(table)}(${table.columns.map((column) => quoteIdentifier(column.name)).join(', ')})`;
}

/** The values of all columns in table order. */
export function wireValuesSql(table: LocalTable, payload: string): string {
  return table.columns.map((column) => wireValueSql(column, payload)).join(', ');
}

/** Never deletes and inserts: cascades of the key would fire. */
export function upsertClauseSql(table: LocalTable): string {
  const key = quoteIdentifier(table.key.name);
  const others = table.columns.filter((column) => column !== table.key).map((column) => quoteIdentifier(column.name));
  if (others.length === 0) return `ON CONFLICT (${key}) DO NOTHING`;
  return `ON CONFLICT (${key}) DO UPDATE SET ${others.map((name) => `${name} = excluded.${name}`).join(', ')}`;
}

/** True when the live row `row` holds exactly the values of the wire payload. Collations do not count. */
export function equalsWireSql(table: LocalTable, row: string, payload: string): string {
  const others = table.columns.filter((column) => column !== table.key);
  const tests = others.map(
    (column) => `${row}.${quoteIdentifier(column.name)} IS (${wireValueSql(column, payload)}) COLLATE BINARY`,
  );
  return tests.length === 0 ? 'true' : tests.join(' AND ');
}

/** True when values of the table have to be rewritten before SQL can read them. */
export function needsHexPayload(table: LocalTable): boolean {
  return table.columns.some((column) => column.kind === 'blob');
}
