import type { ColumnFact } from './catalog-facts.ts';
import { decideColumnFamily } from './column-family.ts';
import { columnsOf, publishedColumns } from './describe-tables.ts';
import type { CheckedTable, SchemaCheckInput } from './schema-checks.ts';
import type { SchemaViolation, ViolationCode } from './schema-violation.ts';
import { quoteIdentifier, quoteQualified } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';

const COLUMN_NAME_PATTERN = /^[a-z0-9_]+$/;

/** A collation that compares bytes, for columns whose own one takes different texts for equal. */
const BYTE_COLLATION = 'pg_catalog."C"';

/** Scope column, key column and published columns. Partitions have the columns of their root. */
export function checkColumns(input: SchemaCheckInput, checked: CheckedTable): readonly SchemaViolation[] {
  const columns = columnsOf(input.facts, checked.root);
  return [
    ...checkScopeColumn(checked, columns),
    ...checkKeyColumn(input, checked, columns),
    ...checkPublished(checked, columns),
    ...checkUnpublished(input, checked, columns),
  ];
}

function checkScopeColumn(checked: CheckedTable, columns: readonly ColumnFact[]): readonly SchemaViolation[] {
  const column = columns.find(({ name }) => name === SCOPE_COLUMN);
  if (column === undefined) {
    const add = `${alter(checked)} ADD COLUMN ${quoteIdentifier(SCOPE_COLUMN)} text NOT NULL;`;
    return [finding(checked, 'scope_column_missing', SCOPE_COLUMN, 'the table has no scope column', [add])];
  }
  return checkTextColumn(checked, column, {
    type: column.sqlType === 'text',
    codes: ['scope_column_type', 'scope_column_nullable', 'scope_column_collation'],
    typeMessage: `the scope column has type ${column.sqlType}, required is text`,
    typeFix: [`${alterColumn(checked, SCOPE_COLUMN)} TYPE text;`],
  });
}

function checkKeyColumn(
  input: SchemaCheckInput,
  checked: CheckedTable,
  columns: readonly ColumnFact[],
): readonly SchemaViolation[] {
  const { keyColumn } = checked.table;
  if (keyColumn === '' || keyColumn === SCOPE_COLUMN) return [];
  const column = columns.find(({ name }) => name === keyColumn);
  if (column === undefined) return [finding(checked, 'sync_key_missing', keyColumn, 'the key column does not exist')];
  const isTextLike = column.baseTypeSchema === 'pg_catalog' && ['varchar', 'bpchar', 'text'].includes(column.baseType);
  const violations = checkTextColumn(checked, column, {
    type: column.sqlType === 'text' || column.sqlType === 'uuid',
    codes: ['sync_key_type', 'sync_key_nullable', 'sync_key_collation'],
    typeMessage: `the key column has type ${column.sqlType}, required is exactly uuid or text`,
    typeFix: isTextLike ? [`${alterColumn(checked, keyColumn)} TYPE text;`] : [],
  });
  return [...violations, ...checkStoredKey(input, checked, column)];
}

function checkStoredKey(input: SchemaCheckInput, checked: CheckedTable, column: ColumnFact): readonly SchemaViolation[] {
  const stored = input.registrations.find(
    ({ schema, table }) => schema === checked.table.schema && table === checked.table.table,
  );
  if (stored === undefined || (stored.keyColumn === column.name && stored.keyKind === column.sqlType)) return [];
  const message = `the table was registered with key ${stored.keyColumn} of type ${stored.keyKind}; keys of stored history cannot change`;
  return [finding(checked, 'sync_key_changed', column.name, message)];
}

interface TextColumnRules {
  readonly type: boolean;
  readonly codes: readonly [type: ViolationCode, nullable: ViolationCode, collation: ViolationCode];
  readonly typeMessage: string;
  readonly typeFix: readonly string[];
}

function checkTextColumn(checked: CheckedTable, column: ColumnFact, rules: TextColumnRules): readonly SchemaViolation[] {
  const [typeCode, nullableCode, collationCode] = rules.codes;
  const change = alterColumn(checked, column.name);
  const violations: SchemaViolation[] = [];
  if (!rules.type) violations.push(finding(checked, typeCode, column.name, rules.typeMessage, rules.typeFix));
  if (!column.notNull) {
    violations.push(finding(checked, nullableCode, column.name, 'the column allows NULL', [`${change} SET NOT NULL;`]));
  }
  if (!column.isCollationDeterministic) {
    violations.push(
      finding(checked, collationCode, column.name, 'the collation takes different texts for equal', [
        `${change} TYPE text COLLATE ${BYTE_COLLATION};`,
      ]),
    );
  }
  return violations;
}

function checkPublished(checked: CheckedTable, columns: readonly ColumnFact[]): readonly SchemaViolation[] {
  const { table } = checked;
  const violations = publishedColumns(columns, table).flatMap((column) => {
    const found: SchemaViolation[] = [];
    if (!COLUMN_NAME_PATTERN.test(column.name)) {
      found.push(finding(checked, 'column_name_unsupported', column.name, 'a published column name consists of a-z, 0-9 and _'));
    }
    if (decideColumnFamily(column) === undefined) {
      found.push(finding(checked, 'column_type_unsupported', column.name, `type ${column.sqlType} has no wire form`));
    }
    return found;
  });
  const byName = new Map(columns.map((column) => [column.name, column]));
  const missing = (table.columns ?? []).filter((name) => !byName.has(name));
  const notJson = table.jsonAsText.filter((name) => {
    const column = byName.get(name);
    return column === undefined || decideColumnFamily(column) !== 'json';
  });
  return [
    ...violations,
    ...missing.map((name) => finding(checked, 'published_column_missing', name, 'a published column does not exist')),
    ...notJson.map((name) => finding(checked, 'published_column_missing', name, 'jsonAsText names no json column')),
  ];
}

/** Inserts name published columns only, so the others must get a value without the client. */
function checkUnpublished(
  { facts }: SchemaCheckInput,
  checked: CheckedTable,
  columns: readonly ColumnFact[],
): readonly SchemaViolation[] {
  const published = new Set(publishedColumns(columns, checked.table).map(({ name }) => name));
  const members = new Set(checked.members.map(({ oid }) => oid));
  return columns
    .filter(({ name }) => !published.has(name) && name !== SCOPE_COLUMN)
    .filter((column) => !column.hasDefault && !column.isGenerated)
    .filter(({ name }) =>
      facts.columns.some((fact) => members.has(fact.relationOid) && fact.name === name && (fact.notNull || fact.domainNotNull)),
    )
    .map(({ name }) =>
      finding(checked, 'unpublished_column_required', name, 'an unpublished column is NOT NULL and has no default'),
    );
}

function alter({ table }: CheckedTable): string {
  return `ALTER TABLE ${quoteQualified(table.schema, table.table)}`;
}

function alterColumn(checked: CheckedTable, column: string): string {
  return `${alter(checked)} ALTER COLUMN ${quoteIdentifier(column)}`;
}

function finding(
  { table }: CheckedTable,
  code: ViolationCode,
  column: string,
  message: string,
  fixSql: readonly string[] = [],
): SchemaViolation {
  return { code, schema: table.schema, table: table.table, column, message, fixSql };
}
