import { SyncError } from '@oversync/protocol';

import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { insertIntoSql, needsHexPayload, wireValuesSql } from '../rules/wire-sql.ts';
import { clearBundleStage } from './bundle-stage.ts';
import {
  insertSource,
  loadClientState,
  loadSource,
  markSourceReplaced,
  raiseSourceCounter,
  saveLifecycle,
} from './client-state.ts';
import type { ClientState } from './client-state.ts';
import { bigintColumn, countColumn, onlyRow, textColumn } from './columns.ts';
import { deleteAllRows } from './delete-all.ts';
import { restoreIntents, setIntentsAside } from './intents.ts';
import { clearOutbox, unfreezeOutbox } from './outbox.ts';
import { emptyPage, fillSqlPayloads, PAGE_PAYLOAD } from './page.ts';
import { QuarantineLog } from './set-aside.ts';
import { withReferenceIndexes } from './reference-indexes.ts';
import { clearSnapshotStage } from './snapshot-stage.ts';
import type { SnapshotApplyInput, SnapshotApplyResult } from './store-types.ts';
import { beginApply, setApplyMode, translatingFaults } from './transaction.ts';

/**
 * Replaces all managed rows by the staged snapshot in one transaction (client.md 8.3). Unsent local changes are written back on top of
 * it and stay pending; those that it makes impossible go to quarantine. Before the commit nobody sees anything of it, and any failure
 * leaves everything as it was.
 *
 * @throws SyncError `snapshot_gate_failed`, `snapshot_too_old`, `snapshot_row_too_large`, `source_replacement_not_fresh`,
 * `quarantine_limit_reached`, `aborted`, `storage_failed`.
 */
export function applySnapshot(
  driver: SqliteDriver,
  schema: LocalSchema,
  input: SnapshotApplyInput,
): Promise<SnapshotApplyResult> {
  return translatingFaults('rebuild', () => driver.transaction('immediate', (tx) => apply(tx, schema, input)));
}

async function apply(tx: SqliteTx, schema: LocalSchema, input: SnapshotApplyInput): Promise<SnapshotApplyResult> {
  const state = await checkGate(tx, input);
  await checkStage(tx, schema, input);
  await retireOutbox(tx, state, input);
  await rotateSource(tx, state, input);
  await beginApply(tx);
  await emptyPage(tx);
  const log = new QuarantineLog(input.quarantineMax);
  const hasIntents = await setIntentsAside(tx, schema);
  const tables = await withReferenceIndexes(tx, schema, input.session.rowCount, async () => {
    const emptied = await deleteAllRows(tx, schema);
    await tx.exec('DELETE FROM _sync_row_state');
    await loadStagedRows(tx, schema, input, hasIntents);
    return emptied;
  });
  await tx.exec('DELETE FROM _sync_dirty_rows');
  await clearBundleStage(tx);
  await saveLifecycle(tx, schema.name, {
    name: 'attached',
    sourceId: input.target.sourceId,
    userId: input.target.userId,
    lastBundleSeqSeen: input.session.bundleSeq,
    initializationId: null,
    staged: null,
  });
  const contestedRowCount = hasIntents ? await restoreIntents(tx, schema, input, log) : await forgetBases(tx);
  checkAborted(input);
  await clearSnapshotStage(tx);
  await emptyPage(tx);
  await setApplyMode(tx, 0);
  const { bundleSeq, rowCount } = input.session;
  return { bundleSeq, rowCount, quarantined: log.entries, contestedRowCount, tables };
}

async function forgetBases(tx: SqliteTx): Promise<number> {
  await tx.exec('DELETE FROM _oversync_row_bases');
  return 0;
}

/** Step 1: nothing that was pinned before staging may have changed. Dirty rows may have changed. */
async function checkGate(tx: SqliteTx, input: SnapshotApplyInput): Promise<ClientState> {
  const state = await loadClientState(tx);
  if (stateText(state) !== stateText(input.pinned)) throw gateFailed('state_changed');
  return state;
}

function gateFailed(reason: string): SyncError {
  return new SyncError('snapshot_gate_failed', { operation: 'rebuild', details: { reason } });
}

/** The staged session is what this call itself has written since. */
function stateText({ lifecycle, outbox }: ClientState): string {
  const pinned = 'staged' in lifecycle ? { ...lifecycle, staged: null } : lifecycle;
  return JSON.stringify([pinned, outbox], (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

/** The stage must hold every row of the session, and none that is too large to be applied; both in one reading of the stage. */
async function checkStage(tx: SqliteTx, schema: LocalSchema, { session, page }: SnapshotApplyInput): Promise<void> {
  const size = schema.features.hasOctetLength ? 'octet_length(payload)' : 'length(CAST(payload AS BLOB))';
  const sql = `SELECT CAST(count(*) AS TEXT), COALESCE(MAX(${size}), 0) FROM _sync_snapshot_stage WHERE +snapshot_id = ?`;
  const facts = onlyRow(await tx.all(sql, [session.snapshotId]));
  if (bigintColumn(facts, 0) !== session.rowCount) throw gateFailed('stage_incomplete');
  const required = countColumn(facts, 1);
  if (required <= page.bytesMax) return;
  throw new SyncError('snapshot_row_too_large', { operation: 'rebuild', details: { limit: page.bytesMax, required } });
}

/** A committed bundle is inside the snapshot; anything else goes back to the dirty rows. */
async function retireOutbox(tx: SqliteTx, { outbox }: ClientState, input: SnapshotApplyInput): Promise<void> {
  if (outbox.state === 'prepared') await unfreezeOutbox(tx);
  if (outbox.state !== 'committed_remote') return;
  if (input.session.bundleSeq < outbox.bundleSeq) throw new SyncError('snapshot_too_old', { operation: 'rebuild' });
  await tx.run(REBASE_COMMITTED, [outbox.bundleSeq]);
  await raiseSourceCounter(tx, outbox.sourceId, outbox.sourceBundleId + 1n);
  await clearOutbox(tx);
}

async function rotateSource(tx: SqliteTx, { lifecycle }: ClientState, input: SnapshotApplyInput): Promise<void> {
  const { sourceId } = input.target;
  if (sourceId === lifecycle.sourceId) return;
  const known = await loadSource(tx, sourceId);
  if (known === null) await insertSource(tx, sourceId);
  else if (known.nextSourceBundleId !== 1n || known.replacedBySourceId !== null) {
    throw new SyncError('source_replacement_not_fresh', { operation: 'rebuild' });
  }
  await markSourceReplaced(tx, lifecycle.sourceId, sourceId);
}

/**
 * Step 3: parents first, since every open reference of a parent that is still missing costs a scan of its children. Pages are ranges of
 * rowids, which rise with the ordinals: the tables are found in the index of the keys, and the rows are read as they lie on disk. A page
 * leaves the stage as soon as it is applied, so that the rows take over the space it had and the file does not keep both; only pending
 * intents have to find the snapshot's rows in the stage afterwards.
 */
async function loadStagedRows(tx: SqliteTx, schema: LocalSchema, input: SnapshotApplyInput, keepsStage: boolean): Promise<void> {
  const ranges = new Map(
    (await tx.all(STAGED_RANGES, [input.session.snapshotId, schema.name])).map((row) => [
      textColumn(row, 0),
      [countColumn(row, 1), countColumn(row, 2)],
    ]),
  );
  let rowsDone = 0;
  for (const table of schema.tables) {
    const [first, last] = ranges.get(table.wireName) ?? [];
    if (first === undefined || last === undefined) continue;
    for (let start = first; start <= last; start += input.page.rowsMax) {
      checkAborted(input);
      const end = Math.min(last, start + input.page.rowsMax - 1);
      rowsDone += await loadRange(tx, schema, table, input, start, end);
      const range = [table.wireName, BigInt(start), BigInt(end)];
      await tx.run(SAVE_STAGED_STATE, range);
      if (!keepsStage) await tx.run(UNSTAGE, range);
      await input.onPage?.(rowsDone, tx);
    }
  }
}

async function loadRange(
  tx: SqliteTx,
  schema: LocalSchema,
  table: LocalTable,
  input: SnapshotApplyInput,
  start: number,
  end: number,
): Promise<number> {
  const range = [input.session.snapshotId, table.wireName, BigInt(start), BigInt(end)];
  if (!needsHexPayload(table)) return (await tx.run(insertStagedSql(table), range)).changes;
  await tx.exec('DELETE FROM temp._oversync_page');
  await tx.run(PAGE_FROM_SNAPSHOT, range);
  await fillSqlPayloads(tx, schema);
  return (await tx.run(`${insertIntoSql(table)} SELECT ${wireValuesSql(table, PAGE_PAYLOAD)} FROM temp._oversync_page p`))
    .changes;
}

/** Snapshot id, table, first and last rowid. */
function insertStagedSql(table: LocalTable): string {
  return (
    `${insertIntoSql(table)} SELECT ${wireValuesSql(table, 'p.payload')} FROM _sync_snapshot_stage p ` +
    `WHERE +p.snapshot_id = ? AND +p.table_name = ? AND p.rowid BETWEEN ? AND ? ORDER BY p.rowid`
  );
}

function checkAborted(input: SnapshotApplyInput): void {
  if (input.signal?.aborted === true) throw new SyncError('aborted', { operation: 'rebuild', cause: input.signal.reason });
}

/** Sequence of the commit. Edits made after the freeze are based on what was committed. */
const REBASE_COMMITTED = `
UPDATE _sync_dirty_rows SET base_row_version = ? WHERE (table_name, key_json) IN (SELECT table_name, key_json FROM _sync_outbox_rows)`;

/** Table, first and last rowid. */
const SAVE_STAGED_STATE = `
INSERT INTO _sync_row_state(schema_name, table_name, key_json, row_version)
SELECT schema_name, table_name, key_json, row_version FROM _sync_snapshot_stage
WHERE +table_name = ? AND rowid BETWEEN ? AND ? ORDER BY rowid`;

/** Table, first and last rowid. */
const UNSTAGE = 'DELETE FROM _sync_snapshot_stage WHERE +table_name = ? AND rowid BETWEEN ? AND ?';

/** Snapshot id, schema. First and last rowid of every staged table, from the index alone. */
const STAGED_RANGES = `
SELECT table_name, MIN(rowid), MAX(rowid) FROM _sync_snapshot_stage WHERE snapshot_id = ? AND schema_name = ? GROUP BY table_name`;

const PAGE_FROM_SNAPSHOT = `
INSERT INTO temp._oversync_page(ordinal, table_name, key_json, op, row_version, payload)
SELECT row_ordinal, table_name, key_json, 'INSERT', row_version, payload FROM _sync_snapshot_stage
WHERE +snapshot_id = ? AND +table_name = ? AND rowid BETWEEN ? AND ?`;
