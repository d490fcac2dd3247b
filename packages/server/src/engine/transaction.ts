import { SyncError } from '@oversync/protocol';

import { BULK_WORK_MEM, RETRY_AFTER_MS } from '../limits.ts';
import { PgFault } from '../ports/postgres.ts';
import type { PgBegin, PgTransaction } from '../ports/postgres.ts';
import { isCatalogFault, isLockFault, isTransientFault } from '../rules/pg-faults.ts';
import { getCatalogInUse, hasCatalogChanged } from './catalog-change.ts';
import type { SyncContext } from './context.ts';
import type { Operation } from './events.ts';

/** What became of a transaction whose connection broke at COMMIT. */
export type CommitOutcome<T> =
  | { readonly outcome: 'committed'; readonly value: T }
  | { readonly outcome: 'aborted' }
  | { readonly outcome: 'unknown' };

/** Facts about the running attempt, for events. */
export interface Attempt {
  /** 1 for the first. */
  readonly number: number;
  readonly queueWaitMs: number;
}

/** What a way that is tried before the transaction has to keep to, in milliseconds. */
export interface FirstTry {
  readonly lockTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly queueWaitMs: number;
}

export interface TransactionOptions<T> {
  /**
   * A shorter way, tried once. `undefined`, and a fault of PostgreSQL that is not about an open COMMIT, mean that it has changed nothing
   * and the transaction runs as if it had never been tried.
   */
  readonly tryFirst?: (attempt: FirstTry) => Promise<T | undefined>;
  /** Longer statement time-out and more memory for sorts: commit, snapshot build, adoption, server writes. */
  readonly isBulk?: boolean;
  readonly isolation?: PgBegin['isolation'];
  /** Statements sent in the same round trip as BEGIN, after the pinned settings (the bundle context). */
  readonly settings?: string;
  /**
   * Finds out what happened when COMMIT was sent and the connection broke. Without it the transaction is tried again, which is
   * right for every operation that does no harm when it runs twice.
   */
  readonly resolveOutcome?: (fault: PgFault) => Promise<CommitOutcome<T>>;
}

type Body<T> = (tx: PgTransaction, attempt: Attempt) => Promise<T>;

/** One consistent, read-only view (REPEATABLE READ): no locks, nothing waits for it. */
export function withReadTransaction<T>(
  ctx: SyncContext,
  operation: Operation,
  fn: Body<T>,
  options: TransactionOptions<T> = {},
): Promise<T> {
  const begin = { isolation: options.isolation ?? 'repeatable read', readOnly: true } as const;
  return runAttempts(ctx, operation, fn, options, begin, createBudget(ctx));
}

/** A write that no other writer of the scope has to wait for (READ COMMITTED unless told otherwise). */
export function withWriteTransaction<T>(
  ctx: SyncContext,
  operation: Operation,
  fn: Body<T>,
  options: TransactionOptions<T> = {},
): Promise<T> {
  const begin = { isolation: options.isolation ?? 'read committed' } as const;
  return runAttempts(ctx, operation, fn, options, begin, createBudget(ctx));
}

/**
 * A write under the scope's turn: waits in this process before it takes a connection. `fn` locks the scope row itself, because
 * other processes write too.
 *
 * @throws SyncError `service_unavailable` when the turn does not come in time or transient faults outlast the retries.
 */
export async function withScopeWriteTransaction<T>(
  ctx: SyncContext,
  operation: Operation,
  scopeId: string,
  fn: Body<T>,
  options: TransactionOptions<T> = {},
): Promise<T> {
  const budget = createBudget(ctx);
  const startedAt = performance.now();
  const release = await ctx.queue.acquire(scopeId, budget.remainingMs, ctx.signal);
  try {
    budget.queueWaitMs = performance.now() - startedAt;
    budget.remainingMs -= budget.queueWaitMs;
    return await runAttempts(ctx, operation, fn, options, { isolation: options.isolation ?? 'read committed' }, budget);
  } finally {
    release();
  }
}

/** Milliseconds of queue and lock waits that the request may still spend, over all its attempts. */
interface WaitBudget {
  remainingMs: number;
  queueWaitMs: number;
}

function createBudget(ctx: SyncContext): WaitBudget {
  return { remainingMs: ctx.options.lockTimeoutMs, queueWaitMs: 0 };
}

async function runAttempts<T>(
  ctx: SyncContext,
  operation: Operation,
  fn: Body<T>,
  options: TransactionOptions<T>,
  begin: PgBegin,
  budget: WaitBudget,
): Promise<T> {
  const first = await runFirstTry(ctx, operation, options, budget);
  if ('value' in first) return first.value;
  let changes = 0;
  for (let number = first.attempts + 1; ; number += 1) {
    const startedAt = performance.now();
    const catalog = getCatalogInUse(ctx);
    try {
      const attempt = { number, queueWaitMs: budget.queueWaitMs };
      return await ctx.db.transaction(completeBegin(ctx, begin, options, budget), (tx) => fn(tx, attempt));
    } catch (error) {
      if (!(error instanceof PgFault)) throw error;
      const settled = await settleCommit(ctx, operation, error, number, options);
      if (settled !== undefined) return settled.value;
      if (isLockFault(error)) budget.remainingMs -= performance.now() - startedAt;
      if (isCatalogFault(error) && changes < ctx.options.retry.attempts && (await hasCatalogChanged(ctx, catalog))) {
        changes += 1;
        continue;
      }
      checkMayRetry(ctx, operation, error, number, budget);
      await pauseBeforeRetry(ctx, number);
    }
  }
}

/** Resolves to the value, or to how many attempts the try counts for: one that was not plain does not count, a transient fault does. */
async function runFirstTry<T>(
  ctx: SyncContext,
  operation: Operation,
  options: TransactionOptions<T>,
  budget: WaitBudget,
): Promise<{ readonly value: T } | { readonly attempts: 0 | 1 }> {
  if (options.tryFirst === undefined) return { attempts: 0 };
  const startedAt = performance.now();
  try {
    const value = await options.tryFirst({
      lockTimeoutMs: budget.remainingMs,
      statementTimeoutMs: getStatementTimeout(ctx, options),
      queueWaitMs: budget.queueWaitMs,
    });
    return value === undefined ? { attempts: 0 } : { value };
  } catch (error) {
    if (!(error instanceof PgFault)) throw error;
    const settled = await settleCommit(ctx, operation, error, 1, options);
    if (settled !== undefined) return settled;
    if (!isTransientFault(error) || isCatalogFault(error)) return { attempts: 0 };
    if (isLockFault(error)) budget.remainingMs -= performance.now() - startedAt;
    checkMayRetry(ctx, operation, error, 1, budget);
    await pauseBeforeRetry(ctx, 1);
    return { attempts: 1 };
  }
}

function getStatementTimeout<T>(ctx: SyncContext, { isBulk }: TransactionOptions<T>): number {
  return isBulk === true ? ctx.options.bulkStatementTimeoutMs : ctx.options.statementTimeoutMs;
}

/** Returns the value of a transaction that turned out to be committed, `undefined` when it may run again. */
async function settleCommit<T>(
  ctx: SyncContext,
  operation: Operation,
  fault: PgFault,
  attempt: number,
  options: TransactionOptions<T>,
): Promise<{ readonly value: T } | undefined> {
  if (!fault.commitSent || options.resolveOutcome === undefined) return undefined;
  const found = await options.resolveOutcome(fault);
  if (found.outcome === 'committed') return { value: found.value };
  if (found.outcome === 'aborted') return undefined;
  ctx.emit({ name: 'commitOutcomeUnknown', operation, sqlState: fault.sqlState, attempt });
  throw new SyncError('commit_outcome_unknown', { retryAfterMs: RETRY_AFTER_MS, cause: fault });
}

/** Returns when another attempt is worth it; throws the error of the request otherwise. */
function checkMayRetry(ctx: SyncContext, operation: Operation, fault: PgFault, attempt: number, budget: WaitBudget): void {
  if (ctx.signal?.aborted === true) throw ctx.signal.reason;
  if (!isTransientFault(fault)) throw fault;
  const event = { operation, sqlState: fault.sqlState, attempt } as const;
  if (attempt < ctx.options.retry.attempts && budget.remainingMs > 0) {
    ctx.emit({ name: 'retry', ...event });
    return;
  }
  ctx.emit({ name: 'transientFailure', ...event });
  throw toServiceUnavailable(fault);
}

/** What a client gets when PostgreSQL could not serve the request in time. */
export function toServiceUnavailable(fault: PgFault): SyncError {
  return new SyncError('service_unavailable', {
    message: 'the database did not serve the request in time',
    retryAfterMs: RETRY_AFTER_MS,
    cause: fault,
  });
}

function pauseBeforeRetry(ctx: SyncContext, attempt: number): Promise<void> {
  const pauseMs = Math.random() * ctx.options.retry.baseMs * 2 ** (attempt - 1);
  return new Promise((resolve) => {
    setTimeout(resolve, pauseMs);
  });
}

function completeBegin<T>(ctx: SyncContext, begin: PgBegin, options: TransactionOptions<T>, budget: WaitBudget): PgBegin {
  const isBulk = options.isBulk ?? false;
  const settings = formatPinnedSettings({
    lockTimeoutMs: budget.remainingMs,
    statementTimeoutMs: getStatementTimeout(ctx, options),
    isBulk,
  });
  return {
    ...begin,
    settings: options.settings === undefined ? settings : `${settings};${options.settings}`,
    ...(ctx.signal === undefined ? {} : { signal: ctx.signal }),
  };
}

/**
 * The settings that make one text of a value out of every database, whatever its host has configured. All of them end with the
 * transaction. `search_path` stays the host's, because application triggers may need it.
 */
export function formatPinnedSettings(limits: {
  readonly lockTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly isBulk?: boolean;
}): string {
  const statements = [
    `SET LOCAL TimeZone='UTC'`,
    `SET LOCAL DateStyle='ISO'`,
    `SET LOCAL IntervalStyle='postgres'`,
    `SET LOCAL bytea_output='hex'`,
    `SET LOCAL extra_float_digits=1`,
    `SET LOCAL standard_conforming_strings=on`,
    `SET LOCAL lock_timeout=${formatTimeout(limits.lockTimeoutMs)}`,
    `SET LOCAL statement_timeout=${formatTimeout(limits.statementTimeoutMs)}`,
  ];
  if (limits.isBulk === true) statements.push(`SET LOCAL work_mem='${BULK_WORK_MEM}'`, 'SET LOCAL jit=off');
  return statements.join(';');
}

/** PostgreSQL reads 0 as "no time-out", so the smallest one is a millisecond. */
function formatTimeout(timeoutMs: number): string {
  return String(Math.max(1, Math.floor(timeoutMs)));
}
