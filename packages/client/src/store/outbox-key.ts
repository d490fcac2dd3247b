import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { textColumn } from './columns.ts';

/** Identity of one frozen row, `null` when there is none at this ordinal. */
export async function loadOutboxKey(
  tx: SqliteTx,
  rowOrdinal: number,
): Promise<{ readonly table: string; readonly keyJson: string } | null> {
  const [row] = await tx.all('SELECT table_name, key_json FROM _sync_outbox_rows WHERE row_ordinal = ?', [BigInt(rowOrdinal)]);
  return row === undefined ? null : { table: textColumn(row, 0), keyJson: textColumn(row, 1) };
}
