import type { PgTransaction } from '../ports/postgres.ts';
import { tableName } from '../rules/normalise-tables.ts';
import type { RowExample, SchemaViolation, ViolationCode } from '../rules/schema-violation.ts';
import type { TableDescription } from '../rules/table-description.ts';
import { adoptionFaultsSql } from '../store/adoption-check.sql.ts';
import type { AdoptionBounds } from '../store/adoption-check.sql.ts';
import { RowReader } from '../store/row-reader.ts';

const MESSAGES: ReadonlyMap<string, { readonly code: ViolationCode; readonly message: string }> = new Map(
  (
    [
      ['adoption_scope_invalid', 'rows have a scope id that is blank or too long'],
      ['adoption_key_blank', 'rows have a blank key'],
      ['adoption_value_unrepresentable', 'rows hold a number that JSON cannot express'],
      ['adoption_row_too_large', 'rows are larger than maxBytesPerSnapshotRow'],
    ] as const
  ).map(([code, message]) => [code, { code, message }]),
);

/** Rows of one table that clients could never receive, grouped by fault and column. */
export async function findAdoptionFaults(
  tx: PgTransaction,
  table: TableDescription,
  bounds: AdoptionBounds,
): Promise<readonly SchemaViolation[]> {
  const { rows } = await tx.query(adoptionFaultsSql(table, bounds));
  const violations = new Map<string, { readonly violation: SchemaViolation; readonly examples: RowExample[] }>();
  for (const row of rows) {
    const reader = new RowReader(row);
    const fault = MESSAGES.get(reader.text());
    const column = reader.optional();
    if (fault === undefined) throw new TypeError('an adoption check has no message');
    const group = `${fault.code} ${column ?? ''}`;
    const known = violations.get(group) ?? createGroup(table, fault, column);
    violations.set(group, known);
    known.examples.push({ scopeId: reader.text(), key: reader.text() });
  }
  return [...violations.values()].map(({ violation, examples }) => ({ ...violation, examples }));
}

function createGroup(
  table: TableDescription,
  fault: { readonly code: ViolationCode; readonly message: string },
  column: string | undefined,
): { readonly violation: SchemaViolation; readonly examples: RowExample[] } {
  const { schema, table: name } = table;
  const message = `${tableName(table)}: ${fault.message}`;
  const violation = { code: fault.code, schema, table: name, message, fixSql: [], ...(column === undefined ? {} : { column }) };
  return { violation, examples: [] };
}
