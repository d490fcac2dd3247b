import type { LocalColumn, LocalTable } from './local-schema.ts';
import { quoteLiteral } from './sql-text.ts';

/*
 * SQL over rows whose values are columns of `ColumnText`s, one for each column of the table, named by their place in it. `row` is the
 * alias of such rows.
 */

/** False for tables with columns whose values have to be read as the payload holds them: BLOBs and nested JSON. */
export function hasColumnTexts(table: LocalTable): boolean {
  return table.columns.every((column) => column.kind !== 'blob' && !column.isJson);
}

/** Names of the columns, in table order. */
export function columnTextNames(table: LocalTable): readonly string[] {
  return table.columns.map((_, index) => textName(index));
}

/** The values of the table's columns, in table order. */
export function columnTextValuesSql(table: LocalTable, row: string): string {
  return table.columns.map((column, index) => valueSql(column, `${row}.${textName(index)}`)).join(', ');
}

/** `key_json`: the very text that the triggers write. */
export function columnTextKeySql(table: LocalTable, row: string): string {
  const text = `${row}.${textName(table.columns.indexOf(table.key))}`;
  const captured = table.key.kind === 'uuidBlob' ? `replace(${text}, '-', '')` : text;
  return `json_object(${quoteLiteral(table.key.wireName)}, ${captured})`;
}

/** The payload that the texts are of, its members sorted as in canonical JSON. */
export function columnTextPayloadSql(table: LocalTable, row: string): string {
  const members = table.columns.map((column, index) => ({ column, text: `${row}.${textName(index)}` }));
  members.sort((a, b) => (a.column.wireName < b.column.wireName ? -1 : 1));
  const parts = members.map(({ column, text }, position) => {
    const label = `${position === 0 ? '{' : ','}${JSON.stringify(column.wireName)}:`;
    return `${quoteLiteral(label)} || ${memberSql(column, text)}`;
  });
  return `(${parts.join(' || ')} || '}')`;
}

function textName(index: number): string {
  return `c${index}`;
}

function valueSql(column: LocalColumn, text: string): string {
  switch (column.kind) {
    case 'integer':
      return `CASE ${text} WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE CAST(${text} AS INTEGER) END`;
    case 'real':
      return `CAST(${text} AS REAL)`;
    case 'uuidBlob':
      return `unhex(${text}, '-')`;
    case 'text':
      return text;
    case 'blob':
      throw new TypeError('a BLOB has no ColumnText');
  }
}

function memberSql(column: LocalColumn, text: string): string {
  if (column.kind !== 'integer') return `json_quote(${text})`;
  return `CASE WHEN ${text} IN ('true', 'false') THEN ${text} ELSE json_quote(${text}) END`;
}
