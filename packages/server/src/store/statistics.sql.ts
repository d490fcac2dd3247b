/** Figures for status: stored by maintenance, read by whoever asks. */
import { formatInstantSql } from './actor-facts.sql.ts';
import type { MetadataNames } from './metadata.sql.ts';

export function selectStatistics(m: MetadataNames): string {
  return `SELECT name, sum(value)::int8, ${formatInstantSql('max(updated_at)')} FROM ${m.stat} GROUP BY name`;
}

/** Shard of figures that are set; counters that processes add to use the others. */
const GAUGE_SHARD = 0;
const COUNTER_SHARD = 1;

/** Name of the figure that counts refused writes to registered tables. */
const REFUSED_WRITES = 'rejected_registered_write_count';

/**
 * Reads every scope row once and stores what status reports. Runs in maintenance only, one process at a time. Returns how many writes to
 * registered tables were refused since the last time.
 */
export function saveGauges(m: MetadataNames): string {
  return `
WITH figure AS (
  SELECT COALESCE(sum(bundle_count), 0)::int8 AS bundles, COALESCE(sum(bundle_bytes), 0)::int8 AS bytes, COALESCE(max(head), 0) AS head_max,
    COALESCE(min(floor), 0) AS floor_min, COALESCE(max(floor), 0) AS floor_max,
    COALESCE(min(head - floor), 0) AS window_min, COALESCE(max(head - floor), 0) AS window_max
  FROM ${m.scope} WHERE state = 'initialized'
), rejected AS (
  SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS total FROM ${m.rejectedWriteSequence}
), known AS (
  SELECT value FROM ${m.stat} WHERE name = '${REFUSED_WRITES}' AND shard = ${String(GAUGE_SHARD)}
), saved AS (
  INSERT INTO ${m.stat} AS s (name, shard, value)
  SELECT v.name, ${String(GAUGE_SHARD)}, v.value FROM figure, rejected, LATERAL (VALUES
    ('committed_bundle_count', bundles), ('committed_bundle_bytes', bytes), ('latest_bundle_seq_max', head_max),
    ('retained_bundle_floor_min', floor_min), ('retained_bundle_floor_max', floor_max),
    ('retained_bundle_window_min', window_min), ('retained_bundle_window_max', window_max),
    ('${REFUSED_WRITES}', total)
  ) v (name, value)
  ON CONFLICT (name, shard) DO UPDATE SET value = excluded.value, updated_at = now()
) SELECT total - COALESCE((SELECT value FROM known), 0) FROM rejected`;
}

/** `$1` names, `$2` increments. */
export function addToCounters(m: MetadataNames): string {
  return `
INSERT INTO ${m.stat} AS s (name, shard, value)
SELECT name, ${String(COUNTER_SHARD)}, increment FROM unnest($1::text[], $2::int8[]) c (name, increment) ORDER BY name
ON CONFLICT (name, shard) DO UPDATE SET value = s.value + excluded.value, updated_at = now()`;
}
