/** First ordinal, rows, bytes. Last ordinal of the chunk that fits; NULL when not even one row does. */
export const CHUNK_END = `
SELECT MAX(row_ordinal) FROM (SELECT row_ordinal, SUM(COALESCE(length(CAST(wire_payload AS BLOB)), 0)) OVER (ORDER BY row_ordinal) AS total
  FROM _sync_outbox_rows WHERE source_bundle_id = (SELECT source_bundle_id FROM _sync_outbox_bundle) AND row_ordinal >= ?
  ORDER BY row_ordinal LIMIT ?) WHERE total <= ?`;

/** First ordinal, rows. Bytes of the payloads of so many rows, and the last ordinal; NULL when there are none. A sixth of the time of the other. */
export const CHUNK_SIZE = `
SELECT COALESCE(SUM(length(CAST(wire_payload AS BLOB))), 0), MAX(row_ordinal) FROM (SELECT row_ordinal, wire_payload
  FROM _sync_outbox_rows WHERE source_bundle_id = (SELECT source_bundle_id FROM _sync_outbox_bundle) AND row_ordinal >= ?
  ORDER BY row_ordinal LIMIT ?)`;

/** First and last ordinal, both inclusive. */
export const CHUNK_ROWS = `
SELECT schema_name, table_name, wire_key_json, op, CAST(base_row_version AS TEXT), wire_payload FROM _sync_outbox_rows
WHERE source_bundle_id = (SELECT source_bundle_id FROM _sync_outbox_bundle) AND row_ordinal BETWEEN ? AND ? ORDER BY row_ordinal`;

/** Hash and sequence of the commit, source bundle id. */
export const SAVE_COMMITTED = `
UPDATE _sync_outbox_bundle SET state = 'committed_remote', remote_bundle_hash = ?, remote_bundle_seq = ?
WHERE singleton_key = 1 AND state = 'prepared' AND source_bundle_id = ?`;

export const CLEAR_OUTBOX_HEADER = `
UPDATE _sync_outbox_bundle SET state = 'none', source_id = '', source_bundle_id = 0, initialization_id = '',
  canonical_request_hash = '', row_count = 0, remote_bundle_hash = '', remote_bundle_seq = 0 WHERE singleton_key = 1`;

/**
 * Frozen rows become dirty rows again, ahead of what was edited since. A newer dirty row of the key keeps its op, payload and place and
 * takes the older base.
 */
export const UNFREEZE_ROWS = `
INSERT INTO _sync_dirty_rows(schema_name, table_name, key_json, op, base_row_version, payload, dirty_ordinal)
SELECT schema_name, table_name, key_json, op, base_row_version, local_payload,
  COALESCE((SELECT MIN(dirty_ordinal) FROM _sync_dirty_rows) - 1 - (SELECT count(*) FROM _sync_outbox_rows), 0)
    + row_number() OVER (ORDER BY row_ordinal)
FROM _sync_outbox_rows WHERE true ORDER BY row_ordinal
ON CONFLICT (schema_name, table_name, key_json) DO UPDATE SET base_row_version = MIN(base_row_version, excluded.base_row_version)`;

/** What the header must agree with. */
export const OUTBOX_FACTS = `
SELECT count(*), COALESCE(MIN(row_ordinal), 0), COALESCE(MAX(row_ordinal), -1), CAST(COALESCE(MIN(source_bundle_id), 0) AS TEXT),
  CAST(COALESCE(MAX(source_bundle_id), 0) AS TEXT) FROM _sync_outbox_rows`;
