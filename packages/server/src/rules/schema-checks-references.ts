import type { CatalogFacts, ForeignKeyFact, RelationFact } from './catalog-facts.ts';
import { columnsOf } from './describe-tables.ts';
import type { CheckedTable } from './schema-checks.ts';
import type { SchemaViolation, SchemaWarning, ViolationCode } from './schema-violation.ts';
import { quoteIdentifier, quoteQualified } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';

/** `confdeltype` and `confupdtype` in SQL. */
const ACTIONS: ReadonlyMap<string, string> = new Map([
  ['a', 'NO ACTION'],
  ['r', 'RESTRICT'],
  ['c', 'CASCADE'],
  ['n', 'SET NULL'],
  ['d', 'SET DEFAULT'],
]);

/** `ON DELETE SET NULL (column)` exists since PostgreSQL 15. */
const SET_COLUMNS_VERSION_MIN = 150_000;

/** References must stay inside a scope and be checkable at the end of a transaction. Cycles and self-references are fine. */
export function checkForeignKeys(
  facts: CatalogFacts,
  checked: CheckedTable,
  tables: readonly CheckedTable[],
): readonly SchemaViolation[] {
  return foreignKeysOf(facts, checked).flatMap(({ relation, key }) => {
    const parent = tables.find(({ root }) => root.oid === key.parentOid);
    const reference = { facts, relation, key, parent, other: otherPair(facts, relation, key) };
    return [...checkTarget(reference), ...checkActions(reference), ...checkTiming(reference)];
  });
}

/** Deletes of a parent scan the child without an index on the reference. */
export function findReferenceWarnings(facts: CatalogFacts, checked: CheckedTable): readonly SchemaWarning[] {
  return foreignKeysOf(facts, checked)
    .filter(({ relation, key }) => !isIndexed(facts, relation, key))
    .map(({ relation, key }) => ({
      code: 'reference_not_indexed' as const,
      schema: relation.schema,
      table: relation.name,
      constraint: key.constraint,
      message: 'the referencing columns have no index: deletes and cascades scan the table',
      fixSql: [`CREATE INDEX ON ${quoteQualified(relation.schema, relation.name)} (${columnList(facts, relation, key)});`],
    }));
}

interface Reference {
  readonly facts: CatalogFacts;
  readonly relation: RelationFact;
  readonly key: ForeignKeyFact;
  /** Undefined when the parent is not registered. */
  readonly parent: CheckedTable | undefined;
  /** The pair beside scope → scope; undefined when the key is not of that form. */
  readonly other: { readonly column: string; readonly parentColumn: string } | undefined;
}

function foreignKeysOf(
  facts: CatalogFacts,
  checked: CheckedTable,
): readonly { readonly relation: RelationFact; readonly key: ForeignKeyFact }[] {
  return checked.members.flatMap((relation) =>
    facts.foreignKeys.filter((key) => key.relationOid === relation.oid).map((key) => ({ relation, key })),
  );
}

function otherPair(facts: CatalogFacts, relation: RelationFact, key: ForeignKeyFact): Reference['other'] {
  const pairs = key.attributes.map((attribute, index) => ({
    column: attributeName(facts, relation, attribute),
    parentColumn: key.parentColumns[index] ?? '',
  }));
  const others = pairs.filter((pair) => pair.column !== SCOPE_COLUMN || pair.parentColumn !== SCOPE_COLUMN);
  const [other] = others;
  const touchesScope = other?.column === SCOPE_COLUMN || other?.parentColumn === SCOPE_COLUMN;
  return pairs.length === 2 && others.length === 1 && !touchesScope ? other : undefined;
}

function checkTarget(reference: Reference): readonly SchemaViolation[] {
  const { key, parent, other } = reference;
  if (parent === undefined) {
    const message = `references ${key.parentSchema}.${key.parentTable}, which is not registered`;
    return [finding(reference, 'fk_parent_unregistered', message)];
  }
  if (other === undefined) {
    return [finding(reference, 'fk_not_scoped', 'does not consist of the scope column and one other column', rebuild(reference))];
  }
  if (other.parentColumn !== parent.table.keyColumn) {
    return [
      finding(reference, 'fk_target_not_sync_key', `references ${other.parentColumn}, not the key ${parent.table.keyColumn}`),
    ];
  }
  return [];
}

function checkActions(reference: Reference): readonly SchemaViolation[] {
  const { facts, relation, key } = reference;
  const violations: SchemaViolation[] = [];
  if (!ACTIONS.has(key.onDelete) || !ACTIONS.has(key.onUpdate)) {
    violations.push(finding(reference, 'fk_action_unsupported', 'has an action that is not known'));
  }
  if (key.match !== 's') {
    violations.push(finding(reference, 'fk_match_unsupported', 'is not MATCH SIMPLE', rebuild(reference)));
  }
  if (isSetAction(key.onUpdate)) {
    violations.push(finding(reference, 'fk_set_action_touches_scope', 'ON UPDATE would set the scope column'));
  }
  const scope = columnsOf(facts, relation).find(({ name }) => name === SCOPE_COLUMN)?.attributeNumber;
  const setsScope =
    key.deleteSetAttributes.length === 0
      ? scope !== undefined && key.attributes.includes(scope)
      : key.deleteSetAttributes.includes(scope ?? 0);
  if (isSetAction(key.onDelete) && setsScope) {
    violations.push(
      finding(reference, 'fk_set_action_touches_scope', 'ON DELETE would set the scope column', rebuild(reference)),
    );
  }
  return violations;
}

function checkTiming(reference: Reference): readonly SchemaViolation[] {
  const { relation, key } = reference;
  const table = `ALTER TABLE ${quoteQualified(relation.schema, relation.name)}`;
  const name = quoteIdentifier(key.constraint);
  const violations: SchemaViolation[] = [];
  if (!key.isDeferrable) {
    violations.push(
      finding(reference, 'fk_not_deferrable', 'is not deferrable', [
        `${table} ALTER CONSTRAINT ${name} DEFERRABLE INITIALLY DEFERRED;`,
      ]),
    );
  }
  if (!key.isValidated) {
    violations.push(finding(reference, 'fk_not_valid', 'is not validated', [`${table} VALIDATE CONSTRAINT ${name};`]));
  }
  return violations;
}

function isSetAction(action: string): boolean {
  return action === 'n' || action === 'd';
}

/** The constraint as it should be, where what it refers to leaves no choice; empty otherwise. */
function rebuild(reference: Reference): readonly string[] {
  const { facts, relation, key, parent } = reference;
  const column =
    reference.other?.column ?? (key.attributes.length === 1 ? attributeName(facts, relation, key.attributes[0] ?? 0) : undefined);
  const parentKey = parent?.table.keyColumn;
  if (column === undefined || parentKey === undefined || parentKey === '' || isSetAction(key.onUpdate)) return [];
  if (key.parentColumns.some((name) => name !== parentKey && name !== SCOPE_COLUMN)) return [];
  if (isSetAction(key.onDelete) && facts.server.versionNumber < SET_COLUMNS_VERSION_MIN) return [];
  const table = quoteQualified(relation.schema, relation.name);
  const name = quoteIdentifier(key.constraint);
  const scope = quoteIdentifier(SCOPE_COLUMN);
  const onDelete = `${ACTIONS.get(key.onDelete) ?? 'NO ACTION'}${isSetAction(key.onDelete) ? ` (${quoteIdentifier(column)})` : ''}`;
  return [
    `ALTER TABLE ${table} DROP CONSTRAINT ${name};`,
    `ALTER TABLE ${table} ADD CONSTRAINT ${name} FOREIGN KEY (${scope}, ${quoteIdentifier(column)}) ` +
      `REFERENCES ${quoteQualified(key.parentSchema, key.parentTable)} (${scope}, ${quoteIdentifier(parentKey)}) ` +
      `ON DELETE ${onDelete} ON UPDATE ${ACTIONS.get(key.onUpdate) ?? 'NO ACTION'} DEFERRABLE INITIALLY DEFERRED;`,
  ];
}

/** An index that starts with all referencing columns in any order, or with the one that is not the scope column. */
function isIndexed(facts: CatalogFacts, relation: RelationFact, key: ForeignKeyFact): boolean {
  const scope = columnsOf(facts, relation).find(({ name }) => name === SCOPE_COLUMN)?.attributeNumber;
  return facts.indexes.some((index) => {
    if (index.relationOid !== relation.oid || !index.isUsable || index.isPartial) return false;
    const prefix = index.keyAttributes.slice(0, key.attributes.length);
    const first = prefix[0];
    return (
      key.attributes.every((attribute) => prefix.includes(attribute)) || (first !== scope && key.attributes.includes(first ?? 0))
    );
  });
}

function columnList(facts: CatalogFacts, relation: RelationFact, key: ForeignKeyFact): string {
  const names = key.attributes.map((attribute) => attributeName(facts, relation, attribute));
  const ordered = [...names.filter((name) => name === SCOPE_COLUMN), ...names.filter((name) => name !== SCOPE_COLUMN)];
  return ordered.map(quoteIdentifier).join(', ');
}

function attributeName(facts: CatalogFacts, relation: RelationFact, attribute: number): string {
  return columnsOf(facts, relation).find(({ attributeNumber }) => attributeNumber === attribute)?.name ?? '';
}

function finding(
  { relation, key }: Reference,
  code: ViolationCode,
  message: string,
  fixSql: readonly string[] = [],
): SchemaViolation {
  return {
    code,
    schema: relation.schema,
    table: relation.name,
    constraint: key.constraint,
    message: `foreign key ${message}`,
    fixSql,
  };
}
