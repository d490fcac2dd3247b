import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { hexPayload } from '../rules/hex-payload.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import {
  equalsWireSql,
  insertIntoSql,
  keyValueSql,
  needsHexPayload,
  tableSql,
  upsertClauseSql,
  wireValuesSql,
} from '../rules/wire-sql.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { countColumn, onlyRow, textColumn } from './columns.ts';
import { insertRows } from './insert-rows.ts';
import {
  COUNT_KEPT,
  DROP_APPLIED_BASES,
  DROP_SETTLED,
  DROP_STALE,
  INSERT_PAGE,
  KEEP_IMAGES,
  MARK_DIRTY,
  MARK_FROZEN,
  MARK_QUARANTINED,
  PAGE_FROM_STAGE,
  PAGE_PAYLOADS,
  PAGE_TABLES,
  SAVE_ROW_STATE,
  SET_SQL_PAYLOADS,
  WHAT_IS_PENDING,
} from './page.sql.ts';
import { CREATE_WORK_TABLES, EMPTY_WORK_TABLES } from './work-tables.sql.ts';

/** The payload that the column expressions read, of tables with BLOBs. */
export const PAGE_PAYLOAD = 'COALESCE(p.sql_payload, p.payload)';

function payloadOf(table: LocalTable): string {
  return needsHexPayload(table) ? PAGE_PAYLOAD : 'p.payload';
}

/** Rows loaded by one call: keeps parameter lists and held payloads small. */
const LOAD_ROWS = 500;

export interface Pending {
  readonly hasDirty: boolean;
  readonly hasFrozen: boolean;
  readonly hasQuarantined: boolean;
  readonly hasBases: boolean;
}

/** What the page holds of one table. */
export interface PageTable {
  readonly table: LocalTable;
  readonly hasUpserts: boolean;
  readonly hasDeletes: boolean;
  readonly hasPending: boolean;
  readonly hasRequeued: boolean;
}

/** Creates the work tables where they are missing and empties the page. */
export async function emptyPage(tx: SqliteTx): Promise<void> {
  await tx.exec(`${CREATE_WORK_TABLES}; ${EMPTY_WORK_TABLES}`);
}

/** Puts rows into the page, in slices. */
export async function loadPage(tx: SqliteTx, schema: LocalSchema, rows: readonly CheckedRow[], firstOrdinal = 0): Promise<void> {
  for (let start = 0; start < rows.length; start += LOAD_ROWS) {
    const slice = rows.slice(start, start + LOAD_ROWS).map((row, index) => pageRow(schema, row, firstOrdinal + start + index));
    await insertRows(tx, INSERT_PAGE.into, INSERT_PAGE.width, slice, INSERT_PAGE.conflict);
  }
}

function pageRow(schema: LocalSchema, row: CheckedRow, ordinal: number): SqlValue[] {
  const table = schema.tablesByName.get(row.table);
  const needsHex = table !== undefined && row.payload !== null && needsHexPayload(table);
  const sqlPayload = needsHex ? hexPayload(table, row.payload ?? '') : null;
  return [BigInt(ordinal), row.table, row.keyJson, row.op, row.rowVersion, row.payload, sqlPayload];
}

/** Puts a staged bundle into the page without holding it in memory. */
export async function loadPageFromStage(tx: SqliteTx, schema: LocalSchema, bundleSeq: bigint): Promise<void> {
  await tx.run(PAGE_FROM_STAGE, [bundleSeq]);
  await fillSqlPayloads(tx, schema);
}

/** Rewrites the payloads of the page that SQL cannot read as they are, a few at a time. */
export async function fillSqlPayloads(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  const tables = schema.tables.filter(needsHexPayload).map((table) => table.wireName);
  if (tables.length === 0) return;
  for (let after = -1; ;) {
    const rows = await tx.all(PAGE_PAYLOADS, [JSON.stringify(tables), BigInt(after), BigInt(HEX_ROWS)]);
    const last = rows.at(-1);
    if (last === undefined) return;
    const changed = rows.map((row) => [countColumn(row, 0), hexOf(schema, textColumn(row, 1), textColumn(row, 2))]);
    await tx.run(SET_SQL_PAYLOADS, [JSON.stringify(changed)]);
    after = countColumn(last, 0);
  }
}

/** Rows with BLOBs may be large, so fewer are held at once. */
const HEX_ROWS = 64;

function hexOf(schema: LocalSchema, tableName: string, payload: string): string {
  const table = schema.tablesByName.get(tableName);
  return table === undefined ? payload : hexPayload(table, payload);
}

export async function loadPending(tx: SqliteTx): Promise<Pending> {
  const row = onlyRow(await tx.all(WHAT_IS_PENDING));
  const flag = (index: number): boolean => countColumn(row, index) === 1;
  return { hasDirty: flag(0), hasFrozen: flag(1), hasQuarantined: flag(2), hasBases: flag(3) };
}

/** client.md 7.2 steps 1 to 3: drops what is known, keeps images of pending keys. Returns how many were kept. */
export async function judgePage(tx: SqliteTx, schema: LocalSchema, pending: Pending): Promise<number> {
  await tx.run(DROP_STALE, [schema.name]);
  if (!pending.hasDirty && !pending.hasFrozen && !pending.hasQuarantined) return 0;
  if (pending.hasDirty) await tx.run(MARK_DIRTY, [schema.name]);
  if (pending.hasFrozen) await tx.run(MARK_FROZEN);
  if (pending.hasQuarantined) await tx.run(MARK_QUARANTINED, [schema.name]);
  for (const { table, hasPending } of await loadPageTables(tx, schema)) {
    if (hasPending) await tx.run(settleEqualSql(table), [table.wireName, schema.name]);
  }
  await tx.run(KEEP_IMAGES, [schema.name]);
  return countColumn(onlyRow(await tx.all(COUNT_KEPT)), 0);
}

/** client.md 7.2 step 4: writes every row that is not pending. */
export async function writePage(tx: SqliteTx, schema: LocalSchema, pending: Pending): Promise<readonly PageTable[]> {
  const tables = await loadPageTables(tx, schema);
  for (const { table, hasUpserts } of tables) if (hasUpserts) await tx.run(upsertSql(table), [table.wireName]);
  for (const { table, hasDeletes } of [...tables].reverse()) if (hasDeletes) await tx.run(deleteSql(table), [table.wireName]);
  await savePageState(tx, schema, pending);
  return tables;
}

/** Row state of the applied rows, and the end of the intents they settle. */
export async function savePageState(tx: SqliteTx, schema: LocalSchema, pending: Pending): Promise<void> {
  await tx.run(SAVE_ROW_STATE, [schema.name]);
  if (pending.hasDirty) await tx.run(DROP_SETTLED, [schema.name]);
  if (pending.hasBases) await tx.run(DROP_APPLIED_BASES, [schema.name]);
}

/** In table order. */
export async function loadPageTables(tx: SqliteTx, schema: LocalSchema): Promise<PageTable[]> {
  const tables = (await tx.all(PAGE_TABLES)).flatMap((row): PageTable[] => {
    const table = schema.tablesByName.get(textColumn(row, 0));
    const flag = (index: number): boolean => countColumn(row, index) === 1;
    return table === undefined
      ? []
      : [{ table, hasUpserts: flag(1), hasDeletes: flag(2), hasPending: flag(3), hasRequeued: flag(4) }];
  });
  return tables.sort((a, b) => a.table.order - b.table.order);
}

/** Parameter: table. */
function upsertSql(table: LocalTable): string {
  return (
    `${insertIntoSql(table)} SELECT ${wireValuesSql(table, payloadOf(table))} FROM _oversync_work._oversync_page p ` +
    `WHERE p.table_name = ? AND p.verdict IN (0, 2) AND p.op <> 'DELETE' ORDER BY p.ordinal ${upsertClauseSql(table)}`
  );
}

/** Parameter: table. */
function deleteSql(table: LocalTable): string {
  return (
    `DELETE FROM ${tableSql(table)} WHERE ${quoteIdentifier(table.key.name)} IN (SELECT ${keyValueSql(table, 'p.key_json')} ` +
    `FROM _oversync_work._oversync_page p WHERE p.table_name = ? AND p.verdict IN (0, 2) AND p.op = 'DELETE')`
  );
}

/** Table, schema. A key that is pending only by a dirty row with the same intent as the image counts as clean. */
function settleEqualSql(table: LocalTable): string {
  const key = quoteIdentifier(table.key.name);
  const isEqual =
    `EXISTS (SELECT 1 FROM ${tableSql(table)} x WHERE x.${key} = ${keyValueSql(table, 'p.key_json')} ` +
    `AND ${equalsWireSql(table, 'x', payloadOf(table))})`;
  return (
    `UPDATE _oversync_work._oversync_page SET verdict = 2 WHERE ordinal IN (SELECT p.ordinal FROM _oversync_work._oversync_page p ` +
    `JOIN _sync_dirty_rows d ON d.table_name = p.table_name AND d.key_json = p.key_json ` +
    `WHERE p.verdict = 1 AND p.table_name = ? AND d.schema_name = ? AND CASE ` +
    `WHEN p.op = 'DELETE' THEN d.payload IS NULL ELSE d.payload IS NOT NULL AND ${isEqual} END)`
  );
}
