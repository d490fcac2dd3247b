import { RowHasher, SyncError, committedRowText, isSyncError, quoteJson } from '@oversync/protocol';

import { canonicalPayloadText } from '../http/canonical-payload.ts';
import type { ReceivedRow } from '../http/row-text.ts';
import { checkIncomingRow, checkIncomingRows } from '../rules/check-incoming.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { ServerCapabilities } from '../rules/negotiation.ts';
import { checkCommittedPage } from '../rules/push-checks.ts';
import { clearBundleStage, stageRowsAt } from '../store/bundle-stage.ts';
import type { StagedRow } from '../store/bundle-stage.ts';
import type { Outbox } from '../store/client-state.ts';
import { FrozenMatch } from '../store/frozen-match.ts';
import type { MatchedRun } from '../store/frozen-match.ts';
import { noteUnfitReplay } from '../store/session-notes.ts';
import type { BundleRows } from '../store/store-types.ts';
import { withTransaction } from '../store/transaction.ts';
import { CommittedPages, replayLost } from './committed-pages.ts';
import type { CommittedProof } from './committed-proof.ts';
import { emitProgress } from './engine.ts';
import type { Call } from './engine.ts';
import { stepDriver } from './fault-points.ts';

type Committed = Extract<Outbox, { readonly state: 'committed_remote' }>;

/** The verified rows of the own bundle. */
export interface CommittedBundle {
  /** Rows that the server has committed as they were frozen: the outbox holds them. */
  readonly matched: readonly MatchedRun[];
  /** The others. */
  readonly bundle: BundleRows;
}

/** Proves that the bundle holds the frozen rows, or fetches what it holds. */
export async function verifyCommittedRows(
  call: Call,
  capabilities: ServerCapabilities,
  outbox: Committed,
  proof: CommittedProof,
): Promise<CommittedBundle> {
  const matched = await proof.provenRuns(outbox);
  if (matched === null) return fetchCommittedRows(call, capabilities, outbox);
  emitProgress(call, 'applying', { rowsDone: outbox.rowCount, rowsTotal: outbox.rowCount });
  return { matched, bundle: { rows: [] } };
}

/**
 * Fetches the rows of the own committed bundle and verifies its hash (client.md 6.5). Rows that differ from the frozen ones stay in memory
 * when there is one small page, else they lie in the stage when this returns. Nothing of it outlives a crash: the rows are fetched again.
 *
 * The rows of a committed bundle never change. One that lacks a local column, because a server wrote it that did not know the column yet,
 * will always lack it, so waiting does not help: when it is so for the second time `rebuild_required`, and the snapshot has the column as
 * soon as the server has. The first time it may be one answer that went wrong.
 */
async function fetchCommittedRows(call: Call, capabilities: ServerCapabilities, outbox: Committed): Promise<CommittedBundle> {
  const limit = new AbortController();
  const download: Call = { ...call, signal: AbortSignal.any([call.signal, limit.signal]) };
  const pages = new CommittedPages(download, capabilities, outbox);
  try {
    return await verifyPages(call, outbox, pages);
  } catch (error) {
    limit.abort();
    if (!isSyncError(error) || error.code !== 'payload_column_missing') throw error;
    throw await unfitReplay(call, outbox, error);
  } finally {
    await pages.settle();
  }
}

async function unfitReplay(call: Call, outbox: Committed, cause: SyncError): Promise<SyncError> {
  const isKnown = await withTransaction(call.engine.driver, call.operation, (tx) => noteUnfitReplay(tx, outbox.requestHash));
  if (isKnown) return replayLost(call, 'apply_failed');
  return new SyncError('protocol_violation', { details: { ...cause.details, reason: cause.code }, cause });
}

async function verifyPages(call: Call, outbox: Committed, pages: CommittedPages): Promise<CommittedBundle> {
  const hasher = new RowHasher(call.engine.options.ports.sha256);
  const received = new ReceivedBundle(call, outbox);
  let rowCount: number | null = null;
  let rowsBefore = 0;
  let hasMore = true;
  while (hasMore) {
    await received.expect(rowsBefore);
    const page = await pages.next();
    checkCommittedPage({ outbox, rowsBefore, rowCount }, { ...page, rowsInPage: page.rows.length });
    ({ hasMore, rowCount } = page);
    if (hasMore) pages.request(rowsBefore, page);
    const keys = page.rows.map(wireKeyText);
    page.rows.forEach((row, index) => hasher.addRow(hashedText(row, keys[index] ?? '', rowsBefore + index)));
    await received.stage(received.sort(page.rows, keys, rowsBefore, hasMore));
    rowsBefore += page.rows.length;
    emitProgress(call, 'applying', { rowsDone: rowsBefore, rowsTotal: rowCount });
  }
  if (hasher.digestHex() !== outbox.bundleHash)
    throw new SyncError('bundle_hash_mismatch', { details: { bundleSeq: outbox.bundleSeq } });
  return received;
}

/** Sorts the rows of the pages into those that came back as they were sent and the others. */
class ReceivedBundle implements CommittedBundle {
  bundle: BundleRows = { rows: [] };
  matched: readonly MatchedRun[] = [];
  readonly #call: Call;
  readonly #outbox: Committed;
  readonly #match: FrozenMatch;

  constructor(call: Call, outbox: Committed) {
    this.#call = call;
    this.#outbox = outbox;
    this.#match = new FrozenMatch(call.schema);
  }

  /** Reads what the next page is compared with, while the page is on its way. */
  expect(rowsBefore: number): Promise<void> {
    const { engine } = this.#call;
    return this.#match.load(engine.driver, this.#outbox.sourceBundleId, rowsBefore, engine.options.downloadLimit);
  }

  /** Checks the rows of a page and returns those that have to be staged. */
  sort(rows: readonly ReceivedRow[], keys: readonly string[], rowsBefore: number, hasMore: boolean): readonly StagedRow[] {
    const { schema } = this.#call;
    this.#learn(rows);
    const compared = rows.map((row, index) => ({ ...row, wireKey: keys[index] ?? '' }));
    const others = this.#match.unmatched(rowsBefore, compared);
    if (rowsBefore === 0 && !hasMore && others.length > 0) {
      const checked = checkIncomingRows(schema, rows);
      if (fitsInMemory(this.#call, checked)) {
        this.bundle = { rows: checked };
        return [];
      }
    }
    this.matched = this.#match.runs;
    return others.flatMap((index) => {
      const row = rows[index];
      return row === undefined ? [] : [{ ordinal: rowsBefore + index, row: checkIncomingRow(schema, row) }];
    });
  }

  /** One row of each table shows how the server spells it. */
  #learn(rows: readonly ReceivedRow[]): void {
    const { schema, engine } = this.#call;
    const tables = new Set<string>();
    for (const { table: name, payload } of rows) {
      if (payload === null || tables.has(name)) continue;
      tables.add(name);
      const table = schema.tablesByName.get(name);
      if (table !== undefined) engine.memory.proofs.learn(table, payload);
    }
  }

  async stage(rows: readonly StagedRow[]): Promise<void> {
    if (rows.length === 0) return;
    const { engine, operation } = this.#call;
    const isFirst = !('staged' in this.bundle);
    await withTransaction(stepDriver(engine, 'spill'), operation, async (tx) => {
      if (isFirst) await clearBundleStage(tx);
      await stageRowsAt(tx, this.#outbox.bundleSeq, rows);
    });
    this.bundle = { staged: true };
  }
}

function wireKeyText(row: ReceivedRow): string {
  return `{${quoteJson(row.keyColumn)}:${quoteJson(row.keyValue)}}`;
}

function hashedText(row: ReceivedRow, key: string, ordinal: number): string {
  return committedRowText(
    {
      schema: row.schema,
      table: row.table,
      key,
      op: row.op,
      row_version: row.rowVersion,
      payload: canonicalPayloadText(row),
    },
    ordinal,
  );
}

function fitsInMemory(call: Call, rows: readonly CheckedRow[]): boolean {
  const { applyBatchRows, applyBatchBytes } = call.engine.options;
  if (rows.length > applyBatchRows) return false;
  let bytes = 0;
  for (const row of rows) bytes += row.payload?.length ?? 0;
  return bytes <= applyBatchBytes;
}
