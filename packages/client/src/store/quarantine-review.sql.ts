/*
 * What an application may see and decide about rows that were set aside (client.md 6.8). Identity = schema, table, key_json.
 */

const COLUMNS = `q.table_name, q.key_json, q.op, q.payload, q.code, q.detail, q.origin, q.shows, q.attempts, q.created_at,
  CAST(COALESCE(b.server_row_version, 0) AS TEXT), COALESCE(b.server_deleted, 0), b.server_payload`;

const FROM = `FROM _oversync_quarantine q LEFT JOIN _oversync_row_bases b
ON b.schema_name = q.schema_name AND b.table_name = q.table_name AND b.key_json = q.key_json`;

/** Schema, table or NULL twice, table and key of the last row of the page before, rows. */
export const LIST_QUARANTINED = `
SELECT ${COLUMNS} ${FROM} WHERE q.schema_name = ? AND (? IS NULL OR q.table_name = ?) AND (q.table_name, q.key_json) > (?, ?)
ORDER BY q.table_name, q.key_json LIMIT ?`;

/** Identity. */
export const LOAD_QUARANTINED = `SELECT ${COLUMNS} ${FROM} WHERE q.schema_name = ? AND q.table_name = ? AND q.key_json = ?`;

/** Identity. */
export const DROP_QUARANTINED = 'DELETE FROM _oversync_quarantine WHERE schema_name = ? AND table_name = ? AND key_json = ?';

/** Rows set aside by an attach, oldest first: rows, rows to leave out. */
export const LIST_DISCARDED = `
SELECT table_name, key_json, op, payload FROM _oversync_discarded ORDER BY dirty_ordinal, table_name, key_json LIMIT ? OFFSET ?`;
