/**
 * One bundle transaction that the host's own code fills (server.md 12): locks the scope, lets the caller decide on what it finds there,
 * runs the body, finalises, and keeps what is needed to answer when the reply of COMMIT is lost.
 */
import { SyncError } from '@oversync/protocol';

import { PgFault } from '../ports/postgres.ts';
import type { PgTransaction } from '../ports/postgres.ts';
import { isTransientFault } from '../rules/pg-faults.ts';
import type { Catalog } from '../rules/table-description.ts';
import { readActorFacts } from '../store/actor-facts.ts';
import type { ActorFacts, ScopeFacts } from '../store/actor-facts.ts';
import { bundleContextSettings } from '../store/capture.sql.ts';
import {
  insertReceipt,
  insertScope,
  lockScopeOfWrite,
  selectBundleOfTransaction,
  SELECT_CONTEXT_SQL,
  selectReceipt,
  selectRetainedBundle,
  selectWriterFacts,
} from '../store/server-write.sql.ts';
import { formatReceiptResult, parseReceipt } from '../store/write-receipt.ts';
import type { WriteReceipt, WrittenBundle } from '../store/write-receipt.ts';
import { RowReader } from '../store/row-reader.ts';
import type { SyncContext } from './context.ts';
import { finaliseBundle } from './finalise.ts';
import type { FinalisedBundle } from './finalise.ts';
import { describeFinaliseFault } from './push-apply-failure.ts';
import { formatPinnedSettings, withScopeWriteTransaction } from './transaction.ts';
import type { Attempt, CommitOutcome } from './transaction.ts';
import { loadTransactionStatus } from './xact-status.ts';

/** What the locked scope says about the write. */
export interface FoundWrite {
  readonly facts: ActorFacts & { readonly scope: ScopeFacts };
  /** Earlier call with the same operation id. */
  readonly receipt: WriteReceipt | undefined;
  /** Retained bundle with the tuple that was asked for, with the operation hash stored with it. */
  readonly committed: { readonly bundle: WrittenBundle; readonly operationHash: string | null } | undefined;
}

/** The tuple's number for a new bundle, or the answer of an earlier call. */
export type WriteDecision =
  | { readonly name: 'write'; readonly sourceBundleId: bigint }
  | { readonly name: 'replay'; readonly bundle: WrittenBundle; readonly autoInitialized: boolean };

/** A bundle transaction whose scope row is locked and whose context is open. */
export interface OpenWrite {
  readonly scopePk: string;
  readonly captureToken: string;
  readonly catalog: Catalog;
}

export interface ServerWrite {
  readonly scopeId: string;
  readonly sourceId: string;
  /** A scope that nobody has used yet is made. */
  readonly createsScope: boolean;
  /** Set where the caller owns the tuple. */
  readonly sourceBundleId?: bigint | undefined;
  readonly canonicalRequestHash: string;
  readonly operationHash?: string | undefined;
  /** Asks for a receipt. */
  readonly operationId?: string | undefined;
  readonly decide: (found: FoundWrite) => WriteDecision;
  readonly body: (tx: PgTransaction, open: OpenWrite) => Promise<void>;
}

export interface ServerWriteResult {
  /** This write has initialized the scope. */
  readonly autoInitialized: boolean;
  /** Nothing was run: this is the result of an earlier call. */
  readonly replayed: boolean;
  readonly bundle: WrittenBundle;
}

interface Committed {
  readonly result: ServerWriteResult;
  readonly scopePk: string;
  /** Undefined for a replay. */
  readonly finalised: FinalisedBundle | undefined;
  readonly times: {
    readonly attempts: number;
    readonly lockWaitMs: number;
    readonly applyMs: number;
    readonly finaliseMs: number;
  };
}

interface SentWrite {
  readonly committed: Committed;
  readonly transactionId: string;
}

/**
 * Runs the write and announces it.
 *
 * @throws SyncError as described at `SyncServer.scopes.execWrite`; PgFault for faults that are neither data nor transient.
 */
export async function runServerWrite(ctx: SyncContext, write: ServerWrite): Promise<ServerWriteResult> {
  const sent: { write?: SentWrite } = {};
  const captureToken = crypto.randomUUID();
  const committed = await withScopeWriteTransaction<Committed>(
    ctx,
    'exec_write',
    write.scopeId,
    async (tx, attempt) => {
      delete sent.write;
      sent.write = await runAttempt(ctx, tx, write, captureToken, attempt);
      return sent.write.committed;
    },
    {
      isBulk: true,
      settings: bundleContextSettings({ scopeId: write.scopeId, captureToken }),
      resolveOutcome: async () => (sent.write === undefined ? { outcome: 'unknown' } : resolveOutcome(ctx, write, sent.write)),
    },
  );
  announce(ctx, write, committed);
  return committed.result;
}

async function runAttempt(
  ctx: SyncContext,
  tx: PgTransaction,
  write: ServerWrite,
  captureToken: string,
  attempt: Attempt,
): Promise<SentWrite> {
  const startedAt = performance.now();
  const found = await openScope(ctx, tx, write);
  const decision = write.decide(found);
  const { scopePk, lineage } = found.facts.scope;
  const lockWaitMs = attempt.queueWaitMs + performance.now() - startedAt;
  const times = { attempts: attempt.number, lockWaitMs, applyMs: 0, finaliseMs: 0 };
  if (decision.name === 'replay') {
    const { bundle, autoInitialized } = decision;
    const result = { autoInitialized, replayed: true, bundle };
    return { committed: { result, scopePk, finalised: undefined, times }, transactionId: '' };
  }
  const catalog = ctx.catalog();
  const appliedFrom = performance.now();
  const transactionId = await describeFaults(catalog, () => fillBundle(ctx, tx, write, { scopePk, captureToken, catalog }));
  const finalisedFrom = performance.now();
  const finalised = await describeFaults(catalog, () =>
    finaliseBundle(
      tx,
      { catalog, options: ctx.options },
      {
        scopePk,
        scopeId: write.scopeId,
        captureToken,
        head: found.facts.scope.head,
        sourceId: write.sourceId,
        sourceKind: 'server',
        sourceBundleId: decision.sourceBundleId,
        canonicalRequestHash: write.canonicalRequestHash,
        ...(write.operationHash === undefined ? {} : { operationHash: write.operationHash }),
      },
    ),
  );
  const bundle: WrittenBundle = {
    bundleSeq: finalised.bundleSeq,
    sourceId: write.sourceId,
    sourceBundleId: decision.sourceBundleId,
    rowCount: finalised.rowCount,
    bundleHash: finalised.bundleHash,
    canonicalRequestHash: write.canonicalRequestHash,
  };
  const result = { autoInitialized: lineage.name !== 'initialized', replayed: false, bundle };
  await saveReceipt(ctx, tx, write, scopePk, result);
  const finalTimes = { ...times, applyMs: finalisedFrom - appliedFrom, finaliseMs: performance.now() - finalisedFrom };
  return { committed: { result, scopePk, finalised, times: finalTimes }, transactionId };
}

/** One round trip: makes and locks the scope, then reads what the write is decided on. */
async function openScope(ctx: SyncContext, tx: PgTransaction, write: ServerWrite): Promise<FoundWrite> {
  const m = ctx.names;
  const { scopeId, sourceId, operationId, sourceBundleId } = write;
  const results = await tx.script(
    [
      ...(write.createsScope ? [insertScope(m, scopeId)] : []),
      lockScopeOfWrite(m, scopeId),
      'SET CONSTRAINTS ALL DEFERRED',
      selectWriterFacts(m, scopeId, sourceId),
      operationId === undefined ? 'SELECT WHERE false' : selectReceipt(m, scopeId, operationId),
      sourceBundleId === undefined ? 'SELECT WHERE false' : selectRetainedBundle(m, { scopeId, sourceId, sourceBundleId }),
    ].join(';'),
  );
  const [actorRow, receiptRow, bundleRow] = results.slice(-3).map(({ rows }) => rows[0]);
  const facts = readActorFacts(actorRow);
  if (facts.scope === undefined) throw new SyncError('scope_uninitialized');
  return {
    facts: { ...facts, scope: facts.scope },
    receipt: parseReceipt(receiptRow),
    committed: bundleRow === undefined ? undefined : readBundle(new RowReader(bundleRow), sourceId, sourceBundleId ?? 0n),
  };
}

function readBundle(row: RowReader, sourceId: string, sourceBundleId: bigint): NonNullable<FoundWrite['committed']> {
  const bundleSeq = row.bigint();
  const rowCount = row.int();
  const bundleHash = row.text();
  const canonicalRequestHash = row.text();
  const bundle = { bundleSeq, sourceId, sourceBundleId, rowCount, bundleHash, canonicalRequestHash };
  return { bundle, operationHash: row.optional() ?? null };
}

/**
 * Runs the body, then makes sure that rows are rendered and found as always, whatever settings the body's SQL has changed. Returns the id
 * of the transaction.
 */
async function fillBundle(ctx: SyncContext, tx: PgTransaction, write: ServerWrite, open: OpenWrite): Promise<string> {
  await write.body(tx, open);
  const { lockTimeoutMs, bulkStatementTimeoutMs: statementTimeoutMs } = ctx.options;
  const pinned = formatPinnedSettings({ lockTimeoutMs, statementTimeoutMs, isBulk: true });
  const results = await tx.script(`${pinned};${SELECT_CONTEXT_SQL}`);
  const [scopeId, scopePk, captureToken, transactionId] = results.at(-1)?.rows[0] ?? [];
  const isUnchanged = scopeId === write.scopeId && scopePk === open.scopePk && captureToken === open.captureToken;
  if (isUnchanged && typeof transactionId === 'string') return transactionId;
  throw new SyncError('callback_violation', { message: 'the write callback has left or changed its bundle transaction' });
}

async function describeFaults<T>(catalog: Catalog, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    // Also one that the callback's own SQL has raised: worth another attempt.
    if (error instanceof PgFault && isTransientFault(error)) throw error;
    throw describeFinaliseFault(error, catalog);
  }
}

async function saveReceipt(
  ctx: SyncContext,
  tx: PgTransaction,
  write: ServerWrite,
  scopePk: string,
  result: ServerWriteResult,
): Promise<void> {
  const { operationId, operationHash = '' } = write;
  if (operationId === undefined) return;
  await tx.script(insertReceipt(ctx.names, { scopePk, operationId, operationHash, result: formatReceiptResult(result) }));
}

/** The connection broke at COMMIT. The bundle names its transaction, so finding it is proof; else PostgreSQL may know the end. */
async function resolveOutcome(ctx: SyncContext, write: ServerWrite, sent: SentWrite): Promise<CommitOutcome<Committed>> {
  const value = sent.committed;
  // A replay has written nothing, so it does not matter what became of its transaction.
  if (value.result.replayed || (await isBundleCommitted(ctx, write, sent))) return { outcome: 'committed', value };
  const status = await loadTransactionStatus(ctx, sent.transactionId);
  if (status === 'committed') return { outcome: 'committed', value };
  return { outcome: status === 'aborted' ? 'aborted' : 'unknown' };
}

async function isBundleCommitted(ctx: SyncContext, write: ServerWrite, sent: SentWrite): Promise<boolean> {
  const { sourceId, sourceBundleId } = sent.committed.result.bundle;
  const tuple = { scopeId: write.scopeId, sourceId, sourceBundleId };
  try {
    return (await ctx.db.query(selectBundleOfTransaction(ctx.names, tuple, sent.transactionId))).rowCount === 1;
  } catch {
    return false;
  }
}

/** Everything that may be told once the write is durable, and not before. */
function announce(ctx: SyncContext, write: ServerWrite, committed: Committed): void {
  const { result, finalised, scopePk, times } = committed;
  if (finalised === undefined) return;
  const { bundleSeq, sourceId, sourceBundleId, rowCount } = result.bundle;
  ctx.publishCommit({ scopeId: write.scopeId, scopePk, bundleSeq, sourceId, sourceBundleId });
  ctx.emit({ name: 'pushCommitted', rows: 0, effects: rowCount, bytes: Number(finalised.canonicalBytes), ...times });
  if (result.autoInitialized) ctx.emit({ name: 'scopeInitialized' });
}
