import type { PgResult, PgTransaction, PgValue } from '../ports/postgres.ts';
import type { MetadataNames } from './metadata.sql.ts';
import { selectBlockBatch, selectBundleOpening, selectPullBlocks, selectPullPage, selectShapeKeys } from './reading.sql.ts';
import type { SeqRange } from './reading.sql.ts';

export interface PullPageRequest {
  readonly scopePk: string;
  readonly afterBundleSeq: bigint;
  readonly ceiling: bigint;
  readonly bundleCountMax: number;
  readonly byteCountMax: number;
  readonly currentShapeKeys: readonly string[];
}

/** Which bundles a page holds and how large they are. */
export interface PullPage {
  /** `undefined`: no bundle is left below the ceiling. */
  readonly range: { readonly firstSeq: bigint; readonly lastSeq: bigint } | undefined;
  readonly bundleCount: number;
  readonly rowCount: bigint;
  /** Bytes of row text. */
  readonly byteCount: bigint;
  /** Every row can be sent as it is stored. */
  readonly isCurrentShape: boolean;
  /** The bundles as ready JSON, commas between them included; `undefined` unless they are small. */
  readonly bundleTexts: string | undefined;
}

const EMPTY_PAGE: PullPage = {
  range: undefined,
  bundleCount: 0,
  rowCount: 0n,
  byteCount: 0n,
  isCurrentShape: true,
  bundleTexts: undefined,
};

export async function loadPullPage(tx: PgTransaction, m: MetadataNames, request: PullPageRequest): Promise<PullPage> {
  const { rows } = await tx.query(selectPullPage(m), [
    request.scopePk,
    request.afterBundleSeq.toString(),
    request.ceiling.toString(),
    String(request.bundleCountMax),
    String(request.byteCountMax),
    request.currentShapeKeys,
  ]);
  const [firstSeq, lastSeq, bundleCount, rowCount, byteCount, isCurrentShape, bundleTexts] = rows[0] ?? [];
  if (typeof firstSeq !== 'string' || typeof lastSeq !== 'string') return EMPTY_PAGE;
  return {
    range: { firstSeq: BigInt(firstSeq), lastSeq: BigInt(lastSeq) },
    bundleCount: Number(bundleCount),
    rowCount: BigInt(rowCount ?? 0),
    byteCount: BigInt(byteCount ?? 0),
    isCurrentShape: isCurrentShape === 't',
    bundleTexts: bundleTexts ?? undefined,
  };
}

/** One stored block with the opening of its bundle; `rowTexts` is null for a bundle without rows. */
export interface PullBlock {
  readonly bundleSeq: string;
  readonly opening: string;
  readonly rowCount: number;
  /** Bytes of row text. */
  readonly byteCount: number;
  readonly shapeKeys: string;
  readonly rowTexts: string | null;
}

export async function loadPullBlocks(tx: PgTransaction, m: MetadataNames, range: SeqRange): Promise<readonly PullBlock[]> {
  const { rows } = await tx.query(selectPullBlocks(m), [range.scopePk, range.firstSeq.toString(), range.lastSeq.toString()]);
  return rows.map(([bundleSeq, opening, rowCount, byteCount, shapeKeys, rowTexts]) => ({
    bundleSeq: bundleSeq ?? '',
    opening: opening ?? '',
    rowCount: Number(rowCount),
    byteCount: Number(byteCount),
    shapeKeys: shapeKeys ?? '{}',
    rowTexts: rowTexts ?? null,
  }));
}

/** Shapes of the rows of one bundle. */
export async function loadShapeKeys(
  tx: PgTransaction,
  m: MetadataNames,
  scopePk: string,
  bundleSeq: bigint,
): Promise<readonly string[]> {
  const { rows } = await tx.query(selectShapeKeys(m), [scopePk, bundleSeq.toString()]);
  return rows.map(([key]) => key ?? '');
}

export async function loadBundleOpening(
  tx: PgTransaction,
  m: MetadataNames,
  scopePk: string,
  bundleSeq: bigint,
): Promise<{ readonly bundleOpening: string; readonly rowCount: number; readonly byteCount: bigint }> {
  const { rows } = await tx.query(selectBundleOpening(m), [scopePk, bundleSeq.toString()]);
  const [bundleOpening, rowCount, byteCount] = rows[0] ?? [];
  if (typeof bundleOpening !== 'string') throw new Error('a bundle of the page has no header');
  return { bundleOpening, rowCount: Number(rowCount), byteCount: BigInt(byteCount ?? 0) };
}

export interface BlockBatchRequest {
  readonly scopePk: string;
  readonly bundleSeq: bigint;
  readonly firstRowOrdinal: number;
  readonly byteCountMax: number;
}

export interface BundleBlock {
  readonly firstRowOrdinal: number;
  readonly rowCount: number;
  readonly shapeKeys: string;
  readonly rowTexts: string;
}

/** The next blocks of one bundle, at least one if any is left. */
export async function loadBlockBatch(
  db: { query(sql: string, params?: readonly PgValue[]): Promise<PgResult> },
  m: MetadataNames,
  request: BlockBatchRequest,
): Promise<readonly BundleBlock[]> {
  const { rows } = await db.query(selectBlockBatch(m), [
    request.scopePk,
    request.bundleSeq.toString(),
    String(request.firstRowOrdinal),
    String(request.byteCountMax),
  ]);
  return rows.map(([firstRowOrdinal, rowCount, shapeKeys, rowTexts]) => ({
    firstRowOrdinal: Number(firstRowOrdinal),
    rowCount: Number(rowCount),
    shapeKeys: shapeKeys ?? '{}',
    rowTexts: rowTexts ?? '',
  }));
}
