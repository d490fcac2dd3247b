import type { PgTransaction } from '../ports/postgres.ts';
import { parseInt4Array } from '../rules/block-range.ts';
import type { BlockLengths } from '../rules/block-range.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { selectCommittedBlocks } from './reading.sql.ts';

export interface CommittedBlocksRequest {
  readonly scopePk: string;
  readonly bundleSeq: bigint;
  readonly startRowOrdinal: number;
  readonly rowCountMax: number;
}

export interface CommittedBlock extends BlockLengths {
  /** The rows; `undefined` unless the bundle is small. */
  readonly rowTexts: string | undefined;
}

export interface CommittedBlocks {
  /** JSON text of the answer up to its rows. */
  readonly opening: string;
  /** Rows of the whole bundle. */
  readonly rowCount: number;
  /** Blocks that hold the wanted rows, in order. */
  readonly blocks: readonly CommittedBlock[];
}

const INT4_MAX = 2_147_483_647;

/** `undefined`: the scope has no such bundle. */
export async function loadCommittedBlocks(
  tx: PgTransaction,
  m: MetadataNames,
  request: CommittedBlocksRequest,
): Promise<CommittedBlocks | undefined> {
  const lastRowOrdinal = Math.min(INT4_MAX, request.startRowOrdinal + request.rowCountMax - 1);
  const { rows } = await tx.query(selectCommittedBlocks(m), [
    request.scopePk,
    request.bundleSeq.toString(),
    String(request.startRowOrdinal),
    String(lastRowOrdinal),
  ]);
  const [opening, rowCount] = rows[0] ?? [];
  if (typeof opening !== 'string') return undefined;
  const blocks: CommittedBlock[] = [];
  for (const [, , firstRowOrdinal, rowLengths, rowTexts] of rows) {
    if (typeof firstRowOrdinal !== 'string' || typeof rowLengths !== 'string') continue;
    blocks.push({
      firstRowOrdinal: Number(firstRowOrdinal),
      rowLengths: parseInt4Array(rowLengths),
      rowTexts: rowTexts ?? undefined,
    });
  }
  return { opening, rowCount: Number(rowCount), blocks };
}
