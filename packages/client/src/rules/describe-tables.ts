import type { Catalog } from './catalog.ts';
import { columnKind, isBooleanType } from './column-kind.ts';
import type { LocalColumn, LocalReference, LocalSchemaConfig, LocalTable, SchemaWarning } from './local-schema.ts';
import { orderTables } from './table-order.ts';
import { triggerNames } from './trigger-sql.ts';
import type { ResolvedTable } from './validate-tables.ts';

const DECIMAL_TYPE = /numeric|decimal/;

/** Descriptions of tables that have passed validation, in table order. */
export function describeTables(config: LocalSchemaConfig, tables: readonly ResolvedTable[]): readonly LocalTable[] {
  const places = orderTables(
    tables.map((table) => ({
      wireName: table.wireName,
      parents: table.catalog.foreignKeys.map((foreignKey) => foreignKey.parentTable.toLowerCase()),
    })),
  );
  const described: LocalTable[] = [];
  for (const table of tables) {
    const place = places.get(table.wireName);
    if (place !== undefined) described.push({ ...describeTable(config, table, tables), ...place });
  }
  return described.sort((a, b) => a.order - b.order);
}

function describeTable(
  config: LocalSchemaConfig,
  table: ResolvedTable,
  tables: readonly ResolvedTable[],
): Omit<LocalTable, 'order' | 'group' | 'isGroupIndivisible'> {
  const referring = new Set(
    table.catalog.foreignKeys.flatMap((foreignKey) => foreignKey.columns.map(({ from }) => from.toLowerCase())),
  );
  const jsonColumns = new Set((table.config.jsonColumns ?? []).map((name) => name.trim().toLowerCase()));
  const columns = table.catalog.columns.map((column): LocalColumn => {
    const wireName = column.name.toLowerCase();
    const isIdentity = column === table.key || referring.has(wireName);
    const kind = columnKind(column.declaredType, isIdentity);
    return {
      name: column.name,
      wireName,
      kind,
      isBoolean: kind === 'integer' && isBooleanType(column.declaredType),
      isJson: jsonColumns.has(wireName),
      isNotNull: column.isNotNull,
    };
  });
  const key = columns.find((column) => column.name === table.key.name);
  if (key === undefined) throw new Error('the key column was validated before');
  const resolver = table.config.resolver ?? config.resolver;
  return {
    name: table.catalog.name,
    wireName: table.wireName,
    columns,
    key,
    references: referencesOf(table, columns, tables),
    capturesBase: table.config.captureBase ?? resolver?.usesBase ?? false,
  };
}

function referencesOf(table: ResolvedTable, columns: readonly LocalColumn[], tables: readonly ResolvedTable[]): LocalReference[] {
  return table.catalog.foreignKeys.flatMap((foreignKey) => {
    const parentTable = foreignKey.parentTable.toLowerCase();
    const parent = tables.find((candidate) => candidate.wireName === parentTable);
    return foreignKey.columns.flatMap(({ from, to }) => {
      const column = columns.find((candidate) => candidate.wireName === from.toLowerCase());
      const parentColumn = (to ?? parent?.key.name ?? '').toLowerCase();
      const isIndexed = table.catalog.indexedColumns.some((name) => name.toLowerCase() === from.toLowerCase());
      return column === undefined ? [] : [{ column, parentTable, parentColumn, isIndexed }];
    });
  });
}

/** What works, but perhaps not as the application expects (client.md 2.2, 4.5). */
export function warningsOf(tables: readonly LocalTable[], resolved: readonly ResolvedTable[], catalog: Catalog): SchemaWarning[] {
  const warnings: SchemaWarning[] = [];
  for (const { wireName, catalog: found } of resolved) {
    for (const column of found.columns) {
      if (DECIMAL_TYPE.test(column.declaredType.toLowerCase())) {
        warnings.push({ code: 'decimal_affinity', table: wireName, column: column.name.toLowerCase() });
      }
    }
    const table = tables.find((candidate) => candidate.wireName === wireName);
    for (const reference of table?.references ?? []) {
      const parent = tables.find((candidate) => candidate.wireName === reference.parentTable);
      const column = reference.column.wireName;
      if (parent?.key.wireName !== reference.parentColumn)
        warnings.push({ code: 'foreign_key_target_not_key', table: wireName, column });
      if (!reference.isIndexed) {
        warnings.push({ code: 'foreign_key_not_indexed', table: wireName, column });
      }
    }
  }
  return [...warnings, ...unguardedTriggers(tables, catalog)];
}

/** Triggers of the application that write a managed table without asking whether server rows are being applied. */
function unguardedTriggers(tables: readonly LocalTable[], catalog: Catalog): SchemaWarning[] {
  const ours = new Set(tables.flatMap((table) => triggerNames(table.wireName)));
  return catalog.triggers.flatMap((trigger) => {
    const table = tables.find((candidate) => candidate.wireName === trigger.table.toLowerCase());
    const isForeign = table !== undefined && !ours.has(trigger.name.toLowerCase());
    if (!isForeign || /_sync_apply_state/i.test(trigger.sql) || !writesManagedTable(trigger.sql, tables)) return [];
    return [{ code: 'application_trigger', table: table.wireName, trigger: trigger.name }];
  });
}

function writesManagedTable(triggerSql: string, tables: readonly LocalTable[]): boolean {
  const written = /\b(?:into|update|delete\s+from)\s+(?:or\s+\w+\s+)?["'`[]?(\w+)/gi;
  const [, body = ''] = triggerSql.split(/\bbegin\b/i);
  return [...body.matchAll(written)].some(([, name]) => tables.some((table) => table.wireName === name?.toLowerCase()));
}
