import { SyncError, isSyncError, parseVerifyRowsReply, stringifyJson } from '@oversync/protocol';

import { readJsonBody } from '../http/request-reply.ts';
import { verifyRowsRequest } from '../http/requests.ts';
import { CONTROL_BODY_BYTES_MAX, VERIFY_BODY_BYTES_MAX, VERIFY_PAGE_ROWS, VERIFY_ROUNDS_MAX } from '../limits.ts';
import { checkIncomingRows } from '../rules/check-incoming.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalTable } from '../rules/local-schema.ts';
import { clearBundleStage, stageBundleRows } from '../store/bundle-stage.ts';
import { loadClientState } from '../store/client-state.ts';
import { applyRepair } from '../store/repair.ts';
import type { QuarantineRef } from '../store/store-types.ts';
import { withTransaction } from '../store/transaction.ts';
import { sortsAsServer } from '../store/verify.ts';
import type { KeyRange } from '../store/verify.ts';
import type { Call, CallOptions } from './engine.ts';
import { emitProgress, emitTables, noteQuarantined, quarantineBudget } from './engine.ts';
import { runPull } from './pull.ts';
import { askServer } from './server-requests.ts';
import { loadPendingStatus } from './status.ts';
import { capabilitiesOf, passGate, pullToStable } from './sync.ts';
import { loseCheckpoint } from './transitions.ts';
import { verifyError, verifyTable } from './verify-table.ts';
import type { TableVerification, VerifyRun } from './verify-table.ts';

export interface VerifyOptions extends CallOptions {
  /** Lower-case names; default: every synced table. */
  readonly tables?: readonly string[];
}

/** Result of `verify`. */
export interface VerifyReport {
  /** The sequence at which this device and the server were compared. */
  readonly bundleSeq: bigint;
  /** Nothing differs. Rows with unsent changes were not compared. */
  readonly isEqual: boolean;
  readonly tables: readonly TableVerification[];
}

/** Result of `repair`: what was found, and what was done about it. */
export interface RepairReport extends VerifyReport {
  /** Rows that were downloaded: those of the differing ranges. */
  readonly fetchedRowCount: number;
  /** Rows that were inserted or changed. */
  readonly writtenRowCount: number;
  /** Rows that were removed because the server does not have them. */
  readonly deletedRowCount: number;
  /** Unsent rows that stood in the way. */
  readonly quarantined: readonly QuarantineRef[];
}

/** Pulls, then compares every synced table with the server at the checkpoint. Changes no row. */
export function verify(call: Call, options: VerifyOptions): Promise<VerifyReport> {
  return withVerified(call, options, (_run, report) => Promise.resolve(report));
}

/** Verifies, fetches the rows of the ranges that differ, and applies them in one transaction. */
export function repair(call: Call, options: VerifyOptions): Promise<RepairReport> {
  return withVerified(call, options, repairDifferences);
}

/** Pulls and compares until the server stands still long enough, then goes on with the result. */
async function withVerified<T>(
  call: Call,
  options: VerifyOptions,
  next: (run: VerifyRun, report: VerifyReport) => Promise<T>,
): Promise<T> {
  const tables = chosenTables(call, options);
  for (let round = 1; ; round += 1) {
    try {
      const run = await beginRun(call);
      return await next(run, await compareTables(run, tables));
    } catch (error) {
      const isOutOfDate = isSyncError(error) && error.code === 'verify_out_of_date';
      if (!isOutOfDate || round >= VERIFY_ROUNDS_MAX) throw error;
    }
  }
}

function chosenTables(call: Call, { tables }: VerifyOptions): readonly LocalTable[] {
  if (tables === undefined) return call.schema.tables;
  return tables.map((name) => {
    const table = call.schema.tablesByName.get(name);
    if (table === undefined) throw new SyncError('invalid_argument', { details: { argument: 'tables' } });
    return table;
  });
}

/** Brings the checkpoint to the head of the scope. */
async function beginRun(call: Call): Promise<VerifyRun> {
  const gate = await passGate(call, 'pullToStable');
  const capabilities = await capabilitiesOf(call);
  if (!capabilities.features.has('range_verification')) throw notSupported('range_verification');
  if (!(await sortsAsServer(call.engine.driver))) throw notSupported('encoding');
  const pulled =
    gate.kind === 'recover' ? await pullToStable(call, { uploads: false, downloads: false }) : await runPull(call, capabilities);
  if (pulled.outcome === 'deferred') throw await pushFirst(call);
  const { lifecycle } = await loadClientState(call.engine.driver);
  const bundleSeq = 'lastBundleSeqSeen' in lifecycle ? lifecycle.lastBundleSeqSeen : 0n;
  return { call, capabilities, sourceId: lifecycle.sourceId, bundleSeq };
}

/** Unsent rows stand in the way of rows of the server. */
async function pushFirst(call: Call): Promise<SyncError> {
  const { pendingRowCount } = await loadPendingStatus(call.engine);
  return new SyncError('dirty_state_rejected', { details: { dirtyCount: pendingRowCount } });
}

function notSupported(feature: string): SyncError {
  return new SyncError('not_supported', { details: { feature } });
}

async function compareTables(run: VerifyRun, tables: readonly LocalTable[]): Promise<VerifyReport> {
  const found: TableVerification[] = [];
  for (const table of tables) {
    emitProgress(run.call, 'verifying', { rowsDone: found.length, rowsTotal: tables.length });
    found.push(await verifyTable(run, table));
  }
  const isEqual = found.every(({ differences, orphanStateCount }) => differences.length === 0 && orphanStateCount === 0);
  return { bundleSeq: run.bundleSeq, isEqual, tables: found };
}

async function repairDifferences(run: VerifyRun, report: VerifyReport): Promise<RepairReport> {
  const { call, bundleSeq } = run;
  if (report.isEqual) return { ...report, fetchedRowCount: 0, writtenRowCount: 0, deletedRowCount: 0, quarantined: [] };
  const tables = report.tables.flatMap(({ table }) => call.schema.tablesByName.get(table) ?? []);
  const ranges = report.tables.flatMap(({ table: name, differences }) => {
    const table = call.schema.tablesByName.get(name);
    return table === undefined ? [] : differences.map((difference) => ({ table, range: rangeOf(difference) }));
  });
  const { driver } = call.engine;
  await withTransaction(driver, call.operation, clearBundleStage);
  let fetchedRowCount = 0;
  for (const { table, range } of ranges) fetchedRowCount += await stageRange(run, table, range, fetchedRowCount);
  const quarantineMax = quarantineBudget(call);
  const result = await applyRepair(driver, call.schema, {
    bundleSeq,
    stagedRowCount: fetchedRowCount,
    ranges,
    tables,
    quarantineMax,
  });
  if (result === 'deferred') throw await pushFirst(call);
  if (result === 'failed') {
    await loseCheckpoint(call, 'apply_failed');
    throw new SyncError('rebuild_required', { details: { reason: 'apply_failed' } });
  }
  noteQuarantined(call, result.quarantined);
  emitTables(call, result.tables);
  const { writtenRowCount, deletedRowCount, quarantined } = result;
  return { ...report, fetchedRowCount, writtenRowCount, deletedRowCount, quarantined };
}

function rangeOf({ after, through }: KeyRange): KeyRange {
  return { ...(after === undefined ? {} : { after }), ...(through === undefined ? {} : { through }) };
}

/** Downloads a range into the stage, page by page. Returns how many rows it has on the server. */
async function stageRange(run: VerifyRun, table: LocalTable, range: KeyRange, firstOrdinal: number): Promise<number> {
  let rowCount = 0;
  for (let after = range.after; ;) {
    const page = await fetchRows(run, table, rangeOf({ ...range, ...(after === undefined ? {} : { after }) }));
    await withTransaction(run.call.engine.driver, run.call.operation, (tx) =>
      stageBundleRows(tx, run.bundleSeq, firstOrdinal + rowCount, page.rows),
    );
    rowCount += page.rows.length;
    if (page.lastKey === null) return rowCount;
    after = page.lastKey;
  }
}

interface FetchedRows {
  readonly rows: readonly CheckedRow[];
  /** Where the next page begins; `null` after the last one. */
  readonly lastKey: string | null;
}

async function fetchRows(run: VerifyRun, table: LocalTable, range: KeyRange): Promise<FetchedRows> {
  const { call, capabilities, sourceId, bundleSeq } = run;
  const target = { bundleSeq, schema: call.schema.name, table: table.wireName };
  const bytesMax = VERIFY_BODY_BYTES_MAX + capabilities.limits.maxBytesPerSnapshotRow + CONTROL_BODY_BYTES_MAX;
  const request = verifyRowsRequest(target, range, VERIFY_PAGE_ROWS);
  const reply = await askServer(call, request, { sourceId, capabilities, bytesMax }, readJsonBody);
  if (reply.kind === 'refused') throw verifyError(reply.refusal);
  const page = parseVerifyRowsReply(reply.value);
  if (page.bundle_seq !== bundleSeq) throw new SyncError('protocol_violation', { details: { reason: 'identity' } });
  const incoming = page.rows.map((row) => {
    if (row.table !== table.wireName) throw new SyncError('protocol_violation', { details: { reason: 'identity' } });
    const [[keyColumn, keyValue] = ['', '']] = Object.entries(row.key);
    return {
      schema: row.schema,
      table: row.table,
      keyColumn,
      keyValue: typeof keyValue === 'string' ? keyValue : '',
      op: 'INSERT',
      rowVersion: row.row_version,
      payload: stringifyJson(row.payload),
    } as const;
  });
  return { rows: checkIncomingRows(call.schema, incoming), lastKey: page.has_more ? (incoming.at(-1)?.keyValue ?? null) : null };
}
