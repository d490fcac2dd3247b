import { SyncError } from '@oversync/protocol';

import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import { fillFreezePlanSql } from '../rules/freeze-sql.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { loadClientState, loadSource } from './client-state.ts';
import { bigintColumn, countColumn, onlyRow, textColumn } from './columns.ts';
import {
  FORGET_PLAN,
  HAS_DIRTY_UP_TO,
  HAS_PLAN,
  LAST_DIRTY_ORDINAL,
  LOAD_REQUEUED,
  REBASE_REQUEUED,
  RELEASE_REQUEUED,
  SAVE_PREPARED,
} from './freeze.sql.ts';
import { Freezer } from './freezer.ts';
import { dropNoOpRecords } from './no-op-records.ts';
import { requeueQuarantined, waitingChildren } from './requeue-quarantined.ts';
import { recaptureIfDue } from './schema-change.ts';
import type { FreezeInput, FreezeResult } from './store-types.ts';
import { CREATE_WORK_TABLES } from './work-tables.sql.ts';
import { withDurableTransaction } from './transaction.ts';

export { dropNoOpRecords } from './no-op-records.ts';

/**
 * Freezes unsent changes into the outbox (client.md 6.2): one durable transaction that also commits when nothing is left to push.
 *
 * @throws SyncError `bundle_too_large`, `quarantine_limit_reached`, `storage_failed`; nothing has changed then.
 */
export function freezeOutbox(driver: SqliteDriver, schema: LocalSchema, input: FreezeInput): Promise<FreezeResult> {
  return withDurableTransaction(driver, 'pushPending', (tx) => freeze(tx, schema, input));
}

async function freeze(tx: SqliteTx, schema: LocalSchema, input: FreezeInput): Promise<FreezeResult> {
  const { outbox } = await loadClientState(tx);
  if (outbox.state !== 'none') throw new SyncError('outbox_corrupt', { details: { rule: 'frozen_twice' } });
  const source = await loadSource(tx, input.sourceId);
  const sourceBundleId = source?.nextSourceBundleId ?? 1n;
  const freezer = new Freezer(tx, schema, input, sourceBundleId);
  const plan = await freezeParts(tx, schema, input, freezer);
  const result = { ...plan, quarantined: freezer.quarantined };
  if (freezer.rowCount === 0) return { ...result, outbox: { state: 'none' } };
  const requestHash = freezer.digestHex();
  const { sourceId, initializationId } = input;
  await tx.run(SAVE_PREPARED, [sourceId, sourceBundleId, initializationId ?? '', requestHash, BigInt(freezer.rowCount)]);
  const frozen = { sourceId, sourceBundleId, initializationId, requestHash, rowCount: freezer.rowCount };
  return { ...result, outbox: { state: 'prepared', ...frozen } };
}

interface FreezePlan {
  readonly ordinalMax: bigint;
  readonly hasMore: boolean;
  readonly tables: readonly string[];
}

/**
 * Works off the plan. It is made once per call, since sorting a million dirty rows for each part would cost more than freezing them;
 * further parts go on where the one before has ended. A plan whose rows all had to be set aside is followed by a new one.
 */
async function freezeParts(tx: SqliteTx, schema: LocalSchema, input: FreezeInput, freezer: Freezer): Promise<FreezePlan> {
  await tx.exec(CREATE_WORK_TABLES);
  const tables = new Set<string>();
  let { ordinalMax } = input;
  let isPlanned = ordinalMax !== null && countColumn(onlyRow(await tx.all(HAS_PLAN)), 0) === 1;
  for (;;) {
    if (!isPlanned) await recaptureIfDue(tx, schema);
    if (!isPlanned) await releaseRequeued(tx, schema);
    if (!isPlanned) for (const table of await dropNoOpRecords(tx, schema)) tables.add(table);
    ordinalMax ??= bigintColumn(onlyRow(await tx.all(LAST_DIRTY_ORDINAL)), 0);
    if (!isPlanned) await makePlan(tx, schema, input, ordinalMax);
    const takenCount = await freezer.run();
    const hasMore = countColumn(onlyRow(await tx.all(HAS_DIRTY_UP_TO, [ordinalMax])), 0) === 1;
    const isDone = freezer.rowCount > 0 || (takenCount === 0 && !isPlanned);
    if (!hasMore || isDone) return { ordinalMax, hasMore, tables: [...tables] };
    isPlanned = false;
  }
}

async function makePlan(tx: SqliteTx, schema: LocalSchema, input: FreezeInput, ordinalMax: bigint): Promise<void> {
  await tx.run(FORGET_PLAN);
  await tx.run(fillFreezePlanSql(schema, input.deletesFirst ?? new Set()), [schema.name, ordinalMax]);
}

/** Edited rows leave quarantine; rows that waited for them as their parents follow. */
async function releaseRequeued(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  const released = (await tx.all(LOAD_REQUEUED)).map((row) => ({ table: textColumn(row, 0), keyJson: textColumn(row, 1) }));
  if (released.length === 0) return;
  await tx.run(REBASE_REQUEUED);
  await tx.run(RELEASE_REQUEUED);
  await requeueQuarantined(tx, schema, await waitingChildren(tx, schema, released));
}
