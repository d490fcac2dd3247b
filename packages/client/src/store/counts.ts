import type { SqliteTx } from '../ports/sqlite-driver.ts';
import { countColumn, onlyRow } from './columns.ts';
import type { PendingCounts } from './store-types.ts';

/** What blocks a detach, from index-only queries. */
export async function countPending(tx: SqliteTx): Promise<PendingCounts> {
  const row = onlyRow(await tx.all(COUNT_PENDING));
  return { dirty: countColumn(row, 0), outbox: countColumn(row, 1), quarantined: countColumn(row, 2) };
}

const COUNT_PENDING = `
SELECT (SELECT count(*) FROM _sync_dirty_rows), (SELECT count(*) FROM _sync_outbox_rows), (SELECT count(*) FROM _oversync_quarantine)`;

/** Keys for which a newer server image waits for a decision. */
export async function countContested(tx: SqliteTx): Promise<number> {
  return countColumn(onlyRow(await tx.all('SELECT count(*) FROM _oversync_row_bases WHERE server_row_version > 0')), 0);
}

/** True when at least one row of the server is materialised here. */
export async function hasLiveRowState(tx: SqliteTx): Promise<boolean> {
  return countColumn(onlyRow(await tx.all('SELECT EXISTS (SELECT 1 FROM _sync_row_state WHERE deleted = 0)')), 0) === 1;
}
