import { PgFault } from '../ports/postgres.ts';
import type { PgRow, PgTransaction } from '../ports/postgres.ts';
import { planDirectPush } from '../rules/direct-push.ts';
import { selectRowChangers, selectRowColumns } from '../rules/push-apply-sql.ts';
import type { TableDescription } from '../rules/table-description.ts';
import { decideViolationKind } from '../rules/violation-map.ts';
import { applyTableSetting, applyTablesSetting } from '../store/capture.sql.ts';
import { commitDirectly } from '../store/direct-push.sql.ts';
import type { DirectPushQuery } from '../store/direct-push.sql.ts';
import { BLOCK_BYTES, BLOCK_ROWS_MAX, settleConstraints, SQL_HASH_BYTES_MAX } from '../store/finalise.sql.ts';
import { RowReader } from '../store/row-reader.ts';
import { runStatements } from '../store/run-statements.ts';
import type { SyncContext } from './context.ts';
import { readWrittenRows } from './finalise.ts';
import type { WrittenRows } from './finalise.ts';
import { hasNativeSha256 } from './platform-hash.ts';
import { checkRowColumns } from './push-apply.ts';
import type { ApplyInput } from './push-apply-statement.ts';
import { ToldBlocks } from './told-blocks.ts';

export interface DirectInput extends ApplyInput {
  readonly bundleSeq: bigint;
  readonly floor: bigint;
  readonly stagedBytes: bigint;
}

/**
 * Tables of which a direct commit had to be taken back, because something else wrote as well. It would be in vain the next time too;
 * with a new catalog, whose triggers may be others, it is tried again.
 */
const busyTables = new WeakSet<TableDescription>();

/**
 * Applies the staged rows and writes their history in one statement (one per part of a large push), where the push says itself what its rows will look like.
 *
 * Keys and versions are checked on the way. Resolves to `undefined` when a row is in conflict, when a trigger or a reference has written
 * to a registered table too, or when anything about the data was refused: nothing has happened then, and going step by step gives the
 * right outcome or error.
 */
export async function commitDirect(
  ctx: Pick<SyncContext, 'names' | 'commitsDirectly' | 'directPartRows'>,
  tx: PgTransaction,
  input: DirectInput,
): Promise<WrittenRows | undefined> {
  const push = ctx.commitsDirectly === false ? null : planDirectPush(input.groups, input.catalog);
  if (push === null || push.groups.some(({ table }) => busyTables.has(table))) return undefined;
  const tables = [...new Set(push.groups.map(({ table }) => table))];
  const { staged, bundleSeq } = input;
  const rowCount = push.groups.reduce((sum, { group }) => sum + group.rowCount, 0);
  const parts = cutParts(rowCount, ctx.directPartRows ?? DIRECT_PART_ROWS);
  const hasSmallRows = Number(input.stagedBytes) <= rowCount * SMALL_ROW_BYTES;
  const hasNestedJson = tables.some((table) => table.hasNestedJson);
  // In PostgreSQL the hash goes over all rows in one value, which takes no longer than to send a few of them.
  const isHashed = parts.length === 1 && !hasNestedJson;
  const isTold = !isHashed && hasSmallRows && hasNativeSha256 && tx.run !== undefined;
  const told = isTold ? new ToldBlocks({ bundleSeq, rowCount, hasNestedJson }) : undefined;
  const query = {
    ...staged,
    push,
    hasSmallRows,
    bundleSeq: String(bundleSeq),
    floor: String(input.floor),
    hashBytesMax: isHashed ? SQL_HASH_BYTES_MAX : 0,
    tellsTexts: told !== undefined,
  };
  try {
    const statements = [
      'SAVEPOINT applied',
      'SET CONSTRAINTS ALL DEFERRED',
      applyTablesSetting(tables.map(({ tableId }) => tableId)),
      ...parts.map((part) => commitDirectly(ctx.names, { ...query, ...part })),
      applyTableSetting(null),
      ...settleConstraints(ctx.names, staged.scopePk, input.captureToken),
      ...tables.map(selectRowColumns),
      ...tables.map(selectRowChangers),
    ];
    const results = await runStatements(tx, statements, told?.take);
    const written = results.slice(DIRECT_RESULT, DIRECT_RESULT + parts.length);
    const [, , captures, ...columns] = results.slice(DIRECT_RESULT + parts.length);
    checkRowColumns(
      tables,
      columns.map(({ rows }) => rows[0]?.[0] ?? ''),
    );
    // A trigger may have come since the catalog was read.
    const hasChanger = columns.slice(tables.length).some(({ rows }) => rows[0]?.[0] !== 'f');
    const isAlone = captures?.rows.length === 0 && !hasChanger;
    if (!isAlone) for (const table of tables) busyTables.add(table);
    const rows = readDirectRows(
      written.map((result) => result.rows.at(-1) ?? []),
      push.op === 'INSERT' ? 0 : rowCount,
    );
    if (isAlone && rows !== undefined) return { ...rows, hash: rows.hash ?? told?.finish(written) };
  } catch (error) {
    if (!(error instanceof PgFault) || !isRefused(error)) throw error;
  }
  await tx.script('ROLLBACK TO SAVEPOINT applied');
  return undefined;
}

/** A rule that came since the catalog was read cannot be in a statement of several writes, but step by step it can. */
const FEATURE_NOT_SUPPORTED = '0A000';

function isRefused(fault: PgFault): boolean {
  return fault.sqlState === FEATURE_NOT_SUPPORTED || decideViolationKind(fault) !== null;
}

/**
 * What a statement holds of its rows until it ends is some 700 bytes each: more rows than these go part by part, so that neither its memory
 * nor its time per row grows with the push. A multiple of the rows of a block, so that blocks are the same either way.
 */
const DIRECT_PART_ROWS = 45 * BLOCK_ROWS_MAX;

/** Ranges of ordinals; one without ends for a push that needs no parts. */
function cutParts(rowCount: number, partRows: number): readonly Pick<DirectPushQuery, 'range'>[] {
  if (rowCount <= partRows) return [{}];
  const starts = Array.from({ length: Math.ceil(rowCount / partRows) }, (_, part) => part * partRows);
  return starts.map((first) => ({ range: { first, last: first + partRows - 1 } }));
}

/** `undefined` when a row was in conflict, when one was not there, or when a block became too large. */
function readDirectRows(parts: readonly PgRow[], appliedCountWanted: number): WrittenRows | undefined {
  const [first, ...others] = parts.map(readDirectPart);
  let rows = first?.rows;
  let appliedCount = first?.appliedCount ?? 0;
  for (const part of others) {
    rows = rows === undefined || part === undefined ? undefined : addRows(rows, part.rows);
    appliedCount += part?.appliedCount ?? 0;
  }
  return appliedCount === appliedCountWanted ? rows : undefined;
}

interface DirectPart {
  readonly rows: WrittenRows;
  readonly appliedCount: number;
}

function readDirectPart(row: PgRow): DirectPart | undefined {
  if (row[0] === null || row[0] === '0') return undefined;
  const reader = new RowReader(row);
  const rows = readWrittenRows(reader);
  const appliedCount = reader.int();
  return reader.int() <= BLOCK_BYTES ? { rows, appliedCount } : undefined;
}

/** A comma stands between the rows of two parts. */
function addRows(rows: WrittenRows, more: WrittenRows): WrittenRows {
  return {
    rowCount: rows.rowCount + more.rowCount,
    wireBytes: rows.wireBytes + more.wireBytes + 1n,
    largestRowBytes: rows.largestRowBytes > more.largestRowBytes ? rows.largestRowBytes : more.largestRowBytes,
    lostRowCount: rows.lostRowCount + more.lostRowCount,
    hash: undefined,
  };
}

/** Mean size up to which a block is taken to be far from its greatest size; one that grows beyond it nevertheless is written another way. */
export const SMALL_ROW_BYTES = BLOCK_BYTES / BLOCK_ROWS_MAX / 2;

/** Place of the first direct statement among those that are sent together. */
const DIRECT_RESULT = 3;
