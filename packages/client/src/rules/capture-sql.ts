import type { LocalColumn, LocalTable } from './local-schema.ts';
import { quoteIdentifier, quoteLiteral } from './sql-text.ts';

/** Columns of one `json_object` call: old builds take 127 arguments. */
const COLUMNS_PER_OBJECT = 60;

/** Marks a BLOB in a column of another kind; no text that may be sent starts with U+0000. */
export const BLOB_MARKER = '\u0000blob:';

/**
 * The captured form of one value (client.md 4.2): text or NULL. `row` is what stands before the dot: `NEW`, `OLD` or an alias.
 * Triggers, first capture and live reads all use this function, so that equal rows give equal text.
 */
export function capturedValueSql(column: LocalColumn, row: string): string {
  const value = `${row}.${quoteIdentifier(column.name)}`;
  const asBlob = `char(0) || 'blob:' || lower(hex(${value}))`;
  const asReal = `printf('%!.20g', ${value})`;
  switch (column.kind) {
    case 'uuidBlob':
    case 'blob':
      return `CASE WHEN ${value} IS NOT NULL THEN lower(hex(${value})) END`;
    case 'integer':
      return `CAST(${value} AS TEXT)`;
    case 'real':
      return `CASE typeof(${value}) WHEN 'real' THEN ${asReal} WHEN 'integer' THEN CAST(${value} AS TEXT) WHEN 'blob' THEN ${asBlob} ELSE ${value} END`;
    case 'text':
      return `CASE typeof(${value}) WHEN 'text' THEN ${value} WHEN 'integer' THEN CAST(${value} AS TEXT) WHEN 'real' THEN ${asReal} WHEN 'blob' THEN ${asBlob} END`;
  }
}

/** `key_json` of a row. */
export function keyJsonSql(table: LocalTable, row: string): string {
  return objectSql([table.key], row);
}

/** The captured payload of a row: the JSON object of all columns in table order. */
export function payloadSql(table: LocalTable, row: string): string {
  const parts: string[] = [];
  for (let start = 0; start < table.columns.length; start += COLUMNS_PER_OBJECT) {
    parts.push(objectSql(table.columns.slice(start, start + COLUMNS_PER_OBJECT), row));
  }
  return parts.length === 1 ? parts.join('') : joinObjectsSql(parts);
}

/**
 * Every part ends with a string or `null` and begins with a name, so trimming takes exactly one brace.
 */
function joinObjectsSql(parts: readonly string[]): string {
  const last = parts.length - 1;
  return parts
    .map((part, index) => {
      const opened = index === 0 ? part : `ltrim(${part}, '{')`;
      return index === last ? opened : `rtrim(${opened}, '}')`;
    })
    .join(` || ',' || `);
}

function objectSql(columns: readonly LocalColumn[], row: string): string {
  const members = columns.map((column) => `${quoteLiteral(column.wireName)}, ${capturedValueSql(column, row)}`);
  return `json_object(${members.join(', ')})`;
}
