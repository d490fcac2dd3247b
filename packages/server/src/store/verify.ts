import type { PgTransaction } from '../ports/postgres.ts';
import { rangeHashes, rangeRows } from '../rules/verify-sql.ts';
import type { ColumnDescription, TableDescription } from '../rules/table-description.ts';
import type { MetadataNames } from './metadata.sql.ts';

/** Which table of which scope. */
export interface VerifiedTable {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly table: TableDescription;
}

/** Ends of a range of keys in hexadecimal: the first exclusive, the second inclusive. */
export interface HexRange {
  readonly after: string;
  readonly through: string;
}

/** Rows of one part of a range. */
export interface HashedPart {
  readonly rangeOrdinal: number;
  readonly rowCount: bigint;
  readonly hash: string;
  /** In hexadecimal. */
  readonly lastKey: string;
  /** Some key has metadata but no row. */
  readonly isInconsistent: boolean;
}

/** Hashes of all ranges in one statement; ranges without rows yield nothing. */
export async function loadRangeHashes(
  tx: PgTransaction,
  m: MetadataNames,
  input: VerifiedTable & {
    readonly columns: readonly ColumnDescription[];
    readonly ranges: readonly HexRange[];
    readonly excludedKeys: readonly string[];
    readonly parts: number;
  },
): Promise<HashedPart[]> {
  const ranges = input.ranges.map(({ after, through }, ordinal) => ({ ordinal, after_key: after, through_key: through }));
  const { rows } = await tx.query(rangeHashes(input.table, input.columns, m), [
    input.scopePk,
    input.scopeId,
    JSON.stringify(ranges),
    JSON.stringify(input.excludedKeys),
    String(input.parts),
  ]);
  return rows.map(([ordinal, , count, hash, lastKey, isInconsistent]) => ({
    rangeOrdinal: Number(ordinal),
    rowCount: BigInt(count ?? 0),
    hash: hash ?? '',
    lastKey: lastKey ?? '',
    isInconsistent: isInconsistent !== 'f',
  }));
}

/** One page of the rows of a range. */
export interface RangePage {
  readonly rowTexts: readonly (string | null)[];
  readonly hasMore: boolean;
}

export async function loadRangeRows(
  tx: PgTransaction,
  m: MetadataNames,
  input: VerifiedTable & { readonly range: HexRange; readonly rowsMax: number; readonly bytesMax: number },
): Promise<RangePage> {
  const { scopePk, scopeId, range, rowsMax, bytesMax } = input;
  const parameters = [scopePk, scopeId, range.after, range.through, String(rowsMax + 1), String(bytesMax)];
  const { rows } = await tx.query(rangeRows(input.table, m), parameters);
  const found = Number(rows[0]?.[1] ?? 0);
  const rowTexts = rows.slice(0, rowsMax).map(([text]) => text ?? null);
  return { rowTexts, hasMore: found > rowTexts.length };
}
