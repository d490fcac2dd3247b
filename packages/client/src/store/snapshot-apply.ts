import { SyncError } from '@oversync/protocol';

import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
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
import { bigintColumn, countColumn, onlyRow } from './columns.ts';
import { deleteAllRows } from './delete-all.ts';
import { restoreIntents, setIntentsAside } from './intents.ts';
import { clearOutbox, unfreezeOutbox } from './outbox.ts';
import { emptyPage } from './page.ts';
import { QuarantineLog } from './set-aside.ts';
import { withReferenceIndexes } from './reference-indexes.ts';
import { withoutCaptureTriggers } from './silent-triggers.ts';
import { clearSnapshotStage } from './snapshot-stage.ts';
import { loadCompletedStage } from './stage-file.ts';
import type { CompletedStage, StagedFacts, StagePlace } from './stage-file.ts';
import {
  byteLengthSql,
  checkNotAborted,
  keepIntentRows,
  largestInFile,
  loadStagedTables,
  refusingDoubleKeys,
  unstagePage,
  writeStagedPage,
} from './staged-rows.ts';
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
  place: StagePlace = 'database',
): Promise<SnapshotApplyResult> {
  return translatingFaults('rebuild', () => driver.transaction('immediate', (tx) => apply(tx, schema, input, place)));
}

async function apply(
  tx: SqliteTx,
  schema: LocalSchema,
  input: SnapshotApplyInput,
  place: StagePlace,
): Promise<SnapshotApplyResult> {
  const state = await checkGate(tx, input);
  await checkStage(tx, schema, input, place);
  await retireOutbox(tx, state, input);
  await rotateSource(tx, state, input);
  await beginApply(tx);
  await emptyPage(tx);
  const log = new QuarantineLog(input.quarantineMax);
  const hasIntents = await setIntentsAside(tx, schema);
  const tables = await withReferenceIndexes(tx, schema, input.session.rowCount, () =>
    withoutCaptureTriggers(tx, schema, async () => {
      const emptied = await deleteAllRows(tx, schema);
      await tx.exec('DELETE FROM _sync_row_state');
      await loadStagedRows(tx, schema, input, place, hasIntents);
      return emptied;
    }),
  );
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
  const contestedRowCount = hasIntents ? await restoreIntents(tx, schema, log) : await forgetBases(tx);
  checkNotAborted(input);
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

/** The stage must hold every row of the session, and none that is too large to be applied. */
async function checkStage(tx: SqliteTx, schema: LocalSchema, input: SnapshotApplyInput, place: StagePlace): Promise<void> {
  const { session, page } = input;
  const staged = place === 'file' ? await loadCompletedStage(tx, session.snapshotId) : await measureStage(tx, schema, session);
  if (staged?.rowCount !== session.rowCount) throw gateFailed('stage_incomplete');
  if (staged.payloadBytesMax <= page.bytesMax) return;
  // The file only knows what no payload exceeds.
  const required = place === 'file' ? await largestInFile(tx, schema) : staged.payloadBytesMax;
  if (required <= page.bytesMax) return;
  throw new SyncError('snapshot_row_too_large', { operation: 'rebuild', details: { limit: page.bytesMax, required } });
}

/** Both in one reading of the stage. */
async function measureStage(tx: SqliteTx, schema: LocalSchema, { snapshotId }: StagedFacts): Promise<CompletedStage> {
  const sql = `SELECT CAST(count(*) AS TEXT), COALESCE(MAX(${byteLengthSql(schema, 'payload')}), 0) FROM _sync_snapshot_stage WHERE +snapshot_id = ?`;
  const row = onlyRow(await tx.all(sql, [snapshotId]));
  return { rowCount: bigintColumn(row, 0), payloadBytesMax: countColumn(row, 1) };
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
 * rowids, so the rows are read as they lie on disk. A page of the ordinary stage leaves it as soon as it is applied.
 */
async function loadStagedRows(
  tx: SqliteTx,
  schema: LocalSchema,
  input: SnapshotApplyInput,
  place: StagePlace,
  hasIntents: boolean,
): Promise<void> {
  let rowsDone = 0;
  for (const staged of await loadStagedTables(tx, schema, input.session.snapshotId, place)) {
    for (let start = staged.first; start <= staged.last; start += input.page.rowsMax) {
      checkNotAborted(input);
      const end = Math.min(staged.last, start + input.page.rowsMax - 1);
      if (hasIntents) await keepIntentRows(tx, staged, start, end);
      rowsDone += await refusingDoubleKeys(tx, staged, () => writeStagedPage(tx, schema, staged, start, end));
      if (place === 'database') await unstagePage(tx, staged, start, end);
      await input.onPage?.(rowsDone, tx);
    }
  }
  if (place === 'file' && BigInt(rowsDone) !== input.session.rowCount) throw gateFailed('stage_incomplete');
}

/** Sequence of the commit. Edits made after the freeze are based on what was committed. */
const REBASE_COMMITTED = `
UPDATE _sync_dirty_rows SET base_row_version = ? WHERE (table_name, key_json) IN (SELECT table_name, key_json FROM _sync_outbox_rows)`;
