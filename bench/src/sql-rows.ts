/** Rows of the benchmarks made by PostgreSQL, for counts that would take the process of the bench longer than what it measures. */

/** Columns of {@link selectBenchRows}, in its order. */
export const BENCH_ROW_COLUMNS = 'id, name, country, admin1, lat, lng, rating, visited, note, updated_at';

/** Keys of made rows: UUIDs that rise with time (version 7), or that are spread over all values (version 4). */
export type BenchKeys = 'ordered' | 'random';

const KEY_TEXTS: Readonly<Record<BenchKeys, string>> = {
  ordered: `lpad(to_hex(1767225600000 + n), 12, '0') || '7' || left(d, 3) || '8' || substr(d, 4, 3) || substr(d, 7, 12)`,
  random: `substr(d, 33, 12) || '4' || left(d, 3) || '8' || substr(d, 45, 15)`,
};

/** A query for `count` rows like those of `makeBenchRow`, the same ones each time. */
export function selectBenchRows(count: number, keys: BenchKeys = 'ordered'): string {
  return `
SELECT (${KEY_TEXTS[keys]})::uuid AS id,
  'place ' || n || ' ' || substr(d, 19, 12) AS name,
  (ARRAY['DE', 'FR', 'JP', 'BR'])[n % 4 + 1] AS country,
  (n % 97)::text AS admin1,
  (n % 179 - 89 + (n % 100000) / 100000.0)::numeric(8, 5) AS lat,
  ((n * 7919) % 360000) / 1000.0::double precision - 180 AS lng,
  n % 6 AS rating,
  n % 3 = 0 AS visited,
  '"note" of ' || d || ' on line one' || chr(10) || 'and two, with é and 日本' AS note,
  timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second' AS updated_at
FROM (SELECT n, encode(sha256(n::text::bytea), 'hex') AS d FROM generate_series(0, ${count - 1}::bigint) n) made`;
}
