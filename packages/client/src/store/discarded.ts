import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { countColumn, onlyRow } from './columns.ts';

/** Unsent rows that a remote-authoritative attach set aside. */
export async function countDiscarded(tx: SqliteTx): Promise<number> {
  return countColumn(onlyRow(await tx.all('SELECT count(*) FROM _oversync_discarded')), 0);
}
