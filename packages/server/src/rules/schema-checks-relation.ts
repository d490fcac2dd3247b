import type { RelationFact } from './catalog-facts.ts';
import type { CheckedTable, SchemaCheckInput } from './schema-checks.ts';
import type { SchemaViolation, ViolationCode } from './schema-violation.ts';
import { quoteIdentifier, quoteQualified } from './sql-text.ts';

/** Capture triggers of the Go server: two products must not write the metadata of one table. */
const FOREIGN_TRIGGER_PREFIX = 'oversync_bundle_';

/** The kind of relation, its privileges and what else watches it; for the root and every partition. */
export function checkRelation(input: SchemaCheckInput, checked: CheckedTable): readonly SchemaViolation[] {
  return checked.members.flatMap((relation) => [
    ...checkKind(relation, checked.root),
    ...checkPrivileges(input, relation),
    ...checkTriggers(input, relation),
  ]);
}

function checkKind(relation: RelationFact, root: RelationFact): readonly SchemaViolation[] {
  const name = quoteQualified(relation.schema, relation.name);
  const violations: SchemaViolation[] = [];
  if (!['r', 'p'].includes(relation.kind)) {
    violations.push(finding(relation, 'relation_kind_unsupported', 'only ordinary and partitioned tables can be registered'));
  }
  if (relation.persistence !== 'p') {
    const fix = relation.persistence === 'u' ? [`ALTER TABLE ${name} SET LOGGED;`] : [];
    violations.push(finding(relation, 'relation_not_permanent', 'the table is UNLOGGED or temporary', fix));
  }
  if (relation.hasInheritance) {
    violations.push(finding(relation, 'relation_inheritance_unsupported', 'the table takes part in inheritance'));
  }
  if (relation.oid === root.oid && relation.isPartition) {
    violations.push(
      finding(relation, 'relation_inheritance_unsupported', 'the table is a partition: register the table that it belongs to'),
    );
  }
  if (relation.rowSecurityActive) {
    violations.push(
      finding(relation, 'row_security_active', 'row security applies to the role of the server', [
        `ALTER TABLE ${name} DISABLE ROW LEVEL SECURITY;`,
      ]),
    );
  }
  return violations;
}

function checkPrivileges({ facts, changedRelations }: SchemaCheckInput, relation: RelationFact): readonly SchemaViolation[] {
  const role = quoteIdentifier(facts.server.role);
  const name = quoteQualified(relation.schema, relation.name);
  const violations: SchemaViolation[] = [];
  if (!relation.canUseSchema) {
    violations.push(
      finding(relation, 'privilege_missing', 'the role may not use the schema', [
        `GRANT USAGE ON SCHEMA ${quoteIdentifier(relation.schema)} TO ${role};`,
      ]),
    );
  }
  if (!relation.canReadAndWrite) {
    violations.push(
      finding(relation, 'privilege_missing', 'the role may not read and write the table', [
        `GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ${name} TO ${role};`,
      ]),
    );
  }
  if (changedRelations.has(relation.oid) && !relation.isOwner) {
    violations.push(
      finding(relation, 'privilege_missing', 'the role must own the table to install triggers and the scope default', [
        `GRANT ${quoteIdentifier(relation.owner)} TO ${role};`,
      ]),
    );
  }
  return violations;
}

function checkTriggers({ facts }: SchemaCheckInput, relation: RelationFact): readonly SchemaViolation[] {
  return facts.triggers
    .filter((trigger) => trigger.relationOid === relation.oid && trigger.name.startsWith(FOREIGN_TRIGGER_PREFIX))
    .map((trigger) => ({
      ...finding(relation, 'foreign_capture_triggers', `trigger ${trigger.name} belongs to another sync product`, [
        `DROP TRIGGER ${quoteIdentifier(trigger.name)} ON ${quoteQualified(relation.schema, relation.name)};`,
      ]),
      constraint: trigger.name,
    }));
}

function finding(relation: RelationFact, code: ViolationCode, message: string, fixSql: readonly string[] = []): SchemaViolation {
  return { code, schema: relation.schema, table: relation.name, message, fixSql };
}
