import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { columnTextNames, columnTextValuesSql } from '../rules/column-text-sql.ts';
import { hexPayload } from '../rules/hex-payload.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { quoteLiteral } from '../rules/sql-text.ts';
import { insertIntoSql, needsHexPayload, upsertClauseSql, wireValuesSql } from '../rules/wire-sql.ts';
import { countColumn, onlyRow, textColumn } from './columns.ts';
import type { PageTable, Pending } from './page.ts';

/*
 * Pulled rows of which nothing is pending go straight to their tables: no verdict has to be kept about any of them, so they need no work
 * table. Whether a row is older than what row state holds is looked up where it is written. Deletes, and everything that may meet a
 * pending row, go through the page. Both ways have the same outcomes.
 */

/** Nothing that is unsent, frozen or set aside could meet a pulled row. */
export function isNothingPending({ hasDirty, hasFrozen, hasQuarantined, hasBases }: Pending): boolean {
  return !hasDirty && !hasFrozen && !hasQuarantined && !hasBases;
}

/** Writes rows from memory and returns the tables written; `null`, and nothing is written, where they have to go through the page. */
export async function writeDirectly(
  tx: SqliteTx,
  schema: LocalSchema,
  rows: readonly CheckedRow[],
): Promise<readonly PageTable[] | null> {
  if (tx.runMany === undefined || !rows.every(isInOrder)) return null;
  const written: PageTable[] = [];
  for (const [table, own] of inTableOrder(schema, rows)) {
    const before = await totalChanges(tx);
    const upserts = upsertsOf(schema, table, own);
    await tx.runMany(upserts.sql, upserts.values);
    await tx.runMany(
      saveStateValuesSql(schema, table),
      own.map((row) => [row.keyJson, row.rowVersion]),
    );
    if ((await totalChanges(tx)) > before) written.push(writtenTable(table));
  }
  return written;
}

/** The upsert of these rows: of values where all rows have them, which spares SQLite the reading of the payloads. */
function upsertsOf(schema: LocalSchema, table: LocalTable, rows: readonly CheckedRow[]): Upserts {
  const values = rows.flatMap((row) => (row.values === undefined ? [] : [[row.keyJson, row.rowVersion, ...row.values]]));
  if (values.length === rows.length) return { sql: upsertTextsSql(schema, table), values };
  return {
    sql: upsertPayloadsSql(schema, table),
    values: rows.map((row) => [row.keyJson, row.rowVersion, sqlPayload(table, row)]),
  };
}

interface Upserts {
  readonly sql: string;
  readonly values: readonly (readonly SqlValue[])[];
}

/** The same for a staged bundle, which is never held in memory. */
export async function writeStagedDirectly(
  tx: SqliteTx,
  schema: LocalSchema,
  bundleSeq: bigint,
): Promise<readonly PageTable[] | null> {
  const found = await tx.all(STAGED_TABLES, [bundleSeq]);
  const names = new Set(found.map((row) => textColumn(row, 0)));
  const tables = schema.tables.filter((table) => names.has(table.wireName));
  if (tables.some(needsHexPayload) || found.some((row) => countColumn(row, 1) === 0)) return null;
  const written: PageTable[] = [];
  for (const table of tables) {
    const before = await totalChanges(tx);
    await tx.run(upsertStagedSql(schema, table), [bundleSeq]);
    await tx.run(saveStateStagedSql(schema, table), [bundleSeq]);
    if ((await totalChanges(tx)) > before) written.push(writtenTable(table));
  }
  return written;
}

/** No delete; and of a key that comes twice the later row is not the older one, so that the later one wins in both statements. */
function isInOrder({ op, rowVersion }: CheckedRow, index: number, rows: readonly CheckedRow[]): boolean {
  return op !== 'DELETE' && rowVersion >= (rows[index - 1]?.rowVersion ?? rowVersion);
}

function inTableOrder(schema: LocalSchema, rows: readonly CheckedRow[]): readonly (readonly [LocalTable, CheckedRow[]])[] {
  const groups = new Map<string, CheckedRow[]>();
  for (const row of rows) {
    const group = groups.get(row.table);
    if (group === undefined) groups.set(row.table, [row]);
    else group.push(row);
  }
  return schema.tables.flatMap((table) => {
    const own = groups.get(table.wireName);
    return own === undefined ? [] : [[table, own] as const];
  });
}

function sqlPayload(table: LocalTable, { payload }: CheckedRow): SqlValue {
  return payload !== null && needsHexPayload(table) ? hexPayload(table, payload) : payload;
}

function writtenTable(table: LocalTable): PageTable {
  return { table, hasUpserts: true, hasDeletes: false, hasPending: false, hasRequeued: false };
}

/** Rows that statements of this connection have changed. Tells whether a table was written, also where rows were inserted in many calls. */
async function totalChanges(tx: SqliteTx): Promise<number> {
  return countColumn(onlyRow(await tx.all('SELECT total_changes()')), 0);
}

/** Key, version, payload of one row; drivers may repeat the list of places. */
function upsertPayloadsSql(schema: LocalSchema, table: LocalTable): string {
  const values = wireValuesSql(table, 'p.payload');
  return upsertSql(schema, table, { rows: placesSql(['payload']), values, from: 'p WHERE' });
}

/** Key, version, values of one row. */
function upsertTextsSql(schema: LocalSchema, table: LocalTable): string {
  const values = columnTextValuesSql(table, 'p');
  return upsertSql(schema, table, { rows: placesSql(columnTextNames(table)), values, from: 'p WHERE' });
}

/** Bundle sequence. */
function upsertStagedSql(schema: LocalSchema, table: LocalTable): string {
  const values = wireValuesSql(table, 'p.payload');
  const from = `${STAGED_ROWS} WHERE ${ofTable(table)} AND`;
  return upsertSql(schema, table, { rows: '', values, from, order: 'ORDER BY p.row_ordinal' });
}

/** Parameters as a table `p`. */
function placesSql(columns: readonly string[]): string {
  const names = ['key_json', 'row_version', ...columns];
  return `WITH p(${names.join(', ')}) AS (VALUES (${names.map(() => '?').join(', ')}))`;
}

interface UpsertSource {
  readonly rows: string;
  readonly values: string;
  /** Ends where a condition may follow. */
  readonly from: string;
  readonly order?: string;
}

function upsertSql(schema: LocalSchema, table: LocalTable, { rows, values, from, order = '' }: UpsertSource): string {
  return `
${insertIntoSql(table)} ${rows} SELECT ${values} FROM ${from} NOT EXISTS (
  SELECT 1 FROM _sync_row_state s WHERE s.schema_name = ${quoteLiteral(schema.name)} AND s.table_name = ${quoteLiteral(table.wireName)}
    AND s.key_json = p.key_json AND s.row_version >= p.row_version) ${order}
${upsertClauseSql(table)}`;
}

/** Key, version of one row. */
function saveStateValuesSql(schema: LocalSchema, table: LocalTable): string {
  return saveStateSql(schema, table, placesSql([]), 'p', 'true');
}

/** Bundle sequence. */
function saveStateStagedSql(schema: LocalSchema, table: LocalTable): string {
  return saveStateSql(schema, table, '', STAGED_ROWS, `${ofTable(table)} ORDER BY p.row_ordinal`);
}

function saveStateSql(schema: LocalSchema, table: LocalTable, rows: string, from: string, where: string): string {
  return `
INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version, deleted)
${rows} SELECT ${quoteLiteral(schema.name)}, ${quoteLiteral(table.wireName)}, p.key_json, p.row_version, 0 FROM ${from} WHERE ${where}
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET row_version = excluded.row_version, deleted = 0,
  updated_at = strftime('%Y-%m-%dT%H:%M:%fZ','now') WHERE excluded.row_version > row_version`;
}

const STAGED_ROWS = '_oversync_bundle_stage p';

function ofTable(table: LocalTable): string {
  return `p.bundle_seq = ? AND p.table_name = ${quoteLiteral(table.wireName)}`;
}

/** Bundle sequence. Tables of a staged bundle, and whether its rows may be written as they lie: see {@link isInOrder}. */
const STAGED_TABLES = `
SELECT table_name, MAX(op = 'DELETE') = 0 AND MIN(row_version) = MAX(row_version) FROM _oversync_bundle_stage
WHERE bundle_seq = ? GROUP BY table_name`;
