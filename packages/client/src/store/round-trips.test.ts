import { describe, expect, test } from 'vitest';

import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import { checkIncomingRows } from '../rules/check-incoming.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import { applyBundles } from './apply-bundles.ts';
import { stageBundleRows } from './bundle-stage.ts';
import { loadClientState } from './client-state.ts';
import { freezeOutbox } from './freeze.ts';
import { storeCommittedRemote } from './outbox.ts';
import { replayCommittedBundle } from './replay.ts';
import { applySnapshot } from './snapshot-apply.ts';
import { stageSnapshotChunk } from './snapshot-stage.ts';
import { APPLY, FREEZE, openAttached, serverRow } from './test-local.ts';
import type { Local } from './test-local.ts';

const DDL = 'CREATE TABLE items (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER)';
const PAGE = { rowsMax: 10_000, bytesMax: 16 * 1024 * 1024 };

/** Counts calls, and hides `runMany`, as a driver whose calls are messages would. */
function counting(driver: SqliteDriver, hidesRunMany: boolean): { readonly driver: SqliteDriver; readonly count: () => number } {
  let calls = 0;
  const counted = (tx: SqliteTx): SqliteTx => {
    const plain: SqliteTx = {
      exec: (sql) => ((calls += 1), tx.exec(sql)),
      run: (sql, params) => ((calls += 1), tx.run(sql, params)),
      all: (sql, params) => ((calls += 1), tx.all(sql, params)),
    };
    if (hidesRunMany || tx.runMany === undefined) return plain;
    return { ...plain, runMany: (sql, rows) => ((calls += 1), tx.runMany?.(sql, rows) ?? Promise.resolve()) };
  };
  const outer: SqliteDriver = {
    ...counted(driver),
    databaseId: () => driver.databaseId(),
    transaction: (mode, fn) => driver.transaction(mode, (tx) => fn(counted(tx))),
  };
  return { driver: outer, count: () => calls };
}

function rows(local: Local, count: number, version: bigint): CheckedRow[] {
  const incoming = Array.from({ length: count }, (_, index) =>
    serverRow('items', `k${index}`, version, { name: `n${index}`, n: `${index}` }),
  );
  return checkIncomingRows(local.schema, incoming);
}

/** Calls of each stage of a push, a pull and a rebuild of `rowCount` rows. */
async function callsFor(rowCount: number, hidesRunMany: boolean): Promise<Record<string, number>> {
  const local = await openAttached(DDL);
  const { driver, count } = counting(local.driver, hidesRunMany);
  const calls: Record<string, number> = {};
  const measure = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const before = count();
    const result = await work();
    calls[name] = count() - before;
    return result;
  };
  const insert = local.driver.database.prepare('INSERT INTO items VALUES (?, ?, ?)');
  for (let index = 0; index < rowCount; index += 1) insert.run(`k${index}`, `n${index}`, index);
  const { outbox } = await measure('freeze', () => freezeOutbox(driver, local.schema, { ...FREEZE, page: PAGE }));
  if (outbox.state !== 'prepared') throw new Error('nothing was frozen');
  const committed = await storeCommittedRemote(driver, outbox, { bundleSeq: 1n, bundleHash: 'h' });
  await measure('stage', () => driver.transaction('immediate', (tx) => stageBundleRows(tx, 1n, 0, rows(local, rowCount, 1n))));
  const replay = { ...APPLY, page: PAGE, outbox: committed, bundle: { staged: true } as const };
  await measure('replay', () => replayCommittedBundle(driver, local.schema, replay));
  const chunk = rows(local, Math.min(rowCount, 500), 2n);
  await measure('pull', () => applyBundles(driver, local.schema, [{ bundleSeq: 2n, rows: chunk }], { ...APPLY, page: PAGE }));
  await measure('snapshot stage', () =>
    driver.transaction('immediate', (tx) => stageSnapshotChunk(tx, 's', 0n, rows(local, rowCount, 3n))),
  );
  const pinned = await loadClientState(driver);
  const session = { snapshotId: 's', bundleSeq: 3n, rowCount: BigInt(rowCount), byteCount: 0n, isComplete: true };
  const target = { userId: 'user-1', sourceId: pinned.lifecycle.sourceId };
  await measure('snapshot apply', () => applySnapshot(driver, local.schema, { ...APPLY, page: PAGE, pinned, session, target }));
  return calls;
}

describe('round trips', () => {
  test.each([false, true])(
    '[T120] the calls of a page do not depend on its rows (a call is a message: %s)',
    async (hidesRunMany) => {
      const few = await callsFor(10, hidesRunMany);
      expect(await callsFor(5000, hidesRunMany)).toEqual(few);
      expect(Object.values(few).every((calls) => calls <= 45)).toBe(true);
    },
  );

  test('[T119] without runMany the rows travel as JSON and arrive unchanged', async () => {
    const local = await openAttached(DDL);
    const { driver } = counting(local.driver, true);
    await applyBundles(driver, local.schema, [{ bundleSeq: 1n, rows: rows(local, 3, 9007199254740993n) }], APPLY);
    expect(await local.driver.all('SELECT CAST(row_version AS TEXT), deleted FROM _sync_row_state')).toEqual(
      Array.from({ length: 3 }, () => ['9007199254740993', 0n]),
    );
    expect(await local.driver.all('SELECT id, name, n, typeof(n) FROM items')).toEqual([
      ['k0', 'n0', 0n, 'integer'],
      ['k1', 'n1', 1n, 'integer'],
      ['k2', 'n2', 2n, 'integer'],
    ]);
  });
});
