import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { keyJsonSql, payloadSql } from '../rules/capture-sql.ts';
import type { LocalSchema, LocalSchemaConfig, LocalTable, RowUpgrader } from '../rules/local-schema.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { compareShape, formatShape, parseShapes } from '../rules/table-shape.ts';
import type { ShapeChange } from '../rules/table-shape.ts';
import { tableSql } from '../rules/wire-sql.ts';
import { countColumn, onlyRow, textColumn } from './columns.ts';
import { loadMeta, saveMeta } from './meta.ts';
import { requestRebuild } from './quarantine.ts';
import { requeueQuarantined } from './requeue-quarantined.ts';
import { upgradeQueuedRows } from './upgrade-rows.ts';

const SHAPES = 'table_fingerprints';
/** Frozen rows of an older shape may come back: then the dirty rows are captured again. */
const RECAPTURE = 'recapture_due';
/** Rows of the server are here without columns that were added since. */
const REBUILD_AT_OPEN = 'rebuild_at_open';
/** Unsent edits of such rows must not be pushed before the rebuild: they would send the default of the new column as an edit. */
const REBUILD_FIRST = 'rebuild_first';

/**
 * Adapts what is queued to tables that have changed since it was queued (client.md 4.6):
 *
 * - unsent rows are captured again from the live rows, which the application has migrated itself; where only columns were added, edits of
 *   rows that the server knows stay as they were captured until the rebuild has brought the server's values of the new columns;
 * - values that are kept nowhere else (set aside while the table shows the server's row, or by an attach) go through the upgrader of the
 *   table where a column is gone, has another name or another kind;
 * - where columns were added or changed, the server's values are missing here: a rebuild is asked for at the next `open`.
 *
 * @throws SyncError `config_invalid` with `upgrade_missing` or `upgrade_failed`
 */
export async function adaptToChangedTables(
  tx: SqliteTx,
  schema: LocalSchema,
  config: LocalSchemaConfig,
  isOpening: boolean,
): Promise<void> {
  const stored = await loadMeta(tx, SHAPES);
  const before = parseShapes(stored);
  const now = JSON.stringify({
    ...before,
    ...Object.fromEntries(schema.tables.map((table) => [table.wireName, formatShape(table)])),
  });
  if (stored === now) return;
  const changes = before === null ? [] : schema.tables.flatMap((table) => compareShape(before, table) ?? []);
  const canWait = isOpening && changes.length > 0 && countColumn(onlyRow(await tx.all(IS_ATTACHED)), 0) === 1;
  for (const change of changes) await adaptTable(tx, schema, change, upgraderOf(config, change.table), canWait);
  await saveMeta(tx, SHAPES, now);
}

function upgraderOf(config: LocalSchemaConfig, table: LocalTable): RowUpgrader | null {
  return config.tables.find((candidate) => candidate.tableName.trim().toLowerCase() === table.wireName)?.upgradeRow ?? null;
}

async function adaptTable(
  tx: SqliteTx,
  schema: LocalSchema,
  change: ShapeChange,
  upgrader: RowUpgrader | null,
  canWait: boolean,
): Promise<void> {
  const { table, added, lost } = change;
  if (lost.length > 0) await upgradeQueuedRows(tx, change, upgrader);
  const waits = canWait && lost.length === 0;
  await recaptureTable(tx, table, waits ? 'newRows' : 'allRows');
  if (countColumn(onlyRow(await tx.all(HAS_OUTBOX)), 0) === 1) await saveMeta(tx, RECAPTURE, '1');
  const isIncomplete = added.length > 0 || lost.some((name) => table.columns.some((column) => column.wireName === name));
  if (!isIncomplete || !(await hasServerRows(tx, schema, table))) return;
  await saveMeta(tx, REBUILD_AT_OPEN, '1');
  if (waits) await saveMeta(tx, REBUILD_FIRST, '1');
}

async function hasServerRows(tx: SqliteTx, schema: LocalSchema, table: LocalTable): Promise<boolean> {
  return countColumn(onlyRow(await tx.all(HAS_LIVE_STATE, [schema.name, table.wireName])), 0) === 1;
}

/** Asks for the values of added columns. Only `open` does, so that a call that has begun is not refused in its middle. */
export async function requestMissingValues(tx: SqliteTx): Promise<void> {
  if ((await loadMeta(tx, REBUILD_AT_OPEN)) === null) return;
  await requestRebuild(tx, 'explicit_rebuild');
  await saveMeta(tx, REBUILD_AT_OPEN, null);
}

/** True when a recovery has to rebuild before it pushes. */
export async function isRebuildFirst(tx: SqliteTx): Promise<boolean> {
  return (await loadMeta(tx, REBUILD_FIRST)) !== null;
}

/** The rebuild has brought the values. */
export async function forgetRebuildFirst(tx: SqliteTx): Promise<void> {
  await saveMeta(tx, REBUILD_FIRST, null);
}

/** Frozen rows may have an older shape. */
export async function isRecaptureDue(tx: SqliteTx): Promise<boolean> {
  return (await loadMeta(tx, RECAPTURE)) !== null;
}

/**
 * Captures unsent rows again when frozen rows of an older shape may have come back among them; the outbox is empty. Returns whether it
 * did.
 */
export async function recaptureIfDue(tx: SqliteTx, schema: LocalSchema): Promise<boolean> {
  if (!(await isRecaptureDue(tx))) return false;
  for (const table of schema.tables) await recaptureTable(tx, table, 'allRows');
  await saveMeta(tx, RECAPTURE, null);
  return true;
}

async function recaptureTable(tx: SqliteTx, table: LocalTable, which: 'allRows' | 'newRows'): Promise<void> {
  const condition = (queue: string): string =>
    which === 'allRows'
      ? 'true'
      : `NOT EXISTS (SELECT 1 FROM _sync_row_state s WHERE s.schema_name = ${queue}.schema_name ` +
        `AND s.table_name = ${queue}.table_name AND s.key_json = ${queue}.key_json AND s.deleted = 0)`;
  await tx.run(recaptureSql(table, '_sync_dirty_rows', condition('_sync_dirty_rows')), [table.wireName]);
  const quarantined = `shows = 'local' AND ${condition('_oversync_quarantine')}`;
  await tx.run(recaptureSql(table, '_oversync_quarantine', quarantined), [table.wireName]);
}

/** Parameter: the wire name of the table. */
function recaptureSql(table: LocalTable, queue: string, condition: string): string {
  return (
    `UPDATE ${queue} SET payload = live.payload ` +
    `FROM (SELECT ${keyJsonSql(table, 'x')} AS key_json, ${payloadSql(table, 'x')} AS payload FROM ${tableSql(table)} x) live ` +
    `WHERE ${queue}.table_name = ? AND ${queue}.payload IS NOT NULL AND ${queue}.key_json = live.key_json AND ${condition}`
  );
}

/**
 * Rows of tables that join a database in use, or come back to it: whatever was set aside because its table was not managed is queued
 * again, and rows that nobody has captured become unsent INSERTs. At the very first open everything is captured elsewhere.
 */
export async function captureJoinedTables(tx: SqliteTx, schema: LocalSchema, joined: readonly LocalTable[]): Promise<void> {
  const [row] = await tx.all("SELECT 1 FROM _sync_attachment_state WHERE current_source_id <> ''");
  if (row === undefined || joined.length === 0) return;
  const names = JSON.stringify(joined.map((table) => table.wireName));
  const keys = await tx.all(UNMANAGED, [names]);
  await requeueQuarantined(
    tx,
    schema,
    keys.map((key) => ({ table: textColumn(key, 0), keyJson: textColumn(key, 1) })),
  );
  for (const table of joined) await tx.run(captureUnknownSql(table), [schema.name, table.wireName]);
}

/** Schema, table. */
function captureUnknownSql(table: LocalTable): string {
  const key = `x.${quoteIdentifier(table.key.name)}`;
  const keyJson = keyJsonSql(table, 'x');
  const isIn = (name: string, condition = ''): string =>
    `NOT EXISTS (SELECT 1 FROM ${name} d WHERE d.schema_name = s.schema_name AND d.table_name = s.table_name AND d.key_json = s.key_json${condition})`;
  return (
    `INSERT INTO _sync_dirty_rows(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal) ` +
    `SELECT s.schema_name, s.table_name, s.key_json, 'INSERT', ` +
    `COALESCE((SELECT d.row_version FROM _sync_row_state d WHERE d.schema_name = s.schema_name AND d.table_name = s.table_name AND d.key_json = s.key_json), 0), ` +
    `s.payload, COALESCE((SELECT MAX(dirty_ordinal) FROM _sync_dirty_rows), 0) + row_number() OVER (ORDER BY s.row_key) ` +
    `FROM (SELECT ? AS schema_name, ? AS table_name, ${keyJson} AS key_json, ${payloadSql(table, 'x')} AS payload, ${key} AS row_key FROM ${tableSql(table)} x) s ` +
    `WHERE ${isIn('_sync_row_state', ' AND d.deleted = 0')} AND ${isIn('_sync_dirty_rows')} ` +
    `AND ${isIn('_oversync_quarantine', " AND d.shows = 'local'")} AND ${isIn('_sync_outbox_rows')} ORDER BY s.row_key`
  );
}

const IS_ATTACHED = "SELECT EXISTS (SELECT 1 FROM _sync_attachment_state WHERE binding_state = 'attached')";

const HAS_OUTBOX = 'SELECT EXISTS (SELECT 1 FROM _sync_outbox_rows)';

/** Schema, table. */
const HAS_LIVE_STATE = 'SELECT EXISTS (SELECT 1 FROM _sync_row_state WHERE schema_name = ? AND table_name = ? AND deleted = 0)';

/** JSON array of tables. */
const UNMANAGED = `
SELECT table_name, key_json FROM _oversync_quarantine
WHERE code = 'table_not_managed' AND table_name IN (SELECT value FROM json_each(?))`;
