import { SyncError } from '@oversync/protocol';

import { LISTED_CONFLICTS_MAX, SQL_HASH_BYTES_MAX } from '../limits.ts';
import type { PgResult, PgRow, PgStatement, PgTransaction } from '../ports/postgres.ts';
import type { ApplyGroup } from '../rules/push-apply-sql.ts';
import { parsePushOp } from '../rules/push-row.ts';
import type { Catalog } from '../rules/table-description.ts';
import { createViolationError } from '../rules/violation.ts';
import { judgeStagedKeys, selectConflicts } from '../store/conflict.sql.ts';
import { parseConflicts } from '../store/conflict.ts';
import type { FoundConflicts } from '../store/conflict.ts';
import type { MetadataNames } from '../store/metadata.sql.ts';
import { copyCanonicalRows, hashStagedRows, selectApplyGroups, selectRepeatedKey } from '../store/push-row.sql.ts';
import type { ScopedPush } from '../store/push-row.sql.ts';
import { RowReader } from '../store/row-reader.ts';
import { runStatements } from '../store/run-statements.ts';
import type { SyncContext } from './context.ts';
import { createFastSha256 } from './platform-hash.ts';
import type { OpenPush } from './push-access.ts';
import { getRunningHashes, hashCanonicalLines } from './push-hash.ts';

/** What the staged rows are, before any key is looked at. */
export interface StageReport {
  readonly groups: readonly ApplyGroup[];
  readonly requestHash: string;
}

/** What is wrong with their keys and versions. */
export interface StagedKeyReport {
  readonly duplicate: PgRow | undefined;
  readonly conflicts: FoundConflicts | null;
}

/** Statements that read what commit has to know about the staged rows; they need nothing that was read before. */
export function inspectStage(m: MetadataNames, push: ScopedPush): readonly PgStatement[] {
  return [selectApplyGroups(m, push)];
}

/** Reads the results of {@link inspectStage}; rows that this process has not staged itself cost a round trip for their hash. */
export async function readStageReport(
  ctx: SyncContext,
  tx: PgTransaction,
  open: OpenPush,
  [groups]: readonly PgResult[],
): Promise<StageReport> {
  return {
    groups: (groups?.rows ?? []).map(parseGroup),
    requestHash:
      getRunningHashes(ctx).getDigest(open.pushId, open.session.plannedRowCount) ?? (await loadRequestHash(ctx, tx, open)),
  };
}

/** Looks every key up; only a push that will be refused costs another round trip, for what to say about it. */
export async function readKeyReport(
  { names: m }: SyncContext,
  tx: PgTransaction,
  push: ScopedPush,
  catalog: Catalog,
): Promise<StagedKeyReport> {
  const [verdict] = await runStatements(tx, [judgeStagedKeys(m, push)]);
  if (verdict?.rows[0]?.[0] === 't') return { duplicate: undefined, conflicts: null };
  const [duplicates, conflicts] = await runStatements(tx, [
    selectRepeatedKey(m, push),
    selectConflicts(m, push, LISTED_CONFLICTS_MAX),
  ]);
  return { duplicate: duplicates?.rows[0], conflicts: parseConflicts(conflicts?.rows ?? [], catalog) };
}

/** More rows than PostgreSQL should hold at once are hashed here. */
async function loadRequestHash({ names: m }: SyncContext, tx: PgTransaction, open: OpenPush): Promise<string> {
  if (open.session.stagedBytes > BigInt(SQL_HASH_BYTES_MAX)) {
    return hashCanonicalLines(tx.copyTo(copyCanonicalRows(m, open)), createFastSha256);
  }
  const [hash] = await runStatements(tx, [hashStagedRows(m, open)]);
  return hash?.rows[0]?.[0] ?? '';
}

function parseGroup(row: PgRow): ApplyGroup {
  const reader = new RowReader(row);
  return {
    tableId: reader.int(),
    op: parsePushOp(reader.text()),
    columnSet: reader.text(),
    firstRowOrdinal: reader.int(),
    rowCount: reader.int(),
    isNew: reader.text() === 't',
  };
}

/**
 * Step 2 of commit, once all rows are staged.
 *
 * @throws SyncError `push_commit_invalid`
 */
export function checkStage(report: StageReport, open: OpenPush): void {
  const stagedCount = report.groups.reduce((sum, group) => sum + group.rowCount, 0);
  if (stagedCount !== open.session.plannedRowCount)
    throw new SyncError('push_commit_invalid', { message: 'not all planned rows are staged' });
  if (report.requestHash === open.session.canonicalRequestHash) return;
  throw new SyncError('push_commit_invalid', { message: 'the staged rows do not give the announced canonical_request_hash' });
}

/** The answer to a push in which a key stands more than once. */
export function describeDuplicate(row: PgRow, catalog: Catalog): SyncError {
  const reader = new RowReader(row);
  const table = catalog.byId.get(reader.int());
  if (table === undefined)
    return new SyncError('push_commit_invalid', { message: 'a staged row belongs to a table that is not registered' });
  return createViolationError('push_commit_invalid', {
    kind: 'duplicate_row',
    schema: table.schema,
    table: table.table,
    key: { [table.keyColumn]: reader.text() },
    row_ordinal: reader.int(),
  });
}
