/* Statements of the replay (client.md 6.6). Verdict 3 = the uploaded row was edited since: keep the local row and queue it again. */

/**
 * Bundle sequence. The committed rows with their place in the upload: servers commit in the order of the upload, so both usually have the
 * same ordinal, and no row of the page has to be written twice.
 */
export const PAGE_FROM_COMMITTED = `
INSERT INTO _oversync_work._oversync_page(ordinal, table_name, key_json, op, row_version, payload, uploaded_ordinal)
SELECT b.row_ordinal, b.table_name, b.key_json, b.op, b.row_version, b.payload, o.row_ordinal
FROM _oversync_bundle_stage b LEFT JOIN _sync_outbox_rows o
ON o.source_bundle_id = (SELECT source_bundle_id FROM _sync_outbox_bundle) AND o.row_ordinal = b.row_ordinal
  AND o.table_name = b.table_name AND o.key_json = b.key_json
WHERE b.bundle_seq = ? ORDER BY b.row_ordinal`;

/** Matched rows that the page does not hold: the table has their values already. */
const LEFT_ALONE = `source_bundle_id = ? AND row_ordinal BETWEEN ? AND ? AND row_ordinal NOT IN (SELECT ordinal FROM _oversync_work._oversync_page)`;

/** Schema, version, source bundle id, first and last ordinal. Row state of the matched rows that were left alone. */
export const SAVE_MATCHED_STATE = `
INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version, deleted, updated_at)
SELECT ?, table_name, key_json, ?, op = 'DELETE', strftime('%Y-%m-%dT%H:%M:%fZ','now') FROM _sync_outbox_rows WHERE ${LEFT_ALONE}
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET row_version = excluded.row_version, deleted = excluded.deleted,
  updated_at = excluded.updated_at`;

/** Schema, sequence, version, source bundle id, first and last ordinal, limit. Outcomes of the same rows. */
export const RECORD_MATCHED = `
INSERT INTO _oversync_outcomes(schema_name, table_name, key_json, op, outcome, bundle_seq, row_version)
SELECT ?, table_name, key_json, op, 'accepted', ?, ? FROM _sync_outbox_rows WHERE ${LEFT_ALONE}
ORDER BY row_ordinal DESC LIMIT ?`;

/** First and last ordinal. Whether a matched key was committed a second time, at another place. */
export const IS_MATCHED_TWICE = `
SELECT EXISTS (SELECT 1 FROM _oversync_work._oversync_page WHERE uploaded_ordinal BETWEEN ? AND ? AND uploaded_ordinal <> ordinal)`;

/** Whether rows are left whose place in the upload is not known. */
export const HAS_UNMARKED = 'SELECT EXISTS (SELECT 1 FROM _oversync_work._oversync_page WHERE uploaded_ordinal IS NULL)';

/** Joins them with what was uploaded. */
export const MARK_UPLOADED = `
UPDATE _oversync_work._oversync_page SET uploaded_ordinal = o.row_ordinal FROM _sync_outbox_rows o
WHERE uploaded_ordinal IS NULL AND _oversync_work._oversync_page.table_name = o.table_name AND _oversync_work._oversync_page.key_json = o.key_json`;

/** Tables of the rows in the page. */
export const COMMITTED_TABLES = 'SELECT DISTINCT table_name FROM _oversync_work._oversync_page';
export const COUNT_PAGE = 'SELECT count(*) FROM _oversync_work._oversync_page';
export const COUNT_REQUEUED = 'SELECT count(*) FROM _oversync_work._oversync_page WHERE verdict = 3';

/** Schema. Row state of the kept rows: the server has the committed version. */
export const SAVE_REQUEUED_STATE = `
INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version, deleted)
SELECT ?, table_name, key_json, row_version, op = 'DELETE' FROM _oversync_work._oversync_page WHERE verdict = 3
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET row_version = excluded.row_version, deleted = excluded.deleted,
  updated_at = excluded.updated_at`;

/** Schema. Dirty rows of accepted uploads: their content is what was committed. */
export const DROP_ACCEPTED_DIRTY = `
DELETE FROM _sync_dirty_rows WHERE schema_name = ? AND (table_name, key_json) IN
  (SELECT table_name, key_json FROM _oversync_work._oversync_page WHERE uploaded_ordinal IS NOT NULL AND verdict = 0)`;

/** Schema. Base images of kept rows are older than what was committed. */
export const DROP_REQUEUED_BASES = `
DELETE FROM _oversync_row_bases WHERE schema_name = ? AND server_row_version = 0 AND (table_name, key_json) IN
  (SELECT table_name, key_json FROM _oversync_work._oversync_page WHERE verdict = 3)`;

/** Schema. Images newer than the committed version, of keys that are clean now. */
export const NEWER_IMAGES = `
SELECT b.table_name, b.key_json FROM _oversync_work._oversync_page p JOIN _oversync_row_bases b
ON b.schema_name = ? AND b.table_name = p.table_name AND b.key_json = p.key_json
WHERE p.uploaded_ordinal IS NOT NULL AND p.verdict = 0 AND b.server_row_version > p.row_version`;

/** Ordinals of rows to be kept that no dirty row explains: their texts may differ without their values doing so. Schema. */
export const UNEXPLAINED_ORDINALS = `
SELECT p.ordinal, p.table_name, p.key_json, o.local_payload FROM _oversync_work._oversync_page p JOIN _sync_outbox_rows o
ON o.source_bundle_id = (SELECT source_bundle_id FROM _sync_outbox_bundle) AND o.row_ordinal = p.uploaded_ordinal
WHERE p.verdict = 3 AND o.local_payload IS NOT NULL AND p.ordinal > ? AND NOT EXISTS (SELECT 1 FROM _sync_dirty_rows d
  WHERE d.schema_name = o.schema_name AND d.table_name = p.table_name AND d.key_json = p.key_json) ORDER BY p.ordinal LIMIT ?`;

/** JSON array of ordinals. */
export const ACCEPT_ORDINALS =
  'UPDATE _oversync_work._oversync_page SET verdict = 0 WHERE ordinal IN (SELECT value FROM json_each(?))';

/** Sequence twice. Moves only over the next bundle: earlier ones of others must still be pulled. */
export const ADVANCE_CHECKPOINT = `
UPDATE _sync_attachment_state SET last_bundle_seq_seen = ? WHERE singleton_key = 1 AND last_bundle_seq_seen = ? - 1`;

export const CLEAR_LEASE = `UPDATE _sync_attachment_state SET pending_initialization_id = '' WHERE singleton_key = 1`;
