import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { quoteIdentifier, quoteLiteral } from '../rules/sql-text.ts';
import type { Catalog, CatalogColumn, CatalogForeignKey, CatalogTable } from '../rules/catalog.ts';
import { bigintColumn, countColumn, onlyRow, optionalTextColumn, textColumn } from './columns.ts';
import { SHARED_TABLES } from './tables.sql.ts';

/** Reads what validation needs in a constant number of statements. `names` are the configured table names, in lower case. */
export async function loadCatalog(tx: SqliteTx, names: readonly string[]): Promise<Catalog> {
  const wanted = JSON.stringify([...new Set(names)]);
  const version = textColumn(onlyRow(await tx.all('SELECT sqlite_version()')), 0);
  const columns = groupRows(await tx.all(LOAD_COLUMNS, [wanted]), columnOf);
  const foreignKeys = await loadForeignKeys(tx, wanted);
  const indexed = groupRows(await tx.all(LOAD_INDEXED_COLUMNS, [wanted]), (row) => optionalTextColumn(row, 1) ?? '');
  const collations = groupRows(await tx.all(LOAD_KEY_COLLATIONS, [wanted]), (row) => ({
    column: optionalTextColumn(row, 1) ?? '',
    collation: textColumn(row, 2),
  }));
  const tables = (await tx.all(LOAD_TABLES, [wanted])).map((row): CatalogTable => {
    const name = textColumn(row, 0);
    return {
      name,
      type: tableType(textColumn(row, 1)),
      columns: columns.get(name) ?? [],
      foreignKeys: foreignKeys.get(name) ?? [],
      indexedColumns: indexed.get(name) ?? [],
      collations: collations.get(name) ?? [],
    };
  });
  const folding = await loadFoldingKeys(tx, tables);
  const sharedColumns = await loadSharedColumns(tx);
  return {
    sqliteVersion: version,
    tables: tables.map((table) => ({ ...table, collations: [...table.collations, ...(folding.get(table.name) ?? [])] })),
    sharedColumns,
    knownSchemaNames: sharedColumns.has('_sync_managed_tables') ? await loadSchemaNames(tx) : [],
    triggers: (await tx.all(LOAD_TRIGGERS)).map((row) => ({
      name: textColumn(row, 0),
      table: textColumn(row, 1),
      sql: textColumn(row, 2),
    })),
  };
}

/**
 * Key columns that take texts for equal which are not. A primary key may be indexed byte by byte and its column still compare in another
 * way; no pragma tells, so the column is asked.
 */
async function loadFoldingKeys(
  tx: SqliteTx,
  tables: readonly CatalogTable[],
): Promise<Map<string, { readonly column: string; readonly collation: string }[]>> {
  const probes = tables
    .filter((table) => table.type === 'table')
    .flatMap((table) =>
      table.columns.filter((column) => column.primaryKeyPosition > 0).map((column) => foldingProbe(table.name, column.name)),
    );
  const found: SqlValue[][] = [];
  for (let start = 0; start < probes.length; start += PROBES_PER_STATEMENT) {
    found.push(...(await tx.all(probes.slice(start, start + PROBES_PER_STATEMENT).join(' UNION ALL '))));
  }
  return groupRows(
    found.filter((row) => countColumn(row, 2) === 1),
    (row) => ({ column: textColumn(row, 1), collation: 'of the column' }),
  );
}

/** SQLite takes 500 terms of a compound SELECT. */
const PROBES_PER_STATEMENT = 100;

function foldingProbe(table: string, column: string): string {
  const values = `SELECT ${quoteIdentifier(column)} AS x FROM main.${quoteIdentifier(table)} WHERE 0 UNION ALL SELECT 'a'`;
  return `SELECT ${quoteLiteral(table)}, ${quoteLiteral(column)}, (SELECT x = 'A' OR x = 'a ' FROM (${values}))`;
}

/** `PRAGMA schema_version`, which changes with every DDL statement of any connection. */
export async function loadSchemaVersion(tx: SqliteTx): Promise<bigint> {
  return bigintColumn(onlyRow(await tx.all('PRAGMA main.schema_version')), 0);
}

function tableType(type: string): CatalogTable['type'] {
  return type === 'view' || type === 'virtual' || type === 'shadow' ? type : 'table';
}

function columnOf(row: readonly (null | string | bigint | number | Uint8Array)[]): CatalogColumn {
  return {
    name: textColumn(row, 1),
    declaredType: optionalTextColumn(row, 2) ?? '',
    isNotNull: countColumn(row, 3) === 1,
    primaryKeyPosition: countColumn(row, 4),
  };
}

async function loadForeignKeys(tx: SqliteTx, wanted: string): Promise<Map<string, CatalogForeignKey[]>> {
  const byTable = new Map<string, Map<number, { parentTable: string; columns: { from: string; to: string | null }[] }>>();
  for (const row of await tx.all(LOAD_FOREIGN_KEYS, [wanted])) {
    const keys =
      byTable.get(textColumn(row, 0)) ??
      new Map<number, { parentTable: string; columns: { from: string; to: string | null }[] }>();
    byTable.set(textColumn(row, 0), keys);
    const key = keys.get(countColumn(row, 1)) ?? { parentTable: textColumn(row, 2), columns: [] };
    keys.set(countColumn(row, 1), key);
    key.columns.push({ from: textColumn(row, 3), to: optionalTextColumn(row, 4) });
  }
  return new Map([...byTable].map(([name, keys]) => [name, [...keys.values()]]));
}

async function loadSharedColumns(tx: SqliteTx): Promise<Map<string, string[]>> {
  const names = JSON.stringify(SHARED_TABLES.map((table) => table.name));
  return groupRows(await tx.all(LOAD_COLUMNS, [names]), (row) => textColumn(row, 1));
}

async function loadSchemaNames(tx: SqliteTx): Promise<string[]> {
  return (await tx.all('SELECT DISTINCT schema_name FROM _sync_managed_tables')).map((row) => textColumn(row, 0));
}

function groupRows<T>(
  rows: readonly (null | string | bigint | number | Uint8Array)[][],
  valueOf: (row: readonly (null | string | bigint | number | Uint8Array)[]) => T,
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const row of rows) {
    const name = textColumn(row, 0);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [valueOf(row)]);
    else group.push(valueOf(row));
  }
  return groups;
}

const NAMED = `SELECT t.name AS name, t.type AS type FROM json_each(?) wanted JOIN pragma_table_list t ON lower(t.name) = wanted.value WHERE t.schema = 'main'`;

/** Parameter of all of these: a JSON array of lower-case names. */
const LOAD_TABLES = NAMED;
const LOAD_COLUMNS = `
SELECT found.name, c.name, c.type, c."notnull", c.pk FROM (${NAMED}) found, pragma_table_info(found.name, 'main') c ORDER BY found.name, c.cid`;
const LOAD_FOREIGN_KEYS = `
SELECT found.name, f.id, f."table", f."from", f."to" FROM (${NAMED}) found, pragma_foreign_key_list(found.name, 'main') f
ORDER BY found.name, f.id, f.seq`;
const LOAD_INDEXED_COLUMNS = `
SELECT found.name, i.name FROM (${NAMED}) found, pragma_index_list(found.name, 'main') l, pragma_index_info(l.name, 'main') i WHERE i.seqno = 0`;
const LOAD_KEY_COLLATIONS = `
SELECT found.name, i.name, i.coll FROM (${NAMED}) found, pragma_index_list(found.name, 'main') l, pragma_index_xinfo(l.name, 'main') i
WHERE l.origin = 'pk' AND i.key = 1`;
const LOAD_TRIGGERS = `SELECT name, tbl_name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND sql IS NOT NULL`;
