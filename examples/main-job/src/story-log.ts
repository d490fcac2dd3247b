import type { SqliteDriver, SqliteTx } from '@oversync/client';

/** What a finished step did. */
export interface StepRecord {
  readonly rows: number;
  readonly ms: number;
}

/**
 * The story's own tables in a device's file. A step that changes the application's rows is recorded in the same transaction, so a
 * process killed at any moment finds either both or neither. They are not synchronised.
 */
const LOG_SQL = `
CREATE TABLE IF NOT EXISTS story_steps (
  round INTEGER NOT NULL, step TEXT NOT NULL, row_count INTEGER NOT NULL, ms REAL NOT NULL, PRIMARY KEY (round, step));
CREATE TABLE IF NOT EXISTS story_rounds (round INTEGER PRIMARY KEY, place_count INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS story_import (singleton INTEGER PRIMARY KEY CHECK (singleton = 1), next_index INTEGER NOT NULL);
INSERT OR IGNORE INTO story_import VALUES (1, 0);
`;

export async function createStoryLog(driver: SqliteDriver): Promise<void> {
  await driver.exec(LOG_SQL);
}

export async function loadStep(driver: SqliteDriver, round: number, step: string): Promise<StepRecord | undefined> {
  const [row] = await driver.all('SELECT row_count, ms FROM story_steps WHERE round = ? AND step = ?', [BigInt(round), step]);
  return row === undefined ? undefined : { rows: Number(row[0]), ms: Number(row[1]) };
}

export async function saveStep(tx: SqliteTx, round: number, step: string, record: StepRecord): Promise<void> {
  await tx.run('INSERT INTO story_steps (round, step, row_count, ms) VALUES (?, ?, ?, ?)', [
    BigInt(round),
    step,
    BigInt(record.rows),
    record.ms,
  ]);
}

/** Places imported by the end of each round so far, round 1 first. */
export async function loadRounds(driver: SqliteDriver): Promise<readonly number[]> {
  return (await driver.all('SELECT place_count FROM story_rounds ORDER BY round')).map(([count]) => Number(count));
}

export async function saveRound(driver: SqliteDriver, round: number, placeCount: number): Promise<void> {
  await driver.run('INSERT INTO story_rounds (round, place_count) VALUES (?, ?)', [BigInt(round), BigInt(placeCount)]);
}

/** Number of the next record to import. */
export async function loadImportIndex(driver: SqliteDriver): Promise<number> {
  const [row] = await driver.all('SELECT next_index FROM story_import');
  return Number(row?.[0] ?? 0);
}

export async function saveImportIndex(tx: SqliteTx, nextIndex: number): Promise<void> {
  await tx.run('UPDATE story_import SET next_index = ?', [BigInt(nextIndex)]);
}
