/**
 * Clean-up in bounded batches. Candidates are locked with SKIP LOCKED, so any number of processes run side by side and none waits for
 * a request. Each statement returns the number of rows that it removed.
 */
import type { MetadataNames } from './metadata.sql.ts';

const countOf = (cte: string): string => `SELECT count(*) FROM ${cte}`;

/** `$1` sessions at most. Their rows go with {@link deleteOrphanPushRows}. */
export function deleteExpiredPushSessions(m: MetadataNames): string {
  return `
WITH expired AS (
  SELECT scope_pk, push_id FROM ${m.pushSession} WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM ${m.pushSession} s USING expired e WHERE s.scope_pk = e.scope_pk AND s.push_id = e.push_id RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` rows at most: rows whose session was committed, discarded or has expired. */
export function deleteOrphanPushRows(m: MetadataNames): string {
  return `
WITH orphan AS (
  SELECT r.scope_pk, r.push_id, r.row_ordinal FROM ${m.pushRow} r
  WHERE NOT EXISTS (SELECT FROM ${m.pushSession} s WHERE s.scope_pk = r.scope_pk AND s.push_id = r.push_id)
  LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM ${m.pushRow} r USING orphan o
  WHERE r.scope_pk = o.scope_pk AND r.push_id = o.push_id AND r.row_ordinal = o.row_ordinal RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` sessions at most. */
export function deleteExpiredSnapshotSessions(m: MetadataNames): string {
  return `
WITH expired AS (
  SELECT scope_pk, snapshot_id FROM ${m.snapshotSession} WHERE expires_at <= now() LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM ${m.snapshotSession} s USING expired e WHERE s.scope_pk = e.scope_pk AND s.snapshot_id = e.snapshot_id RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` images at most: locks images that no session uses, against requests that are about to use them. */
export function lockUnusedImages(m: MetadataNames): string {
  return `
SELECT i.scope_pk, i.image_id FROM ${m.snapshotImage} i
WHERE NOT EXISTS (SELECT FROM ${m.snapshotSession} s WHERE s.scope_pk = i.scope_pk AND s.image_id = i.image_id)
LIMIT $1 FOR UPDATE SKIP LOCKED`;
}

/** `$1` scopes and `$2` ids of images locked by {@link lockUnusedImages}. Looks again: a session may have come in before the lock. */
export function deleteLockedImages(m: MetadataNames): string {
  return `
WITH locked AS (
  SELECT scope_pk, image_id FROM unnest($1::int8[], $2::uuid[]) l (scope_pk, image_id)
), gone AS (
  DELETE FROM ${m.snapshotImage} i USING locked l
  WHERE i.scope_pk = l.scope_pk AND i.image_id = l.image_id
    AND NOT EXISTS (SELECT FROM ${m.snapshotSession} s WHERE s.scope_pk = i.scope_pk AND s.image_id = i.image_id)
  RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` blocks at most. A build commits its blocks and its image together, so blocks without image belong to a deleted one. */
export function deleteOrphanSnapshotBlocks(m: MetadataNames): string {
  return `
WITH orphan AS (
  SELECT b.scope_pk, b.image_id, b.first_row_ordinal FROM ${m.snapshotBlock} b
  WHERE NOT EXISTS (SELECT FROM ${m.snapshotImage} i WHERE i.scope_pk = b.scope_pk AND i.image_id = b.image_id)
  LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM ${m.snapshotBlock} b USING orphan o
  WHERE b.scope_pk = o.scope_pk AND b.image_id = o.image_id AND b.first_row_ordinal = o.first_row_ordinal RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` after this scope_pk, `$2` scopes at most: scopes with history below their floor. */
export function selectScopesToPrune(m: MetadataNames): string {
  return `SELECT scope_pk, floor FROM ${m.scope} WHERE scope_pk > $1 AND pruned_to < floor ORDER BY scope_pk LIMIT $2`;
}

/** `$1` scope_pk, `$2` floor, `$3` blocks at most. */
export function deletePrunedBlocks(m: MetadataNames): string {
  return `
WITH pruned AS (
  SELECT bundle_seq, first_row_ordinal FROM ${m.bundleBlock} WHERE scope_pk = $1 AND bundle_seq <= $2
  ORDER BY bundle_seq LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM ${m.bundleBlock} k USING pruned p
  WHERE k.scope_pk = $1 AND k.bundle_seq = p.bundle_seq AND k.first_row_ordinal = p.first_row_ordinal RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` scope_pk, `$2` floor, `$3` bundles at most. */
export function deletePrunedBundles(m: MetadataNames): string {
  return `
WITH pruned AS (
  SELECT bundle_seq FROM ${m.bundle} WHERE scope_pk = $1 AND bundle_seq <= $2 ORDER BY bundle_seq LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM ${m.bundle} b USING pruned p WHERE b.scope_pk = $1 AND b.bundle_seq = p.bundle_seq RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` scope_pk, `$2` floor, `$3` tombstones at most. A key that has lived again since keeps its version. */
export function deletePrunedTombstones(m: MetadataNames): string {
  return `
WITH pruned AS (
  SELECT version, table_id, key_bytes FROM ${m.tombstone} WHERE scope_pk = $1 AND version <= $2
  ORDER BY version, table_id, key_bytes LIMIT $3 FOR UPDATE SKIP LOCKED
), purged AS (
  DELETE FROM ${m.rowState} r USING pruned p
  WHERE r.scope_pk = $1 AND r.table_id = p.table_id AND r.key_bytes = p.key_bytes AND r.version = p.version AND r.deleted
), gone AS (
  DELETE FROM ${m.tombstone} t USING pruned p
  WHERE t.scope_pk = $1 AND t.version = p.version AND t.table_id = p.table_id AND t.key_bytes = p.key_bytes RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` scope_pk, `$2` floor up to which everything is gone. */
export function savePrunedTo(m: MetadataNames): string {
  return `
UPDATE ${m.scope} s SET pruned_to = $2 WHERE scope_pk = $1 AND pruned_to < $2
  AND NOT EXISTS (SELECT FROM ${m.bundle} b WHERE b.scope_pk = $1 AND b.bundle_seq <= $2)
  AND NOT EXISTS (SELECT FROM ${m.bundleBlock} k WHERE k.scope_pk = $1 AND k.bundle_seq <= $2)
  AND NOT EXISTS (SELECT FROM ${m.tombstone} t WHERE t.scope_pk = $1 AND t.version <= $2)`;
}

/**
 * Moves the floor of idle scopes. `$1` after this scope_pk, `$2` scopes at most, `$3` bundles kept, `$4` age kept in ms, `$5` bytes kept
 * (NULL: not a reason), `$6` bundles per step. Returns the last scope looked at (NULL: the end is reached) and how many floors moved.
 */
export function advanceIdleFloors(m: MetadataNames): string {
  return `
WITH looked AS (
  SELECT scope_pk, head, floor, wire_bytes FROM ${m.scope}
  WHERE scope_pk > $1 ORDER BY scope_pk LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
), wanted AS (
  SELECT l.scope_pk, l.floor, LEAST(l.head, l.floor + $6::int8, GREATEST(
    l.floor, l.head - $3::int8,
    CASE WHEN $4::int8 IS NOT NULL THEN (
      SELECT b.bundle_seq FROM ${m.bundle} b WHERE b.scope_pk = l.scope_pk AND b.bundle_seq > l.floor
        AND b.committed_at < now() - $4::int8 * interval '1 millisecond' ORDER BY b.bundle_seq DESC LIMIT 1
    ) END,
    CASE WHEN $5::int8 IS NOT NULL THEN (
      SELECT b.bundle_seq FROM ${m.bundle} b WHERE b.scope_pk = l.scope_pk AND b.bundle_seq > l.floor AND b.bundle_seq < l.head
        AND b.wire_bytes_total <= l.wire_bytes - $5::int8 ORDER BY b.bundle_seq DESC LIMIT 1
    ) END
  )) AS floor_wanted
  FROM looked l
), moved AS (
  UPDATE ${m.scope} s SET floor = w.floor_wanted FROM wanted w WHERE s.scope_pk = w.scope_pk AND w.floor_wanted > w.floor RETURNING 1
)
SELECT (SELECT max(scope_pk) FROM looked HAVING count(*) = $2::int8), (SELECT count(*) FROM moved)`;
}

/** `$1` rows at most, `$2` age in ms. */
export function deleteOldReceipts(m: MetadataNames): string {
  return `
WITH old AS (
  SELECT scope_pk, operation_id FROM ${m.writeReceipt} WHERE created_at < now() - $2::int8 * interval '1 millisecond'
  LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM ${m.writeReceipt} r USING old o WHERE r.scope_pk = o.scope_pk AND r.operation_id = o.operation_id RETURNING 1
) ${countOf('gone')}`;
}

/** `$1` rows at most, `$2` age in ms. Such rows should not outlive their transaction at all. */
export function deleteOrphanCaptures(m: MetadataNames): string {
  return `
WITH old AS (
  SELECT scope_pk, token, ordinal FROM ${m.capture} WHERE captured_at < now() - $2::int8 * interval '1 millisecond'
  LIMIT $1 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM ${m.capture} c USING old o WHERE c.scope_pk = o.scope_pk AND c.token = o.token AND c.ordinal = o.ordinal RETURNING 1
) ${countOf('gone')}`;
}

/** One row for the one process that refreshes the figures now, none for the others. */
export function lockFigures(m: MetadataNames): string {
  return `SELECT only_row FROM ${m.meta} FOR NO KEY UPDATE SKIP LOCKED`;
}
