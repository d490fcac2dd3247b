import { SyncError } from '@oversync/protocol';

import { isConstraintFault } from '../ports/sqlite-fault.ts';
import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { DeferredBundle, UnexplainedFailure, writePageCarefully } from './careful-apply.ts';
import { quarantineCascaded } from './cascades.ts';
import { bigintColumn, countColumn, onlyRow } from './columns.ts';
import { countPending } from './counts.ts';
import { isNothingPending, writeDirectly, writeStagedDirectly } from './direct-apply.ts';
import { emptyPage, judgePage, loadPage, loadPageFromStage, loadPending, writePage } from './page.ts';
import type { PageTable, Pending } from './page.ts';
import { withReferenceIndexes } from './reference-indexes.ts';
import { QuarantineLog } from './set-aside.ts';
import type { ApplyInput, ApplyResult, DeferReason, PageBounds, PulledBundle, QuarantineRef } from './store-types.ts';
import { beginApply, setApplyMode, translatingFaults } from './transaction.ts';

type Mode = 'set' | 'careful';

/** What one transaction did. */
interface GroupResult {
  readonly contestedRowCount: number;
  readonly log: QuarantineLog;
  readonly tables: ReadonlySet<string>;
  readonly lastBundleSeqSeen: bigint;
}

/**
 * Applies pulled bundles in order (client.md 7.2). Small bundles share a transaction; when anything in it fails they are repeated one by
 * one, so a failure in bundle n keeps the checkpoint of bundle n − 1.
 *
 * @throws SyncError `dirty_state_rejected`, `pending_push_replay` (with `reject`), `quarantine_limit_reached`, `storage_failed`; what
 * earlier transactions of the call have committed stays.
 */
export function applyBundles(
  driver: SqliteDriver,
  schema: LocalSchema,
  bundles: readonly PulledBundle[],
  input: ApplyInput,
): Promise<ApplyResult> {
  return translatingFaults('pullToStable', () => new Applier(driver, schema, input).run(bundles));
}

class Applier {
  readonly #driver: SqliteDriver;
  readonly #schema: LocalSchema;
  readonly #input: ApplyInput;
  readonly #quarantined: QuarantineRef[] = [];
  readonly #tables = new Set<string>();
  #contested = 0;
  #applied = 0;
  #checkpoint: bigint | null = null;

  constructor(driver: SqliteDriver, schema: LocalSchema, input: ApplyInput) {
    this.#driver = driver;
    this.#schema = schema;
    this.#input = input;
  }

  async run(bundles: readonly PulledBundle[]): Promise<ApplyResult> {
    for (const group of groupBundles(bundles, this.#input.page)) {
      const stopped = await this.#applyGroup(group);
      if (stopped !== null) return this.#result(stopped);
    }
    return this.#result(null);
  }

  async #result(stopped: ApplyResult['stopped']): Promise<ApplyResult> {
    return {
      lastBundleSeqSeen: this.#checkpoint ?? (await loadCheckpoint(this.#driver)),
      appliedBundleCount: this.#applied,
      contestedRowCount: this.#contested,
      quarantined: this.#quarantined,
      tables: [...this.#tables],
      stopped,
    };
  }

  async #applyGroup(group: readonly PulledBundle[]): Promise<ApplyResult['stopped']> {
    try {
      await this.#commit(group, 'set');
      return null;
    } catch (error) {
      if (!isConstraintFault(error)) throw error;
    }
    for (const bundle of group) {
      const reason = await this.#applyAlone(bundle, group.length > 1);
      if (reason !== null) return { reason, bundleSeq: bundle.bundleSeq };
    }
    return null;
  }

  /** The second try of one bundle: set-based once more if it was only a member of a group, then row by row. */
  async #applyAlone(bundle: PulledBundle, wasGrouped: boolean): Promise<DeferReason | 'apply_failed' | null> {
    for (const mode of wasGrouped ? (['set', 'careful'] as const) : (['careful'] as const)) {
      try {
        await this.#commit([bundle], mode);
        return null;
      } catch (error) {
        if (error instanceof DeferredBundle) return error.reason;
        if (error instanceof UnexplainedFailure) return 'apply_failed';
        if (!isConstraintFault(error)) throw error;
      }
    }
    return 'apply_failed';
  }

  async #commit(group: readonly PulledBundle[], mode: Mode): Promise<void> {
    const max = this.#input.quarantineMax - this.#quarantined.length;
    const result = await this.#driver.transaction('immediate', (tx) =>
      applyInOrder(tx, this.#schema, group, this.#input, mode, max),
    );
    this.#quarantined.push(...result.log.entries);
    for (const table of [...result.tables, ...result.log.tables]) this.#tables.add(table);
    this.#contested += result.contestedRowCount;
    this.#applied += group.length;
    this.#checkpoint = result.lastBundleSeqSeen;
  }
}

/** Whole bundles up to the page bounds; a staged or larger bundle stands alone. */
function groupBundles(bundles: readonly PulledBundle[], bounds: PageBounds): PulledBundle[][] {
  const groups: PulledBundle[][] = [];
  let room = 0;
  let bytes = 0;
  for (const bundle of bundles) {
    const last = groups.at(-1);
    const rowCount = 'rows' in bundle ? bundle.rows.length : bounds.rowsMax;
    const byteCount = 'rows' in bundle ? textLength(bundle.rows) : bounds.bytesMax;
    if (last !== undefined && rowCount <= room && byteCount <= bytes) last.push(bundle);
    else {
      groups.push([bundle]);
      room = bounds.rowsMax;
      bytes = bounds.bytesMax;
    }
    room -= rowCount;
    bytes -= byteCount;
  }
  return groups;
}

function textLength(rows: readonly CheckedRow[]): number {
  return rows.reduce((sum, row) => sum + (row.payload?.length ?? 0), 0);
}

async function applyInOrder(
  tx: SqliteTx,
  schema: LocalSchema,
  group: readonly PulledBundle[],
  input: ApplyInput,
  mode: Mode,
  quarantineMax: number,
): Promise<GroupResult> {
  if (input.pullWithPending === 'reject') await checkNothingPending(tx);
  await beginApply(tx);
  const log = new QuarantineLog(quarantineMax);
  const tables = new Set<string>();
  let contestedRowCount = 0;
  for (const run of mergeRuns(group)) {
    const found = await loadPending(tx);
    const isDirect = mode === 'set' && isNothingPending(found);
    const direct = isDirect ? await writeRunDirectly(tx, schema, run) : null;
    const paged = direct === null ? await writeThroughPage(tx, schema, run, found, mode, log) : { written: direct, contested: 0 };
    contestedRowCount += paged.contested;
    for (const { table, hasUpserts, hasDeletes } of paged.written) if (hasUpserts || hasDeletes) tables.add(table.wireName);
  }
  const lastBundleSeqSeen = await raiseCheckpoint(tx, group.at(-1)?.bundleSeq ?? 0n);
  await setApplyMode(tx, 0);
  return { contestedRowCount, log, tables, lastBundleSeqSeen };
}

async function writeRunDirectly(tx: SqliteTx, schema: LocalSchema, run: Run): Promise<readonly PageTable[] | null> {
  if (!('staged' in run)) return withReferenceIndexes(tx, schema, run.rows.length, () => writeDirectly(tx, schema, run.rows));
  const rowCount = await countStagedRows(tx, run.bundleSeq);
  return withReferenceIndexes(tx, schema, rowCount, () => writeStagedDirectly(tx, schema, run.bundleSeq));
}

/** By way of the page, which keeps a verdict about every row. */
async function writeThroughPage(
  tx: SqliteTx,
  schema: LocalSchema,
  run: Run,
  found: Pending,
  mode: Mode,
  log: QuarantineLog,
): Promise<{ readonly written: readonly PageTable[]; readonly contested: number }> {
  await emptyPage(tx);
  if ('staged' in run) await loadPageFromStage(tx, schema, run.bundleSeq);
  else await loadPage(tx, schema, run.rows);
  const hasPending = found.hasDirty || found.hasFrozen || found.hasQuarantined;
  const contested = await judgePage(tx, schema, found);
  const pending = { ...found, hasBases: found.hasBases || hasPending };
  const rowCount = 'staged' in run ? await countPage(tx) : run.rows.length;
  const written = await withReferenceIndexes(tx, schema, rowCount, () =>
    mode === 'set' ? writePage(tx, schema, pending) : writePageCarefully(tx, schema, pending, log),
  );
  if (found.hasDirty) await quarantineCascaded(tx, schema, written, 'pull', log);
  await emptyPage(tx);
  return { written, contested };
}

type Run = { readonly rows: readonly CheckedRow[] } | { readonly staged: true; readonly bundleSeq: bigint };

/** Bundles whose rows may share statements: no key repeats and nothing is deleted. Anything else keeps its own statements. */
function mergeRuns(group: readonly PulledBundle[]): Run[] {
  const [only] = group;
  if (only !== undefined && group.length === 1) return [only];
  const runs: Run[] = [];
  let merged: CheckedRow[] | null = null;
  const keys = new RunKeys();
  for (const bundle of group) {
    if (!('rows' in bundle)) {
      runs.push(bundle);
      merged = null;
      continue;
    }
    const isPlain = bundle.rows.every((row) => row.op !== 'DELETE');
    if (merged === null || !isPlain || keys.hasAny(bundle.rows)) {
      const rows = [...bundle.rows];
      runs.push({ rows });
      merged = isPlain ? rows : null;
      keys.clear();
    } else merged.push(...bundle.rows);
    keys.add(bundle.rows);
  }
  return runs;
}

/** The keys of one run, by table: texts that are there already, so that none is made for a comparison. */
class RunKeys {
  readonly #tables = new Map<string, Set<string>>();

  hasAny(rows: readonly CheckedRow[]): boolean {
    return rows.some((row) => this.#tables.get(row.table)?.has(row.keyJson) === true);
  }

  add(rows: readonly CheckedRow[]): void {
    for (const { table, keyJson } of rows) {
      const keys = this.#tables.get(table);
      if (keys === undefined) this.#tables.set(table, new Set([keyJson]));
      else keys.add(keyJson);
    }
  }

  clear(): void {
    this.#tables.clear();
  }
}

async function checkNothingPending(tx: SqliteTx): Promise<void> {
  const { dirty, outbox } = await countPending(tx);
  if (dirty > 0) throw new SyncError('dirty_state_rejected', { details: { dirtyCount: dirty } });
  if (outbox > 0) throw new SyncError('pending_push_replay', { details: { outboundCount: outbox } });
}

async function countStagedRows(tx: SqliteTx, bundleSeq: bigint): Promise<number> {
  return countColumn(onlyRow(await tx.all('SELECT count(*) FROM _oversync_bundle_stage WHERE bundle_seq = ?', [bundleSeq])), 0);
}

async function countPage(tx: SqliteTx): Promise<number> {
  return countColumn(onlyRow(await tx.all('SELECT count(*) FROM _oversync_work._oversync_page')), 0);
}

async function raiseCheckpoint(tx: SqliteTx, bundleSeq: bigint): Promise<bigint> {
  await tx.run(RAISE_CHECKPOINT, [bundleSeq]);
  return loadCheckpoint(tx);
}

async function loadCheckpoint(tx: SqliteTx): Promise<bigint> {
  return bigintColumn(onlyRow(await tx.all('SELECT CAST(last_bundle_seq_seen AS TEXT) FROM _sync_attachment_state')), 0);
}

const RAISE_CHECKPOINT =
  'UPDATE _sync_attachment_state SET last_bundle_seq_seen = MAX(last_bundle_seq_seen, ?) WHERE singleton_key = 1';
