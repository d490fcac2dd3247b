import { columnTextNames, hasColumnTexts } from '../rules/column-text-sql.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { quoteLiteral } from '../rules/sql-text.ts';

/*
 * The stage in a file of its own (docs/adr/0032). It holds one snapshot: for each managed table the rows whose values are known one by
 * one, and those that are kept as payloads, each in the order of arrival.
 */

/** Name under which the file is attached. */
export const STAGE_SCHEMA = '_oversync_stage';

/** Path. */
export const ATTACH_STAGE = `ATTACH DATABASE ? AS ${STAGE_SCHEMA}`;
export const DETACH_STAGE = `DETACH DATABASE ${STAGE_SCHEMA}`;
export const IS_STAGE_ATTACHED = `SELECT 1 FROM pragma_database_list WHERE name = '${STAGE_SCHEMA}'`;

/**
 * Nothing in the file has to survive before it is complete, so nothing is flushed and the journal stays in memory. Large pages: it is only
 * ever written and read from front to back.
 */
export const STAGE_SETTINGS = `PRAGMA ${STAGE_SCHEMA}.page_size = 16384; PRAGMA ${STAGE_SCHEMA}.journal_mode = MEMORY;
PRAGMA ${STAGE_SCHEMA}.synchronous = OFF; PRAGMA ${STAGE_SCHEMA}.cache_size = -512`;

/** What is written next reaches the disk, together with all that was written before. */
export const FLUSH_STAGE = `PRAGMA ${STAGE_SCHEMA}.synchronous = FULL`;

/** The rows of the table at this place of the table order that are kept as payloads. */
export function stagedRowsSql(order: number): string {
  return `${STAGE_SCHEMA}.rows_${order}`;
}

/** Its rows that are kept as values. */
export function stagedValuesSql(order: number): string {
  return `${STAGE_SCHEMA}.values_${order}`;
}

/** What a stage says of a table: with other columns its rows would mean something else. */
export function stagedTableText({ wireName, columns }: LocalTable): string {
  return JSON.stringify([wireName, ...columns.map((column) => [column.wireName, column.kind, column.isJson])]);
}

/** Tables of the stage, and the list of what each of them holds. */
export function createStageSql(schema: LocalSchema): string {
  const payloads = schema.tables.map(
    ({ order }) =>
      `CREATE TABLE ${stagedRowsSql(order)} (ordinal INTEGER PRIMARY KEY, key_json TEXT NOT NULL, row_version INTEGER NOT NULL, payload TEXT NOT NULL)`,
  );
  const values = schema.tables
    .filter(hasColumnTexts)
    .map(
      (table) =>
        `CREATE TABLE ${stagedValuesSql(table.order)} (ordinal INTEGER PRIMARY KEY, row_version INTEGER NOT NULL, ${columnTextNames(table).join(', ')})`,
    );
  const names = schema.tables.map(
    (table) =>
      `INSERT INTO ${STAGE_SCHEMA}.managed(position, name) VALUES (${table.order}, ${quoteLiteral(stagedTableText(table))})`,
  );
  return [
    `CREATE TABLE ${STAGE_SCHEMA}.managed (position INTEGER PRIMARY KEY, name TEXT NOT NULL)`,
    `CREATE TABLE ${STAGE_SCHEMA}.session (snapshot_id TEXT NOT NULL, row_count INTEGER NOT NULL, payload_bytes_max INTEGER NOT NULL)`,
    ...payloads,
    ...values,
    ...names,
  ].join(';\n');
}

/** What {@link stagedTableText} says of the tables, in their order. */
export const STAGED_NAMES = `SELECT name FROM ${STAGE_SCHEMA}.managed ORDER BY position`;

/** Snapshot id, rows, bytes that no payload exceeds. The row is there only when all others are. */
export const COMPLETE_STAGE = `INSERT INTO ${STAGE_SCHEMA}.session(snapshot_id, row_count, payload_bytes_max) VALUES (?, ?, ?)`;

/** Snapshot id. */
export const COMPLETED_STAGE = `
SELECT CAST(row_count AS TEXT), payload_bytes_max FROM ${STAGE_SCHEMA}.session WHERE snapshot_id = ?`;
