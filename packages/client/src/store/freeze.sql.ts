/** Schema. Deletes of rows that the server never saw, unless a frozen row of the key may still get there. */
export const DROP_NO_OPS = `
DELETE FROM _sync_dirty_rows WHERE schema_name = ? AND payload IS NULL AND NOT EXISTS (SELECT 1 FROM _sync_row_state s
  WHERE s.schema_name = _sync_dirty_rows.schema_name AND s.table_name = _sync_dirty_rows.table_name
    AND s.key_json = _sync_dirty_rows.key_json AND s.deleted = 0)
  AND (table_name, key_json) NOT IN (SELECT table_name, key_json FROM _sync_outbox_rows)`;

/** Schema. Rows set aside that were never sent and that the application has deleted since: nothing is left to decide. */
export const RELEASE_NO_OPS = `
DELETE FROM _oversync_quarantine AS q WHERE q.schema_name = ? AND EXISTS (SELECT 1 FROM _sync_dirty_rows d
    WHERE d.schema_name = q.schema_name AND d.table_name = q.table_name AND d.key_json = q.key_json AND d.payload IS NULL)
  AND NOT EXISTS (SELECT 1 FROM _sync_row_state s WHERE s.schema_name = q.schema_name AND s.table_name = q.table_name
    AND s.key_json = q.key_json AND s.deleted = 0)`;

/** Schema. Images stored for such records, which are applied instead. */
export const IMAGES_OF_NO_OPS = `
SELECT b.table_name, b.key_json, b.server_deleted, CAST(b.server_row_version AS TEXT), b.server_payload
FROM _oversync_row_bases b CROSS JOIN _sync_dirty_rows d USING (schema_name, table_name, key_json)
WHERE b.schema_name = ? AND b.server_row_version > 0 AND d.payload IS NULL AND NOT EXISTS (SELECT 1 FROM _sync_row_state s
  WHERE s.schema_name = d.schema_name AND s.table_name = d.table_name AND s.key_json = d.key_json AND s.deleted = 0)
  AND (d.table_name, d.key_json) NOT IN (SELECT table_name, key_json FROM _sync_outbox_rows)`;

/** Quarantined keys that were edited since. */
export const LOAD_REQUEUED = `
SELECT q.table_name, q.key_json FROM _oversync_quarantine q JOIN _sync_dirty_rows d USING (schema_name, table_name, key_json)`;

/** An edit of a row whose local value was quarantined takes the older base and ends the quarantine. */
export const REBASE_REQUEUED = `
UPDATE _sync_dirty_rows SET base_row_version = q.base_row_version FROM _oversync_quarantine q
WHERE q.shows = 'local' AND q.schema_name = _sync_dirty_rows.schema_name AND q.table_name = _sync_dirty_rows.table_name
  AND q.key_json = _sync_dirty_rows.key_json AND q.base_row_version < _sync_dirty_rows.base_row_version`;
export const RELEASE_REQUEUED = `
DELETE FROM _oversync_quarantine WHERE EXISTS (SELECT 1 FROM _sync_dirty_rows d WHERE d.schema_name = _oversync_quarantine.schema_name
  AND d.table_name = _oversync_quarantine.table_name AND d.key_json = _oversync_quarantine.key_json)`;

export const LAST_DIRTY_ORDINAL = 'SELECT CAST(COALESCE(MAX(dirty_ordinal), 0) AS TEXT) FROM _sync_dirty_rows';

export const HAS_PLAN = 'SELECT EXISTS (SELECT 1 FROM _oversync_work._oversync_freeze_plan)';
export const FORGET_PLAN = 'DELETE FROM _oversync_work._oversync_freeze_plan';

/** The position before the first planned row. */
export const PLAN_START = 'SELECT COALESCE(MIN(position), 1) - 1 FROM _oversync_work._oversync_freeze_plan';

/** Last position that was worked off. */
export const SHORTEN_PLAN = 'DELETE FROM _oversync_work._oversync_freeze_plan WHERE position <= ?';

/** First position (exclusive), rows. Captured bytes of a page of so many rows, its last position, NULL at the end of the plan. */
export const FREEZE_PAGE_SIZE = `
SELECT COALESCE(SUM(size), 0), MAX(position) FROM (SELECT position, size FROM _oversync_work._oversync_freeze_plan
  WHERE position > ? ORDER BY position LIMIT ?)`;

/** Bytes, first position (exclusive), rows. Last position of the page that fits, NULL when not even one row does; next position. */
export const FREEZE_PAGE_END = `
SELECT MAX(position) FILTER (WHERE total <= ?), MIN(position) FROM (SELECT position, SUM(size) OVER (ORDER BY position) AS total
  FROM _oversync_work._oversync_freeze_plan WHERE position > ? ORDER BY position LIMIT ?)`;

/** A planned row that is still what was planned; rows that turned into deletions, or back, wait for the next plan. */
const AS_PLANNED = `JOIN _sync_dirty_rows d ON d.rowid = f.dirty_rowid AND d.dirty_ordinal = f.dirty_ordinal
  AND (d.payload IS NULL) = f.is_delete`;

/** First and last position, both inclusive. */
export const FREEZE_PAGE = `
SELECT d.table_name, d.key_json, CAST(d.base_row_version AS TEXT), d.payload, COALESCE(s.deleted = 0, 0), f.position
FROM _oversync_work._oversync_freeze_plan f ${AS_PLANNED}
LEFT JOIN _sync_row_state s ON s.schema_name = d.schema_name AND s.table_name = d.table_name AND s.key_json = d.key_json
WHERE f.position BETWEEN ? AND ? ORDER BY f.position`;

/** JSON array of table names. Rows and captured bytes of the upserts of a foreign-key group. */
export const GROUP_SIZE = `
SELECT count(*), COALESCE(SUM(f.size), 0) FROM _oversync_work._oversync_freeze_plan f ${AS_PLANNED}
WHERE d.payload IS NOT NULL AND d.table_name IN (SELECT value FROM json_each(?))`;

export const INSERT_OUTBOX_ROWS = {
  into: `INSERT INTO _sync_outbox_rows(source_bundle_id, row_ordinal, schema_name, table_name, key_json, wire_key_json, op,
  base_row_version, local_payload, wire_payload)`,
  width: 10,
} as const;

/** JSON array of [position, code, column, op]. */
export const QUARANTINE_UNENCODABLE = `
INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, detail, shows, attempts)
SELECT d.schema_name, d.table_name, d.key_json, refused.value->>3,
  d.base_row_version, d.payload, 'freeze', refused.value->>1, refused.value->>2, 'local', 1
FROM json_each(?) refused JOIN _oversync_work._oversync_freeze_plan f ON f.position = refused.value->>0
JOIN _sync_dirty_rows d ON d.rowid = f.dirty_rowid WHERE true
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, payload = excluded.payload,
  base_row_version = excluded.base_row_version, origin = excluded.origin, code = excluded.code, detail = excluded.detail,
  shows = excluded.shows, attempts = attempts + 1`;

/** Last position. */
export const DROP_FROZEN = `
DELETE FROM _sync_dirty_rows WHERE rowid IN (SELECT d.rowid FROM _oversync_work._oversync_freeze_plan f ${AS_PLANNED} WHERE f.position <= ?)`;

/** Source id, source bundle id, lease, hash, rows. */
export const SAVE_PREPARED = `
UPDATE _sync_outbox_bundle SET state = 'prepared', source_id = ?, source_bundle_id = ?, initialization_id = ?,
  canonical_request_hash = ?, row_count = ?, remote_bundle_hash = '', remote_bundle_seq = 0 WHERE singleton_key = 1`;

/** Highest ordinal. */
export const HAS_DIRTY_UP_TO = 'SELECT EXISTS (SELECT 1 FROM _sync_dirty_rows WHERE dirty_ordinal <= ?)';

/** Position. The captured bytes, to tell replaced bytes from a genuine U+FFFD. */
export const CAPTURED_BYTES = `
SELECT CAST(d.payload AS BLOB), CAST(d.key_json AS BLOB) FROM _oversync_work._oversync_freeze_plan f JOIN _sync_dirty_rows d ON d.rowid = f.dirty_rowid
WHERE f.position = ?`;
