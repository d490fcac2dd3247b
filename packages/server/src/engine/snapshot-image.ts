import { SyncError } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import { countStrayRows, snapshotRows } from '../rules/snapshot-sql.ts';
import type { ScopeFacts } from '../store/actor-facts.ts';
import { createImage } from '../store/snapshot.ts';
import type { SnapshotImage } from '../store/snapshot.ts';
import { KEY_BATCH, KEY_BATCHES } from '../store/snapshot.sql.ts';
import type { Actor, SyncContext } from './context.ts';
import type { ResolvedOptions } from './options.ts';

/** Parameter of the scope id in the statement that builds an image. */
const SCOPE_ID = '$5';

/**
 * Copies all rows of the scope into an image, inside PostgreSQL, in a transaction with `BUILD_IMAGE_SETTINGS`.
 *
 * @throws SyncError `snapshot_session_limit_exceeded`, or `snapshot_session_create_failed` when metadata and tables disagree; the
 * transaction rolls back and nothing is kept.
 */
export async function buildSnapshotImage(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  scope: ScopeFacts,
): Promise<SnapshotImage> {
  const catalog = ctx.catalog();
  const tables = [...catalog.byId.values()].sort((left, right) => left.tableId - right.tableId);
  const image = await createImage(tx, ctx.names, {
    scopePk: scope.scopePk,
    scopeId: actor.scopeId,
    head: scope.head,
    shapeSet: catalog.shapeSet,
    source: {
      tableIds: tables.map(({ tableId }) => tableId),
      rows: snapshotRows(tables, ctx.names, SCOPE_ID, KEY_BATCH),
      strayRowCount: countStrayRows(tables, SCOPE_ID, KEY_BATCHES),
    },
  });
  if (!image.isComplete) {
    ctx.emit({ name: 'integrityMismatch' });
    throw new SyncError('snapshot_session_create_failed', { message: 'the sync metadata and the tables of the scope disagree' });
  }
  const rowLimit = ctx.options.maxBytesPerSnapshotRow;
  if (image.largestRowBytes > BigInt(rowLimit)) throw createLimitError('row_byte_count', image.largestRowBytes, rowLimit);
  checkSessionLimits(ctx.options, image);
  return image;
}

/** @throws SyncError `snapshot_session_limit_exceeded` */
export function checkSessionLimits(options: ResolvedOptions, image: SnapshotImage): void {
  const { maxRowsPerSnapshotSession: rowsMax, maxBytesPerSnapshotSession: bytesMax } = options;
  if (rowsMax !== null && image.rowCount > BigInt(rowsMax)) throw createLimitError('row_count', image.rowCount, rowsMax);
  if (bytesMax !== null && image.byteCount > BigInt(bytesMax)) throw createLimitError('byte_count', image.byteCount, bytesMax);
}

function createLimitError(dimension: 'row_count' | 'byte_count' | 'row_byte_count', actual: bigint, limit: number): SyncError {
  return new SyncError('snapshot_session_limit_exceeded', { details: { dimension, actual, limit } });
}
