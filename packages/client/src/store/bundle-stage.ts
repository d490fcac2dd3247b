import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import { insertRows } from './insert-rows.ts';

/** Stages a page of a committed bundle, or of a pulled bundle that is too large for memory. Ordinals count from 0. */
export async function stageBundleRows(
  tx: SqliteTx,
  bundleSeq: bigint,
  firstOrdinal: number,
  rows: readonly CheckedRow[],
): Promise<void> {
  await stageRowsAt(
    tx,
    bundleSeq,
    rows.map((row, index) => ({ ordinal: firstOrdinal + index, row })),
  );
}

/** A row of a bundle and its place in it. */
export interface StagedRow {
  readonly ordinal: number;
  readonly row: CheckedRow;
}

/** Stages rows that do not follow each other. */
export async function stageRowsAt(tx: SqliteTx, bundleSeq: bigint, rows: readonly StagedRow[]): Promise<void> {
  const values = rows.map(({ ordinal, row }) => [
    bundleSeq,
    BigInt(ordinal),
    row.schema,
    row.table,
    row.keyJson,
    row.op,
    row.rowVersion,
    row.payload,
  ]);
  await insertRows(tx, INSERT_BUNDLE_STAGE, 8, values);
}

/** Forgets all staged bundles. */
export async function clearBundleStage(tx: SqliteTx): Promise<void> {
  await tx.run('DELETE FROM _oversync_bundle_stage');
}

const INSERT_BUNDLE_STAGE =
  'INSERT INTO _oversync_bundle_stage(bundle_seq, row_ordinal, schema_name, table_name, key_json, op, row_version, payload)';
