import { isReservedSourceId, isSourceId, isUuidToken, SyncError } from '@oversync/protocol';

import { OPERATION_HASH_LENGTH_MAX } from '../limits.ts';
import { decideSourceAtCreate, getExpectedSourceBundleId } from '../rules/lineage-source.ts';
import { findScopeIdFault } from '../rules/scope-id.ts';
import { checkScopeInitialized } from './actor-check.ts';
import type { SyncContext } from './context.ts';
import type { ActorIdentity } from './options.ts';
import { checkSourceDecision } from './push-access.ts';
import { runServerWrite } from './server-write.ts';
import type { FoundWrite, ServerWriteResult, WriteDecision } from './server-write.ts';
import { runWriteCallback } from './write-transaction.ts';
import type { WriteCallback } from './write-transaction.ts';

/** Who writes into a scope, and how a repetition of the same write is recognised. */
export interface ExecWriteOptions {
  /** Source id of the writer, in the grammar of source ids; never one of a client. Should be in `reservedSourceIds`. */
  readonly writerId: string;
  /** UUID that makes the write idempotent: a second call gets the stored result. Remembered for `writeReceiptRetentionMs`. */
  readonly operationId?: string;
  /** What the operation is, in the caller's terms (a digest of its input); compared when an operation id comes again. */
  readonly operationHash?: string;
}

/** The tuple of a bundle whose numbering the caller owns. */
export interface SyncBundleOptions {
  readonly sourceId: string;
  /** 1 for the first bundle of the source in this scope, then without a gap. */
  readonly sourceBundleId: bigint;
  /** SHA-256 in lower-case hexadecimal, sent along with the bundle; default none. */
  readonly canonicalRequestHash?: string;
  /** Compared when the tuple comes again. */
  readonly operationHash?: string;
}

/** A bundle and whether it is the one of an earlier call with the same tuple. */
export type SyncBundleResult = Omit<ServerWriteResult, 'autoInitialized'>;

/** Section 12.1: the server numbers the writer's bundles. */
export async function execWrite(
  ctx: SyncContext,
  scopeId: string,
  options: ExecWriteOptions,
  fn: WriteCallback,
): Promise<ServerWriteResult> {
  const { writerId, operationId, operationHash } = options;
  checkWriter(ctx, scopeId, writerId);
  checkOperationHash(operationHash);
  if (operationId !== undefined && !isUuidToken(operationId)) throw invalid('operationId is not a UUID');
  if (operationId === undefined && operationHash !== undefined) throw invalid('operationHash needs an operationId');
  return runServerWrite(ctx, {
    scopeId,
    sourceId: writerId,
    createsScope: true,
    canonicalRequestHash: '',
    operationId,
    operationHash,
    decide: (found) => decideExecWrite(found, writerId, operationHash ?? ''),
    body: (tx) => runWriteCallback(tx, fn, ctx.signal),
  });
}

function decideExecWrite(found: FoundWrite, writerId: string, operationHash: string): WriteDecision {
  const { receipt } = found;
  if (receipt !== undefined) {
    if (receipt.operationHash !== operationHash) throw new SyncError('operation_replay_changed');
    return { name: 'replay', bundle: receipt.bundle, autoInitialized: receipt.autoInitialized };
  }
  return decideNextWrite(found, writerId);
}

/** The writer's next bundle, in a scope that no client is just seeding. */
export function decideNextWrite(found: FoundWrite, writerId: string): WriteDecision {
  const { scope, source } = found.facts;
  if (scope.lineage.name === 'initializing' && scope.lineage.isLeaseLive) throw new SyncError('scope_initializing');
  return decideNumber(found, writerId, getExpectedSourceBundleId(source));
}

/** Section 12.2: the caller owns the tuple. */
export async function withinSyncBundle(
  ctx: SyncContext,
  actor: ActorIdentity,
  options: SyncBundleOptions,
  fn: WriteCallback,
): Promise<SyncBundleResult> {
  const { sourceId, sourceBundleId, canonicalRequestHash = '', operationHash } = options;
  checkWriter(ctx, actor.scopeId, sourceId);
  checkOperationHash(operationHash);
  if (typeof sourceBundleId !== 'bigint' || sourceBundleId < 1n || sourceBundleId > INT64_MAX)
    throw invalid('sourceBundleId is not a positive bigint');
  if (!/^(?:[0-9a-f]{64})?$/.test(canonicalRequestHash)) throw invalid('canonicalRequestHash is not a SHA-256 in hexadecimal');
  const { replayed, bundle } = await runServerWrite(ctx, {
    scopeId: actor.scopeId,
    sourceId,
    createsScope: false,
    sourceBundleId,
    canonicalRequestHash,
    operationHash,
    decide: (found) => decideSyncBundle(found, options),
    body: (tx) => runWriteCallback(tx, fn, ctx.signal),
  });
  return { replayed, bundle };
}

function decideSyncBundle(found: FoundWrite, options: SyncBundleOptions): WriteDecision {
  const { facts, committed } = found;
  const { sourceId, sourceBundleId, operationHash } = options;
  checkScopeInitialized(facts.scope);
  if (facts.source.name === 'retired' || sourceBundleId >= getExpectedSourceBundleId(facts.source))
    return decideNumber(found, sourceId, sourceBundleId);
  checkKind(found);
  if (committed === undefined || committed.operationHash !== (operationHash ?? null))
    throw new SyncError('operation_history_unavailable');
  return { name: 'replay', bundle: committed.bundle, autoInitialized: false };
}

function decideNumber(found: FoundWrite, sourceId: string, sourceBundleId: bigint): WriteDecision {
  checkKind(found);
  checkSourceDecision(decideSourceAtCreate(found.facts.source, sourceId, sourceBundleId), sourceId);
  return { name: 'write', sourceBundleId };
}

/** A retired source says so first, whoever it belonged to. */
function checkKind({ facts: { source } }: FoundWrite): void {
  if (source.name === 'unknown' || source.name === 'retired' || source.kind === 'server') return;
  throw invalid('the source id belongs to a client');
}

const INT64_MAX = 9_223_372_036_854_775_807n;

/** The caller's own mistakes, found before anything is locked. */
export function checkWriter(ctx: SyncContext, scopeId: string, writerId: string): void {
  if (findScopeIdFault(scopeId, ctx.options.maxScopeIdBytes) !== undefined) throw invalid('the scope id cannot be used');
  if (!isSourceId(writerId) || isReservedSourceId(writerId)) throw invalid('the writer id cannot be used as a source id');
}

function checkOperationHash(operationHash: string | undefined): void {
  if (operationHash === undefined) return;
  const isUsable =
    operationHash.length <= OPERATION_HASH_LENGTH_MAX && !operationHash.includes('\0') && operationHash.isWellFormed();
  if (!isUsable) throw invalid(`operationHash is not a text of at most ${String(OPERATION_HASH_LENGTH_MAX)} characters`);
}

function invalid(message: string): SyncError {
  return new SyncError('invalid_argument', { message });
}
