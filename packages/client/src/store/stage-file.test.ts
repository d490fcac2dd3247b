import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createNodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { NodeSqliteDriver } from '../drivers/node-sqlite.ts';
import type { StageFile } from '../ports/stage-file.ts';
import { checkIncomingRows } from '../rules/check-incoming.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { loadClientState } from './client-state.ts';
import { openLocalSchema } from './open-local-schema.ts';
import { applySnapshot } from './snapshot-apply.ts';
import { StageFileWriter } from './stage-file-writer.ts';
import { createStageFile, openStageFile, removeStageFile } from './stage-file.ts';
import { APPLY, countingRandom, serverRow } from './test-local.ts';

let folder = '';
let driver: NodeSqliteDriver;
let schema: LocalSchema;
let file: StageFile;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'oversync-stage-'));
  driver = createNodeSqliteDriver(join(folder, 'app.db'));
  driver.database.exec('CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT)');
  const tables = [{ tableName: 'users', syncKeyColumnName: 'id' }];
  ({ schema } = await openLocalSchema(driver, { schema: 'main', tables }, countingRandom()));
  const known = driver.platform?.stageFile;
  if (known === undefined) throw new Error('a database in a file has a place for the stage');
  file = known;
});

afterEach(() => {
  driver.close();
  rmSync(folder, { recursive: true, force: true });
});

const facts = { snapshotId: 's1', rowCount: 1n };

async function stage(name: string): Promise<void> {
  expect(await createStageFile(driver, file, schema)).toBe(true);
  const writer = new StageFileWriter(driver, schema);
  await writer.begin();
  await writer.endChunk(checkIncomingRows(schema, [serverRow('users', 'a', 1n, { name })]));
  await writer.complete(facts);
}

async function apply(bytesMax: number): Promise<void> {
  const pinned = await loadClientState(driver);
  const session = { ...facts, bundleSeq: 1n, byteCount: 0n, isComplete: true };
  const target = { userId: 'user-1', sourceId: pinned.lifecycle.sourceId };
  await applySnapshot(driver, schema, { ...APPLY, pinned, session, target, page: { rowsMax: 10, bytesMax } }, 'file');
}

describe('the file of a stage', () => {
  it('[T93] a row at the apply budget passes, one byte more fails before any delete', async () => {
    driver.database.exec("INSERT INTO users VALUES ('mine', 'm')");
    const name = 'é'.repeat(50);
    const size = Buffer.byteLength(JSON.stringify({ id: 'a', name }));
    await stage(name);
    await expect(apply(size - 1)).rejects.toMatchObject({
      code: 'snapshot_row_too_large',
      details: { required: size, limit: size - 1 },
    });
    expect(driver.database.prepare('SELECT id FROM users').all()).toHaveLength(1);
    await apply(size);
    expect(driver.database.prepare("SELECT name FROM users WHERE id = 'a'").get()).toEqual({ name });
  });

  it('is opened again only for its own snapshot, its rows and the tables of today', async () => {
    await stage('n');
    expect(await openStageFile(driver, file, schema, facts)).toBe(true);
    expect(await openStageFile(driver, file, schema, { ...facts, snapshotId: 's2' })).toBe(false);
    await stage('n');
    expect(await openStageFile(driver, file, schema, { ...facts, rowCount: 2n })).toBe(false);
    await stage('n');
    expect(await openStageFile(driver, file, { ...schema, tables: [] }, facts)).toBe(false);
    await removeStageFile(driver, file);
  });

  it('[T90] [T91] an incomplete one is refused before anything is deleted', async () => {
    driver.database.exec("INSERT INTO users VALUES ('mine', 'm')");
    await createStageFile(driver, file, schema);
    await expect(apply(1000)).rejects.toMatchObject({ code: 'snapshot_gate_failed', details: { reason: 'stage_incomplete' } });
    await stage('n');
    driver.database.exec('DELETE FROM _oversync_stage.rows_0');
    await expect(apply(1000)).rejects.toMatchObject({ code: 'snapshot_gate_failed', details: { reason: 'stage_incomplete' } });
    expect(driver.database.prepare('SELECT id FROM users').all()).toEqual([{ id: 'mine' }]);
  });
});
