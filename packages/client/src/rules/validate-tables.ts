import type { Catalog, CatalogColumn, CatalogTable } from './catalog.ts';
import { columnKind } from './column-kind.ts';
import type { ConfigViolation, ConfigViolationCode, LocalSchemaConfig, TableConfig } from './local-schema.ts';

const TABLE_NAME = /^[a-z0-9_]{1,63}$/;
const COLUMN_NAME = /^[a-z0-9_]+$/;
const TEXT_KEY_TYPE = /text|char|clob/;
const SCOPE_COLUMN = '_sync_scope_id';

/** A configured table that was found, with the names resolved. */
export interface ResolvedTable {
  readonly config: TableConfig;
  readonly wireName: string;
  readonly catalog: CatalogTable;
  readonly key: CatalogColumn;
}

/** Either every configured table, or what is wrong with the configuration. */
export interface TableValidation {
  readonly violations: readonly ConfigViolation[];
  readonly tables: readonly ResolvedTable[];
}

/** Compares the configuration with the database (client.md 2.2). Reads nothing, changes nothing, reports everything at once. */
export function validateTables(config: LocalSchemaConfig, catalog: Catalog, reservedNames: ReadonlySet<string>): TableValidation {
  const violations: ConfigViolation[] = [];
  const tables: ResolvedTable[] = [];
  if (config.schema.trim() === '') violations.push({ code: 'schema_missing' });
  const seen = new Set<string>();
  for (const table of config.tables) {
    const resolved = validateTable(table, catalog, reservedNames, seen, violations);
    if (resolved !== null) tables.push(resolved);
  }
  validateForeignKeys(tables, config, violations);
  return { violations: sortViolations(violations), tables };
}

function validateTable(
  table: TableConfig,
  catalog: Catalog,
  reservedNames: ReadonlySet<string>,
  seen: Set<string>,
  violations: ConfigViolation[],
): ResolvedTable | null {
  const wireName = table.tableName.trim().toLowerCase();
  const add = (code: ConfigViolationCode, column?: string): void => {
    violations.push({ code, ...(wireName === '' ? {} : { table: wireName }), ...(column === undefined ? {} : { column }) });
  };
  const nameFault = tableNameFault(wireName, reservedNames);
  if (nameFault !== null) {
    add(nameFault);
    return null;
  }
  if (seen.has(wireName)) {
    add('table_duplicate');
    return null;
  }
  seen.add(wireName);
  const keyName = validateKeyNames(table, add);
  const found = catalog.tables.find((candidate) => candidate.name.toLowerCase() === wireName);
  if (found === undefined || found.type !== 'table') {
    add(found === undefined ? 'table_not_found' : 'table_not_ordinary');
    return null;
  }
  validateColumns(found, table, add);
  const key = keyName === null ? null : validateKey(found, keyName, add);
  return key === null ? null : { config: table, wireName, catalog: found, key };
}

function tableNameFault(wireName: string, reservedNames: ReadonlySet<string>): ConfigViolationCode | null {
  if (wireName === '') return 'table_name_missing';
  if (wireName.includes('.')) return 'table_name_qualified';
  if (!TABLE_NAME.test(wireName)) return 'table_name_unsupported';
  return wireName.startsWith('sqlite_') || reservedNames.has(wireName) ? 'table_reserved' : null;
}

function validateKeyNames(table: TableConfig, add: (code: ConfigViolationCode) => void): string | null {
  const listed = (table.syncKeyColumns ?? []).map((name) => name.trim().toLowerCase()).filter((name) => name !== '');
  const single = (table.syncKeyColumnName ?? '').trim().toLowerCase();
  const names = new Set(listed.length > 0 ? listed : single === '' ? [] : [single]);
  if (names.size === 0) add('key_missing');
  if (names.size > 1) add('key_count');
  const [name] = names;
  return names.size === 1 && name !== undefined ? name : null;
}

function validateColumns(
  found: CatalogTable,
  table: TableConfig,
  add: (code: ConfigViolationCode, column?: string) => void,
): void {
  for (const column of found.columns) {
    const wireName = column.name.toLowerCase();
    if (wireName === SCOPE_COLUMN) add('scope_column_present', wireName);
    else if (!COLUMN_NAME.test(wireName)) add('column_name_unsupported', column.name);
  }
  for (const name of table.jsonColumns ?? []) {
    const column = found.columns.find((candidate) => candidate.name.toLowerCase() === name.trim().toLowerCase());
    if (column === undefined || columnKind(column.declaredType, false) !== 'text')
      add('json_column_invalid', name.trim().toLowerCase());
  }
}

function validateKey(
  found: CatalogTable,
  keyName: string,
  add: (code: ConfigViolationCode, column?: string) => void,
): CatalogColumn | null {
  const primaryKey = found.columns.filter((column) => column.primaryKeyPosition > 0);
  const key = found.columns.find((column) => column.name.toLowerCase() === keyName);
  if (primaryKey.length > 1) add('primary_key_composite');
  if (key === undefined) {
    add('key_column_not_found', keyName);
    return null;
  }
  if (primaryKey.length <= 1 && key.primaryKeyPosition === 0) add('key_not_primary_key', keyName);
  const type = key.declaredType.toLowerCase();
  const isText = columnKind(type, true) === 'text' && TEXT_KEY_TYPE.test(type);
  if (!type.includes('blob') && !isText) add('key_type_unsupported', keyName);
  if (!key.isNotNull) add('key_nullable', keyName);
  if (found.collations.some(({ column, collation }) => column === key.name && collation.toUpperCase() !== 'BINARY')) {
    // Two keys that are different on the server would be the same row here.
    add('key_collation_unsupported', keyName);
  }
  return key;
}

function validateForeignKeys(tables: readonly ResolvedTable[], config: LocalSchemaConfig, violations: ConfigViolation[]): void {
  const managed = new Set(config.tables.map((table) => table.tableName.trim().toLowerCase()));
  for (const table of tables) {
    const composite = new Set<string>();
    const open = new Set<string>();
    for (const foreignKey of table.catalog.foreignKeys) {
      const parent = foreignKey.parentTable.toLowerCase();
      if (foreignKey.columns.length > 1) composite.add(`${table.wireName} -> ${parent}`);
      if (managed.has(parent)) continue;
      for (const { from, to } of foreignKey.columns) {
        open.add(`${table.wireName}.${from.toLowerCase()} -> ${parent}${to === null ? '' : `.${to.toLowerCase()}`}`);
      }
    }
    if (composite.size > 0)
      violations.push({ code: 'foreign_key_composite', table: table.wireName, references: sorted(composite) });
    if (open.size > 0) violations.push({ code: 'foreign_key_open', table: table.wireName, references: sorted(open) });
  }
}

function sorted(names: ReadonlySet<string>): string[] {
  return [...names].sort();
}

/** By table, column, code; plain code unit order. */
export function sortViolations(violations: readonly ConfigViolation[]): ConfigViolation[] {
  const sortKey = (violation: ConfigViolation): string =>
    `${violation.table ?? ''}\u0000${violation.column ?? ''}\u0000${violation.code}`;
  return [...violations].sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : sortKey(a) > sortKey(b) ? 1 : 0));
}
