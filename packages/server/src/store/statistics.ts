import type { PgResult } from '../ports/postgres.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { selectStatistics } from './statistics.sql.ts';

export interface Statistics {
  readonly counts: ReadonlyMap<string, bigint>;
  /** When the newest figure was stored; `undefined` before the first maintenance run. */
  readonly asOf: string | undefined;
}

export async function loadStatistics(query: (sql: string) => Promise<PgResult>, m: MetadataNames): Promise<Statistics> {
  const { rows } = await query(selectStatistics(m));
  const counts = new Map<string, bigint>();
  let asOf: string | undefined;
  for (const [name, value, updatedAt] of rows) {
    if (typeof name === 'string' && typeof value === 'string') counts.set(name, BigInt(value));
    if (typeof updatedAt === 'string' && (asOf === undefined || updatedAt > asOf)) asOf = updatedAt;
  }
  return { counts, asOf };
}
