import type { SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type {
  CheckpointReason,
  ClientState,
  LifecycleState,
  Outbox,
  SourceRecord,
  SourceRecoveryReason,
  StagedSession,
} from '../rules/client-state.ts';
import {
  LOAD_CLIENT_STATE,
  CLIENT_STATE_COLUMNS as C,
  LOAD_SOURCE,
  RAISE_SOURCE_COUNTER,
  SAVE_ATTACHMENT,
  SAVE_OPERATION,
} from './client-state.sql.ts';
import { bigintColumn, countColumn, onlyRow, textColumn } from './columns.ts';

export type {
  CheckpointReason,
  ClientState,
  LifecycleState,
  Outbox,
  SourceRecord,
  SourceRecoveryReason,
  StagedSession,
} from '../rules/client-state.ts';

/** Reads attachment, operation, outbox header and apply mode in one statement. */
export async function loadClientState(tx: SqliteTx): Promise<ClientState> {
  const row = onlyRow(await tx.all(LOAD_CLIENT_STATE));
  return { lifecycle: lifecycleOf(row), outbox: outboxOf(row), applyMode: countColumn(row, C.applyMode) };
}

function lifecycleOf(row: readonly SqlValue[]): LifecycleState {
  const sourceId = textColumn(row, C.sourceId);
  const kind = textColumn(row, C.kind);
  const staged = stagedOf(row);
  if (kind === 'remote_replace') return { name: 'replacing', sourceId, targetUserId: textColumn(row, C.targetUserId), staged };
  const userId = textColumn(row, C.userId);
  if (textColumn(row, C.binding) !== 'attached' || userId === '') return { name: 'anonymous', sourceId };
  const attached = {
    sourceId,
    userId,
    lastBundleSeqSeen: bigintColumn(row, C.lastBundleSeqSeen),
    initializationId: textColumn(row, C.initializationId) || null,
    staged,
  };
  const reason = textColumn(row, C.reason);
  if (kind === 'source_recovery') {
    const replacementSourceId = textColumn(row, C.replacementSourceId);
    return isSourceRecoveryReason(reason)
      ? { name: 'source_recovery', reason, replacementSourceId, ...attached }
      : { name: 'source_recovery_unknown', storedReason: reason, replacementSourceId, ...attached };
  }
  if (countColumn(row, C.rebuildRequired) === 0) return { name: 'attached', ...attached };
  return { name: 'checkpoint_recovery', reason: isCheckpointReason(reason) ? reason : 'resume', ...attached };
}

function stagedOf(row: readonly SqlValue[]): StagedSession | null {
  const snapshotId = textColumn(row, C.stagedSnapshotId);
  if (snapshotId === '') return null;
  return {
    snapshotId,
    bundleSeq: bigintColumn(row, C.snapshotBundleSeq),
    rowCount: bigintColumn(row, C.snapshotRowCount),
    byteCount: bigintColumn(row, C.snapshotByteCount),
    isComplete: countColumn(row, C.snapshotStageComplete) === 1,
  };
}

function outboxOf(row: readonly SqlValue[]): Outbox {
  const state = textColumn(row, C.outboxState);
  if (state === 'none') return { state };
  const frozen = {
    sourceId: textColumn(row, C.outboxSourceId),
    sourceBundleId: bigintColumn(row, C.sourceBundleId),
    initializationId: textColumn(row, C.outboxInitializationId) || null,
    requestHash: textColumn(row, C.requestHash),
    rowCount: countColumn(row, C.rowCount),
  };
  if (state === 'prepared') return { state, ...frozen };
  return {
    state: 'committed_remote',
    ...frozen,
    bundleSeq: bigintColumn(row, C.remoteBundleSeq),
    bundleHash: textColumn(row, C.remoteBundleHash),
  };
}

function isSourceRecoveryReason(text: string): text is SourceRecoveryReason {
  const known: readonly string[] = SOURCE_RECOVERY_REASONS;
  return known.includes(text);
}

function isCheckpointReason(text: string): text is CheckpointReason {
  const known: readonly string[] = CHECKPOINT_REASONS;
  return known.includes(text);
}

const SOURCE_RECOVERY_REASONS: readonly SourceRecoveryReason[] = [
  'history_pruned',
  'source_sequence_out_of_order',
  'source_sequence_changed',
  'source_retired',
];

const CHECKPOINT_REASONS: readonly CheckpointReason[] = [
  'history_pruned',
  'checkpoint_ahead',
  'explicit_rebuild',
  'resume',
  'apply_failed',
  'restore_row',
];

/** Writes attachment and operation so that they say exactly this state. */
export async function saveLifecycle(tx: SqliteTx, schemaName: string, state: LifecycleState): Promise<void> {
  await tx.run(SAVE_ATTACHMENT, attachmentValues(schemaName, state));
  await tx.run(SAVE_OPERATION, operationValues(state));
}

function attachmentValues(schemaName: string, state: LifecycleState): SqlValue[] {
  if (state.name === 'anonymous' || state.name === 'replacing') return [state.sourceId, 'anonymous', '', '', 0n, 0n, ''];
  const isRebuildRequired = state.name === 'attached' ? 0n : 1n;
  return [
    state.sourceId,
    'attached',
    state.userId,
    schemaName,
    state.lastBundleSeqSeen,
    isRebuildRequired,
    state.initializationId ?? '',
  ];
}

function operationValues(state: LifecycleState): SqlValue[] {
  switch (state.name) {
    case 'anonymous':
      return ['none', '', ...stagedValues(null), '', ''];
    case 'replacing':
      return ['remote_replace', state.targetUserId, ...stagedValues(state.staged), '', ''];
    case 'attached':
      return ['none', '', ...stagedValues(state.staged), '', ''];
    case 'checkpoint_recovery':
      return ['none', '', ...stagedValues(state.staged), state.reason, ''];
    case 'source_recovery':
      return ['source_recovery', '', ...stagedValues(state.staged), state.reason, state.replacementSourceId];
    case 'source_recovery_unknown':
      return ['source_recovery', '', ...stagedValues(state.staged), state.storedReason, state.replacementSourceId];
  }
}

function stagedValues(staged: StagedSession | null): SqlValue[] {
  if (staged === null) return ['', 0n, 0n, 0n, 0n];
  return [staged.snapshotId, staged.bundleSeq, staged.rowCount, staged.byteCount, staged.isComplete ? 1n : 0n];
}

/** The record of a source id that was ever used here. */
export async function loadSource(tx: SqliteTx, sourceId: string): Promise<SourceRecord | null> {
  const [row] = await tx.all(LOAD_SOURCE, [sourceId]);
  if (row === undefined) return null;
  return {
    sourceId,
    nextSourceBundleId: bigintColumn(row, 0),
    replacedBySourceId: textColumn(row, 1) || null,
  };
}

/** Registers a new source with counter 1. A known id fails: ids are never used twice. */
export async function insertSource(tx: SqliteTx, sourceId: string): Promise<void> {
  await tx.run('INSERT INTO _sync_source_state(source_id) VALUES (?)', [sourceId]);
}

/** Only rises. */
export async function raiseSourceCounter(tx: SqliteTx, sourceId: string, nextSourceBundleId: bigint): Promise<void> {
  await tx.run(RAISE_SOURCE_COUNTER, [nextSourceBundleId, sourceId]);
}

export async function markSourceReplaced(tx: SqliteTx, sourceId: string, replacedBySourceId: string): Promise<void> {
  await tx.run('UPDATE _sync_source_state SET replaced_by_source_id = ? WHERE source_id = ?', [replacedBySourceId, sourceId]);
}
