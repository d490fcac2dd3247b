import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { StageFile } from '../ports/stage-file.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { bigintColumn, countColumn, textColumn } from './columns.ts';
import {
  ATTACH_STAGE,
  COMPLETED_STAGE,
  DETACH_STAGE,
  IS_STAGE_ATTACHED,
  STAGED_NAMES,
  STAGE_SETTINGS,
  createStageSql,
  stagedTableText,
} from './stage-file.sql.ts';

/** Where a snapshot is staged: in `_sync_snapshot_stage`, or in a file of its own. */
export type StagePlace = 'database' | 'file';

/** A snapshot as its stage must hold it. */
export interface StagedFacts {
  readonly snapshotId: string;
  readonly rowCount: bigint;
}

/** What a complete stage says of itself. */
export interface CompletedStage {
  readonly rowCount: bigint;
  /** No payload takes more. */
  readonly payloadBytesMax: number;
}

/**
 * Begins an empty stage in the file, which is attached then. False when that is not possible, for whatever reason: the ordinary stage
 * needs nothing but the database.
 */
export async function createStageFile(driver: SqliteDriver, file: StageFile, schema: LocalSchema): Promise<boolean> {
  try {
    await detachStageFile(driver);
    await file.remove();
    await attach(driver, file);
    await driver.exec(STAGE_SETTINGS);
    await driver.exec(createStageSql(schema));
    return true;
  } catch {
    await removeStageFile(driver, file);
    return false;
  }
}

/** Attaches a stage that an earlier call or process has completed; false, and the file is gone, when it holds anything else. */
export async function openStageFile(
  driver: SqliteDriver,
  file: StageFile,
  schema: LocalSchema,
  facts: StagedFacts,
): Promise<boolean> {
  try {
    await detachStageFile(driver);
    await attach(driver, file);
    const completed = await loadCompletedStage(driver, facts.snapshotId);
    const names = (await driver.all(STAGED_NAMES)).map((row) => textColumn(row, 0));
    const isSame = names.join() === schema.tables.map(stagedTableText).join();
    if (completed?.rowCount === facts.rowCount && isSame) return true;
  } catch {
    // A file that cannot be read is as good as none.
  }
  await removeStageFile(driver, file);
  return false;
}

/** What the attached file says; `null` unless it is complete and of this snapshot. */
export async function loadCompletedStage(tx: SqliteTx, snapshotId: string): Promise<CompletedStage | null> {
  const [row] = await tx.all(COMPLETED_STAGE, [snapshotId]);
  return row === undefined ? null : { rowCount: bigintColumn(row, 0), payloadBytesMax: countColumn(row, 1) };
}

/** Connections that have the file attached, so that nobody asks those that have not. */
const attached = new WeakSet<SqliteDriver>();

async function attach(driver: SqliteDriver, file: StageFile): Promise<void> {
  const [row] = await driver.all(IS_STAGE_ATTACHED);
  if (row !== undefined) await driver.run(DETACH_STAGE);
  attached.add(driver);
  await driver.run(ATTACH_STAGE, [file.path]);
}

/** Detaches the file where it is attached, and keeps it. */
export async function detachStageFile(driver: SqliteDriver): Promise<void> {
  if (attached.delete(driver)) await driver.run(DETACH_STAGE);
}

/** Detaches and deletes the file. What fails here is done by the next stage, or by the next `open`. */
export async function removeStageFile(driver: SqliteDriver, file: StageFile): Promise<void> {
  await detachStageFile(driver).catch(() => undefined);
  try {
    await file.remove();
  } catch {
    // Room that is given back later; the file is never read again.
  }
}
