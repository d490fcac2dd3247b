import { SyncError } from '@oversync/protocol';

import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { isConstraintFault } from '../ports/sqlite-fault.ts';
import { columnTextKeySql, columnTextPayloadSql, columnTextValuesSql, hasColumnTexts } from '../rules/column-text-sql.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { insertIntoSql, needsHexPayload, wireValuesSql } from '../rules/wire-sql.ts';
import { countColumn, onlyRow, textColumn } from './columns.ts';
import { fillSqlPayloads, PAGE_PAYLOAD } from './page.ts';
import { stagedRowsSql, stagedValuesSql } from './stage-file.sql.ts';
import type { StagePlace } from './stage-file.ts';
import type { SnapshotApplyInput } from './store-types.ts';

/** Staged rows of one table and form: a range of rowids, which rise with the ordinals of the snapshot. */
export interface StagedTable extends StagedForm {
  readonly table: LocalTable;
  /** With the alias `p`. */
  readonly from: string;
  /** Ends in AND where it is not empty. */
  readonly where: string;
  readonly params: readonly SqlValue[];
  readonly first: number;
  readonly last: number;
}

/** How the rows are kept, as expressions over them. */
interface StagedForm {
  readonly keyJson: string;
  readonly payload: string;
  /** The values of the table's columns; `null` where the payloads have to be rewritten first. */
  readonly values: string | null;
}

function payloadForm(table: LocalTable): StagedForm {
  const values = needsHexPayload(table) ? null : wireValuesSql(table, 'p.payload');
  return { keyJson: 'p.key_json', payload: 'p.payload', values };
}

function valuesForm(table: LocalTable): StagedForm {
  return {
    keyJson: columnTextKeySql(table, 'p'),
    payload: columnTextPayloadSql(table, 'p'),
    values: columnTextValuesSql(table, 'p'),
  };
}

/** What is staged, in table order. In the database the tables are found in the index of the keys. */
export async function loadStagedTables(
  tx: SqliteTx,
  schema: LocalSchema,
  snapshotId: string,
  place: StagePlace,
): Promise<readonly StagedTable[]> {
  return place === 'file' ? tablesOfFile(tx, schema) : tablesOfDatabase(tx, schema, snapshotId);
}

async function tablesOfFile(tx: SqliteTx, schema: LocalSchema): Promise<readonly StagedTable[]> {
  const tables: StagedTable[] = [];
  for (const { table, rows, form } of schema.tables.flatMap(formsInFile)) {
    const [last] = onlyRow(await tx.all(`SELECT COALESCE(MAX(rowid), 0) FROM ${rows}`));
    tables.push({ table, ...form, from: `${rows} p`, where: '', params: [], first: 1, last: Number(last) });
  }
  return tables.filter(({ last }) => last > 0);
}

function formsInFile(table: LocalTable): { readonly table: LocalTable; readonly rows: string; readonly form: StagedForm }[] {
  const payloads = { table, rows: stagedRowsSql(table.order), form: payloadForm(table) };
  if (!hasColumnTexts(table)) return [payloads];
  return [payloads, { table, rows: stagedValuesSql(table.order), form: valuesForm(table) }];
}

/** Bytes of the largest payload in the file. */
export async function largestInFile(tx: SqliteTx, schema: LocalSchema): Promise<number> {
  let largest = 0;
  for (const { rows, form } of schema.tables.flatMap(formsInFile)) {
    const sql = `SELECT COALESCE(MAX(${byteLengthSql(schema, form.payload)}), 0) FROM ${rows} p`;
    largest = Math.max(largest, countColumn(onlyRow(await tx.all(sql)), 0));
  }
  return largest;
}

/** Bytes of a text. */
export function byteLengthSql({ features }: LocalSchema, text: string): string {
  return features.hasOctetLength ? `octet_length(${text})` : `length(CAST(${text} AS BLOB))`;
}

async function tablesOfDatabase(tx: SqliteTx, schema: LocalSchema, snapshotId: string): Promise<readonly StagedTable[]> {
  const ranges = new Map((await tx.all(STAGED_RANGES, [snapshotId, schema.name])).map((row) => [textColumn(row, 0), row]));
  return schema.tables.flatMap((table) => {
    const row = ranges.get(table.wireName);
    if (row === undefined) return [];
    const where = '+p.snapshot_id = ? AND +p.table_name = ? AND ';
    const params = [snapshotId, table.wireName];
    const range = { first: countColumn(row, 1), last: countColumn(row, 2) };
    return [{ table, ...payloadForm(table), from: '_sync_snapshot_stage p', where, params, ...range }];
  });
}

/** Writes one page of rows into the table, and their versions into row state. Returns how many. */
export async function writeStagedPage(
  tx: SqliteTx,
  schema: LocalSchema,
  staged: StagedTable,
  start: number,
  end: number,
): Promise<number> {
  const range = [...staged.params, BigInt(start), BigInt(end)];
  const written =
    staged.values === null
      ? await writeHexPage(tx, schema, staged, range)
      : (await tx.run(insertStagedSql(staged, staged.values), range)).changes;
  await tx.run(saveStateSql(staged), [schema.name, staged.table.wireName, ...range]);
  return written;
}

async function writeHexPage(tx: SqliteTx, schema: LocalSchema, staged: StagedTable, range: readonly SqlValue[]): Promise<number> {
  const { table } = staged;
  await tx.exec('DELETE FROM _oversync_work._oversync_page');
  await tx.run(fillPageSql(staged), [table.wireName, ...range]);
  await fillSqlPayloads(tx, schema);
  const sql = `${insertIntoSql(table)} SELECT ${wireValuesSql(table, PAGE_PAYLOAD)} FROM _oversync_work._oversync_page p`;
  return (await tx.run(sql)).changes;
}

/** Remembers the rows of a page whose keys have a pending intent: it is written back over them. */
export async function keepIntentRows(tx: SqliteTx, staged: StagedTable, start: number, end: number): Promise<void> {
  const name = staged.table.wireName;
  await tx.run(keepIntentRowsSql(staged), [name, ...staged.params, BigInt(start), BigInt(end), name]);
}

/**
 * A key that comes twice in a snapshot is refused while it is staged in the database; a stage without an index of the keys tells only
 * when the rows are written.
 */
export async function refusingDoubleKeys<R>(tx: SqliteTx, staged: StagedTable, work: () => Promise<R>): Promise<R> {
  try {
    return await work();
  } catch (error) {
    if (!isConstraintFault(error) || error.kind !== 'unique' || staged.where !== '') throw error;
    const keys = formsInFile(staged.table).map(({ rows, form }) => `SELECT ${form.keyJson} AS key_json FROM ${rows} p`);
    const [row] = await tx.all(`SELECT 1 FROM (${keys.join(' UNION ALL ')}) GROUP BY key_json HAVING count(*) > 1 LIMIT 1`);
    if (row === undefined) throw error;
    throw new SyncError('protocol_violation', { operation: 'rebuild', details: { reason: 'identity' }, cause: error });
  }
}

/** Rows of a page of the ordinary stage leave it as soon as they are applied, so that the file does not keep both. */
export async function unstagePage(tx: SqliteTx, staged: StagedTable, start: number, end: number): Promise<void> {
  await tx.run(UNSTAGE, [staged.table.wireName, BigInt(start), BigInt(end)]);
}

const RANGE = 'p.rowid BETWEEN ? AND ?';

function insertStagedSql({ table, from, where }: StagedTable, values: string): string {
  return `${insertIntoSql(table)} SELECT ${values} FROM ${from} WHERE ${where}${RANGE} ORDER BY p.rowid`;
}

/** Schema, table, range. The time is that of the statement: worked out once, not per row. */
function saveStateSql({ keyJson, from, where }: StagedTable): string {
  return `
INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version, updated_at)
SELECT ?, ?, ${keyJson}, p.row_version, (SELECT strftime('%Y-%m-%dT%H:%M:%fZ','now')) FROM ${from} WHERE ${where}${RANGE} ORDER BY p.rowid`;
}

/** Table, range. */
function fillPageSql({ from, where }: StagedTable): string {
  return `
INSERT INTO _oversync_work._oversync_page(ordinal, table_name, key_json, op, row_version, payload)
SELECT p.rowid, ?, p.key_json, 'INSERT', p.row_version, p.payload FROM ${from} WHERE ${where}${RANGE}`;
}

/** Table, range, table. */
function keepIntentRowsSql({ keyJson, payload, from, where }: StagedTable): string {
  return `
INSERT INTO _oversync_work._oversync_intent_rows(table_name, key_json, row_version, payload)
SELECT ?, ${keyJson}, p.row_version, ${payload} FROM ${from} WHERE ${where}${RANGE}
  AND EXISTS (SELECT 1 FROM _oversync_work._oversync_intents i WHERE i.table_name = ? AND i.key_json = ${keyJson})`;
}

/** Table, first and last rowid. */
const UNSTAGE = 'DELETE FROM _sync_snapshot_stage WHERE +table_name = ? AND rowid BETWEEN ? AND ?';

/** Snapshot id, schema. First and last rowid of every staged table, from the index alone. */
const STAGED_RANGES = `
SELECT table_name, MIN(rowid), MAX(rowid) FROM _sync_snapshot_stage WHERE snapshot_id = ? AND schema_name = ? GROUP BY table_name`;

/** Stops where the caller has given up. */
export function checkNotAborted(input: SnapshotApplyInput): void {
  if (input.signal?.aborted === true) throw new SyncError('aborted', { operation: 'rebuild', cause: input.signal.reason });
}
