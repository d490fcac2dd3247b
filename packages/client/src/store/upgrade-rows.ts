import { SyncError, isSyncError } from '@oversync/protocol';

import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { payloadSql } from '../rules/capture-sql.ts';
import { keyJsonOf } from '../rules/check-incoming.ts';
import type { RowValues } from '../rules/conflict-types.ts';
import type { ConfigViolation, LocalTable, RowUpgrader } from '../rules/local-schema.ts';
import { rowFromCaptured, valuesOfMergedRow } from '../rules/row-values.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { tableBefore } from '../rules/table-shape.ts';
import type { ShapeChange } from '../rules/table-shape.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { countColumn, onlyRow, textColumn } from './columns.ts';

/** Rows upgraded at once. */
const PAGE_ROWS = 100;

/** Where values of the old shape are kept that no live row can give back. */
const QUEUES = [
  { name: '_oversync_quarantine', condition: "shows = 'server' AND payload IS NOT NULL", column: 'payload' },
  { name: '_oversync_discarded', condition: 'payload IS NOT NULL', column: 'payload' },
] as const;

/** Base images only help a merge: one that cannot be upgraded is given up, and the merge decides without it. */
const BASES = { name: '_oversync_row_bases', condition: 'base_payload IS NOT NULL', column: 'base_payload' } as const;

/**
 * Brings rows that were queued under another shape of their table into the present one, through the upgrader of the table.
 *
 * @throws SyncError `config_invalid` with `upgrade_missing` or `upgrade_failed`; the caller's transaction rolls everything back.
 */
export async function upgradeQueuedRows(tx: SqliteTx, change: ShapeChange, upgrader: RowUpgrader | null): Promise<void> {
  for (const queue of QUEUES) {
    if (upgrader !== null) await upgradeQueue(tx, change, queue, (row) => upgrader(row));
    else if (await hasRows(tx, change.table, queue)) throw refusal({ code: 'upgrade_missing', ...violationOf(change) });
  }
  if (upgrader === null) await tx.run(DROP_BASES, [change.table.wireName]);
  else await upgradeQueue(tx, change, BASES, (row) => upgrader(row));
}

type Queue = (typeof QUEUES)[number] | typeof BASES;

function violationOf({ table, lost }: ShapeChange): { readonly table: string; readonly references: readonly string[] } {
  return { table: table.wireName, references: [...lost].sort() };
}

function refusal(violation: ConfigViolation, cause?: unknown): SyncError {
  return new SyncError('config_invalid', { operation: 'open', details: { violations: [violation] }, cause });
}

async function hasRows(tx: SqliteTx, table: LocalTable, { name, condition }: Queue): Promise<boolean> {
  const sql = `SELECT EXISTS (SELECT 1 FROM ${name} WHERE table_name = ? AND ${condition})`;
  return countColumn(onlyRow(await tx.all(sql, [table.wireName])), 0) === 1;
}

async function upgradeQueue(tx: SqliteTx, change: ShapeChange, queue: Queue, upgrade: RowUpgrader): Promise<void> {
  const { name, condition, column } = queue;
  const sql = `SELECT key_json, ${column} FROM ${name} WHERE table_name = ? AND ${condition} AND key_json > ? ORDER BY key_json LIMIT ?`;
  for (let after = ''; ;) {
    const rows = await tx.all(sql, [change.table.wireName, after, BigInt(PAGE_ROWS)]);
    for (const row of rows) {
      after = textColumn(row, 0);
      const payload = await upgradePayload(tx, change, after, textColumn(row, 1), upgrade);
      await tx.run(`UPDATE ${name} SET ${column} = ? WHERE table_name = ? AND key_json = ?`, [
        payload,
        change.table.wireName,
        after,
      ]);
    }
    if (rows.length < PAGE_ROWS) return;
  }
}

async function upgradePayload(
  tx: SqliteTx,
  change: ShapeChange,
  keyJson: string,
  payload: string,
  upgrade: RowUpgrader,
): Promise<string> {
  const { table } = change;
  const values = upgradedValues(change, keyJson, payload, upgrade);
  const named = table.columns.map((column) => `? AS ${quoteIdentifier(column.name)}`).join(', ');
  return textColumn(onlyRow(await tx.all(`SELECT ${payloadSql(table, 'x')} FROM (SELECT ${named}) x`, values)), 0);
}

function upgradedValues(change: ShapeChange, keyJson: string, payload: string, upgrade: RowUpgrader): SqlValue[] {
  const { table, added, lost } = change;
  const key = wireKeyOf(table, keyJson);
  const values = valuesOfMergedRow(table, callUpgrader(change, key, payload, upgrade));
  const keyValue = values?.[table.columns.indexOf(table.key)];
  const isSameKey = typeof keyValue === 'string' ? keyJsonOf(table, keyValue) === keyJson : keyValue instanceof Uint8Array;
  if (values !== null && isSameKey) return values;
  throw refusal({ code: 'upgrade_failed', table: table.wireName, references: [...added, ...lost].sort() });
}

function callUpgrader(change: ShapeChange, key: string, payload: string, upgrade: RowUpgrader): RowValues {
  const { table, added, lost } = change;
  try {
    return upgrade({ table: table.wireName, key, values: rowFromCaptured(tableBefore(change), payload), added, lost });
  } catch (cause) {
    if (isSyncError(cause)) throw cause;
    throw refusal({ code: 'upgrade_failed', ...violationOf(change) }, cause);
  }
}

const DROP_BASES = 'UPDATE _oversync_row_bases SET base_payload = NULL, base_row_version = 0 WHERE table_name = ?';
