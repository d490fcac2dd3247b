import { uploadOrderSql } from '../rules/freeze-sql.ts';
import type { LocalSchema } from '../rules/local-schema.ts';

/* Statements over `_oversync_work._oversync_intents`, the pending intents while a snapshot replaces all rows (client.md 8.3). */

/** Schema. All dirty rows in upload order. */
export function fillIntentsSql(schema: LocalSchema): string {
  return (
    `INSERT INTO _oversync_work._oversync_intents(table_name, key_json, op, base_row_version, payload, dirty_ordinal) ` +
    `SELECT d.table_name, d.key_json, d.op, d.base_row_version, d.payload, d.dirty_ordinal FROM _sync_dirty_rows d ` +
    `WHERE d.schema_name = ? ORDER BY ${uploadOrderSql(schema, new Set())}`
  );
}

/** Schema. Quarantined rows whose local value is shown; a newer dirty row of the key stands for both. */
export const INTENTS_FROM_QUARANTINE = `
INSERT INTO _oversync_work._oversync_intents(table_name, key_json, op, base_row_version, payload, dirty_ordinal, quarantined)
SELECT table_name, key_json, op, base_row_version, payload, 0, 1 FROM _oversync_quarantine WHERE schema_name = ? AND shows = 'local' AND op <> 'DELETE'
ON CONFLICT (table_name, key_json) DO NOTHING`;

/** Schema. The snapshot brings the row of a refused deletion back, so that rows of the server that refer to it fit. */
export const SHOW_REFUSED_DELETES = `
UPDATE _oversync_quarantine SET shows = 'server' WHERE schema_name = ? AND shows = 'local' AND op = 'DELETE'`;

export const COUNT_INTENTS = 'SELECT count(*) FROM _oversync_work._oversync_intents';

/** Position (exclusive), rows. */
export const INTENT_PAGE = `
SELECT position, table_name, key_json, payload FROM _oversync_work._oversync_intents WHERE position > ? ORDER BY position LIMIT ?`;

/** JSON array of positions. */
export const DROP_INTENTS = 'DELETE FROM _oversync_work._oversync_intents WHERE position IN (SELECT value FROM json_each(?))';

/** JSON array of positions. A quarantined value that the server has taken over is no problem any more. */
export const RELEASE_SETTLED = `
DELETE FROM _oversync_quarantine WHERE shows = 'local' AND (table_name, key_json) IN (SELECT table_name, key_json
  FROM _oversync_work._oversync_intents WHERE quarantined = 1 AND position IN (SELECT value FROM json_each(?)))`;

/** Rows captured while the intents were written back but not among them (cascades) come after all restored ones. */
export const MOVE_CASCADE_ORDINALS = `
UPDATE _sync_dirty_rows SET dirty_ordinal = dirty_ordinal + (SELECT COALESCE(MAX(dirty_ordinal), 0) FROM _oversync_work._oversync_intents)
WHERE (table_name, key_json) NOT IN (SELECT table_name, key_json FROM _oversync_work._oversync_intents)`;

/** Base and place as they were. */
export const RESTORE_SAVED = `
UPDATE _sync_dirty_rows SET base_row_version = i.base_row_version, dirty_ordinal = i.dirty_ordinal FROM _oversync_work._oversync_intents i
WHERE i.table_name = _sync_dirty_rows.table_name AND i.key_json = _sync_dirty_rows.key_json AND i.quarantined = 0`;

/** A quarantined value is shown again but stays quarantined. */
export const DROP_QUARANTINED_DIRTY = `
DELETE FROM _sync_dirty_rows WHERE (table_name, key_json) IN (SELECT table_name, key_json FROM _oversync_work._oversync_intents WHERE quarantined = 1)`;

/** Base rows of keys without a pending intent. */
export const DROP_FOREIGN_BASES = `
DELETE FROM _oversync_row_bases WHERE (table_name, key_json) NOT IN (SELECT table_name, key_json FROM _sync_dirty_rows)
  AND (table_name, key_json) NOT IN (SELECT table_name, key_json FROM _oversync_work._oversync_intents)`;

/** Base images that do not belong to the base of the intent: taken from the snapshot while writing back. */
export const UNSET_OTHER_BASES = `
UPDATE _oversync_row_bases SET base_payload = NULL, base_row_version = 0, server_row_version = 0, server_deleted = 0, server_payload = NULL
WHERE base_payload IS NULL OR EXISTS (SELECT 1 FROM _sync_dirty_rows d WHERE d.table_name = _oversync_row_bases.table_name
  AND d.key_json = _oversync_row_bases.key_json AND d.base_row_version <> _oversync_row_bases.base_row_version)`;

/** Schema. The row of the snapshot as image of every intent that is based on an older version. */
export const CONTESTED_FROM_SNAPSHOT = `
INSERT INTO _oversync_row_bases(schema_name, table_name, key_json, server_row_version, server_deleted, server_payload)
SELECT ?, s.table_name, s.key_json, s.row_version, 0, s.payload FROM _oversync_work._oversync_intents i
JOIN _oversync_work._oversync_intent_rows s ON s.table_name = i.table_name AND s.key_json = i.key_json
WHERE s.row_version > i.base_row_version
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET server_row_version = excluded.server_row_version, server_deleted = 0,
  server_payload = excluded.server_payload`;

/** Table, key. */
export const SNAPSHOT_PAYLOAD = 'SELECT payload FROM _oversync_work._oversync_intent_rows WHERE table_name = ? AND key_json = ?';

/** Schema, code, position. */
export const QUARANTINE_INTENT = `
INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
SELECT ?, table_name, key_json, op, base_row_version, payload, 'rebuild', ?, 'server', 1 FROM _oversync_work._oversync_intents WHERE position = ?
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, base_row_version = excluded.base_row_version,
  payload = excluded.payload, origin = excluded.origin, code = excluded.code, shows = excluded.shows, attempts = attempts + 1`;
