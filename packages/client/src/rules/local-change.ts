/** Tables of ours that capture triggers write within the application's own transactions. */
const WRITTEN_BY_CAPTURE: ReadonlySet<string> = new Set(['_sync_dirty_rows', '_oversync_row_bases']);

const DIRTY_ROWS = '_sync_dirty_rows';

/**
 * What a commit that the driver reports means to the application: the lower-case names of its own tables, or `null` when the commit is
 * the engine's, which announces its changes itself.
 *
 * The two are told apart by what they write: a transaction of the engine always touches a table of ours that no trigger writes. A commit
 * that shows captured rows but no table (update hooks say nothing about tables without rowid) concerns the managed tables.
 */
export function localChange(tables: readonly string[], managedTables: readonly string[]): readonly string[] | null {
  const names = tables.map((table) => table.toLowerCase());
  const ours = names.filter(isOwnTable);
  if (ours.some((table) => !WRITTEN_BY_CAPTURE.has(table))) return null;
  const theirs = [...new Set(names.filter((table) => !isOwnTable(table)))];
  if (theirs.length > 0) return theirs;
  return ours.includes(DIRTY_ROWS) ? managedTables : null;
}

/** True for the tables of client.md 3; a table of the application may start in the same way. */
function isOwnTable(table: string): boolean {
  return table.startsWith('_oversync_') || SYNC_TABLES.has(table);
}

const SYNC_TABLES: ReadonlySet<string> = new Set([
  '_sync_apply_state',
  '_sync_row_state',
  '_sync_dirty_rows',
  '_sync_snapshot_stage',
  '_sync_source_state',
  '_sync_attachment_state',
  '_sync_operation_state',
  '_sync_outbox_bundle',
  '_sync_outbox_rows',
  '_sync_managed_tables',
]);
