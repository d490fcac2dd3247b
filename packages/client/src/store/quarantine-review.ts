import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { keyJsonOf } from '../rules/check-incoming.ts';
import type { RowOp, RowValues } from '../rules/conflict-types.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { rowFromCaptured, rowFromWire } from '../rules/row-values.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { quarantineCascaded } from './cascades.ts';
import { bigintColumn, countColumn, optionalTextColumn, textColumn } from './columns.ts';
import { rowOp } from './outbox.ts';
import { recordOutcomes } from './outcomes.ts';
import { DROP_QUARANTINED, LIST_DISCARDED, LIST_QUARANTINED, LOAD_QUARANTINED } from './quarantine-review.sql.ts';
import { requestRebuild } from './quarantine.ts';
import { requeueQuarantined, waitingChildren } from './requeue-quarantined.ts';
import { QuarantineLog, loadServerRow, showServerRow } from './set-aside.ts';
import type { QuarantineRef } from './store-types.ts';
import { beginApply, setApplyMode } from './transaction.ts';

/** Names one row: table and wire form of the key. */
export interface QuarantineKey {
  readonly table: string;
  readonly key: string;
}

/** A row that was set aside, with everything a decision about it needs. */
export interface QuarantinedRow extends QuarantineKey {
  readonly op: RowOp;
  /** The local row; `null` for a deletion, or when a value cannot be read. */
  readonly payload: RowValues | null;
  /** Why: a kind of the server, or a local reason such as `unique_local`. */
  readonly code: string;
  /** Column, constraint or category, where known. */
  readonly detail: string | null;
  readonly origin: string;
  /** Whose row the application's table shows. */
  readonly shows: 'local' | 'server';
  readonly attempts: number;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** The newest row of the server that has arrived; `null` when it is deleted; absent when none has arrived. */
  readonly serverRow?: RowValues | null;
}

export interface QuarantinePage {
  readonly table?: string;
  readonly limit: number;
  /** The last row of the page before. */
  readonly after?: QuarantineKey;
}

interface Entry {
  readonly table: LocalTable;
  readonly keyJson: string;
  readonly op: RowOp;
  readonly shows: 'local' | 'server';
}

/** What an action did. */
export interface ReviewResult {
  readonly released: number;
  /** Rows that were set aside because the action removed what they refer to. */
  readonly quarantined: readonly QuarantineRef[];
  /** Tables whose rows were written. */
  readonly tables: readonly string[];
}

export async function listQuarantined(tx: SqliteTx, schema: LocalSchema, page: QuarantinePage): Promise<QuarantinedRow[]> {
  const { table = null, after } = page;
  const last = after === undefined ? ['', ''] : [after.table, keyJsonIn(schema, after)];
  const rows = await tx.all(LIST_QUARANTINED, [schema.name, table, table, ...last, BigInt(page.limit)]);
  return rows.map((row) => quarantinedRow(schema, row));
}

export async function loadQuarantined(tx: SqliteTx, schema: LocalSchema, key: QuarantineKey): Promise<QuarantinedRow | null> {
  const [row] = await tx.all(LOAD_QUARANTINED, [schema.name, key.table, keyJsonIn(schema, key)]);
  return row === undefined ? null : quarantinedRow(schema, row);
}

function keyJsonIn(schema: LocalSchema, key: QuarantineKey): string {
  const table = schema.tablesByName.get(key.table);
  return table === undefined ? key.key : keyJsonOf(table, key.key);
}

function quarantinedRow(schema: LocalSchema, row: readonly SqlValue[]): QuarantinedRow {
  const name = textColumn(row, 0);
  const table = schema.tablesByName.get(name);
  return {
    table: name,
    key: wireKeyOf(table, textColumn(row, 1)),
    op: rowOp(textColumn(row, 2)),
    payload: capturedRow(table, optionalTextColumn(row, 3)),
    code: textColumn(row, 4),
    detail: optionalTextColumn(row, 5),
    origin: textColumn(row, 6),
    shows: textColumn(row, 7) === 'server' ? 'server' : 'local',
    attempts: countColumn(row, 8),
    createdAt: textColumn(row, 9),
    ...serverRow(table, row),
  };
}

/** A row may be here just because its values cannot be read. */
function capturedRow(table: LocalTable | undefined, payload: string | null): RowValues | null {
  if (table === undefined || payload === null) return null;
  try {
    return rowFromCaptured(table, payload);
  } catch {
    return null;
  }
}

function serverRow(table: LocalTable | undefined, row: readonly SqlValue[]): { readonly serverRow?: RowValues | null } {
  if (table === undefined || bigintColumn(row, 10) === 0n) return {};
  const payload = optionalTextColumn(row, 12);
  return { serverRow: countColumn(row, 11) === 1 || payload === null ? null : rowFromWire(table, payload) };
}

/**
 * Queues a row again. Where the table shows the server's row, the local one is written back first, as an ordinary write; a row that a
 * constraint refuses stays where it is.
 */
export async function retryQuarantined(tx: SqliteTx, schema: LocalSchema, key: QuarantineKey): Promise<ReviewResult> {
  const result = await requeueQuarantined(tx, schema, [{ table: key.table, keyJson: keyJsonIn(schema, key) }]);
  return { released: result.released.length, quarantined: [], tables: result.tables };
}

export interface DiscardInput {
  /** `rebuild`: leave the table to a rebuild, because the server's row does not fit beside the unsent rows. Default `write`. */
  readonly restoresBy?: 'write' | 'rebuild';
  readonly quarantineMax: number;
  readonly outcomeLimit: number;
}

/** Gives a local change up: the table shows the server's row. Where that is not known here, a rebuild is asked for. */
export async function discardQuarantined(
  tx: SqliteTx,
  schema: LocalSchema,
  key: QuarantineKey,
  input: DiscardInput,
): Promise<ReviewResult> {
  const entry = await loadEntry(tx, schema, key.table, keyJsonIn(schema, key));
  if (entry === null) return NOTHING;
  const log = new QuarantineLog(input.quarantineMax);
  if (entry.shows === 'local') await giveUp(tx, schema, entry, input, log);
  await tx.run(DROP_QUARANTINED, identity(schema, entry));
  const outcome = {
    table: entry.table.wireName,
    keyJson: entry.keyJson,
    op: entry.op,
    outcome: 'discarded',
    code: null,
    rowVersion: null,
  } as const;
  await recordOutcomes(tx, schema, [outcome], input.outcomeLimit);
  const waiting = await waitingChildren(tx, schema, [{ table: entry.table.wireName, keyJson: entry.keyJson }]);
  const children = await requeueQuarantined(tx, schema, waiting);
  const tables = [...new Set([...log.tables, ...children.tables])];
  return { released: 1 + children.released.length, quarantined: log.entries, tables };
}

const NOTHING: ReviewResult = { released: 0, quarantined: [], tables: [] };

async function loadEntry(tx: SqliteTx, schema: LocalSchema, tableName: string, keyJson: string): Promise<Entry | null> {
  const table = schema.tablesByName.get(tableName);
  const [row] = await tx.all(LOAD_QUARANTINED, [schema.name, tableName, keyJson]);
  if (table === undefined || row === undefined) return null;
  return {
    table,
    keyJson,
    op: rowOp(textColumn(row, 2)),
    shows: textColumn(row, 7) === 'server' ? 'server' : 'local',
  };
}

function identity(schema: LocalSchema, entry: Entry): string[] {
  return [schema.name, entry.table.wireName, entry.keyJson];
}

async function giveUp(tx: SqliteTx, schema: LocalSchema, entry: Entry, input: DiscardInput, log: QuarantineLog): Promise<void> {
  const server = input.restoresBy === 'rebuild' ? 'unknown' : await loadServerRow(tx, schema, entry.table, entry.keyJson);
  if (server === 'unknown') {
    await requestRebuild(tx, 'restore_row');
    return;
  }
  await beginApply(tx);
  await showServerRow(tx, schema, entry.table, entry.keyJson, server);
  const written = { table: entry.table, hasUpserts: true, hasDeletes: true, hasPending: false, hasRequeued: false };
  await quarantineCascaded(tx, schema, [written], 'resolver', log);
  await setApplyMode(tx, 0);
  log.tables.add(entry.table.wireName);
}

/** A change that was set aside by an attach which took over the server's rows. */
export interface DiscardedRow extends QuarantineKey {
  readonly op: RowOp;
  readonly payload: RowValues | null;
}

export async function listDiscarded(
  tx: SqliteTx,
  schema: LocalSchema,
  page: { readonly limit: number; readonly offset: number },
): Promise<DiscardedRow[]> {
  const rows = await tx.all(LIST_DISCARDED, [BigInt(page.limit), BigInt(page.offset)]);
  return rows.map((row) => {
    const table = schema.tablesByName.get(textColumn(row, 0));
    return {
      table: textColumn(row, 0),
      key: wireKeyOf(table, textColumn(row, 1)),
      op: rowOp(textColumn(row, 2)),
      payload: capturedRow(table, optionalTextColumn(row, 3)),
    };
  });
}
