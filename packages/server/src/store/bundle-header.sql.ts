/** The last statement of a bundle transaction: header, head and floor of the scope, watermark of the source (server.md 7.3, 11). */
import { CONTEXT_SETTINGS } from './capture.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** Parameters of {@link writeBundleSql}, in this order. Bounds are NULL where the option is off. */
export interface WriteBundleParams {
  readonly scopePk: string;
  readonly bundleSeq: string;
  readonly sourceId: string;
  readonly sourceBundleId: string;
  readonly rowCount: string;
  readonly bundleHash: string;
  readonly canonicalRequestHash: string;
  readonly operationHash: string | null;
  readonly canonicalBytes: string;
  readonly wireBytes: string;
  readonly sourceKind: string;
  readonly pushId: string | null;
  readonly captureToken: string;
  readonly retainedBundles: string | null;
  readonly retainedAgeMs: string | null;
  readonly retainedBytes: string | null;
  /** Most bundles that the floor advances. */
  readonly pruneBatch: string;
  /** The bundle keeps no rows: the floor goes onto it. */
  readonly isHeaderOnly: boolean;
}

export function writeBundleParams(p: WriteBundleParams): readonly (string | null)[] {
  return [
    p.scopePk,
    p.bundleSeq,
    p.sourceId,
    p.sourceBundleId,
    p.rowCount,
    p.bundleHash,
    p.canonicalRequestHash,
    p.operationHash,
    p.canonicalBytes,
    p.wireBytes,
    p.sourceKind,
    p.pushId,
    p.captureToken,
    p.retainedBundles,
    p.retainedAgeMs,
    p.retainedBytes,
    p.pruneBatch,
    p.isHeaderOnly ? 't' : 'f',
  ];
}

/**
 * Writes the header, advances head and floor of the scope that the caller has locked, the source's watermark, ends the push
 * session and closes the bundle context. One row: new floor, commit time. No row when head was not what the caller saw,
 * or when a snapshot session has retired the source meanwhile, which takes no scope lock.
 *
 * The floor never reaches the new bundle, whatever the limits say: its writer still has to read the committed rows.
 */
export function writeBundleSql(m: MetadataNames): string {
  return `
WITH before AS (
  SELECT s.floor, s.wire_bytes FROM ${m.scope} s WHERE s.scope_pk = $1::int8
), oldest AS (
  SELECT b.bundle_seq, b.wire_bytes, b.wire_bytes_total, b.committed_at
  FROM ${m.bundle} b, before
  WHERE ($15::int8 IS NOT NULL OR $16::int8 IS NOT NULL) AND b.scope_pk = $1::int8 AND b.bundle_seq > before.floor
  ORDER BY b.bundle_seq LIMIT $17::int4
), wanted AS (
  SELECT GREATEST(
    $2::int8 - $14::int8,
    (SELECT max(o.bundle_seq) FROM oldest o WHERE o.committed_at < clock_timestamp() - $15::int8 * interval '1 millisecond'),
    (SELECT max(o.bundle_seq) FROM oldest o WHERE before.wire_bytes + $10::int8 - (o.wire_bytes_total - o.wire_bytes) > $16::int8)
  ) AS floor
  FROM before
), scope AS (
  UPDATE ${m.scope} s SET
    head = $2::int8, bundle_count = s.bundle_count + 1, bundle_bytes = s.bundle_bytes + $9::int8, wire_bytes = s.wire_bytes + $10::int8,
    floor = CASE WHEN $18::bool THEN $2::int8 ELSE GREATEST(s.floor, LEAST(COALESCE(wanted.floor, 0), s.floor + $17::int4, $2::int8 - 1)) END,
    state = 'initialized', lease_source_id = NULL, initialization_id = NULL, lease_expires_at = NULL
  FROM wanted
  WHERE s.scope_pk = $1::int8 AND s.head = $2::int8 - 1
  RETURNING s.floor, s.wire_bytes
), bundle AS (
  INSERT INTO ${m.bundle} (scope_pk, bundle_seq, source_id, source_bundle_id, row_count, bundle_hash, canonical_request_hash, operation_hash,
    canonical_bytes, wire_bytes, wire_bytes_total)
  SELECT $1::int8, $2::int8, $3::text, $4::int8, $5::int4, $6::text, $7::text, $8::text, $9::int8, $10::int8, scope.wire_bytes FROM scope
  RETURNING committed_at
), source AS (
  INSERT INTO ${m.source} AS o (scope_pk, source_id, state, kind, watermark) SELECT $1::int8, $3::text, 'active', $11::text, $4::int8 FROM scope
  ON CONFLICT (scope_pk, source_id) DO UPDATE SET state = 'active', watermark = excluded.watermark WHERE o.state <> 'retired'
  RETURNING 1
), session AS (
  DELETE FROM ${m.pushSession} WHERE scope_pk = $1::int8 AND push_id = $12::uuid
), staged AS (
  DELETE FROM ${m.pushRow} WHERE scope_pk = $1::int8 AND push_id = $12::uuid
), captured AS (
  DELETE FROM ${m.capture} WHERE scope_pk = $1::int8 AND token = $13::uuid
)
SELECT scope.floor, to_char(bundle.committed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), set_config('${CONTEXT_SETTINGS.captureToken}', '', true)
FROM scope, bundle, source`;
}
