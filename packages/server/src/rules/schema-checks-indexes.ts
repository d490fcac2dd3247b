import type { CatalogFacts, IndexFact, RelationFact } from './catalog-facts.ts';
import { columnsOf } from './describe-tables.ts';
import type { CheckedTable } from './schema-checks.ts';
import type { SchemaViolation, SchemaWarning, ViolationCode } from './schema-violation.ts';
import { quoteIdentifier, quoteQualified } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';

/** Unique indexes must hold inside one scope, so that no scope can learn of or be hindered by another one's rows. */
export function checkIndexes(facts: CatalogFacts, checked: CheckedTable): readonly SchemaViolation[] {
  return [
    ...checkIdentity(facts, checked),
    ...checked.members.flatMap((relation) =>
      ownIndexes(facts, relation).flatMap((index) => (index.isUnique ? checkUnique(facts, relation, index) : [])),
    ),
    ...checked.members.flatMap((relation) =>
      ownIndexes(facts, relation).flatMap((index) => checkExclusion(facts, relation, index)),
    ),
  ];
}

/** Two rows of one push may legally swap their values of such a constraint; it is checked row by row unless deferrable. */
export function findUniqueWarnings(facts: CatalogFacts, checked: CheckedTable): readonly SchemaWarning[] {
  return ownIndexes(facts, checked.root)
    .filter((index) => index.isUnique && !index.isDeferrable && !index.isReferenced && !index.isPartial && !index.hasExpressions)
    .filter((index) => !isIdentity(facts, checked, index))
    .map((index) => ({
      code: 'unique_not_deferrable' as const,
      schema: checked.table.schema,
      table: checked.table.table,
      constraint: index.name,
      message: 'two rows of one push cannot swap their values: the constraint is not deferrable',
      fixSql: rebuild(facts, checked.root, index, index.keyAttributes, ' DEFERRABLE INITIALLY DEFERRED'),
    }));
}

/** Indexes of the relation itself; those of a partition that belong to an index of the root are judged there. */
function ownIndexes(facts: CatalogFacts, relation: RelationFact): readonly IndexFact[] {
  return facts.indexes.filter((index) => index.relationOid === relation.oid && !index.isInherited);
}

function checkIdentity(facts: CatalogFacts, checked: CheckedTable): readonly SchemaViolation[] {
  const { schema, table, keyColumn } = checked.table;
  if (keyColumn === '' || keyColumn === SCOPE_COLUMN) return [];
  if (ownIndexes(facts, checked.root).some((index) => index.isUsable && isIdentity(facts, checked, index))) return [];
  const columns = `${quoteIdentifier(SCOPE_COLUMN)}, ${quoteIdentifier(keyColumn)}`;
  const message = 'a valid unique index on exactly the scope column and the key is required';
  const fixSql = [`ALTER TABLE ${quoteQualified(schema, table)} ADD UNIQUE (${columns});`];
  return [{ code: 'identity_index_missing', schema, table, message, fixSql }];
}

function isIdentity(facts: CatalogFacts, checked: CheckedTable, index: IndexFact): boolean {
  const names = index.keyAttributes.map((attribute) => attributeName(facts, checked.root, attribute));
  return (
    index.isUnique &&
    !index.isPartial &&
    !index.hasExpressions &&
    names.length === 2 &&
    names.includes(SCOPE_COLUMN) &&
    names.includes(checked.table.keyColumn)
  );
}

function checkUnique(facts: CatalogFacts, relation: RelationFact, index: IndexFact): readonly SchemaViolation[] {
  const violations: SchemaViolation[] = [];
  const report = (code: ViolationCode, message: string, fixSql: readonly string[] = []): void => {
    violations.push({ code, schema: relation.schema, table: relation.name, constraint: index.name, message, fixSql });
  };
  if (index.isPartial) report('unique_index_partial', 'a unique index has a predicate');
  if (index.hasExpressions) report('unique_index_expression', 'a unique index contains an expression');
  if (attributeName(facts, relation, index.keyAttributes[0] ?? 0) !== SCOPE_COLUMN) {
    const scope = columnsOf(facts, relation).find(({ name }) => name === SCOPE_COLUMN)?.attributeNumber;
    const isSimple = scope !== undefined && !index.isPartial && !index.hasExpressions && !index.isReferenced;
    const attributes = index.keyAttributes.filter((attribute) => attribute !== scope);
    report(
      'unique_index_scope_not_first',
      'a unique index does not start with the scope column',
      isSimple
        ? rebuild(facts, relation, index, [scope, ...attributes], index.isDeferrable ? ' DEFERRABLE INITIALLY DEFERRED' : '')
        : [],
    );
  }
  if (!index.isUsable) {
    report('unique_index_invalid', 'a unique index is not valid', [`REINDEX INDEX ${quoteQualified(index.schema, index.name)};`]);
  }
  return violations;
}

function checkExclusion(facts: CatalogFacts, relation: RelationFact, index: IndexFact): readonly SchemaViolation[] {
  if (!index.isExclusion) return [];
  const position = index.keyAttributes.findIndex((attribute) => attributeName(facts, relation, attribute) === SCOPE_COLUMN);
  if (position >= 0 && index.exclusionOperators[position] === '=') return [];
  return [
    {
      code: 'exclusion_constraint_unscoped',
      schema: relation.schema,
      table: relation.name,
      constraint: index.constraint ?? index.name,
      message: `an exclusion constraint does not contain ${SCOPE_COLUMN} WITH =`,
      fixSql: [],
    },
  ];
}

/** Statements that make the index again over `attributes`, as the constraint that it is or becomes. */
function rebuild(
  facts: CatalogFacts,
  relation: RelationFact,
  index: IndexFact,
  attributes: readonly number[],
  deferral: string,
): readonly string[] {
  const table = quoteQualified(relation.schema, relation.name);
  const columns = attributes.map((attribute) => quoteIdentifier(attributeName(facts, relation, attribute))).join(', ');
  const kind = index.constraintDefinition?.startsWith('PRIMARY KEY') === true ? 'PRIMARY KEY' : 'UNIQUE';
  const name = quoteIdentifier(index.constraint ?? index.name);
  const drop =
    index.constraint === undefined
      ? `DROP INDEX ${quoteQualified(index.schema, index.name)};`
      : `ALTER TABLE ${table} DROP CONSTRAINT ${name};`;
  return [drop, `ALTER TABLE ${table} ADD CONSTRAINT ${name} ${kind} (${columns})${deferral};`];
}

function attributeName(facts: CatalogFacts, relation: RelationFact, attribute: number): string {
  return columnsOf(facts, relation).find(({ attributeNumber }) => attributeNumber === attribute)?.name ?? '';
}
