/** Looks for rows that adoption could not send to clients, before anything is written (server.md 3.2, `adoption_…`). */
import {
  BLANK_CHARACTERS_SQL,
  columnRef,
  keyMember,
  keyTextOfRow,
  renderPayload,
  tableMembers,
  tableRef,
} from '../rules/render-sql.ts';
import { EXAMPLES_MAX } from '../rules/schema-violation.ts';
import { quoteLiteral } from '../rules/sql-text.ts';
import { SCOPE_COLUMN } from '../rules/table-description.ts';
import type { ColumnDescription, TableDescription } from '../rules/table-description.ts';

/**
 * Before the metadata schema exists: the length of a float in PostgreSQL's own spelling stands for the length on the wire (adoption
 * itself measures exactly), and a number without a wire form is found by {@link unsendableColumn}.
 */
const STAND_INS = { floatText: 'pg_catalog.float8', notRepresentable: 'pg_catalog.concat' };

/** Half a unit above the largest double: from here on a JSON number rounds to infinity. */
const BINARY64_BOUND = '1.7976931348623158079372897140530342e308';

/** First version with `pg_input_is_valid`, as `server_version_num`. */
const INPUT_CHECK_VERSION = 160_000;

export interface AdoptionBounds {
  /** `server_version_num`. */
  readonly versionNumber: number;
  readonly maxScopeIdBytes: number;
  readonly maxBytesPerSnapshotRow: number;
}

/** One scan of the table. Rows: code, column or NULL, scope id, key; at most {@link EXAMPLES_MAX} per code and column. */
export function adoptionFaultsSql(table: TableDescription, bounds: AdoptionBounds): string {
  const scope = columnRef('b', SCOPE_COLUMN);
  const key = keyTextOfRow(table, 'b');
  const isBlank = (text: string): string => `pg_catalog.btrim(${text}, ${BLANK_CHARACTERS_SQL}) = ''`;
  return `
WITH fault AS (
  SELECT f.code, f.column_name, ${scope} AS scope_id, ${key} AS key, row_number() OVER (PARTITION BY f.code, f.column_name) AS position
  FROM ${tableRef(table)} b
  CROSS JOIN LATERAL (SELECT ${unsendableColumn(table, bounds.versionNumber)} AS column_name OFFSET 0) u
  CROSS JOIN LATERAL (VALUES
    (CASE WHEN ${isBlank(scope)} OR octet_length(${scope}) > ${String(bounds.maxScopeIdBytes)} THEN 'adoption_scope_invalid' END, ${quoteLiteral(SCOPE_COLUMN)}),
    (CASE WHEN ${table.keyKind === 'text' ? isBlank(key) : 'false'} THEN 'adoption_key_blank' END, ${quoteLiteral(table.keyColumn)}),
    (CASE WHEN u.column_name IS NOT NULL THEN 'adoption_value_unrepresentable' END, u.column_name),
    (CASE WHEN u.column_name IS NOT NULL THEN NULL WHEN octet_length(${snapshotRow(table)}) > ${String(bounds.maxBytesPerSnapshotRow)} THEN 'adoption_row_too_large' END, NULL)
  ) AS f (code, column_name)
  WHERE f.code IS NOT NULL
)
SELECT code, column_name, scope_id, key FROM fault WHERE position <= ${String(EXAMPLES_MAX)} ORDER BY code, column_name, scope_id, key`;
}

function snapshotRow(table: TableDescription): string {
  const key = keyMember(table, keyTextOfRow(table, 'b'));
  return `'{'||${tableMembers(table)}||','||${key}||',"row_version":1,"payload":'||${renderPayload(table, 'b', STAND_INS)}||'}'`;
}

/** Name of the first column whose value has no wire form, NULL if all have one. A row that has one is not rendered: that would fail. */
function unsendableColumn(table: TableDescription, versionNumber: number): string {
  const cases = table.columns.flatMap((column) =>
    listFaults(column, versionNumber).map((condition) => `WHEN ${condition} THEN ${quoteLiteral(column.name)}`),
  );
  return cases.length === 0 ? 'NULL::text' : `CASE ${cases.join(' ')} END`;
}

/** Conditions in the order in which they have to be tested: one may fail on a value that an earlier one finds. */
function listFaults(column: ColumnDescription, versionNumber: number): readonly string[] {
  const value = columnRef('b', column.name);
  switch (column.family) {
    case 'numeric':
      return [`NOT (${value} < 'Infinity' AND ${value} > '-Infinity')`];
    case 'float4':
    case 'float8':
      return [`NOT (abs(${value}::float8) < 'Infinity')`];
    case 'json':
      return [
        ...(column.baseType === 'json' ? [isNoJsonb(value, versionNumber)] : []),
        ...(column.jsonAsText
          ? []
          : [
              `jsonb_path_exists(${value}::jsonb, '$.** ? (@.type() == "number" && (@ >= ${BINARY64_BOUND} || @ <= -${BINARY64_BOUND}))')`,
            ]),
      ];
    default:
      return [];
  }
}

/** `json` keeps escapes that stand for no text: U+0000 and halves of surrogate pairs. Escaped backslashes are taken out first. */
function isNoJsonb(value: string, versionNumber: number): string {
  if (versionNumber >= INPUT_CHECK_VERSION) return `NOT pg_catalog.pg_input_is_valid(${value}::pg_catalog.text, 'jsonb')`;
  const text = String.raw`pg_catalog.replace(${value}::pg_catalog.text, '\\', 'x')`;
  const faults = [
    String.raw`\\u0000`,
    String.raw`\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2})`,
    String.raw`(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2}`,
  ];
  return `(${faults.map((pattern) => `${text} ~* ${quoteLiteral(pattern)}`).join(' OR ')})`;
}
