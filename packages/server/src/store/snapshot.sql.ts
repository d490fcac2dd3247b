/** Statements of snapshot sessions, their shared images, and source replacement. */
import { formatInstantSql } from './actor-facts.sql.ts';
import { copyTextsOut } from './block-copy.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** Rows of one block: large enough that the tuple overhead vanishes, small enough to slice quickly. */
const BLOCK_ROWS_MAX = 500;

/** Bytes after which a block ends early, so that wide rows do not make blocks that no page could hold. */
const BLOCK_BYTES = 1024 * 1024;

/** `$1` scope_pk, `$2` both source ids: state, kind, watermark, replacement of the known ones, locked in the order of their ids. */
export function lockSources(m: MetadataNames): string {
  return `
SELECT source_id, state, kind, watermark, replaced_by_source_id FROM ${m.source}
WHERE scope_pk = $1 AND source_id = ANY ($2::text[]) ORDER BY source_id FOR NO KEY UPDATE`;
}

/** `$1` scope_pk, `$2` previous id, `$3` new id, `$4` reason. */
export function retireSource(m: MetadataNames): string {
  return `
INSERT INTO ${m.source} AS s (scope_pk, source_id, state, kind, replaced_by_source_id, reason) VALUES ($1, $2, 'retired', 'client', $3, $4)
ON CONFLICT (scope_pk, source_id) DO UPDATE SET state = 'retired', replaced_by_source_id = $3, reason = $4
WHERE s.state <> 'retired'`;
}

/** `$1` scope_pk, `$2` new id. */
export function reserveSource(m: MetadataNames): string {
  return `
INSERT INTO ${m.source} (scope_pk, source_id, state, kind) VALUES ($1, $2, 'reserved', 'client')
ON CONFLICT (scope_pk, source_id) DO NOTHING`;
}

/**
 * `$1` scope_pk, `$2` source id, `$3` sessions that this source may keep beside the new one. Ends its oldest ones and returns how many
 * sessions of the scope stay alive.
 */
export function retireOldSessions(m: MetadataNames): string {
  return `
WITH surplus AS (
  SELECT snapshot_id FROM ${m.snapshotSession}
  WHERE scope_pk = $1 AND source_id = $2 AND expires_at > now() ORDER BY created_at DESC, snapshot_id OFFSET $3
), retired AS (
  UPDATE ${m.snapshotSession} SET expires_at = now() WHERE scope_pk = $1 AND snapshot_id IN (SELECT snapshot_id FROM surplus)
)
SELECT count(*) FROM ${m.snapshotSession}
WHERE scope_pk = $1 AND expires_at > now() AND snapshot_id NOT IN (SELECT snapshot_id FROM surplus)`;
}

/** `$1` scope_pk, `$2` head, `$3` shape set. The key lock keeps maintenance from deleting the image before the session exists. */
export function lockImage(m: MetadataNames): string {
  return `
SELECT image_id, row_count, byte_count FROM ${m.snapshotImage}
WHERE scope_pk = $1 AND bundle_seq = $2 AND shape_set = $3 ORDER BY created_at DESC LIMIT 1 FOR KEY SHARE`;
}

/** Above every key: no UTF-8 text has such a byte, and a uuid has 16 bytes only. */
const KEY_BYTES_END = `'\\x${'ff'.repeat(17)}'::bytea`;

/** What an image is built from. */
export interface ImageSource {
  readonly tableIds: readonly number[];
  /** Yields `key_bytes, row_text` of the keys in {@link BATCH_KEYS}, with a NULL text where there is no row; may use `$5` and up. */
  readonly rows: string;
  /** Rows of the scope in all tables, as SQL expression. */
  readonly rowCount: string;
}

/** Expressions of {@link buildImage} that {@link ImageSource.rows} may use. */
export const BATCH_KEYS = { tableId: 'batch.table_id', firstKey: 'batch.first_key', endKey: 'batch.end_key' } as const;

/**
 * Builds an image in one statement, batch by batch of consecutive keys, so that no more than a batch of row texts is ever sorted or
 * kept: sorting all of them would write each text to disk several times. `$1` scope_pk, `$2` image id, `$3` head, `$4` shape set. Returns
 * rows, bytes, largest row, keys without a row, and rows in the tables; the last count shows rows without a key.
 *
 * Table ids are filtered by an expression that no index knows: the index alone then gives the keys in order.
 */
export function buildImage(m: MetadataNames, source: ImageSource): string {
  return `
WITH keys AS (
  SELECT table_id, key_bytes, row_number() OVER (ORDER BY table_id, key_bytes) - 1 AS row_ordinal,
    row_number() OVER (PARTITION BY table_id ORDER BY key_bytes) - 1 AS table_ordinal
  FROM ${m.rowState} WHERE scope_pk = $1::int8 AND NOT deleted AND table_id + 0 IN (${['NULL', ...source.tableIds].join(',')})
), batch AS MATERIALIZED (
  SELECT table_id, key_bytes AS first_key, row_ordinal,
    COALESCE(lead(key_bytes) OVER (PARTITION BY table_id ORDER BY row_ordinal), ${KEY_BYTES_END}) AS end_key
  FROM keys WHERE table_ordinal % ${String(BLOCK_ROWS_MAX)} = 0
), block AS (
  INSERT INTO ${m.snapshotBlock} (scope_pk, image_id, first_row_ordinal, row_count, row_lengths, row_texts)
  SELECT $1::int8, $2::uuid, batch.row_ordinal + part.rows_before, part.row_count, part.row_lengths, part.row_texts
  FROM batch CROSS JOIN LATERAL (
    SELECT min(n.position) - 1 AS rows_before, count(*) AS row_count, array_agg(n.row_length ORDER BY n.position) AS row_lengths,
      COALESCE(string_agg(n.row_text, ',' ORDER BY n.position), '') AS row_texts
    FROM (
      SELECT row_text, octet_length(row_text) AS row_length, row_number() OVER w AS position,
        sum(octet_length(row_text)) OVER w - octet_length(row_text) AS bytes_before
      FROM (SELECT * FROM (${source.rows}) live OFFSET 0) rendered
      WINDOW w AS (ORDER BY key_bytes)
    ) n GROUP BY n.bytes_before / ${String(BLOCK_BYTES)}
  ) part
  RETURNING row_count, octet_length(row_texts) - row_count + 1 AS byte_count,
    (SELECT max(l) FROM unnest(row_lengths) l) AS largest, row_count - cardinality(array_remove(row_lengths, NULL)) AS mismatches
), total AS (
  SELECT COALESCE(sum(row_count), 0) AS row_count, COALESCE(sum(byte_count), 0) AS byte_count,
    COALESCE(max(largest), 0) AS largest, COALESCE(sum(mismatches), 0) AS mismatches
  FROM block
), image AS (
  INSERT INTO ${m.snapshotImage} (scope_pk, image_id, bundle_seq, shape_set, row_count, byte_count)
  SELECT $1::int8, $2::uuid, $3::int8, $4::text, row_count, byte_count FROM total
)
SELECT row_count, byte_count, largest, mismatches, ${source.rowCount} FROM total`;
}

/**
 * The plan that {@link buildImage} is written for, whatever statistics say: every batch reads its range of keys and of rows through the
 * unique indexes and joins them by a hash of one batch. Without it a planner that expects few batches would read a whole table for
 * each of them, and one that expects few rows would look each of them up.
 */
export const BUILD_IMAGE_SETTINGS =
  'SET LOCAL enable_nestloop=off;SET LOCAL enable_mergejoin=off;SET LOCAL enable_seqscan=off;SET LOCAL enable_memoize=off;SET LOCAL enable_material=off';

/** `$1` scope_pk, `$2` snapshot id, `$3` image id, `$4` source id, `$5` head, `$6` rows, `$7` bytes, `$8` lifetime in ms. */
export function insertSnapshotSession(m: MetadataNames): string {
  return `
INSERT INTO ${m.snapshotSession} (scope_pk, snapshot_id, image_id, source_id, bundle_seq, row_count, byte_count, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8::int8 * interval '1 millisecond')
RETURNING ${formatInstantSql('expires_at')}`;
}

/**
 * `$1` scope_pk, `$2` snapshot id, `$3` first ordinal wanted, `$4` last ordinal wanted. Whether the session has expired, its head and
 * row count, its image, and one row per block of the range with its lengths; one row with NULLs when the range is empty.
 */
export function selectSnapshotBlocks(m: MetadataNames): string {
  return `
SELECT s.expires_at <= now(), s.bundle_seq, s.row_count, s.image_id, k.first_row_ordinal, k.row_lengths
FROM ${m.snapshotSession} s
LEFT JOIN ${m.snapshotBlock} k ON k.scope_pk = s.scope_pk AND k.image_id = s.image_id AND k.first_row_ordinal <= $4
  AND k.first_row_ordinal >= (
    SELECT max(f.first_row_ordinal) FROM ${m.snapshotBlock} f
    WHERE f.scope_pk = $1 AND f.image_id = s.image_id AND f.first_row_ordinal <= $3
  )
WHERE s.scope_pk = $1 AND s.snapshot_id = $2
ORDER BY k.first_row_ordinal`;
}

/** Texts of the blocks between two first ordinals. The image id comes from the database. */
export function copySnapshotBlocks(
  m: MetadataNames,
  range: { readonly scopePk: string; readonly imageId: string; readonly first: number; readonly last: number },
): string {
  return copyTextsOut(
    `SELECT row_texts FROM ${m.snapshotBlock} WHERE scope_pk=${BigInt(range.scopePk).toString()} AND image_id='${range.imageId}'::uuid` +
      ` AND first_row_ordinal BETWEEN ${String(Math.trunc(range.first))} AND ${String(Math.trunc(range.last))} ORDER BY first_row_ordinal`,
  );
}

/** `$1` scope_pk, `$2` snapshot id. Ends the session; an expired one stays as it is. Returns a row if the session exists. */
export function expireSnapshotSession(m: MetadataNames): string {
  return `
UPDATE ${m.snapshotSession} SET expires_at = LEAST(expires_at, now()) WHERE scope_pk = $1 AND snapshot_id = $2 RETURNING true`;
}
