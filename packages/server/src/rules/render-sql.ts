/**
 * SQL text that renders rows of a registered table as wire JSON. One expression per table shape serves bundles, conflicts
 * and snapshots, so that a row has one text everywhere. Built with `||`: composing by `row_to_json` takes twice as long.
 * Valid only under the pinned settings (`TimeZone`, `DateStyle`, `bytea_output`, `extra_float_digits`).
 */
import { quoteIdentifier, quoteLiteral, quoteQualified } from './sql-text.ts';
import type { ColumnDescription, TableDescription } from './table-description.ts';

/** Qualified names of the functions that generated expressions call. */
export interface RenderFunctions {
  /** `(float8) → text`, JCS spelling of a finite double outside the range that `float8out` already spells right. */
  readonly floatText: string;
  /** `(schema, table, column, detail) → text`, always raises {@link NOT_REPRESENTABLE_STATE}. */
  readonly notRepresentable: string;
}

/** SQLSTATE of a value that has no wire form (NaN, Infinity, blank key). */
export const NOT_REPRESENTABLE_STATE = 'OV002';

/** White space of ECMAScript, as SQL constant for `btrim`: a text of nothing else is blank, and clients cannot read such a key back. */
export const BLANK_CHARACTERS_SQL = quoteLiteral(
  '\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff',
);

/** `"table"."column"` under the alias of its table. */
export function columnRef(alias: string, column: string): string {
  return `${alias}.${quoteIdentifier(column)}`;
}

/** `FROM` item of the business table. */
export function tableRef(table: TableDescription): string {
  return quoteQualified(table.schema, table.table);
}

/**
 * The JSON object of the published columns as an SQL text expression. Never NULL for an existing row; raises
 * {@link NOT_REPRESENTABLE_STATE} for a number that JSON cannot hold, with `detail` (an SQL text expression of the form
 * `ordinal:key`, the ordinal empty where there is none) as its detail.
 */
export function renderPayload(
  table: TableDescription,
  alias: string,
  functions: RenderFunctions,
  detail = `':'||${keyTextOfRow(table, alias)}`,
): string {
  const members = table.columns.map((column, index) => {
    const opening = `${index === 0 ? '{' : ','}${JSON.stringify(column.name)}:`;
    return `${quoteLiteral(opening)}||COALESCE(${renderColumnValue(table, column, alias, functions, detail)},'null')`;
  });
  return `(${members.join('||')}||'}')`;
}

/** JSON text of one column, NULL for NULL. `detail` is an SQL expression for the detail of a refusal. */
export function renderColumnValue(
  table: TableDescription,
  column: ColumnDescription,
  alias: string,
  functions: RenderFunctions,
  detail: string,
): string {
  const value = columnRef(alias, column.name);
  const refuse = (): string => refuseValue(table, column, functions, detail);
  switch (column.family) {
    case 'integer':
    case 'uuid':
      return quoted(`${value}::pg_catalog.text`);
    case 'numeric':
      return renderNumeric(value, refuse());
    case 'float4':
    case 'float8':
      return renderFloat(`${value}::pg_catalog.float8`, functions, refuse());
    case 'boolean':
      return `${value}::pg_catalog.bool::pg_catalog.text`;
    case 'bytea':
      return quoted(`pg_catalog.translate(pg_catalog.encode(${value}::pg_catalog.bytea,'base64'),E'\\n','')`);
    case 'json':
      return renderJson(value, column.jsonAsText);
    case 'text':
      return `pg_catalog.to_json(${column.baseType === 'enum' ? `${value}::pg_catalog.text` : value})::pg_catalog.text`;
    case 'timestamptz':
    case 'datetime':
      return `pg_catalog.to_json(${value}::pg_catalog.${column.baseType})::pg_catalog.text`;
  }
}

function quoted(text: string): string {
  return `'"'||${text}||'"'`;
}

/** NaN sorts above Infinity, so one range covers all finite values. */
function renderNumeric(value: string, refuse: string): string {
  const number = `${value}::pg_catalog.numeric`;
  return `CASE WHEN ${number}<'Infinity' AND ${number}>'-Infinity' THEN ${quoted(`${number}::pg_catalog.text`)} WHEN ${value} IS NOT NULL THEN ${refuse} END`;
}

/**
 * `float8out` spells 1e-4 ≤ |x| < 1e15 as ECMAScript does. The range test stays inline because a function call for each value
 * costs more than the rest of the row.
 */
export function renderFloat(value: string, functions: Pick<RenderFunctions, 'floatText'>, refuse: string): string {
  return (
    `CASE WHEN pg_catalog.abs(${value})>=1e-4::pg_catalog.float8 AND pg_catalog.abs(${value})<1e15::pg_catalog.float8 THEN ${quoted(`${value}::pg_catalog.text`)} ` +
    `WHEN ${value}=0 THEN '"0"' ` +
    `WHEN pg_catalog.abs(${value})<'Infinity'::pg_catalog.float8 THEN ${quoted(`${functions.floatText}(${value})`)} ` +
    `WHEN ${value} IS NOT NULL THEN ${refuse} END`
  );
}

function renderJson(value: string, jsonAsText: boolean): string {
  const text = `${value}::pg_catalog.jsonb::pg_catalog.text`;
  return jsonAsText ? `pg_catalog.to_json(${text})::pg_catalog.text` : text;
}

function refuseValue(table: TableDescription, column: ColumnDescription, functions: RenderFunctions, detail: string): string {
  const names = [table.schema, table.table, column.name].map(quoteLiteral).join(',');
  return `${functions.notRepresentable}(${names},${detail})`;
}

/** Members `"schema":…,"table":…` as an SQL constant: part of every wire row and of every canonical row. */
export function tableMembers(table: TableDescription): string {
  return quoteLiteral(`"schema":${JSON.stringify(table.schema)},"table":${JSON.stringify(table.table)}`);
}

/** Member `"key":{…}` as SQL text expression; `keyText` is an SQL expression of the key's wire text. */
export function keyMember(table: TableDescription, keyText: string): string {
  const opening = quoteLiteral(`"key":{${JSON.stringify(table.keyColumn)}:`);
  const json = table.keyKind === 'uuid' ? quoted(keyText) : `pg_catalog.to_json(${keyText})::pg_catalog.text`;
  return `(${opening}||${json}||'}')`;
}

/** Wire text of the key from the business row. */
export function keyTextOfRow(table: TableDescription, alias: string): string {
  return `${columnRef(alias, table.keyColumn)}::pg_catalog.text`;
}

/** Metadata key bytes from the business row: 16 raw bytes of a uuid, UTF-8 bytes of a text. */
export function keyBytesOfRow(table: TableDescription, alias: string): string {
  const key = columnRef(alias, table.keyColumn);
  return table.keyKind === 'uuid' ? `pg_catalog.uuid_send(${key})` : `pg_catalog.convert_to(${key},'UTF8')`;
}

/** Metadata key bytes from the wire text of the key. */
export function keyBytesOfText(table: TableDescription, keyText: string): string {
  return table.keyKind === 'uuid'
    ? `pg_catalog.uuid_send(${keyText}::pg_catalog.uuid)`
    : `pg_catalog.convert_to(${keyText},'UTF8')`;
}

/** The key as a value comparable with the table's key column, through its unique index. */
export function keyFromBytes(table: TableDescription, keyBytes: string): string {
  return table.keyKind === 'uuid'
    ? `pg_catalog.encode(${keyBytes},'hex')::pg_catalog.uuid`
    : `pg_catalog.convert_from(${keyBytes},'UTF8')${collateClause(table)}`;
}

/** Wire text of a key from its bytes. */
export function keyTextFromBytes(table: TableDescription, keyBytes: string): string {
  return table.keyKind === 'uuid'
    ? `${keyFromBytes(table, keyBytes)}::pg_catalog.text`
    : `pg_catalog.convert_from(${keyBytes},'UTF8')`;
}

/** The key from its wire text, comparable with the table's key column. */
export function keyFromText(table: TableDescription, keyText: string): string {
  return table.keyKind === 'uuid' ? `${keyText}::pg_catalog.uuid` : `${keyText}${collateClause(table)}`;
}

function collateClause(table: TableDescription): string {
  return table.keyCollation === undefined ? '' : ` COLLATE ${table.keyCollation}`;
}
