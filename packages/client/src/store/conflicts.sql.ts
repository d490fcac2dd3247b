/** Schema. Contested keys with a pending record that is not frozen. Table, key, version, deleted, payload. */
export const LOAD_CONTESTED = `
SELECT b.table_name, b.key_json, CAST(b.server_row_version AS TEXT), b.server_deleted, b.server_payload FROM _oversync_row_bases b
JOIN _sync_dirty_rows d ON d.schema_name = b.schema_name AND d.table_name = b.table_name AND d.key_json = b.key_json
WHERE b.schema_name = ? AND b.server_row_version > 0 AND (b.table_name, b.key_json) > (?, ?)
  AND (b.table_name, b.key_json) NOT IN (SELECT table_name, key_json FROM _sync_outbox_rows)
ORDER BY b.table_name, b.key_json LIMIT ?`;

/**
 * JSON array of [table, key_json], schema. The pending record of each key with its base image. Table, key, base version, payload, base
 * image, version of the base image, live row state, version of the row state.
 */
export const LOAD_RECORDS = `
SELECT d.table_name, d.key_json, CAST(d.base_row_version AS TEXT), d.payload, b.base_payload, CAST(b.base_row_version AS TEXT),
  COALESCE(s.deleted = 0, 0) FROM json_each(?) wanted
JOIN _sync_dirty_rows d ON d.schema_name = ? AND d.table_name = wanted.value->>0 AND d.key_json = wanted.value->>1
LEFT JOIN _oversync_row_bases b ON b.schema_name = d.schema_name AND b.table_name = d.table_name AND b.key_json = d.key_json
LEFT JOIN _sync_row_state s ON s.schema_name = d.schema_name AND s.table_name = d.table_name AND s.key_json = d.key_json`;

/** Identity. */
export const DROP_DIRTY = 'DELETE FROM _sync_dirty_rows WHERE schema_name = ? AND table_name = ? AND key_json = ?';
export const DROP_BASE = 'DELETE FROM _oversync_row_bases WHERE schema_name = ? AND table_name = ? AND key_json = ?';
export const DROP_ROW_STATE = 'DELETE FROM _sync_row_state WHERE schema_name = ? AND table_name = ? AND key_json = ?';

/** Op, base, payload, identity. */
export const REQUEUE = `
UPDATE _sync_dirty_rows SET op = ?, base_row_version = ?, payload = ? WHERE schema_name = ? AND table_name = ? AND key_json = ?`;

/** Identity, base version, base payload. */
export const SAVE_BASE = `
INSERT INTO _oversync_row_bases(schema_name, table_name, key_json, base_row_version, base_payload) VALUES (?, ?, ?, ?, ?)`;
