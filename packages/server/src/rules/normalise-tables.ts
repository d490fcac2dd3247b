import type { NormalisedTable } from './catalog-facts.ts';
import type { RegisteredTableConfig } from './table-description.ts';

/** Trims and lower-cases the names of a registration; column lists are compared exactly and stay as they are. */
export function normaliseTable(config: RegisteredTableConfig): NormalisedTable {
  return {
    schema: normaliseName(config.schema ?? 'public'),
    table: normaliseName(config.table),
    keyColumn: normaliseName(config.syncKeyColumn),
    columns: config.columns,
    excludeColumns: config.excludeColumns ?? [],
    jsonAsText: config.jsonAsText ?? [],
  };
}

function normaliseName(name: string): string {
  return name.trim().toLowerCase();
}

/** `schema.table`. */
export function tableName(table: { readonly schema: string; readonly table: string }): string {
  return `${table.schema}.${table.table}`;
}
