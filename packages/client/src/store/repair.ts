import type { SqliteDriver, SqliteTx } from '../ports/sqlite-driver.ts';
import { isConstraintFault } from '../ports/sqlite-fault.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { dropEqualRowsSql, orphanStateSql, pageExtraRowsSql } from '../rules/verify-sql.ts';
import { clearBundleStage } from './bundle-stage.ts';
import { DeferredBundle, UnexplainedFailure, writePageCarefully } from './careful-apply.ts';
import { quarantineCascaded } from './cascades.ts';
import { onlyRow } from './columns.ts';
import { MARK_DIRTY, MARK_FROZEN, MARK_QUARANTINED } from './page.sql.ts';
import { emptyPage, loadPageFromStage, loadPending, writePage } from './page.ts';
import type { PageTable } from './page.ts';
import { withReferenceIndexes } from './reference-indexes.ts';
import { QuarantineLog } from './set-aside.ts';
import type { QuarantineRef } from './store-types.ts';
import { beginApply, setApplyMode, translatingFaults } from './transaction.ts';
import { rangeValues } from './verify.ts';
import type { KeyRange } from './verify.ts';

/** Ranges whose rows of the server are staged under a sequence. */
export interface RepairInput {
  readonly bundleSeq: bigint;
  readonly stagedRowCount: number;
  readonly ranges: readonly { readonly table: LocalTable; readonly range: KeyRange }[];
  /** Tables whose row states without a row are to go. */
  readonly tables: readonly LocalTable[];
  readonly quarantineMax: number;
}

export interface RepairResult {
  readonly writtenRowCount: number;
  readonly deletedRowCount: number;
  readonly quarantined: readonly QuarantineRef[];
  readonly tables: readonly string[];
}

/**
 * Makes the given ranges what the server has, in one transaction with the protections of a pull: keys with unsent changes stay, capture
 * is silent, foreign keys are judged at the end, unsent rows that stand in the way are set aside. Rows that are right already are not
 * touched. `deferred` when unsent rows are in the way that have to be pushed first, `failed` when a constraint is that nothing unsent
 * explains; nothing has changed then.
 *
 * @throws SyncError `quarantine_limit_reached`, `storage_failed`
 */
export function applyRepair(
  driver: SqliteDriver,
  schema: LocalSchema,
  input: RepairInput,
): Promise<RepairResult | 'deferred' | 'failed'> {
  return translatingFaults('repair', async () => {
    for (const mode of ['set', 'careful'] as const) {
      try {
        return await driver.transaction('immediate', (tx) => repair(tx, schema, input, mode));
      } catch (error) {
        if (error instanceof DeferredBundle) return 'deferred';
        if (error instanceof UnexplainedFailure) return 'failed';
        if (!isConstraintFault(error)) throw error;
      }
    }
    return 'failed';
  });
}

async function repair(tx: SqliteTx, schema: LocalSchema, input: RepairInput, mode: 'set' | 'careful'): Promise<RepairResult> {
  await beginApply(tx);
  const log = new QuarantineLog(input.quarantineMax);
  const pending = await fillPage(tx, schema, input);
  const [written = 0, deleted = 0] = onlyRow(await tx.all(COUNT_CHANGES)).map(Number);
  const tables = await withReferenceIndexes(tx, schema, written + deleted, () =>
    mode === 'set' ? writePage(tx, schema, pending) : writePageCarefully(tx, schema, pending, log),
  );
  await tx.run(DROP_STATES_OF_EXTRA_ROWS, [schema.name]);
  if (pending.hasDirty) await quarantineCascaded(tx, schema, tables, 'pull', log);
  for (const table of input.tables) await dropOrphanStates(tx, schema, table);
  await emptyPage(tx);
  await clearBundleStage(tx);
  await setApplyMode(tx, 0);
  return {
    writtenRowCount: written,
    deletedRowCount: deleted,
    quarantined: log.entries,
    tables: [...new Set([...tables.filter(isWritten).map(({ table }) => table.wireName), ...log.tables])],
  };
}

function isWritten({ hasUpserts, hasDeletes }: PageTable): boolean {
  return hasUpserts || hasDeletes;
}

/** Leaves in the page exactly what has to change. */
async function fillPage(tx: SqliteTx, schema: LocalSchema, input: RepairInput): ReturnType<typeof loadPending> {
  await emptyPage(tx);
  await loadPageFromStage(tx, schema, input.bundleSeq);
  let ordinal = BigInt(input.stagedRowCount);
  for (const { table, range } of input.ranges) {
    const ends = { hasAfter: range.after !== undefined, hasThrough: range.through !== undefined };
    const { changes } = await tx.run(pageExtraRowsSql(table, ends), [
      ordinal,
      table.wireName,
      input.bundleSeq,
      ...rangeValues(table, range),
      table.wireName,
    ]);
    ordinal += BigInt(changes);
  }
  const pending = await loadPending(tx);
  if (pending.hasDirty) await tx.run(MARK_DIRTY, [schema.name]);
  if (pending.hasFrozen) await tx.run(MARK_FROZEN);
  if (pending.hasQuarantined) await tx.run(MARK_QUARANTINED, [schema.name]);
  await tx.run('DELETE FROM _oversync_work._oversync_page WHERE verdict <> 0');
  for (const table of new Set(input.ranges.map((entry) => entry.table))) {
    await tx.run(dropEqualRowsSql(table), [table.wireName, schema.name]);
  }
  return pending;
}

async function dropOrphanStates(tx: SqliteTx, schema: LocalSchema, table: LocalTable): Promise<void> {
  const sql = `DELETE FROM _sync_row_state WHERE rowid IN (SELECT s.rowid FROM _sync_row_state s WHERE ${orphanStateSql(table)})`;
  await tx.run(sql, [schema.name, table.wireName]);
}

const COUNT_CHANGES = `
SELECT count(*) FILTER (WHERE op <> 'DELETE'), count(*) FILTER (WHERE op = 'DELETE') FROM _oversync_work._oversync_page`;

/** Schema. The server has no live row of these keys, and when it deleted them nobody knows: as if never seen. */
const DROP_STATES_OF_EXTRA_ROWS = `
DELETE FROM _sync_row_state WHERE schema_name = ? AND (table_name, key_json) IN
  (SELECT table_name, key_json FROM _oversync_work._oversync_page WHERE op = 'DELETE')`;
