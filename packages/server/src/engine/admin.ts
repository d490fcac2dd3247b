/** What operators do to single scopes (server.md 8.3, 11.4). */
import { SyncError } from '@oversync/protocol';

import { HISTORY_GAP, SCOPE_CHECK_EXAMPLES_MAX } from '../limits.ts';
import { findScopeIdFault } from '../rules/scope-id.ts';
import type { Catalog, TableDescription } from '../rules/table-description.ts';
import { loadActorFacts } from '../store/actor-facts.ts';
import { RowReader } from '../store/row-reader.ts';
import { captureScopeDifferences, raiseFloorToHead, selectScopeDifferences } from '../store/scope-check.sql.ts';
import type { WrittenBundle } from '../store/write-receipt.ts';
import type { SyncContext } from './context.ts';
import { checkWriter, decideNextWrite } from './exec-write.ts';
import { runServerWrite } from './server-write.ts';
import { withReadTransaction, withScopeWriteTransaction } from './transaction.ts';

/** Keys on one side of a comparison only. */
export interface KeyDifference {
  readonly count: number;
  /** Some of the keys, in their order: for the operator's eyes, never for logs of others. */
  readonly exampleKeys: readonly string[];
}

/** One table in which rows and row versions of a scope disagree. */
export interface TableDifference {
  readonly schema: string;
  readonly table: string;
  /** Rows that no client can see: they have no live version. */
  readonly unversionedRows: KeyDifference;
  /** Rows that clients have but the table has not. */
  readonly lostRows: KeyDifference;
}

export interface ScopeCheck {
  readonly scopeId: string;
  /** The view that was checked; 0 for a scope without history. */
  readonly headBundleSeq: bigint;
  readonly isConsistent: boolean;
  /** Tables that disagree, by name. */
  readonly differences: readonly TableDifference[];
}

export interface ScopeRepair {
  /** Undefined when there was nothing to repair. */
  readonly bundle: WrittenBundle | undefined;
}

/** No scope has this number, so an unknown scope has no versions. */
const NO_SCOPE_PK = '0';

/** No source has this id: only the scope itself is asked for. */
const NO_SOURCE = '';

/** Compares without locking anything; reads all keys of the scope. */
export async function checkScope(ctx: SyncContext, scopeId: string): Promise<ScopeCheck> {
  checkScopeId(ctx, scopeId);
  const check = await withReadTransaction(
    ctx,
    'admin',
    async (tx) => {
      const { scope } = await loadActorFacts(tx, ctx.names, { scopeId, sourceId: NO_SOURCE });
      const catalog = ctx.catalog();
      const tables = [...catalog.tables.values()];
      const params = [scope?.scopePk ?? NO_SCOPE_PK, scopeId, String(SCOPE_CHECK_EXAMPLES_MAX)];
      const rows = tables.length === 0 ? [] : (await tx.query(selectScopeDifferences(ctx.names, tables), params)).rows;
      const differences = readDifferences(rows, catalog);
      return { scopeId, headBundleSeq: scope?.head ?? 0n, isConsistent: differences.length === 0, differences };
    },
    { isBulk: true },
  );
  for (const { schema, table } of check.differences) ctx.emit({ name: 'integrityMismatch', schema, table });
  return check;
}

function readDifferences(rows: readonly (readonly (string | null)[])[], catalog: Catalog): readonly TableDifference[] {
  const sides = rows.map((row) => {
    const reader = new RowReader(row);
    return { tableId: reader.int(), isLost: reader.flag(), count: reader.int(), key: reader.text() };
  });
  const pick = (table: TableDescription, isLost: boolean): KeyDifference => {
    const found = sides.filter((side) => side.tableId === table.tableId && side.isLost === isLost);
    return { count: found[0]?.count ?? 0, exampleKeys: found.map(({ key }) => key) };
  };
  return [...catalog.tables.values()]
    .filter(({ tableId }) => sides.some((side) => side.tableId === tableId))
    .map((table) => ({
      schema: table.schema,
      table: table.table,
      unversionedRows: pick(table, false),
      lostRows: pick(table, true),
    }));
}

/** Writes one bundle in which unversioned rows are INSERT and lost ones DELETE, so that all clients see what the tables hold. */
export async function repairScope(
  ctx: SyncContext,
  scopeId: string,
  options: { readonly writerId: string },
): Promise<ScopeRepair> {
  const { writerId } = options;
  checkWriter(ctx, scopeId, writerId);
  let repaired: readonly TableDescription[] = [];
  try {
    const { bundle } = await runServerWrite(ctx, {
      scopeId,
      sourceId: writerId,
      createsScope: true,
      canonicalRequestHash: '',
      decide: (found) => decideNextWrite(found, writerId),
      body: async (tx, { scopePk, captureToken, catalog }) => {
        const tables = [...catalog.tables.values()];
        if (tables.length === 0) return;
        const { rows } = await tx.query(captureScopeDifferences(ctx.names, tables), [scopePk, scopeId, captureToken]);
        repaired = rows.flatMap((row) => catalog.byId.get(new RowReader(row).int()) ?? []);
      },
    });
    for (const { schema, table } of repaired) ctx.emit({ name: 'driftRepaired', schema, table });
    return { bundle };
  } catch (error) {
    if (error instanceof SyncError && error.code === 'no_captured_changes') return { bundle: undefined };
    throw error;
  }
}

/**
 * Makes all history of the scope unavailable: head goes up by a gap, the floor onto it. Whatever a client has seen lies below or in the
 * gap, so each of them rebuilds from a snapshot.
 *
 * @throws SyncError `scope_uninitialized` for a scope without history.
 */
export async function invalidateHistory(ctx: SyncContext, scopeId: string): Promise<{ readonly headBundleSeq: bigint }> {
  checkScopeId(ctx, scopeId);
  const headBundleSeq = await withScopeWriteTransaction(ctx, 'admin', scopeId, async (tx) => {
    const { rows } = await tx.query(raiseFloorToHead(ctx.names), [scopeId, String(HISTORY_GAP)]);
    if (rows[0] === undefined) throw new SyncError('scope_uninitialized');
    return new RowReader(rows[0]).bigint();
  });
  return { headBundleSeq };
}

function checkScopeId(ctx: SyncContext, scopeId: string): void {
  if (findScopeIdFault(scopeId, ctx.options.maxScopeIdBytes) === undefined) return;
  throw new SyncError('invalid_argument', { message: 'the scope id cannot be used' });
}
