import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { quoteIdentifier } from '../rules/sql-text.ts';
import { triggerNames } from '../rules/trigger-sql.ts';
import { countColumn, onlyRow, textColumn } from './columns.ts';
import { deleteAllRows } from './delete-all.ts';
import { captureExistingRows } from './first-open.ts';
import { clearOutbox } from './outbox.ts';
import { withReferenceIndexes } from './reference-indexes.ts';
import { DROP_LOCAL_SCHEMA } from './tables.sql.ts';
import { beginApply, setApplyMode } from './transaction.ts';

/**
 * Removes everything that belongs to the attached user: the rows of all managed tables and all sync state but source ids and
 * registry. The lifecycle row is the caller's. Returns the wire names of the emptied tables.
 */
export async function clearForDetach(tx: SqliteTx, schema: LocalSchema): Promise<readonly string[]> {
  await beginApply(tx);
  const rowCount = countColumn(onlyRow(await tx.all('SELECT count(*) FROM _sync_row_state')), 0);
  const tables = await withReferenceIndexes(tx, schema, rowCount, () => deleteAllRows(tx, schema));
  await tx.exec(CLEAR_SYNC_STATE);
  await clearOutbox(tx);
  await setApplyMode(tx, 0);
  return tables;
}

/** Drops our triggers and tables. The rows of the application stay. */
export async function uninstall(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  const registered = (await tx.all('SELECT table_name FROM _sync_managed_tables')).map((row) => textColumn(row, 0));
  const names = new Set([...registered, ...schema.tables.map((table) => table.wireName)]);
  const drops = [...names].flatMap(triggerNames).map((name) => `DROP TRIGGER IF EXISTS main.${quoteIdentifier(name)}`);
  await tx.exec([...drops, DROP_LOCAL_SCHEMA].join(';\n'));
}

/** Sets all unsent changes aside; what an earlier attach set aside is forgotten. Returns how many. */
export async function moveDirtyToDiscarded(tx: SqliteTx): Promise<number> {
  const count = countColumn(onlyRow(await tx.all('SELECT count(*) FROM _sync_dirty_rows')), 0);
  await tx.exec(MOVE_TO_DISCARDED);
  return count;
}

/** Gives them back, unless the key was edited since. Returns how many. */
export async function restoreDiscarded(tx: SqliteTx): Promise<number> {
  const { changes } = await tx.run(RESTORE_DISCARDED);
  await clearDiscarded(tx);
  return changes;
}

/** Forgets what was set aside. */
export async function clearDiscarded(tx: SqliteTx): Promise<void> {
  await tx.run('DELETE FROM _oversync_discarded');
}

/**
 * For a scope that the server has forgotten (client.md 9.5): what the server knew is worth nothing any more, every live row is queued
 * as new, deletions have no meaning.
 */
export async function reseedLocalRows(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  await clearOutbox(tx);
  await tx.exec(FORGET_SERVER_STATE);
  await captureExistingRows(tx, schema);
}

const CLEAR_SYNC_STATE = `
DELETE FROM _sync_row_state;
DELETE FROM _sync_dirty_rows;
DELETE FROM _sync_snapshot_stage;
DELETE FROM _oversync_bundle_stage;
DELETE FROM _oversync_row_bases;
DELETE FROM _oversync_quarantine;
DELETE FROM _oversync_outcomes;
DELETE FROM _oversync_discarded;
DELETE FROM _oversync_meta WHERE name NOT IN ('layout_version', 'table_fingerprints')`;

const FORGET_SERVER_STATE = `
DELETE FROM _sync_row_state;
DELETE FROM _sync_dirty_rows;
DELETE FROM _oversync_row_bases;
DELETE FROM _oversync_bundle_stage`;

const MOVE_TO_DISCARDED = `
DELETE FROM _oversync_discarded;
INSERT INTO _oversync_discarded(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal)
SELECT schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal FROM _sync_dirty_rows;
DELETE FROM _sync_dirty_rows`;

const RESTORE_DISCARDED = `
INSERT INTO _sync_dirty_rows(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal)
SELECT schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal FROM _oversync_discarded WHERE true
ON CONFLICT (schema_name, table_name, key_json) DO NOTHING`;
