/**
 * The short way of small pushes: one round trip per operation through the functions of `store/small-push.sql.ts`. Each step says
 * `undefined` when the case is not plain or anything fails, and has changed nothing then; the ordinary way decides and reports.
 */
import { PgFault } from '../ports/postgres.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { planDirectPush } from '../rules/direct-push.ts';
import type { DirectPush } from '../rules/direct-push.ts';
import { planApply } from '../rules/push-apply-sql.ts';
import type { ApplyStatement } from '../rules/push-apply-sql.ts';
import type { TableDescription } from '../rules/table-description.ts';
import { applyTableSetting } from '../store/capture.sql.ts';
import { RowReader } from '../store/row-reader.ts';
import { runLastStatements } from '../store/run-statements.ts';
import type { ScriptStatement } from '../store/run-statements.ts';
import {
  beginSmallCommit,
  commitSmallDirectly,
  createSmallPush,
  endSmallCommit,
  foundBy,
  settleSmallCommit,
  stageSmallPush,
} from '../store/small-push.sql.ts';
import { NOT_PLAIN_STATE } from '../store/small-push-functions.sql.ts';
import type { SmallChunk, SmallCommitEnd, SmallPushActor, SmallPushSession } from '../store/small-push.sql.ts';
import type { Actor, SyncContext } from './context.ts';
import { SMALL_ROW_BYTES } from './push-direct.ts';
import { getRunningHashes } from './push-hash.ts';
import { getPushMemory } from './push-memory.ts';
import type { PushMemory, StagedSmallPush } from './push-memory.ts';
import { getLayoutTag } from './push-layout.ts';
import type { FirstTry } from './transaction.ts';

/** Opens a session. Resolves to its push id. */
export async function createSmallSession(
  ctx: SyncContext,
  actor: Actor,
  session: Omit<SmallPushSession, 'pushId'>,
  attempt: FirstTry,
): Promise<string | undefined> {
  const caller = findCaller(ctx, actor, attempt);
  if (caller === undefined) return undefined;
  const pushId = ctx.tokens().issue('push', caller.scopePk);
  const results = await runSmall(ctx, formatTimeout(attempt), (tx) =>
    runLastStatements(tx, [createSmallPush(ctx.names, caller, { ...session, pushId })]),
  );
  return results?.[0]?.rows[0]?.[0] === 't' ? pushId : undefined;
}

/** Stages the first chunk of a push; `checks` convert its values. Resolves to the source bundle id of the push. */
export async function stageSmallChunk(
  ctx: SyncContext,
  actor: Actor,
  chunk: SmallChunk,
  attempt: FirstTry,
  checks: (scopePk: string) => readonly ScriptStatement[],
): Promise<bigint | undefined> {
  const caller = findCaller(ctx, actor, attempt, chunk.pushId);
  if (caller === undefined) return undefined;
  const results = await runSmall(ctx, formatTimeout(attempt), (tx) =>
    runLastStatements(tx, [stageSmallPush(ctx.names, caller, chunk), ...checks(caller.scopePk)]),
  );
  const sourceBundleId = results?.[0]?.rows[0]?.[0];
  return typeof sourceBundleId === 'string' ? BigInt(sourceBundleId) : undefined;
}

export interface SmallCommitResult {
  readonly scopePk: string;
  readonly bundleSeq: bigint;
  readonly sourceBundleId: bigint;
  readonly plannedRowCount: number;
  readonly rowCount: number;
  readonly bundleHash: string;
  readonly canonicalRequestHash: string;
  readonly canonicalBytes: bigint;
  readonly lostRowCount: number;
  /** Milliseconds from the beginning of the transaction until it had the scope's lock. */
  readonly lockWaitMs: number;
}

export interface SmallCommitInput {
  readonly pushId: string;
  readonly captureToken: string;
}

/** Commits a push that this process has staged itself. */
export async function commitSmallPush(
  ctx: SyncContext,
  actor: Actor,
  input: SmallCommitInput,
  attempt: FirstTry,
): Promise<SmallCommitResult | undefined> {
  const caller = findCaller(ctx, actor, attempt, input.pushId);
  const staged = findStaged(ctx, input.pushId);
  const requestHash = staged === undefined ? undefined : getRunningHashes(ctx).getDigest(input.pushId, staged.rowCount);
  if (caller === undefined || staged === undefined || requestHash === undefined) return undefined;
  const push = { ...planCommit(ctx, caller, staged, input.pushId), requestHash };
  if (push.plan.length > STATEMENTS_MAX) return undefined;
  return runSmall(ctx, formatTimeout(attempt), (tx) => runCommit(ctx, tx, push, input), staged);
}

/** Statements of one push beyond which the ordinary way is no worse. */
const STATEMENTS_MAX = 20;

interface PlannedCommit {
  readonly requestHash: string;
  readonly caller: SmallPushActor;
  readonly staged: StagedSmallPush;
  readonly tables: readonly TableDescription[];
  /** The rows in one statement with their history, where the push says all about them. */
  readonly direct: DirectPush | null;
  /** The rows step by step otherwise. */
  readonly plan: readonly ApplyStatement[];
}

function planCommit(
  ctx: SyncContext,
  caller: SmallPushActor,
  staged: StagedSmallPush,
  pushId: string,
): Omit<PlannedCommit, 'requestHash'> {
  const { groups, catalog } = staged;
  const direct = ctx.commitsDirectly === false ? null : planDirectPush(groups, catalog);
  const where = { pushRow: ctx.names.pushRow, scopeId: caller.scopeId, scopePk: foundBy('scopePk'), pushId };
  const plan = direct === null ? planApply(groups, catalog, where) : [];
  const tables = new Set(groups.flatMap(({ tableId }) => catalog.byId.get(tableId) ?? []));
  return { caller, staged, direct, plan, tables: [...tables] };
}

async function runCommit(
  ctx: SyncContext,
  tx: PgTransaction,
  push: PlannedCommit,
  { pushId, captureToken }: SmallCommitInput,
): Promise<SmallCommitResult | undefined> {
  const { caller, staged, tables, direct, requestHash: canonicalRequestHash } = push;
  const { rowCount } = staged;
  const shared = { pushId, rowCount, canonicalRequestHash, captureToken };
  // Capture need not be told otherwise later: nothing but the push's own statements runs at the top level.
  const tableIds = direct !== null || tables.length === 1 ? tables.map(({ tableId }) => tableId) : [];
  const commit = { ...shared, tableIds, checksVersions: direct === null, rowLayout: getLayoutTag(staged.catalog) };
  const end = { ...caller, ...shared, tables, limits: ctx.options };
  const steps = direct === null ? stepwise(ctx, push, end) : inOne(ctx, push, end, direct);
  const results = await runLastStatements(tx, [beginSmallCommit(ctx.names, caller, commit), ...steps.statements]);
  const [begun, ended] = [results[0]?.rows[0]?.[0], results[1 + steps.end]?.rows[0]];
  if (typeof begun !== 'string' || ended === undefined || ended[0] === null) return undefined;
  const [begin, written] = [new RowReader(begun.split(',')), new RowReader(ended)];
  return {
    scopePk: caller.scopePk,
    bundleSeq: begin.bigint(),
    sourceBundleId: begin.bigint(),
    lockWaitMs: begin.int(),
    canonicalRequestHash,
    plannedRowCount: rowCount,
    rowCount: written.int(),
    canonicalBytes: written.bigint(),
    lostRowCount: written.int(),
    bundleHash: written.text(),
  };
}

/** What follows `begin`. */
interface CommitSteps {
  readonly statements: readonly ScriptStatement[];
  /** Place of the one that tells what was written. */
  readonly end: number;
}

function inOne(
  ctx: SyncContext,
  { staged, tables }: PlannedCommit,
  end: SmallCommitEnd & SmallPushActor,
  push: DirectPush,
): CommitSteps {
  const hasSmallRows = staged.stagedBytes <= staged.rowCount * SMALL_ROW_BYTES;
  const statements = [
    commitSmallDirectly(ctx.names, end, push, hasSmallRows),
    'SET CONSTRAINTS ALL IMMEDIATE',
    ...tables.map((table) => settleSmallCommit(ctx.names, table, end)),
  ];
  return { statements, end: 0 };
}

function stepwise(ctx: SyncContext, { plan, tables }: PlannedCommit, end: SmallCommitEnd): CommitSteps {
  const isTableSet = tables.length === 1;
  const apply = plan.flatMap((statement) => [
    ...(isTableSet ? [] : [applyTableSetting(statement.table.tableId)]),
    statement.sql(),
  ]);
  const statements = [
    ...apply,
    ...(isTableSet ? [] : [applyTableSetting(null)]),
    'SET CONSTRAINTS ALL IMMEDIATE',
    ...tables.map((table) => settleSmallCommit(ctx.names, table, null)),
    endSmallCommit(ctx.names, end),
  ];
  return { statements, end: statements.length - 1 };
}

/** `undefined` where the functions cannot judge the caller or the token. */
function findCaller(ctx: SyncContext, actor: Actor, attempt: FirstTry, pushId?: string): SmallPushActor | undefined {
  const memory = getPushMemory(ctx);
  const scopePk = memory.getScopePk(actor.scopeId);
  if (ctx.takesShortWay === false || memory.lacksFunctions || scopePk === undefined) return undefined;
  if (pushId !== undefined && ctx.tokens().check('push', pushId, scopePk) !== 'own') return undefined;
  if (ctx.options.bindSourcesToUser && actor.userId === undefined) return undefined;
  const userId = ctx.options.bindSourcesToUser ? (actor.userId ?? null) : null;
  return { scopePk, scopeId: actor.scopeId, sourceId: actor.sourceId, userId, lockTimeoutMs: attempt.lockTimeoutMs };
}

function findStaged(ctx: SyncContext, pushId: string): StagedSmallPush | undefined {
  const memory = getPushMemory(ctx);
  const staged = memory.getPush(pushId);
  if (staged === undefined || staged.catalog !== ctx.catalog() || memory.isRefused(staged)) return undefined;
  const isKnown = staged.groups.every(({ tableId }) => staged.catalog.byId.get(tableId)?.hasNestedJson === false);
  return isKnown ? staged : undefined;
}

/** PostgreSQL reads 0 as "no time-out". Inside of a function the setting would not bound the running call. */
function formatTimeout({ statementTimeoutMs }: FirstTry): string {
  return `SET LOCAL statement_timeout=${Math.max(1, Math.floor(statementTimeoutMs))}`;
}

/** One transaction; `undefined` when PostgreSQL refused it, but for a COMMIT whose outcome is open. */
async function runSmall<T>(
  ctx: SyncContext,
  settings: string,
  run: (tx: PgTransaction) => Promise<T | undefined>,
  staged?: StagedSmallPush,
): Promise<T | undefined> {
  const signal = ctx.signal === undefined ? {} : { signal: ctx.signal };
  try {
    return await ctx.db.transaction({ isolation: 'read committed', mayBeImplicit: true, settings, ...signal }, run);
  } catch (error) {
    if (!(error instanceof PgFault)) throw error;
    noteFault(getPushMemory(ctx), error, staged);
    throw error;
  }
}

/** Undefined function, no right to call it, no schema. */
const LACKING_STATES: ReadonlySet<string> = new Set(['42883', '42501', '3F000']);

function noteFault(memory: PushMemory, fault: PgFault, staged: StagedSmallPush | undefined): void {
  if (staged !== undefined && fault.sqlState === NOT_PLAIN_STATE) memory.refuse(staged);
  if (LACKING_STATES.has(fault.sqlState) && staged === undefined) memory.noteLackingFunctions();
}
