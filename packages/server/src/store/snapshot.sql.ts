/** Statements of snapshot sessions, their shared images, and source replacement. */
import { formatInstantSql } from './actor-facts.sql.ts';
import { copyTextsOut } from './block-copy.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** Rows of one block: large enough that the tuple overhead vanishes, small enough to slice quickly. */
const BLOCK_ROWS_MAX = 500;

/** Bytes after which a block ends early, so that wide rows do not make blocks that no page could hold. */
const BLOCK_BYTES = 1024 * 1024;

/** Bytes of the longest text that is kept before the size of its batch is known: a batch of such texts is the most that is in memory. */
const WHOLE_ROW_BYTES_MAX = 64 * 1024;

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

/** What an image is built from. */
export interface ImageSource {
  readonly tableIds: readonly number[];
  /** Yields `position, key_bytes, row_text` of the rows of {@link KEY_BATCH}, see `snapshotRows`; may use `$5` and up. */
  readonly rows: string;
  /** Rows of the scope that no batch shows, as SQL expression; may read {@link KEY_BATCHES}. */
  readonly strayRowCount: string;
}

/** Expressions of {@link buildImage} that {@link ImageSource.rows} may use. */
export const KEY_BATCH = {
  tableId: 'batch.table_id',
  keys: 'batch.keys',
  versions: 'batch.versions',
  firstKey: 'batch.first_key',
  nextKey: 'batch.next_key',
} as const;

/** Relation of all batches, with the columns `table_id` and `keys`. */
export const KEY_BATCHES = 'batch';

const LOWEST_UUID_BYTES = `'\\x${'00'.repeat(16)}'::bytea`;

/**
 * Builds an image in one statement, batch by batch of consecutive keys, so that no more than a batch of row texts is ever kept: sorting
 * all of them would write each text to disk several times. `$1` scope_pk, `$2` image id, `$3` head, `$4` shape set. Returns rows, bytes,
 * largest row, batches whose keys and rows disagree, and rows outside of all batches.
 *
 * One pass over the keys carries them and their versions along as arrays. A batch whose texts fit into one block becomes one as they
 * come, a larger one is cut, and only one with a very long text is read again and cut row by row, which has to sort its texts. A batch
 * that disagrees leaves an empty block, which no other batch does.
 *
 * Table ids are filtered by an expression that no index knows: the index alone may then give the keys in order.
 */
export function buildImage(m: MetadataNames, source: ImageSource): string {
  return `
WITH live_key AS (
  SELECT table_id, key_bytes, version, row_number() OVER (PARTITION BY table_id ORDER BY key_bytes) - 1 AS position
  FROM ${m.rowState} WHERE scope_pk = $1::int8 AND NOT deleted AND table_id + 0 IN (${['NULL', ...source.tableIds].join(',')})
), key_batch AS (
  SELECT table_id, position / ${String(BLOCK_ROWS_MAX)} AS batch_number,
    array_agg(key_bytes ORDER BY position) AS keys, array_agg(version ORDER BY position) AS versions
  FROM live_key GROUP BY table_id, position / ${String(BLOCK_ROWS_MAX)}
), batch AS MATERIALIZED (
  SELECT table_id, keys, versions, CASE batch_number WHEN 0 THEN ${LOWEST_UUID_BYTES} ELSE keys[1] END AS first_key,
    lead(keys[1]) OVER (PARTITION BY table_id ORDER BY batch_number) AS next_key,
    sum(cardinality(keys)) OVER (ORDER BY table_id, batch_number) - cardinality(keys) AS row_ordinal
  FROM key_batch
), block AS (
  INSERT INTO ${m.snapshotBlock} (scope_pk, image_id, first_row_ordinal, row_count, row_lengths, row_texts)
  SELECT $1::int8, $2::uuid, batch.row_ordinal + part.rows_before, part.row_count, part.row_lengths, part.row_texts
  FROM batch CROSS JOIN LATERAL (${wholeBatch(source)}) whole
  CROSS JOIN LATERAL (
    SELECT 0::int8 AS rows_before, whole.row_count, whole.row_lengths, whole.row_texts
    WHERE whole.is_complete AND whole.is_kept AND whole.fits
    UNION ALL
    SELECT cut.* FROM (${cutTexts()}) cut WHERE whole.is_complete AND whole.is_kept AND NOT whole.fits
    UNION ALL
    SELECT cut.* FROM (${cutRows(source)}) cut WHERE whole.is_complete AND NOT whole.is_kept
    UNION ALL
    SELECT 0, 0, '{}', '' WHERE NOT whole.is_complete
  ) part
  RETURNING row_count, CASE WHEN row_count > 0 THEN octet_length(row_texts) - row_count + 1 END AS byte_count,
    (SELECT max(l) FROM unnest(row_lengths) l) AS largest
), total AS (
  SELECT COALESCE(sum(row_count), 0) AS row_count, COALESCE(sum(byte_count), 0) AS byte_count,
    COALESCE(max(largest), 0) AS largest, count(*) FILTER (WHERE row_count = 0) AS mismatches
  FROM block
), image AS (
  INSERT INTO ${m.snapshotImage} (scope_pk, image_id, bundle_seq, shape_set, row_count, byte_count)
  SELECT $1::int8, $2::uuid, $3::int8, $4::text, row_count, byte_count FROM total
)
SELECT row_count, byte_count, largest, mismatches, ${source.strayRowCount} FROM total`;
}

/**
 * The texts of a batch joined. Their order is that of the sub-select, and the comparison of the keys proves it. Long texts are left out,
 * so that what is kept of a batch stays small whatever its rows are.
 */
function wholeBatch(source: ImageSource): string {
  const keptMax = String(WHOLE_ROW_BYTES_MAX);
  return `
    SELECT count(*) AS row_count, array_agg(octet_length(row_text)) AS row_lengths,
      string_agg(row_text, ',') FILTER (WHERE octet_length(row_text) <= ${keptMax}) AS row_texts,
      sum(octet_length(row_text)) <= ${String(BLOCK_BYTES)} AS fits, max(octet_length(row_text)) <= ${keptMax} AS is_kept,
      COALESCE(array_agg(key_bytes) = batch.keys, false) AS is_complete
    FROM (SELECT * FROM (${source.rows}) live OFFSET 0) rendered`;
}

/** The joined texts of a batch cut into blocks that end after {@link BLOCK_BYTES}. */
function cutTexts(): string {
  return `
    WITH joined AS MATERIALIZED (SELECT convert_to(whole.row_texts, 'UTF8') AS bytes)
    SELECT p.rows_before, p.row_count, p.row_lengths, convert_from(substring(joined.bytes, p.first_byte, p.byte_count), 'UTF8') AS row_texts
    FROM joined CROSS JOIN (
      SELECT min(l.position) - 1 AS rows_before, count(*) AS row_count, array_agg(l.row_length ORDER BY l.position) AS row_lengths,
        min(l.bytes_before + l.position)::int4 AS first_byte, (sum(l.row_length) + count(*) - 1)::int4 AS byte_count
      FROM (
        SELECT row_length, position, sum(row_length) OVER (ORDER BY position) - row_length AS bytes_before
        FROM unnest(whole.row_lengths) WITH ORDINALITY u(row_length, position)
      ) l GROUP BY l.bytes_before / ${String(BLOCK_BYTES)}
    ) p`;
}

/** The same without the texts: the rows of the batch are read once more. */
function cutRows(source: ImageSource): string {
  return `
    SELECT min(n.position) - 1 AS rows_before, count(*) AS row_count, array_agg(n.row_length ORDER BY n.position) AS row_lengths,
      string_agg(n.row_text, ',' ORDER BY n.position) AS row_texts
    FROM (
      SELECT position, row_text, octet_length(row_text) AS row_length,
        sum(octet_length(row_text)) OVER (ORDER BY position) - octet_length(row_text) AS bytes_before
      FROM (SELECT * FROM (${source.rows}) live OFFSET 0) rendered
    ) n GROUP BY n.bytes_before / ${String(BLOCK_BYTES)}`;
}

/**
 * The plan that {@link buildImage} is written for, whatever statistics say: keys and rows are found through the unique indexes. Without it
 * a planner that expects few batches would read a whole table for each of them.
 */
export const BUILD_IMAGE_SETTINGS = 'SET LOCAL enable_seqscan=off;SET LOCAL enable_memoize=off';

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
