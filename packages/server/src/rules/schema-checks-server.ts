import type { NormalisedTable } from './catalog-facts.ts';
import { tableName } from './normalise-tables.ts';
import type { SchemaCheckInput } from './schema-checks.ts';
import type { SchemaViolation, ViolationCode } from './schema-violation.ts';
import { quoteIdentifier } from './sql-text.ts';
import { SCOPE_COLUMN } from './table-description.ts';

/** PostgreSQL 14: `xid8` functions, infinite numerics. */
const SERVER_VERSION_MIN = 140_000;

const NAME_PATTERN = /^[a-z0-9_]{1,63}$/;

/** The server, the database and the metadata schema. */
export function checkServer(input: SchemaCheckInput): readonly SchemaViolation[] {
  const { server } = input.facts;
  const violations: SchemaViolation[] = [];
  const report = (code: ViolationCode, message: string, fixSql: readonly string[] = []): void => {
    violations.push({ code, schema: '', table: '', message, fixSql });
  };
  if (server.versionNumber < SERVER_VERSION_MIN) report('server_version_unsupported', 'PostgreSQL 14 or newer is required');
  if (server.encoding !== 'UTF8') report('database_encoding', `the database encoding is ${server.encoding}, required is UTF8`);
  checkMetadataSchema(input, report);
  return violations;
}

type Report = (code: ViolationCode, message: string, fixSql?: readonly string[]) => void;

function checkMetadataSchema(input: SchemaCheckInput, report: Report): void {
  const { server } = input.facts;
  const { metadata } = server;
  const role = quoteIdentifier(server.role);
  const schema = quoteIdentifier(metadata.schema);
  if (!metadata.exists) {
    if (!server.canCreateSchema) {
      report('privilege_missing', 'the role may not create the metadata schema', [
        `GRANT CREATE ON DATABASE ${quoteIdentifier(server.database)} TO ${role};`,
      ]);
    }
    return;
  }
  if (!metadata.canUse || (input.changesMetadata && !metadata.canCreate)) {
    report('privilege_missing', 'the role may not use or change the metadata schema', [
      `GRANT USAGE, CREATE ON SCHEMA ${schema} TO ${role};`,
    ]);
  }
  if (metadata.canUse && !metadata.isEmpty && (metadata.layout !== input.layout || input.hasChangedMigration)) {
    report('metadata_schema_foreign', `schema ${metadata.schema} holds something else than the metadata of this product`);
  }
  if (metadata.layout === input.layout && input.isOutdated) {
    report(
      'metadata_schema_newer',
      `the metadata schema has version ${String(metadata.version)} and is for version ${String(metadata.readableBy)} or newer, this server knows ${String(input.layoutVersion)}`,
    );
  }
}

/** What is wrong with the registration whatever the database holds. */
export function checkConfig(tables: readonly NormalisedTable[]): readonly SchemaViolation[] {
  const seen = new Set<string>();
  return tables.flatMap((table) => {
    const violations = checkOneConfig(table);
    if (seen.has(tableName(table)))
      violations.push(finding(table, 'config_table_duplicate', 'the table is registered more than once'));
    seen.add(tableName(table));
    return violations;
  });
}

function checkOneConfig(table: NormalisedTable): SchemaViolation[] {
  const violations: SchemaViolation[] = [];
  if (table.keyColumn === '') {
    violations.push(finding(table, 'sync_key_count', 'a registered table has exactly one key column'));
  }
  if (table.keyColumn === SCOPE_COLUMN) {
    violations.push(finding(table, 'sync_key_is_scope_column', 'the scope column cannot be the key'));
  }
  const names = table.keyColumn === '' ? [table.schema, table.table] : [table.schema, table.table, table.keyColumn];
  if (names.some((name) => !NAME_PATTERN.test(name))) {
    violations.push(
      finding(table, 'config_identifier_invalid', 'schema, table and key column consist of a-z, 0-9 and _, at most 63 of them'),
    );
  }
  return violations;
}

function finding(table: NormalisedTable, code: ViolationCode, message: string): SchemaViolation {
  return { code, schema: table.schema, table: table.table, message, fixSql: [] };
}
