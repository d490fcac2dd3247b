/** Statements of pull and of committed rows. Sequences that stand in COPY are decimal digits made from bigints. */
import { copyTextsOut } from './block-copy.ts';
import type { MetadataNames } from './metadata.sql.ts';

/**
 * Chooses the bundles of one page: `$1` scope_pk, `$2` after, `$3` ceiling, `$4` bundles at most, `$5` bytes of row text at most,
 * `$6` current shape keys. The first bundle is always part of it. Returns first and last sequence, bundles, rows, bytes, whether every
 * row is of a current shape, and the bundles themselves if they are small: one round trip less matters there, and nowhere else.
 */
export function selectPullPage(m: MetadataNames): string {
  return `
WITH candidate AS (
  SELECT bundle_seq, row_count, wire_bytes,
    wire_bytes_total - first_value(wire_bytes_total - wire_bytes) OVER (ORDER BY bundle_seq) AS page_bytes,
    row_number() OVER (ORDER BY bundle_seq) AS position
  FROM (
    SELECT bundle_seq, row_count, wire_bytes, wire_bytes_total FROM ${m.bundle}
    WHERE scope_pk = $1 AND bundle_seq > $2 AND bundle_seq <= $3 ORDER BY bundle_seq LIMIT $4
  ) b
), page AS (
  SELECT min(bundle_seq) AS first_seq, max(bundle_seq) AS last_seq, count(*) AS bundles, sum(row_count) AS row_total, sum(wire_bytes) AS bytes
  FROM candidate WHERE position = 1 OR page_bytes <= $5
)
SELECT first_seq, last_seq, bundles, row_total, bytes, is_current,
  CASE WHEN is_current AND bytes <= ${String(SMALL_READ_BYTES)} AND bundles <= ${String(SMALL_READ_BUNDLES)} THEN (
    SELECT string_agg(${bundleOpeningPiece('page.first_seq')}||COALESCE(k.row_texts,'')||COALESCE(${BUNDLE_CLOSING_PIECE},''), ''
      ORDER BY b.bundle_seq, k.first_row_ordinal)
    FROM ${m.bundle} b LEFT JOIN ${m.bundleBlock} k ON k.scope_pk = b.scope_pk AND k.bundle_seq = b.bundle_seq
    WHERE b.scope_pk = $1 AND b.bundle_seq BETWEEN page.first_seq AND page.last_seq
  ) END
FROM (
  SELECT page.*, NOT EXISTS (
    SELECT FROM ${m.bundleBlock} k
    WHERE k.scope_pk = $1 AND k.bundle_seq BETWEEN page.first_seq AND page.last_seq AND NOT k.shape_keys <@ $6::text[]
  ) AS is_current FROM page
) page`;
}

/** Bytes of row text up to which rows travel as a value, with what is asked about them; COPY costs a round trip more and then less. */
const SMALL_READ_BYTES = 65_536;

/** Each adds the members around its rows to such a value. */
const SMALL_READ_BUNDLES = 100;

export interface SeqRange {
  readonly scopePk: string;
  readonly firstSeq: bigint;
  readonly lastSeq: bigint;
}

/** Opening of a bundle object up to its rows, as SQL text over the alias `b`. */
const BUNDLE_OPENING =
  `'{"bundle_seq":'||b.bundle_seq||',"source_id":'||pg_catalog.to_json(b.source_id)::text||',"source_bundle_id":'||b.source_bundle_id` +
  `||',"row_count":'||b.row_count||',"bundle_hash":"'||b.bundle_hash||'"'` +
  `||CASE WHEN b.canonical_request_hash<>'' THEN ',"canonical_request_hash":"'||b.canonical_request_hash||'"' ELSE '' END||',"rows":['`;

/** What stands before the block `k` of the bundle `b` on a page that begins with the bundle `firstSeq`, an SQL expression. */
function bundleOpeningPiece(firstSeq: string): string {
  return `CASE WHEN COALESCE(k.first_row_ordinal,0)=0 THEN CASE WHEN b.bundle_seq=${firstSeq} THEN '' ELSE ',' END||${BUNDLE_OPENING} ELSE ',' END`;
}

/** What stands behind the block `k`; NULL unless it is the last one of the bundle `b`. */
const BUNDLE_CLOSING_PIECE = `CASE WHEN k.first_row_ordinal IS NULL OR k.first_row_ordinal+k.row_count=b.row_count THEN ']}' END`;

/**
 * The bundles of a page as ready JSON, commas between them included. What surrounds a block is a column of its own: joined to it, every
 * block would be copied once more.
 */
export function copyPullBundles(m: MetadataNames, range: SeqRange): string {
  const first = range.firstSeq.toString();
  return copyTextsOut(
    `SELECT ${bundleOpeningPiece(first)},k.row_texts,${BUNDLE_CLOSING_PIECE}` +
      ` FROM ${m.bundle} b LEFT JOIN ${m.bundleBlock} k ON k.scope_pk=b.scope_pk AND k.bundle_seq=b.bundle_seq` +
      ` WHERE b.scope_pk=${BigInt(range.scopePk).toString()} AND b.bundle_seq BETWEEN ${first} AND ${range.lastSeq.toString()}` +
      ` ORDER BY b.bundle_seq, k.first_row_ordinal`,
  );
}

/** `$1` scope_pk, `$2` bundle_seq: the shapes of a bundle's rows, one per line. */
export function selectShapeKeys(m: MetadataNames): string {
  return `SELECT DISTINCT unnest(shape_keys) FROM ${m.bundleBlock} WHERE scope_pk = $1 AND bundle_seq = $2`;
}

/** `$1` scope_pk, `$2` first, `$3` last sequence: sequence, opening, rows, bytes, shape keys, row texts of every block. */
export function selectPullBlocks(m: MetadataNames): string {
  return `
SELECT b.bundle_seq, ${BUNDLE_OPENING}, COALESCE(k.row_count, 0), COALESCE(octet_length(k.row_texts), 0), k.shape_keys, k.row_texts
FROM ${m.bundle} b LEFT JOIN ${m.bundleBlock} k ON k.scope_pk = b.scope_pk AND k.bundle_seq = b.bundle_seq
WHERE b.scope_pk = $1 AND b.bundle_seq BETWEEN $2 AND $3
ORDER BY b.bundle_seq, k.first_row_ordinal`;
}

/**
 * Next blocks of one large bundle: `$1` scope_pk, `$2` sequence, `$3` first ordinal wanted, `$4` bytes at most. At least one block
 * if any is left. Returns opening, first ordinal, row count, shape keys, row texts.
 */
export function selectBlockBatch(m: MetadataNames): string {
  return `
SELECT first_row_ordinal, row_count, shape_keys, row_texts FROM (
  SELECT first_row_ordinal, row_count, shape_keys, row_texts, row_number() OVER w AS position,
    sum(octet_length(row_texts)) OVER w AS bytes
  FROM (
    SELECT first_row_ordinal, row_count, shape_keys, row_texts FROM ${m.bundleBlock}
    WHERE scope_pk = $1 AND bundle_seq = $2 AND first_row_ordinal >= $3 ORDER BY first_row_ordinal LIMIT 64
  ) next WINDOW w AS (ORDER BY first_row_ordinal)
) batch WHERE position = 1 OR bytes <= $4 ORDER BY first_row_ordinal`;
}

/** `$1` scope_pk, `$2` sequence: opening of the bundle, its number of rows, bytes of row text. */
export function selectBundleOpening(m: MetadataNames): string {
  return `SELECT ${BUNDLE_OPENING}, b.row_count, b.wire_bytes FROM ${m.bundle} b WHERE b.scope_pk = $1 AND b.bundle_seq = $2`;
}

/**
 * `$1` scope_pk, `$2` sequence, `$3` first ordinal wanted, `$4` last ordinal wanted. Header of the bundle as opening members, its
 * row count, and one row per block of the range with its lengths, and its texts if the bundle is small; one row with NULLs when the
 * range is empty.
 */
export function selectCommittedBlocks(m: MetadataNames): string {
  return `
SELECT '{"bundle_seq":'||b.bundle_seq||',"source_id":'||pg_catalog.to_json(b.source_id)::text||',"source_bundle_id":'||b.source_bundle_id
  ||',"row_count":'||b.row_count||',"bundle_hash":"'||b.bundle_hash||'","canonical_request_hash":"'||b.canonical_request_hash||'","rows":[',
  b.row_count, k.first_row_ordinal, k.row_lengths, CASE WHEN b.wire_bytes <= ${String(SMALL_READ_BYTES)} THEN k.row_texts END
FROM ${m.bundle} b
LEFT JOIN ${m.bundleBlock} k ON k.scope_pk = b.scope_pk AND k.bundle_seq = b.bundle_seq AND k.first_row_ordinal <= $4
  AND k.first_row_ordinal >= (
    SELECT max(f.first_row_ordinal) FROM ${m.bundleBlock} f WHERE f.scope_pk = $1 AND f.bundle_seq = $2 AND f.first_row_ordinal <= $3
  )
WHERE b.scope_pk = $1 AND b.bundle_seq = $2
ORDER BY k.first_row_ordinal`;
}

/** Texts of the blocks between two first ordinals. */
export function copyCommittedBlocks(
  m: MetadataNames,
  range: { readonly scopePk: string; readonly bundleSeq: bigint; readonly first: number; readonly last: number },
): string {
  return copyTextsOut(
    `SELECT row_texts FROM ${m.bundleBlock} WHERE scope_pk=${BigInt(range.scopePk).toString()} AND bundle_seq=${range.bundleSeq.toString()}` +
      ` AND first_row_ordinal BETWEEN ${String(Math.trunc(range.first))} AND ${String(Math.trunc(range.last))} ORDER BY first_row_ordinal`,
  );
}
