import type { StageFile } from '../ports/stage-file.ts';
import { loadClientState } from '../store/client-state.ts';
import type { StagedSession } from '../store/client-state.ts';
import { loadSnapshotNote } from '../store/session-notes.ts';
import type { SnapshotSessionNote } from '../store/session-notes.ts';
import { countStagedRows } from '../store/snapshot-stage.ts';
import { createStageFile, detachStageFile, openStageFile, removeStageFile } from '../store/stage-file.ts';
import type { StagePlace } from '../store/stage-file.ts';
import type { Call, Engine } from './engine.ts';

/** Where the rows of a session are, or go, and how far. */
export interface StageStart {
  readonly place: StagePlace;
  readonly rowCount: number;
  readonly byteCount: bigint;
}

/** The file for stages, where the driver has one and the application wants it used. */
function stageFileOf(engine: Engine): StageFile | null {
  return engine.options.snapshotStage === 'database' ? null : (engine.driver.platform?.stageFile ?? null);
}

/**
 * Finds or makes the stage of a session. A stage in the file is either complete or begins anew, in the same session; rows that an earlier
 * process has staged in the database are continued there.
 */
export async function beginStage(call: Call, note: SnapshotSessionNote): Promise<StageStart> {
  const { driver } = call.engine;
  const file = stageFileOf(call.engine);
  const staged = Number(await countStagedRows(driver, note.snapshotId));
  if (staged > 0 || file === null)
    return { place: 'database', rowCount: staged, byteCount: staged > 0 ? note.stagedByteCount : 0n };
  if (note.isInFile && (await openStageFile(driver, file, call.schema, note))) {
    return { place: 'file', rowCount: Number(note.rowCount), byteCount: note.byteCount };
  }
  const isMade = await createStageFile(driver, file, call.schema);
  return { place: isMade ? 'file' : 'database', rowCount: 0, byteCount: 0n };
}

/** Where the complete stage of an earlier call or process is; `null` when it is gone. */
export async function findCompleteStage(call: Call, session: StagedSession): Promise<StagePlace | null> {
  const { driver } = call.engine;
  const file = stageFileOf(call.engine);
  if ((await countStagedRows(driver, session.snapshotId)) === session.rowCount && session.rowCount > 0n) return 'database';
  if (file !== null && (await openStageFile(driver, file, call.schema, session))) return 'file';
  return session.rowCount === 0n ? 'database' : null;
}

/** Gives the room of the file back, where there is one. */
export async function dropStageFile(engine: Engine): Promise<void> {
  const file = engine.driver.platform?.stageFile;
  if (file !== undefined) await removeStageFile(engine.driver, file);
}

/** Lets go of the file and keeps it. */
export async function releaseStageFile(engine: Engine): Promise<void> {
  if (engine.driver.platform?.stageFile !== undefined) await detachStageFile(engine.driver).catch(() => undefined);
}

/** What a process that died has left behind, unless it can still be applied. */
export async function dropStaleStageFile(engine: Engine): Promise<void> {
  if (engine.driver.platform?.stageFile === undefined) return;
  const { lifecycle } = await loadClientState(engine.driver);
  const isReplacing = lifecycle.name === 'replacing' && lifecycle.staged?.isComplete === true;
  if (isReplacing || (await loadSnapshotNote(engine.driver))?.isInFile === true) return;
  await dropStageFile(engine);
}
