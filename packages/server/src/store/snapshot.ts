import type { PgTransaction } from '../ports/postgres.ts';
import { parseInt4Array } from '../rules/block-range.ts';
import type { BlockLengths } from '../rules/block-range.ts';
import type { SourceLineage } from '../rules/lineage-source.ts';
import type { SourceReplacement } from '../rules/replacement-decision.ts';
import { readSourceLineage } from './actor-facts.ts';
import type { MetadataNames } from './metadata.sql.ts';
import {
  buildImage,
  insertSnapshotSession,
  lockImage,
  lockSources,
  reserveSource,
  retireOldSessions,
  retireSource,
  selectSnapshotBlocks,
} from './snapshot.sql.ts';
import type { ImageSource } from './snapshot.sql.ts';

export interface LockedSources {
  readonly previous: SourceLineage;
  readonly next: SourceLineage;
}

/** Reads both sources under their row locks, in an order that no other request reverses. */
export async function lockReplacementSources(
  tx: PgTransaction,
  m: MetadataNames,
  scopePk: string,
  replacement: SourceReplacement,
): Promise<LockedSources> {
  const { rows } = await tx.query(lockSources(m), [scopePk, [replacement.previousSourceId, replacement.newSourceId]]);
  const find = (sourceId: string): SourceLineage => {
    const [, state, kind, watermark, replacedBy] = rows.find(([id]) => id === sourceId) ?? [];
    return readSourceLineage(state ?? null, kind ?? null, watermark ?? null, replacedBy ?? null);
  };
  return { previous: find(replacement.previousSourceId), next: find(replacement.newSourceId) };
}

/** Retires the previous source for the new one; a repeat changes nothing. */
export async function saveReplacement(
  tx: PgTransaction,
  m: MetadataNames,
  scopePk: string,
  replacement: SourceReplacement,
): Promise<void> {
  const { previousSourceId, newSourceId, reason } = replacement;
  await tx.query(retireSource(m), [scopePk, previousSourceId, newSourceId, reason]);
  await tx.query(reserveSource(m), [scopePk, newSourceId]);
}

/** Ends the oldest sessions of the source so that one more fits; returns how many sessions of the scope are left alive. */
export async function retireSessions(
  tx: PgTransaction,
  m: MetadataNames,
  scopePk: string,
  sourceId: string,
  keptCount: number,
): Promise<number> {
  const { rows } = await tx.query(retireOldSessions(m), [scopePk, sourceId, String(keptCount)]);
  return Number(rows[0]?.[0] ?? 0);
}

/** A frozen copy of all rows of a scope at one head. */
export interface SnapshotImage {
  readonly imageId: string;
  readonly rowCount: bigint;
  readonly byteCount: bigint;
}

export async function findImage(
  tx: PgTransaction,
  m: MetadataNames,
  key: { readonly scopePk: string; readonly head: bigint; readonly shapeSet: string },
): Promise<SnapshotImage | undefined> {
  const { rows } = await tx.query(lockImage(m), [key.scopePk, key.head.toString(), key.shapeSet]);
  const [imageId, rowCount, byteCount] = rows[0] ?? [];
  if (typeof imageId !== 'string') return undefined;
  return { imageId, rowCount: BigInt(rowCount ?? 0), byteCount: BigInt(byteCount ?? 0) };
}

export interface BuiltImage extends SnapshotImage {
  readonly largestRowBytes: bigint;
  /** Whether every live key of the metadata has its row and every row its key. */
  readonly isComplete: boolean;
}

export interface ImageRequest {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly head: bigint;
  readonly shapeSet: string;
  /** Its SQL uses `$5` for the scope id. */
  readonly source: ImageSource;
}

export async function createImage(tx: PgTransaction, m: MetadataNames, request: ImageRequest): Promise<BuiltImage> {
  const imageId = crypto.randomUUID();
  const { rows } = await tx.query(buildImage(m, request.source), [
    request.scopePk,
    imageId,
    request.head.toString(),
    request.shapeSet,
    request.scopeId,
  ]);
  const [rowCount = 0n, byteCount = 0n, largestRowBytes = 0n, mismatchCount = 0n, strayRowCount = 0n] = (rows[0] ?? []).map(
    (value) => BigInt(value ?? 0),
  );
  return { imageId, rowCount, byteCount, largestRowBytes, isComplete: mismatchCount === 0n && strayRowCount === 0n };
}

export interface NewSnapshotSession {
  readonly scopePk: string;
  readonly snapshotId: string;
  readonly image: SnapshotImage;
  readonly sourceId: string;
  readonly head: bigint;
  readonly ttlMs: number;
}

/** Returns the instant at which the session ends. */
export async function saveSnapshotSession(tx: PgTransaction, m: MetadataNames, session: NewSnapshotSession): Promise<string> {
  const { image } = session;
  const { rows } = await tx.query(insertSnapshotSession(m), [
    session.scopePk,
    session.snapshotId,
    image.imageId,
    session.sourceId,
    session.head.toString(),
    image.rowCount.toString(),
    image.byteCount.toString(),
    String(session.ttlMs),
  ]);
  const expiresAt = rows[0]?.[0];
  if (typeof expiresAt !== 'string') throw new Error('the snapshot session was not stored');
  return expiresAt;
}

export interface SnapshotBlocks {
  readonly isExpired: boolean;
  readonly bundleSeq: bigint;
  readonly rowCount: number;
  readonly imageId: string;
  readonly blocks: readonly BlockLengths[];
}

/** `undefined`: the scope has no such session. */
export async function loadSnapshotBlocks(
  tx: PgTransaction,
  m: MetadataNames,
  request: {
    readonly scopePk: string;
    readonly snapshotId: string;
    readonly startRowOrdinal: bigint;
    readonly rowCountMax: number;
  },
): Promise<SnapshotBlocks | undefined> {
  const lastRowOrdinal = request.startRowOrdinal + BigInt(request.rowCountMax - 1);
  const { rows } = await tx.query(selectSnapshotBlocks(m), [
    request.scopePk,
    request.snapshotId,
    request.startRowOrdinal.toString(),
    lastRowOrdinal.toString(),
  ]);
  const [isExpired, bundleSeq, rowCount, imageId] = rows[0] ?? [];
  if (typeof bundleSeq !== 'string' || typeof imageId !== 'string') return undefined;
  const blocks: BlockLengths[] = [];
  for (const row of rows) {
    const [firstRowOrdinal, rowLengths] = row.slice(4);
    if (typeof firstRowOrdinal !== 'string' || typeof rowLengths !== 'string') continue;
    blocks.push({ firstRowOrdinal: Number(firstRowOrdinal), rowLengths: parseInt4Array(rowLengths) });
  }
  return { isExpired: isExpired === 't', bundleSeq: BigInt(bundleSeq), rowCount: Number(rowCount), imageId, blocks };
}
