/** Codes of server.md 3.2; stable, hosts may decide on them. */
export type ViolationCode =
  | 'server_version_unsupported'
  | 'database_encoding'
  | 'metadata_schema_foreign'
  | 'metadata_schema_newer'
  | 'privilege_missing'
  | 'config_table_duplicate'
  | 'config_identifier_invalid'
  | 'sync_key_count'
  | 'sync_key_is_scope_column'
  | 'sync_key_changed'
  | 'table_missing'
  | 'relation_kind_unsupported'
  | 'relation_not_permanent'
  | 'relation_inheritance_unsupported'
  | 'row_security_active'
  | 'foreign_capture_triggers'
  | 'scope_column_missing'
  | 'scope_column_type'
  | 'scope_column_nullable'
  | 'scope_column_collation'
  | 'sync_key_missing'
  | 'sync_key_type'
  | 'sync_key_nullable'
  | 'sync_key_collation'
  | 'column_name_unsupported'
  | 'column_type_unsupported'
  | 'published_column_missing'
  | 'unpublished_column_required'
  | 'identity_index_missing'
  | 'unique_index_partial'
  | 'unique_index_expression'
  | 'unique_index_scope_not_first'
  | 'unique_index_invalid'
  | 'exclusion_constraint_unscoped'
  | 'fk_parent_unregistered'
  | 'fk_not_scoped'
  | 'fk_target_not_sync_key'
  | 'fk_not_deferrable'
  | 'fk_action_unsupported'
  | 'fk_match_unsupported'
  | 'fk_set_action_touches_scope'
  | 'fk_not_valid'
  | 'adoption_required'
  | 'adoption_scope_invalid'
  | 'adoption_key_blank'
  | 'adoption_value_unrepresentable'
  | 'adoption_row_too_large';

export type WarningCode = 'unique_not_deferrable' | 'reference_not_indexed';

/** One rule that the database or the registration breaks. */
export interface SchemaFinding<Code extends string> {
  readonly code: Code;
  /** Empty for findings about the server or the database as a whole. */
  readonly schema: string;
  readonly table: string;
  readonly column?: string;
  readonly constraint?: string;
  readonly message: string;
  /** Complete statements that put it right; empty where only the application can decide. */
  readonly fixSql: readonly string[];
  /** Rows that cannot be adopted, at most {@link EXAMPLES_MAX}. */
  readonly examples?: readonly RowExample[];
}

/** Names one business row. */
export interface RowExample {
  readonly scopeId: string;
  readonly key: string;
}

/** Enough to see the pattern, few enough to read. */
export const EXAMPLES_MAX = 100;

export type SchemaViolation = SchemaFinding<ViolationCode>;
export type SchemaWarning = SchemaFinding<WarningCode>;

export interface SchemaReport {
  readonly violations: readonly SchemaViolation[];
  readonly warnings: readonly SchemaWarning[];
}

/** By schema, table, code; then by what tells two findings of one code apart. */
export function sortFindings<Code extends string>(findings: readonly SchemaFinding<Code>[]): readonly SchemaFinding<Code>[] {
  const keyOf = (finding: SchemaFinding<Code>): string =>
    [finding.schema, finding.table, finding.code, finding.column ?? '', finding.constraint ?? '', finding.message].join('\0');
  return [...findings].sort((left, right) => (keyOf(left) < keyOf(right) ? -1 : 1));
}
