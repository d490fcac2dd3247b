/*
 * Statements over `_oversync_work._oversync_page`, the rows of one transaction (see work-tables.sql.ts for its verdicts).
 * Every statement that names the schema takes it as its first parameter.
 */

const NOW = "strftime('%Y-%m-%dT%H:%M:%fZ','now')";

/** A key that comes twice keeps the later row. */
const KEEP_LATER = `
ON CONFLICT (table_name, key_json) DO UPDATE SET op = excluded.op, row_version = excluded.row_version,
  payload = excluded.payload, sql_payload = excluded.sql_payload`;

/** Ordinal, table, key, op, version, payload, payload for SQL. */
export const INSERT_PAGE = {
  into: 'INSERT INTO _oversync_work._oversync_page(ordinal, table_name, key_json, op, row_version, payload, sql_payload)',
  width: 7,
  conflict: KEEP_LATER,
} as const;

/** Bundle sequence. */
export const PAGE_FROM_STAGE = `
INSERT INTO _oversync_work._oversync_page(ordinal, table_name, key_json, op, row_version, payload)
SELECT row_ordinal, table_name, key_json, op, row_version, payload FROM _oversync_bundle_stage WHERE bundle_seq = ? ORDER BY row_ordinal ${KEEP_LATER}`;

/** JSON array of table names, first ordinal (exclusive), rows. */
export const PAGE_PAYLOADS = `
SELECT ordinal, table_name, payload FROM _oversync_work._oversync_page
WHERE table_name IN (SELECT value FROM json_each(?)) AND payload IS NOT NULL AND ordinal > ? ORDER BY ordinal LIMIT ?`;

/** JSON array of [ordinal, text]. */
export const SET_SQL_PAYLOADS = `
UPDATE _oversync_work._oversync_page SET sql_payload = changed.text
FROM (SELECT CAST(value->>0 AS INTEGER) AS ordinal, value->>1 AS text FROM json_each(?)) changed
WHERE _oversync_work._oversync_page.ordinal = changed.ordinal`;

/** Schema. Rows whose stored version is not older: own bundles and repeats. Uploaded rows are judged elsewhere. */
export const DROP_STALE = `
DELETE FROM _oversync_work._oversync_page WHERE uploaded_ordinal IS NULL AND EXISTS (
  SELECT 1 FROM _sync_row_state s WHERE s.schema_name = ? AND s.table_name = _oversync_page.table_name
    AND s.key_json = _oversync_page.key_json AND s.row_version >= _oversync_page.row_version)`;

/** Schema. Keys with a dirty row. */
export const MARK_DIRTY = `
UPDATE _oversync_work._oversync_page SET verdict = 1 WHERE verdict = 0 AND uploaded_ordinal IS NULL AND EXISTS (
  SELECT 1 FROM _sync_dirty_rows d WHERE d.schema_name = ? AND d.table_name = _oversync_page.table_name
    AND d.key_json = _oversync_page.key_json)`;

/** Keys with a frozen row. The outbox has no index by key: it is read once per statement. */
export const MARK_FROZEN = `
UPDATE _oversync_work._oversync_page SET verdict = 4 WHERE uploaded_ordinal IS NULL
  AND (table_name, key_json) IN (SELECT table_name, key_json FROM _sync_outbox_rows)`;

/** Schema. Keys whose quarantined local value is still in the table. */
export const MARK_QUARANTINED = `
UPDATE _oversync_work._oversync_page SET verdict = 4 WHERE uploaded_ordinal IS NULL AND EXISTS (
  SELECT 1 FROM _oversync_quarantine q WHERE q.schema_name = ? AND q.table_name = _oversync_page.table_name
    AND q.key_json = _oversync_page.key_json AND q.shows = 'local')`;

/** Schema. The newest image of a pending key. */
export const KEEP_IMAGES = `
INSERT INTO _oversync_row_bases(schema_name, table_name, key_json, server_row_version, server_deleted, server_payload)
SELECT ?, table_name, key_json, row_version, op = 'DELETE', payload FROM _oversync_work._oversync_page WHERE verdict IN (1, 4)
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET server_row_version = excluded.server_row_version,
  server_deleted = excluded.server_deleted, server_payload = excluded.server_payload
WHERE excluded.server_row_version > server_row_version`;

export const COUNT_KEPT = 'SELECT count(*) FROM _oversync_work._oversync_page WHERE verdict IN (1, 4)';

/** Schema. Version and tombstone of every applied row. */
export const SAVE_ROW_STATE = `
INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version, deleted)
SELECT ?, table_name, key_json, row_version, op = 'DELETE' FROM _oversync_work._oversync_page WHERE verdict IN (0, 2)
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET row_version = excluded.row_version, deleted = excluded.deleted,
  updated_at = ${NOW}`;

/** Schema. Intents that the applied rows settle. */
export const DROP_SETTLED = `
DELETE FROM _sync_dirty_rows WHERE schema_name = ? AND (table_name, key_json) IN
  (SELECT table_name, key_json FROM _oversync_work._oversync_page WHERE verdict = 2)`;

/** Schema. Base rows of applied keys; an image that is newer than what was applied stays. */
export const DROP_APPLIED_BASES = `
DELETE FROM _oversync_row_bases WHERE schema_name = ? AND EXISTS (SELECT 1 FROM _oversync_work._oversync_page p
  WHERE p.verdict IN (0, 2) AND p.table_name = _oversync_row_bases.table_name AND p.key_json = _oversync_row_bases.key_json
    AND p.row_version >= _oversync_row_bases.server_row_version)`;

/** Tables of the page: name, has upserts to apply, has deletes to apply, has pending rows. */
export const PAGE_TABLES = `
SELECT table_name, MAX(verdict IN (0, 2) AND op <> 'DELETE'), MAX(verdict IN (0, 2) AND op = 'DELETE'), MAX(verdict = 1), MAX(verdict = 3)
FROM _oversync_work._oversync_page GROUP BY table_name`;

/** Whether dirty rows, frozen rows, quarantined local values, base rows exist at all. */
export const WHAT_IS_PENDING = `
SELECT EXISTS (SELECT 1 FROM _sync_dirty_rows), EXISTS (SELECT 1 FROM _sync_outbox_rows),
  EXISTS (SELECT 1 FROM _oversync_quarantine WHERE shows = 'local'), EXISTS (SELECT 1 FROM _oversync_row_bases)`;

/** Code of the reason, schema, table. Dirty upserts whose live row was removed by a cascade; the caller names the condition. */
export function quarantineOrphansSql(isLive: string): string {
  return `
INSERT INTO _oversync_quarantine(schema_name, table_name, key_json, op, base_row_version, payload, origin, code, shows, attempts)
SELECT d.schema_name, d.table_name, d.key_json, d.op, d.base_row_version, d.payload, ?, 'parent_deleted', 'server', 1
FROM _sync_dirty_rows d WHERE d.schema_name = ? AND d.table_name = ? AND d.payload IS NOT NULL AND NOT ${isLive}
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET op = excluded.op, base_row_version = excluded.base_row_version,
  payload = excluded.payload, origin = excluded.origin, code = excluded.code, shows = excluded.shows,
  attempts = attempts + 1`;
}

/** Schema, table. Keys and ops of the rows that {@link quarantineOrphansSql} takes. */
export function selectOrphansSql(isLive: string): string {
  return `
SELECT d.key_json, d.op FROM _sync_dirty_rows d WHERE d.schema_name = ? AND d.table_name = ? AND d.payload IS NOT NULL AND NOT ${isLive}`;
}
