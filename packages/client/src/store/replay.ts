import { SyncError } from '@oversync/protocol';

import { isConstraintFault } from '../ports/sqlite-fault.ts';
import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { judgeUploadedSql, livePayloadsSql, requeueSql } from '../rules/replay-sql.ts';
import { isSameRow, rowFromCaptured } from '../rules/row-values.ts';
import { saveCommittedBases } from './base-images.ts';
import { clearBundleStage } from './bundle-stage.ts';
import { DeferredBundle, UnexplainedFailure, writePageCarefully } from './careful-apply.ts';
import { quarantineCascaded } from './cascades.ts';
import { loadClientState, raiseSourceCounter } from './client-state.ts';
import { bigintColumn, countColumn, onlyRow, textColumn } from './columns.ts';
import { loadImages } from './images.ts';
import type { RowIdentity } from './images.ts';
import { recordReplayOutcomes } from './outcomes.ts';
import { clearOutbox } from './outbox.ts';
import { emptyPage, fillSqlPayloads, judgePage, loadPage, loadPageTables, loadPending, writePage } from './page.ts';
import type { Pending } from './page.ts';
import {
  ACCEPT_ORDINALS,
  ADVANCE_CHECKPOINT,
  CLEAR_LEASE,
  COMMITTED_TABLES,
  COUNT_PAGE,
  COUNT_REQUEUED,
  DROP_ACCEPTED_DIRTY,
  DROP_REQUEUED_BASES,
  HAS_UNMARKED,
  MARK_UPLOADED,
  NEWER_IMAGES,
  PAGE_FROM_COMMITTED,
  SAVE_REQUEUED_STATE,
  UNEXPLAINED_ORDINALS,
} from './replay.sql.ts';
import { requestRebuild } from './quarantine.ts';
import { MatchedRows } from './replay-matched.ts';
import { QuarantineLog } from './set-aside.ts';
import type { ReplayInput, ReplayResult } from './store-types.ts';
import { beginApply, setApplyMode, translatingFaults } from './transaction.ts';

/** Rows compared by value at once. */
const COMPARE_ROWS = 200;

/**
 * Replaces the uploaded rows by what the server has committed (client.md 6.6), in one transaction. A row that was edited since is kept
 * and queued again, based on the version just committed. On any failure the outbox stays `committed_remote` and capture works.
 *
 * @throws SyncError `rebuild_required` with reason `apply_failed` when the rows cannot be applied at all; that reason is durable then.
 * `outbox_corrupt` when the stored outbox is another one. `quarantine_limit_reached`, `storage_failed`.
 */
export function replayCommittedBundle(driver: SqliteDriver, schema: LocalSchema, input: ReplayInput): Promise<ReplayResult> {
  return translatingFaults('pushPending', async () => {
    const result = (await tryReplay(driver, schema, input, 'set')) ?? (await tryReplay(driver, schema, input, 'careful'));
    if (result !== null) return result;
    await driver.transaction('immediate', (tx) => requestRebuild(tx, 'apply_failed'));
    throw new SyncError('rebuild_required', { operation: 'pushPending', details: { reason: 'apply_failed' } });
  });
}

/** `null` when a constraint stood in the way. */
async function tryReplay(
  driver: SqliteDriver,
  schema: LocalSchema,
  input: ReplayInput,
  mode: 'set' | 'careful',
): Promise<ReplayResult | null> {
  try {
    return await driver.transaction('immediate', (tx) => replay(tx, schema, input, mode));
  } catch (error) {
    if (isConstraintFault(error) || error instanceof UnexplainedFailure || error instanceof DeferredBundle) return null;
    throw error;
  }
}

async function replay(tx: SqliteTx, schema: LocalSchema, input: ReplayInput, mode: 'set' | 'careful'): Promise<ReplayResult> {
  await checkOutbox(tx, input);
  await beginApply(tx);
  const log = new QuarantineLog(input.quarantineMax);
  const pending = await loadPending(tx);
  const matched = new MatchedRows(tx, schema, input.outbox.sourceBundleId, input.matched ?? []);
  const unmatchedCount = await loadCommitted(tx, schema, input);
  const matchedTables = await matched.fillPage({ ...pending, writesAll: mode === 'careful' });
  await finishPage(tx, schema, matched);
  const committed = (await tx.all(COMMITTED_TABLES)).map((row) => textColumn(row, 0));
  const tables = [...new Set([...committed, ...matchedTables])];
  const committedRowCount = unmatchedCount + matched.rowCount;
  const contestedRowCount = await judgePage(tx, schema, { ...pending, hasFrozen: false });
  const hasEdits = await judgeUploaded(tx, schema, input, tables);
  const requeuedRowCount = hasEdits ? await requeue(tx, schema) : 0;
  if (pending.hasDirty) await tx.run(DROP_ACCEPTED_DIRTY, [schema.name]);
  const newer = pending.hasBases ? await loadNewerImages(tx, schema) : [];
  await matched.save(input.outbox.bundleSeq, input.outcomeLimit);
  const written = mode === 'set' ? await writePage(tx, schema, pending) : await writePageCarefully(tx, schema, pending, log);
  await recordReplayOutcomes(tx, schema, input.outbox.bundleSeq, input.outcomeLimit);
  if (pending.hasDirty || requeuedRowCount > 0) await quarantineCascaded(tx, schema, written, 'push', log);
  await applyNewerImages(tx, schema, newer, pending);
  const lastBundleSeqSeen = await finish(tx, input);
  return {
    committedRowCount,
    requeuedRowCount,
    contestedRowCount,
    quarantined: log.entries,
    lastBundleSeqSeen,
    tables: [...new Set([...tables, ...log.tables, ...newer.map((image) => image.table)])],
  };
}

async function checkOutbox(tx: SqliteTx, input: ReplayInput): Promise<void> {
  const { outbox } = await loadClientState(tx);
  const isSame =
    outbox.state === 'committed_remote' &&
    outbox.sourceBundleId === input.outbox.sourceBundleId &&
    outbox.bundleSeq === input.outbox.bundleSeq;
  if (!isSame) throw new SyncError('outbox_corrupt', { details: { rule: 'not_committed' } });
}

/** Puts the rows that did not come back as they were sent into the page, and returns how many there are. */
async function loadCommitted(tx: SqliteTx, schema: LocalSchema, input: ReplayInput): Promise<number> {
  await emptyPage(tx);
  if ('staged' in input.bundle) return (await tx.run(PAGE_FROM_COMMITTED, [input.outbox.bundleSeq])).changes;
  await loadPage(tx, schema, input.bundle.rows);
  return countColumn(onlyRow(await tx.all(COUNT_PAGE)), 0);
}

/** Finds the uploaded rows among those of the page. */
async function finishPage(tx: SqliteTx, schema: LocalSchema, matched: MatchedRows): Promise<void> {
  await fillSqlPayloads(tx, schema);
  if (countColumn(onlyRow(await tx.all(HAS_UNMARKED)), 0) === 0) return;
  await tx.run(MARK_UPLOADED);
  if (await matched.isMatchedTwice()) throw new UnexplainedFailure();
}

/** True when rows were found that are no longer what was uploaded. */
async function judgeUploaded(tx: SqliteTx, schema: LocalSchema, input: ReplayInput, tables: readonly string[]): Promise<boolean> {
  let differences = 0;
  for (const table of schema.tables) {
    if (!tables.includes(table.wireName)) continue;
    const params = [input.outbox.sourceBundleId, schema.name, table.wireName];
    differences += (await tx.run(judgeUploadedSql(table), params)).changes;
  }
  if (differences > 0) await acceptEqualValues(tx, schema);
  return differences > 0;
}

/** A live row nobody edited may still differ in text: another client captured it, or a column was added. Then values decide. */
async function acceptEqualValues(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  for (let after = -1; ;) {
    const rows = await tx.all(UNEXPLAINED_ORDINALS, [BigInt(after), BigInt(COMPARE_ROWS)]);
    const last = rows.at(-1);
    if (last === undefined) return;
    after = countColumn(last, 0);
    const accepted: string[] = [];
    for (const table of schema.tables) {
      const own = rows.filter((row) => row[1] === table.wireName);
      if (own.length === 0) continue;
      const keys = JSON.stringify(own.map((row) => textColumn(row, 2)));
      const live = new Map((await tx.all(livePayloadsSql(table), [keys])).map((row) => [textColumn(row, 0), textColumn(row, 1)]));
      for (const row of own) {
        const payload = live.get(textColumn(row, 2));
        if (payload === undefined) continue;
        const isSame = isSameRow(rowFromCaptured(table, payload), rowFromCaptured(table, textColumn(row, 3)));
        if (isSame) accepted.push(bigintColumn(row, 0).toString());
      }
    }
    if (accepted.length > 0) await tx.run(ACCEPT_ORDINALS, [`[${accepted.join(',')}]`]);
  }
}

async function requeue(tx: SqliteTx, schema: LocalSchema): Promise<number> {
  const count = countColumn(onlyRow(await tx.all(COUNT_REQUEUED)), 0);
  if (count === 0) return 0;
  for (const { table, hasRequeued } of await loadPageTables(tx, schema)) {
    if (hasRequeued) await tx.run(requeueSql(table), [schema.name, schema.name, table.wireName]);
  }
  await tx.run(SAVE_REQUEUED_STATE, [schema.name]);
  await tx.run(DROP_REQUEUED_BASES, [schema.name]);
  await saveCommittedBases(tx, schema);
  return count;
}

async function loadNewerImages(tx: SqliteTx, schema: LocalSchema): Promise<readonly RowIdentity[]> {
  return (await tx.all(NEWER_IMAGES, [schema.name])).map((row) => ({ table: textColumn(row, 0), keyJson: textColumn(row, 1) }));
}

/** Keys that were contested while their upload was under way and are clean now. */
async function applyNewerImages(
  tx: SqliteTx,
  schema: LocalSchema,
  newer: readonly RowIdentity[],
  pending: Pending,
): Promise<void> {
  if (newer.length === 0) return;
  await emptyPage(tx);
  await loadPage(tx, schema, await loadImages(tx, schema, newer));
  await writePage(tx, schema, { ...pending, hasBases: true });
}

async function finish(tx: SqliteTx, input: ReplayInput): Promise<bigint> {
  const { sourceId, sourceBundleId, bundleSeq } = input.outbox;
  await raiseSourceCounter(tx, sourceId, sourceBundleId + 1n);
  await tx.run(ADVANCE_CHECKPOINT, [bundleSeq, bundleSeq]);
  await tx.run(CLEAR_LEASE);
  await clearOutbox(tx);
  await clearBundleStage(tx);
  await emptyPage(tx);
  await setApplyMode(tx, 0);
  const { lifecycle } = await loadClientState(tx);
  return 'lastBundleSeqSeen' in lifecycle ? lifecycle.lastBundleSeqSeen : 0n;
}
