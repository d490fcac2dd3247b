import { SyncError } from '@oversync/protocol';

import { SqliteFault } from '../ports/sqlite-fault.ts';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import { bigintColumn, onlyRow } from './columns.ts';
import { insertRows } from './insert-rows.ts';

/** Forgets all staged snapshot rows. Without a condition SQLite drops the pages at once. */
export async function clearSnapshotStage(tx: SqliteTx): Promise<void> {
  await tx.run('DELETE FROM _sync_snapshot_stage');
}

/**
 * Stages one chunk (client.md 8.1 step 4). `afterRowOrdinal` is the number of rows staged so far.
 *
 * @throws SyncError `protocol_violation` with reason `identity` when a key comes twice in one snapshot.
 */
export async function stageSnapshotChunk(
  tx: SqliteTx,
  snapshotId: string,
  afterRowOrdinal: bigint,
  rows: readonly CheckedRow[],
): Promise<void> {
  const values = rows.map((row, index) => [
    snapshotId,
    afterRowOrdinal + BigInt(index + 1),
    row.schema,
    row.table,
    row.keyJson,
    row.rowVersion,
    row.payload,
  ]);
  try {
    await insertRows(tx, INSERT_SNAPSHOT_STAGE, 7, values);
  } catch (error) {
    if (!(error instanceof SqliteFault) || error.kind !== 'unique') throw error;
    throw new SyncError('protocol_violation', { details: { reason: 'identity' }, cause: error });
  }
}

/** Rows staged for one session. */
export async function countStagedRows(tx: SqliteTx, snapshotId: string): Promise<bigint> {
  return bigintColumn(onlyRow(await tx.all('SELECT count(*) FROM _sync_snapshot_stage WHERE snapshot_id = ?', [snapshotId])), 0);
}

const INSERT_SNAPSHOT_STAGE =
  'INSERT INTO _sync_snapshot_stage(snapshot_id, row_ordinal, schema_name, table_name, key_json, row_version, payload)';
