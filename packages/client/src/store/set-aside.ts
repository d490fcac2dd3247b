import { SyncError } from '@oversync/protocol';

import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import { capturedValues } from '../rules/captured-values.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { deleteOneSql } from '../rules/row-sql.ts';
import { insertIntoSql, upsertClauseSql } from '../rules/wire-sql.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { wireValues } from '../rules/wire-values.ts';
import { bigintColumn, countColumn, optionalTextColumn, textColumn } from './columns.ts';
import { loadImages } from './images.ts';
import { rowOp } from './outbox.ts';
import type { QuarantineOrigin, QuarantineRef } from './store-types.ts';

/** Rows that one call has set aside, and the most it may. */
export class QuarantineLog {
  readonly entries: QuarantineRef[] = [];
  /** Wire names of tables in which the server's row was put back. */
  readonly tables = new Set<string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** @throws SyncError `quarantine_limit_reached` */
  add(entry: QuarantineRef): void {
    this.entries.push(entry);
    if (this.entries.length > this.#max)
      throw new SyncError('quarantine_limit_reached', { details: { count: this.entries.length } });
  }
}

export interface SetAside {
  readonly origin: QuarantineOrigin;
  readonly code: string;
  readonly detail?: string | null;
}

/** The unsent intent of a key, from the dirty rows or from a quarantined local value. */
export interface Intent {
  readonly op: 'INSERT' | 'UPDATE' | 'DELETE';
  readonly baseRowVersion: bigint;
  readonly payload: string | null;
}

/** `null` when the key has no dirty row and no quarantined local value. Frozen rows do not count: they cannot be set aside. */
export async function loadIntent(tx: SqliteTx, schema: LocalSchema, table: LocalTable, keyJson: string): Promise<Intent | null> {
  const identity = [schema.name, table.wireName, keyJson];
  const [row] = await tx.all(LOAD_INTENT, [...identity, ...identity]);
  if (row === undefined) return null;
  return { op: rowOp(textColumn(row, 0)), baseRowVersion: bigintColumn(row, 1), payload: optionalTextColumn(row, 2) };
}

/** Moves the intent of a key into quarantine. The table keeps showing whatever it shows (`shows`). */
export async function moveToQuarantine(
  tx: SqliteTx,
  schema: LocalSchema,
  table: LocalTable,
  keyJson: string,
  why: SetAside,
  shows: 'local' | 'server',
  log: QuarantineLog,
): Promise<boolean> {
  const intent = await loadIntent(tx, schema, table, keyJson);
  if (intent === null) return false;
  const identity = [schema.name, table.wireName, keyJson];
  const { op, baseRowVersion, payload } = intent;
  await tx.run(SAVE_QUARANTINED, [...identity, op, baseRowVersion, payload, why.origin, why.code, why.detail ?? null, shows]);
  await tx.run(DROP_DIRTY, identity);
  log.add({ table: table.wireName, key: wireKeyOf(table, keyJson), op, origin: why.origin, code: why.code });
  return true;
}

/**
 * Moves the intent of a key into quarantine and puts the server's row back in apply mode: the newest image, else the base image, else
 * nothing for a row the server never had. False, and nothing done, when the server's row is not known here.
 */
export async function setAsideForServer(
  tx: SqliteTx,
  schema: LocalSchema,
  table: LocalTable,
  keyJson: string,
  why: SetAside,
  log: QuarantineLog,
): Promise<boolean> {
  const server = await loadServerRow(tx, schema, table, keyJson);
  if (server === 'unknown') return false;
  if (!(await moveToQuarantine(tx, schema, table, keyJson, why, 'server', log))) return false;
  await showServerRow(tx, schema, table, keyJson, server);
  log.tables.add(table.wireName);
  return true;
}

/** What is known here about the server's row of a key. */
export type ServerRow = 'unknown' | 'none' | { readonly from: 'image' } | { readonly from: 'base'; readonly payload: string };

export async function loadServerRow(tx: SqliteTx, schema: LocalSchema, table: LocalTable, keyJson: string): Promise<ServerRow> {
  const identity = [schema.name, table.wireName, keyJson];
  const [base] = await tx.all(LOAD_BASE, identity);
  if (base !== undefined && bigintColumn(base, 0) > 0n) return { from: 'image' };
  const [state] = await tx.all(LOAD_ROW_STATE, identity);
  if (state === undefined || countColumn(state, 1) === 1) return 'none';
  const payload = base === undefined ? null : optionalTextColumn(base, 1);
  const isCurrent = base !== undefined && bigintColumn(base, 2) === bigintColumn(state, 0);
  return payload !== null && isCurrent ? { from: 'base', payload } : 'unknown';
}

/** Writes the server's row of a key into the table. Capture must be silent. */
export async function showServerRow(
  tx: SqliteTx,
  schema: LocalSchema,
  table: LocalTable,
  keyJson: string,
  server: Exclude<ServerRow, 'unknown'>,
): Promise<void> {
  if (server === 'none') await tx.run(deleteOneSql(table), [keyJson]);
  else if (server.from === 'image') await showImage(tx, schema, table, keyJson);
  else await writeCaptured(tx, table, server.payload);
}

/** The image is spent: row state takes its version. */
async function showImage(tx: SqliteTx, schema: LocalSchema, table: LocalTable, keyJson: string): Promise<void> {
  const [image] = await loadImages(tx, schema, [{ table: table.wireName, keyJson }]);
  if (image === undefined) return;
  const identity = [schema.name, table.wireName, keyJson];
  if (image.payload === null) await tx.run(deleteOneSql(table), [keyJson]);
  else await writeValues(tx, table, wireValues(table, image.payload));
  await saveRowState(tx, schema, table, keyJson, image.rowVersion, image.payload === null);
  await tx.run(DROP_BASE, identity);
}

/** The server version that the table shows for a key. */
export async function saveRowState(
  tx: SqliteTx,
  schema: LocalSchema,
  table: LocalTable,
  keyJson: string,
  rowVersion: bigint,
  isDeleted: boolean,
): Promise<void> {
  await tx.run(SAVE_ROW_STATE, [schema.name, table.wireName, keyJson, rowVersion, isDeleted ? 1n : 0n]);
}

/** Writes a captured payload into its table by an ordinary upsert. */
export async function writeCaptured(tx: SqliteTx, table: LocalTable, payload: string): Promise<void> {
  await writeValues(tx, table, capturedValues(table, payload));
}

/** An ordinary upsert of values in table order. */
export async function writeValues(tx: SqliteTx, table: LocalTable, values: readonly SqlValue[]): Promise<void> {
  const places = table.columns.map(() => '?').join(', ');
  await tx.run(`${insertIntoSql(table)} VALUES (${places}) ${upsertClauseSql(table)}`, values);
}

const SAVE_ROW_STATE = `
INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version, deleted) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET row_version = excluded.row_version, deleted = excluded.deleted,
  updated_at = excluded.updated_at`;

const DROP_BASE = 'DELETE FROM _oversync_row_bases WHERE schema_name = ? AND table_name = ? AND key_json = ?';

/** Identity twice. */
const LOAD_INTENT = `
SELECT CASE WHEN d.payload IS NULL THEN 'DELETE' WHEN COALESCE((SELECT deleted FROM _sync_row_state s WHERE s.schema_name = d.schema_name
    AND s.table_name = d.table_name AND s.key_json = d.key_json), 1) = 0 THEN 'UPDATE' ELSE 'INSERT' END,
  CAST(d.base_row_version AS TEXT), d.payload FROM _sync_dirty_rows d WHERE d.schema_name = ? AND d.table_name = ? AND d.key_json = ?
UNION ALL SELECT op, CAST(base_row_version AS TEXT), payload FROM _oversync_quarantine
  WHERE schema_name = ? AND table_name = ? AND key_json = ? AND shows = 'local' LIMIT 1`;

/** Identity, op, base, payload, origin, code, detail, shows. */
const SAVE_QUARANTINED = `
INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, detail, shows, attempts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, base_row_version = excluded.base_row_version,
  payload = excluded.payload, origin = excluded.origin, code = excluded.code, detail = excluded.detail, shows = excluded.shows,
  attempts = attempts + 1`;

const DROP_DIRTY = 'DELETE FROM _sync_dirty_rows WHERE schema_name = ? AND table_name = ? AND key_json = ?';

const LOAD_BASE = `
SELECT CAST(server_row_version AS TEXT), base_payload, CAST(base_row_version AS TEXT) FROM _oversync_row_bases
WHERE schema_name = ? AND table_name = ? AND key_json = ?`;

const LOAD_ROW_STATE = `
SELECT CAST(row_version AS TEXT), deleted FROM _sync_row_state WHERE schema_name = ? AND table_name = ? AND key_json = ?`;
