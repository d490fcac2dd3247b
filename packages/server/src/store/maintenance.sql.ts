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

/**
 * `$1` scope_pk after which the round goes on, `$2` scopes at most: scopes with history below their floor, those after `$1` first and
 * then those up to it.
 */
export function selectScopesToPrune(m: MetadataNames): string {
  const select = (where: string): string =>
    `(SELECT scope_pk, floor FROM ${m.scope} WHERE ${where} AND pruned_to < floor ORDER BY scope_pk LIMIT $2)`;
  return `SELECT scope_pk, floor FROM (${select('scope_pk > $1')} UNION ALL ${select('scope_pk <= $1')}) s
    ORDER BY scope_pk <= $1, scope_pk LIMIT $2`;
}

/** Scopes of a prune: `$1` scope_pks and `$2` their floors, in the order in which they have their turn. */
const PRUNED_SCOPES = 'unnest($1::int8[], $2::int8[]) WITH ORDINALITY s (scope_pk, floor, turn)';

/** What a prune answers: rows removed, and the turn of the last scope that had any (NULL: none had). */
const PRUNE_ANSWER = 'SELECT count(*), (SELECT max(turn) FROM pruned) FROM gone';

/** Scopes as in {@link PRUNED_SCOPES}, `$3` blocks at most. */
export function deletePrunedBlocks(m: MetadataNames): string {
  return `
WITH pruned AS (
  SELECT s.turn, k.* FROM ${PRUNED_SCOPES} CROSS JOIN LATERAL (
    SELECT b.scope_pk, b.bundle_seq, b.first_row_ordinal FROM ${m.bundleBlock} b WHERE b.scope_pk = s.scope_pk AND b.bundle_seq <= s.floor
    ORDER BY b.bundle_seq LIMIT $3 FOR UPDATE SKIP LOCKED
  ) k LIMIT $3
), gone AS (
  DELETE FROM ${m.bundleBlock} k USING pruned p
  WHERE k.scope_pk = p.scope_pk AND k.bundle_seq = p.bundle_seq AND k.first_row_ordinal = p.first_row_ordinal RETURNING 1
) ${PRUNE_ANSWER}`;
}

/** Scopes as in {@link PRUNED_SCOPES}, `$3` bundles at most. */
export function deletePrunedBundles(m: MetadataNames): string {
  return `
WITH pruned AS (
  SELECT s.turn, k.* FROM ${PRUNED_SCOPES} CROSS JOIN LATERAL (
    SELECT b.scope_pk, b.bundle_seq FROM ${m.bundle} b WHERE b.scope_pk = s.scope_pk AND b.bundle_seq <= s.floor
    ORDER BY b.bundle_seq LIMIT $3 FOR UPDATE SKIP LOCKED
  ) k LIMIT $3
), gone AS (
  DELETE FROM ${m.bundle} b USING pruned p WHERE b.scope_pk = p.scope_pk AND b.bundle_seq = p.bundle_seq RETURNING 1
) ${PRUNE_ANSWER}`;
}

/**
 * Scopes as in {@link PRUNED_SCOPES}, `$3` tombstones at most. A key that has lived again since keeps its version; one that is being
 * written to keeps its tombstone for the next run.
 */
export function deletePrunedTombstones(m: MetadataNames): string {
  return `
WITH pruned AS (
  SELECT s.turn, k.* FROM ${PRUNED_SCOPES} CROSS JOIN LATERAL (
    SELECT t.scope_pk, t.version, t.table_id, t.key_bytes FROM ${m.tombstone} t WHERE t.scope_pk = s.scope_pk AND t.version <= s.floor
    ORDER BY t.version, t.table_id, t.key_bytes LIMIT $3 FOR UPDATE SKIP LOCKED
  ) k LIMIT $3
), locked AS (
  SELECT r.scope_pk, r.table_id, r.key_bytes FROM ${m.rowState} r JOIN pruned p
    ON r.scope_pk = p.scope_pk AND r.table_id = p.table_id AND r.key_bytes = p.key_bytes AND r.version = p.version AND r.deleted
  FOR UPDATE OF r SKIP LOCKED
), purged AS (
  DELETE FROM ${m.rowState} r USING locked l
  WHERE r.scope_pk = l.scope_pk AND r.table_id = l.table_id AND r.key_bytes = l.key_bytes
), gone AS (
  DELETE FROM ${m.tombstone} t USING pruned p
  LEFT JOIN ${m.rowState} r
    ON r.scope_pk = p.scope_pk AND r.table_id = p.table_id AND r.key_bytes = p.key_bytes AND r.version = p.version AND r.deleted
  LEFT JOIN locked l ON l.scope_pk = p.scope_pk AND l.table_id = p.table_id AND l.key_bytes = p.key_bytes
  WHERE t.scope_pk = p.scope_pk AND t.version = p.version AND t.table_id = p.table_id AND t.key_bytes = p.key_bytes
    AND (r.scope_pk IS NULL OR l.scope_pk IS NOT NULL) RETURNING 1
) ${PRUNE_ANSWER}`;
}

/** Scopes as in {@link PRUNED_SCOPES}: remembers of those that nobody is writing to that everything up to the floor is gone, if it is. */
export function savePrunedTo(m: MetadataNames): string {
  return `
WITH free AS (
  SELECT c.scope_pk, s.floor FROM ${PRUNED_SCOPES} JOIN ${m.scope} c ON c.scope_pk = s.scope_pk
  WHERE c.pruned_to < s.floor FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE ${m.scope} c SET pruned_to = f.floor FROM free f WHERE c.scope_pk = f.scope_pk
  AND NOT EXISTS (SELECT FROM ${m.bundle} b WHERE b.scope_pk = f.scope_pk AND b.bundle_seq <= f.floor)
  AND NOT EXISTS (SELECT FROM ${m.bundleBlock} k WHERE k.scope_pk = f.scope_pk AND k.bundle_seq <= f.floor)
  AND NOT EXISTS (SELECT FROM ${m.tombstone} t WHERE t.scope_pk = f.scope_pk AND t.version <= f.floor)`;
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
