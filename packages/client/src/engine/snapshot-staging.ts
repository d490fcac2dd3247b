import { isSyncError } from '@oversync/protocol';

import type { SourceReplacement } from '../http/requests.ts';
import type { RowPages, SnapshotChunk } from '../http/snapshot-chunk.ts';
import type { SqliteTx } from '../ports/sqlite-driver.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { checkSnapshotChunk, checkSnapshotEnd } from '../rules/snapshot-checks.ts';
import type { StagedSession } from '../store/client-state.ts';
import { loadSnapshotNote, saveSnapshotNote } from '../store/session-notes.ts';
import type { SnapshotKind, SnapshotSessionNote } from '../store/session-notes.ts';
import { clearSnapshotStage, stageSnapshotChunk } from '../store/snapshot-stage.ts';
import { StageFileWriter } from '../store/stage-file-writer.ts';
import type { StagePlace } from '../store/stage-file.ts';
import { translatingFaults, withTransaction } from '../store/transaction.ts';
import { emitProgress } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import { createSnapshotSession, fetchSnapshotChunk, retireSnapshotSession } from './snapshot-session.ts';
import { beginStage, dropStageFile } from './stage-place.ts';

/** What a snapshot is downloaded for. */
export interface SnapshotPlan {
  readonly kind: SnapshotKind;
  /** Source of the requests. */
  readonly sourceId: string;
  readonly replacement: SourceReplacement | null;
  readonly capabilities: ServerCapabilities;
  /** Runs in the transaction that begins or completes the stage; stores what the kind has to know after a restart. */
  readonly onSession: (tx: SqliteTx, session: StagedSession) => Promise<void>;
}

/** A session whose rows are all staged, and where. */
export interface StagedSnapshot {
  readonly session: StagedSession;
  readonly place: StagePlace;
}

/**
 * Downloads a snapshot into the stage and returns its session, complete. A failure retires the session on the server, so that the next
 * attempt begins with a new one; only a killed process leaves a session that can be continued (client.md 8.1, 8.4).
 */
export async function stageSnapshot(call: Call, plan: SnapshotPlan): Promise<StagedSnapshot> {
  const resumable = await findResumable(call, plan);
  if (resumable === null) return stageSession(call, plan, await beginSession(call, plan));
  try {
    return await stageSession(call, plan, resumable);
  } catch (error) {
    if (!isSyncError(error) || error.code !== 'snapshot_session_lost') throw error;
    return stageSession(call, plan, await beginSession(call, plan));
  }
}

async function stageSession(call: Call, plan: SnapshotPlan, note: SnapshotSessionNote): Promise<StagedSnapshot> {
  const limit = new AbortController();
  const download: Call = { ...call, signal: AbortSignal.any([call.signal, limit.signal]) };
  try {
    const place = await stageChunks(download, plan, note);
    const session = stagedSession(note, true);
    await withTransaction(stepDriver(call.engine, 'stage'), call.operation, async (tx) => {
      if (place === 'file') await saveSnapshotNote(tx, { ...note, stagedByteCount: note.byteCount, isInFile: true });
      await plan.onSession(tx, session);
    });
    return { session, place };
  } catch (error) {
    limit.abort();
    await dropStageFile(call.engine);
    await endSession(call, plan.sourceId, note.snapshotId).catch(() => undefined);
    throw error;
  }
}

/** Retires a session and forgets it. */
export async function endSession(call: Call, sourceId: string, snapshotId: string): Promise<void> {
  retireSnapshotSession(call.engine, sourceId, snapshotId);
  await withTransaction(call.engine.driver, call.operation, (tx) => saveSnapshotNote(tx, null));
}

function stagedSession(note: SnapshotSessionNote, isComplete: boolean): StagedSession {
  return {
    snapshotId: note.snapshotId,
    bundleSeq: note.bundleSeq,
    rowCount: note.rowCount,
    byteCount: note.byteCount,
    isComplete,
  };
}

async function findResumable(call: Call, plan: SnapshotPlan): Promise<SnapshotSessionNote | null> {
  const note = await loadSnapshotNote(call.engine.driver);
  if (note === null || note.kind !== plan.kind || note.sourceId !== plan.sourceId) return null;
  return note.expiresAtMs > call.engine.http.clock.epochMs() ? note : null;
}

async function beginSession(call: Call, plan: SnapshotPlan): Promise<SnapshotSessionNote> {
  const session = await createSnapshotSession(call, plan.capabilities, plan.sourceId, plan.replacement);
  const note: SnapshotSessionNote = {
    kind: plan.kind,
    sourceId: plan.sourceId,
    snapshotId: session.snapshot_id,
    bundleSeq: session.snapshot_bundle_seq,
    rowCount: BigInt(session.row_count),
    byteCount: session.byte_count,
    stagedByteCount: 0n,
    expiresAtMs: Date.parse(session.expires_at),
    isInFile: false,
  };
  try {
    await withTransaction(stepDriver(call.engine, 'stage'), call.operation, async (tx) => {
      await clearSnapshotStage(tx);
      await saveSnapshotNote(tx, note);
      await plan.onSession(tx, stagedSession(note, false));
    });
  } catch (error) {
    retireSnapshotSession(call.engine, plan.sourceId, note.snapshotId);
    throw error;
  }
  return note;
}

interface StageProgress {
  readonly place: StagePlace;
  rowCount: number;
  byteCount: bigint;
}

async function stageChunks(call: Call, plan: SnapshotPlan, note: SnapshotSessionNote): Promise<StagePlace> {
  const progress: StageProgress = await beginStage(call, note);
  if (progress.rowCount > 0 && BigInt(progress.rowCount) === note.rowCount) {
    checkSnapshotEnd(note, progress);
    return progress.place;
  }
  const writer = progress.place === 'file' ? new StageFileWriter(stepDriver(call.engine, 'stage'), call.schema) : null;
  reportStaging(call, note, progress);
  let coming: Promise<SnapshotChunk> | null = requestChunk(call, plan, note, progress.rowCount, writer);
  while (coming !== null) {
    const chunk: SnapshotChunk = await coming;
    checkChunk(plan, note, progress, chunk);
    if (writer !== null) await translatingFaults(call.operation, () => writer.endChunk(chunk.rows));
    coming = chunk.hasMore ? requestChunk(call, plan, note, chunk.nextRowOrdinal, writer) : null;
    await storeChunk(call, note, progress, chunk);
    reportStaging(call, note, progress);
  }
  checkSnapshotEnd(note, progress);
  if (writer !== null) await translatingFaults(call.operation, () => writer.complete(note));
  return progress.place;
}

/**
 * The request runs while the chunk before it is stored; a failure is seen when its turn comes. Rows for the file are stored as they
 * arrive: should the chunk be refused at its end, so is the whole stage.
 */
function requestChunk(
  call: Call,
  plan: SnapshotPlan,
  note: SnapshotSessionNote,
  afterRowOrdinal: number,
  pages: RowPages | null,
): Promise<SnapshotChunk> {
  const chunk = translatingFaults(call.operation, () =>
    fetchSnapshotChunk(call, plan.capabilities, plan.sourceId, note.snapshotId, afterRowOrdinal, pages),
  );
  chunk.catch(() => undefined);
  return chunk;
}

function checkChunk(plan: SnapshotPlan, note: SnapshotSessionNote, progress: StageProgress, chunk: SnapshotChunk): void {
  checkSnapshotChunk(
    {
      snapshotId: note.snapshotId,
      snapshotBundleSeq: note.bundleSeq,
      sessionRowCount: note.rowCount,
      sessionByteCount: note.byteCount,
      afterRowOrdinal: progress.rowCount,
      afterByteCount: progress.byteCount,
      rowsMax: plan.capabilities.snapshotChunk.rows,
      bytesMax: plan.capabilities.snapshotChunk.bytes,
    },
    chunk,
  );
}

async function storeChunk(call: Call, note: SnapshotSessionNote, progress: StageProgress, chunk: SnapshotChunk): Promise<void> {
  const stagedByteCount = progress.byteCount + BigInt(chunk.byteCount);
  if (progress.place === 'database') {
    await withTransaction(stepDriver(call.engine, 'stage'), call.operation, async (tx) => {
      await stageSnapshotChunk(tx, note.snapshotId, BigInt(progress.rowCount), chunk.rows);
      await saveSnapshotNote(tx, { ...note, stagedByteCount });
    });
  }
  progress.rowCount += chunk.rowCount;
  progress.byteCount = stagedByteCount;
}

function reportStaging(call: Call, note: SnapshotSessionNote, progress: StageProgress): void {
  emitProgress(call, 'staging', { rowsDone: progress.rowCount, rowsTotal: Number(note.rowCount) });
}
