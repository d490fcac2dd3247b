import { isSyncError } from '@oversync/protocol';

import type { SourceReplacement } from '../http/requests.ts';
import type { SnapshotChunk } from '../http/snapshot-chunk.ts';
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
import { ChunkAhead } from './chunk-ahead.ts';
import { emitProgress } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';
import { createSnapshotSession, fetchSnapshotChunk, retireSnapshotSession } from './snapshot-session.ts';
import type { ChunkSource } from './snapshot-session.ts';
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
    const place = await translatingFaults(call.operation, () => stageChunks(download, plan, note));
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
  const source = { capabilities: plan.capabilities, sourceId: plan.sourceId, snapshotId: note.snapshotId };
  if (progress.place === 'file') await stageInFile(call, source, note, progress);
  else await stageInDatabase(call, source, note, progress);
  return progress.place;
}

/** Rows are stored as they arrive: should a chunk be refused at its end, so is the whole stage. */
async function stageInFile(call: Call, source: ChunkSource, note: SnapshotSessionNote, progress: StageProgress): Promise<void> {
  const writer = new StageFileWriter(stepDriver(call.engine, 'stage'), call.schema);
  const ahead = new ChunkAhead(call, source, note, writer);
  reportStaging(call, note, progress);
  try {
    for (let hasMore = true; hasMore;) {
      const sent = ahead.startChunk(progress.rowCount);
      const chunk = await fetchSnapshotChunk(call, source, progress.rowCount, ahead, sent);
      checkChunk(source, note, progress, chunk);
      await ahead.endChunk(chunk);
      countChunk(call, note, progress, chunk);
      ({ hasMore } = chunk);
    }
  } finally {
    ahead.drop();
  }
  checkSnapshotEnd(note, progress);
  await writer.complete(note);
}

/** The next request runs while a chunk is stored; its failure is seen when its turn comes. */
async function stageInDatabase(
  call: Call,
  source: ChunkSource,
  note: SnapshotSessionNote,
  progress: StageProgress,
): Promise<void> {
  const request = (afterRowOrdinal: number): Promise<SnapshotChunk> => {
    const chunk = fetchSnapshotChunk(call, source, afterRowOrdinal, null);
    chunk.catch(() => undefined);
    return chunk;
  };
  reportStaging(call, note, progress);
  let coming: Promise<SnapshotChunk> | null = request(progress.rowCount);
  while (coming !== null) {
    const chunk: SnapshotChunk = await coming;
    checkChunk(source, note, progress, chunk);
    coming = chunk.hasMore ? request(chunk.nextRowOrdinal) : null;
    await storeChunk(call, note, progress, chunk);
    countChunk(call, note, progress, chunk);
  }
  checkSnapshotEnd(note, progress);
}

function checkChunk(source: ChunkSource, note: SnapshotSessionNote, progress: StageProgress, chunk: SnapshotChunk): void {
  const { rows, bytes } = source.capabilities.snapshotChunk;
  checkSnapshotChunk(
    {
      snapshotId: note.snapshotId,
      snapshotBundleSeq: note.bundleSeq,
      sessionRowCount: note.rowCount,
      sessionByteCount: note.byteCount,
      afterRowOrdinal: progress.rowCount,
      afterByteCount: progress.byteCount,
      rowsMax: rows,
      bytesMax: bytes,
    },
    chunk,
  );
}

async function storeChunk(call: Call, note: SnapshotSessionNote, progress: StageProgress, chunk: SnapshotChunk): Promise<void> {
  const stagedByteCount = progress.byteCount + BigInt(chunk.byteCount);
  await withTransaction(stepDriver(call.engine, 'stage'), call.operation, async (tx) => {
    await stageSnapshotChunk(tx, note.snapshotId, BigInt(progress.rowCount), chunk.rows);
    await saveSnapshotNote(tx, { ...note, stagedByteCount });
  });
}

function countChunk(call: Call, note: SnapshotSessionNote, progress: StageProgress, chunk: SnapshotChunk): void {
  progress.rowCount += chunk.rowCount;
  progress.byteCount += BigInt(chunk.byteCount);
  reportStaging(call, note, progress);
}

function reportStaging(call: Call, note: SnapshotSessionNote, progress: StageProgress): void {
  emitProgress(call, 'staging', { rowsDone: progress.rowCount, rowsTotal: Number(note.rowCount) });
}
