import { SyncError } from '@oversync/protocol';

import { LISTED_CONFLICTS_MAX, SQL_HASH_BYTES_MAX } from '../limits.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import type { ApplyGroup } from '../rules/push-apply-sql.ts';
import { parsePushOp } from '../rules/push-row.ts';
import type { Catalog } from '../rules/table-description.ts';
import { createViolationError } from '../rules/violation.ts';
import { selectConflicts } from '../store/conflict.sql.ts';
import { parseConflicts } from '../store/conflict.ts';
import type { FoundConflicts } from '../store/conflict.ts';
import { copyCanonicalRows, hashStagedRows, selectApplyGroups, selectRepeatedKey } from '../store/push-row.sql.ts';
import { RowReader } from '../store/row-reader.ts';
import { runStatements } from '../store/run-statements.ts';
import type { PgRow } from '../ports/postgres.ts';
import type { SyncContext } from './context.ts';
import { createFastSha256 } from './platform-hash.ts';
import type { OpenPush } from './push-access.ts';
import { getRunningHashes, hashCanonicalLines } from './push-hash.ts';

/** Everything that one look at the staged rows tells. */
export interface StageReport {
  readonly groups: readonly ApplyGroup[];
  readonly duplicate: PgRow | undefined;
  readonly conflicts: FoundConflicts | null;
  readonly requestHash: string;
}

/**
 * Reads what commit has to know about the staged rows: one round trip, and one more only for a hash of more rows than PostgreSQL
 * should hold at once.
 */
export async function inspectStage(ctx: SyncContext, tx: PgTransaction, open: OpenPush, catalog: Catalog): Promise<StageReport> {
  const m = ctx.names;
  const known = getRunningHashes(ctx).getDigest(open.pushId, open.session.plannedRowCount);
  const isHashedBySql = known === undefined && open.session.stagedBytes <= BigInt(SQL_HASH_BYTES_MAX);
  const statements = [
    selectApplyGroups(m, open),
    selectRepeatedKey(m, open),
    selectConflicts(m, open, open.facts.scope.floor, LISTED_CONFLICTS_MAX),
    ...(isHashedBySql ? [hashStagedRows(m, open)] : []),
  ];
  const [groups, duplicates, conflicts, hash] = await runStatements(tx, statements);
  return {
    groups: (groups?.rows ?? []).map(parseGroup),
    duplicate: duplicates?.rows[0],
    conflicts: parseConflicts(conflicts?.rows ?? [], catalog),
    requestHash:
      known ?? hash?.rows[0]?.[0] ?? (await hashCanonicalLines(tx.copyTo(copyCanonicalRows(m, open)), createFastSha256)),
  };
}

function parseGroup(row: PgRow): ApplyGroup {
  const reader = new RowReader(row);
  return {
    tableId: reader.int(),
    op: parsePushOp(reader.text()),
    columnSet: reader.text(),
    firstRowOrdinal: reader.int(),
    rowCount: reader.int(),
  };
}

/**
 * Step 2 of commit, once all rows are staged.
 *
 * @throws SyncError `push_commit_invalid`
 */
export function checkStage(report: StageReport, open: OpenPush, catalog: Catalog): void {
  if (report.duplicate !== undefined) throw describeDuplicate(report.duplicate, catalog);
  const stagedCount = report.groups.reduce((sum, group) => sum + group.rowCount, 0);
  if (stagedCount !== open.session.plannedRowCount)
    throw new SyncError('push_commit_invalid', { message: 'not all planned rows are staged' });
  if (report.requestHash === open.session.canonicalRequestHash) return;
  throw new SyncError('push_commit_invalid', { message: 'the staged rows do not give the announced canonical_request_hash' });
}

function describeDuplicate(row: PgRow, catalog: Catalog): SyncError {
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
