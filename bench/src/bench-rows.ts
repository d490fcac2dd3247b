import { createHash } from 'node:crypto';

/** One row of the benchmarks: nine columns, about 250 bytes. `lat` is an exact decimal, so it is text. */
export interface BenchRow {
  readonly id: string;
  readonly name: string;
  readonly country: string;
  readonly admin1: string;
  readonly lat: string;
  readonly lng: number;
  readonly rating: bigint;
  readonly visited: boolean;
  readonly note: string;
  readonly updatedAt: string;
}

/** Day that the time-ordered keys count from, in milliseconds since 1970. */
const KEY_EPOCH_MS = Date.UTC(2026, 0, 1);

/**
 * Row number `index` of an endless reproducible list. Keys are UUIDs that rise with time (version 7), as an app would make them.
 */
export function makeBenchRow(index: number): BenchRow {
  const digest = createHash('sha256').update(`bench-row-${index}`).digest('hex');
  const time = (KEY_EPOCH_MS + index).toString(16).padStart(12, '0');
  return {
    id: `${time.slice(0, 8)}-${time.slice(8)}-7${digest.slice(0, 3)}-8${digest.slice(3, 6)}-${digest.slice(6, 18)}`,
    name: `place ${index} ${digest.slice(18, 30)}`,
    country: ['DE', 'FR', 'JP', 'BR'][index % 4] ?? 'DE',
    admin1: String(index % 97),
    lat: `${(index % 179) - 89}.${String(index % 100_000).padStart(5, '0')}`,
    lng: ((index * 7919) % 360_000) / 1000 - 180,
    rating: BigInt(index % 6),
    visited: index % 3 === 0,
    note: `"note" of ${digest} on line one\nand two, with é and 日本`,
    updatedAt: new Date(KEY_EPOCH_MS + index * 1000).toISOString().replace('.000Z', '+00:00'),
  };
}

export function makeBenchRows(count: number, from = 0): BenchRow[] {
  return Array.from({ length: count }, (_, offset) => makeBenchRow(from + offset));
}

/** The same rows with keys that are spread over all values (version 4), reproducible as well. */
export function withRandomKeys(rows: readonly BenchRow[], from = 0): BenchRow[] {
  return rows.map((row, index) => {
    const digest = createHash('sha256')
      .update(`bench-key-${from + index}`)
      .digest('hex');
    const id = `${digest.slice(0, 8)}-${digest.slice(8, 12)}-4${digest.slice(12, 15)}-8${digest.slice(15, 18)}-${digest.slice(18, 30)}`;
    return { ...row, id };
  });
}
