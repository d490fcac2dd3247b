/** Columns of {@link LOAD_CLIENT_STATE} in order. */
export const CLIENT_STATE_COLUMNS = {
  sourceId: 0,
  binding: 1,
  userId: 2,
  lastBundleSeqSeen: 3,
  rebuildRequired: 4,
  initializationId: 5,
  kind: 6,
  targetUserId: 7,
  stagedSnapshotId: 8,
  snapshotBundleSeq: 9,
  snapshotRowCount: 10,
  snapshotByteCount: 11,
  snapshotStageComplete: 12,
  reason: 13,
  replacementSourceId: 14,
  outboxState: 15,
  outboxSourceId: 16,
  sourceBundleId: 17,
  outboxInitializationId: 18,
  requestHash: 19,
  rowCount: 20,
  remoteBundleHash: 21,
  remoteBundleSeq: 22,
  applyMode: 23,
} as const;

/** All singletons in one row. 64-bit counters are read as text. */
export const LOAD_CLIENT_STATE = `
SELECT a.current_source_id, a.binding_state, a.attached_user_id, CAST(a.last_bundle_seq_seen AS TEXT), a.rebuild_required,
  a.pending_initialization_id,
  o.kind, o.target_user_id, o.staged_snapshot_id, CAST(o.snapshot_bundle_seq AS TEXT), CAST(o.snapshot_row_count AS TEXT),
  CAST(o.snapshot_byte_count AS TEXT), o.snapshot_stage_complete, o.reason, o.replacement_source_id,
  b.state, b.source_id, CAST(b.source_bundle_id AS TEXT), b.initialization_id, b.canonical_request_hash, b.row_count,
  b.remote_bundle_hash, CAST(b.remote_bundle_seq AS TEXT),
  COALESCE((SELECT apply_mode FROM _sync_apply_state WHERE singleton_key = 1), 0)
FROM _sync_attachment_state a, _sync_operation_state o, _sync_outbox_bundle b
WHERE a.singleton_key = 1 AND o.singleton_key = 1 AND b.singleton_key = 1`;

/** Source id, binding, user, schema name, checkpoint, rebuild flag, lease. */
export const SAVE_ATTACHMENT = `
UPDATE _sync_attachment_state SET current_source_id = ?, binding_state = ?, attached_user_id = ?, schema_name = ?,
  last_bundle_seq_seen = ?, rebuild_required = ?, pending_initialization_id = ?
WHERE singleton_key = 1`;

/** Kind, target user, the five columns of the staged session, reason, replacement. */
export const SAVE_OPERATION = `
UPDATE _sync_operation_state SET kind = ?, target_user_id = ?, staged_snapshot_id = ?, snapshot_bundle_seq = ?,
  snapshot_row_count = ?, snapshot_byte_count = ?, snapshot_stage_complete = ?, reason = ?, replacement_source_id = ?
WHERE singleton_key = 1`;

/** Source id. */
export const LOAD_SOURCE =
  'SELECT CAST(next_source_bundle_id AS TEXT), replaced_by_source_id FROM _sync_source_state WHERE source_id = ?';

/** New counter, source id. */
export const RAISE_SOURCE_COUNTER =
  'UPDATE _sync_source_state SET next_source_bundle_id = MAX(next_source_bundle_id, ?) WHERE source_id = ?';
