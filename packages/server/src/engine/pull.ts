import { SyncError } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import { listCurrentShapeKeys } from '../rules/rerender-rows.ts';
import { decideRetention } from '../rules/retention.ts';
import { loadActorFacts } from '../store/actor-facts.ts';
import type { ScopeFacts } from '../store/actor-facts.ts';
import { loadPullPage } from '../store/pull-page.ts';
import type { PullPage } from '../store/pull-page.ts';
import { checkActor, checkScopeInitialized } from './actor-check.ts';
import type { Reservation } from './byte-budget.ts';
import type { Actor, SyncContext } from './context.ts';
import type { Operation } from './events.ts';
import { openPullBody } from './pull-body.ts';
import type { OpenedBody } from './pull-body.ts';
import type { ByteBody } from './byte-body.ts';
import { withReadTransaction } from './transaction.ts';

export interface PullInput {
  readonly afterBundleSeq: bigint;
  /** 0: up to the head. */
  readonly targetBundleSeq: bigint;
  readonly maxBundles: number;
}

/** Bytes without which a page is not worth reading; a request waits for these, and takes more only once it knows what it needs. */
const PAGE_BYTES_MIN = 64 * 1024;

/**
 * One page of whole bundles after the checkpoint, in one consistent view that no writer waits for. The beginning of a large page is
 * handed over while its end is read; a fault in between breaks the body off.
 */
export async function pull(ctx: SyncContext, actor: Actor, input: PullInput): Promise<ByteBody> {
  const startedAt = performance.now();
  const reservation = await ctx.buffers.reserve(PAGE_BYTES_MIN, PAGE_BYTES_MIN, ctx.options.lockTimeoutMs, ctx.signal);
  const handOver = Promise.withResolvers<ByteBody>();
  let opened: OpenedBody | undefined;
  const reading = withReadTransaction(ctx, 'pull', async (tx) => {
    const read = await readPage(ctx, tx, actor, input, reservation);
    if (read.finish !== undefined) {
      opened = read;
      handOver.resolve(opened.body);
      await finishOnce(read.finish);
    }
    return read;
  });
  reading.then(
    (read) => {
      read.settle();
      handOver.resolve(read.body);
      reportPage(ctx, read.page, startedAt);
    },
    (error: unknown) => {
      if (opened === undefined) reservation.release();
      else opened.settle({ error });
      handOver.reject(error);
    },
  );
  return handOver.promise;
}

/** Half of the page may be with the client already, so a fault must not look like one after which the transaction may run again. */
async function finishOnce(finish: () => Promise<void>): Promise<void> {
  try {
    await finish();
  } catch (cause) {
    throw new Error('the page broke off while it was read', { cause });
  }
}

function reportPage(ctx: SyncContext, { bundleCount, rowCount, byteCount }: PullPage, startedAt: number): void {
  const durationMs = performance.now() - startedAt;
  ctx.emit({ name: 'pullPage', bundles: bundleCount, rows: Number(rowCount), bytes: Number(byteCount), durationMs });
}

async function readPage(
  ctx: SyncContext,
  tx: PgTransaction,
  actor: Actor,
  input: PullInput,
  reservation: Reservation,
): Promise<OpenedBody> {
  const facts = await loadActorFacts(tx, ctx.names, actor);
  checkActor(ctx, actor, facts);
  const scope = checkScopeInitialized(facts.scope);
  const stableBundleSeq = checkRange(ctx, scope, input);
  const catalog = ctx.catalog();
  const choose = (byteCountMax: number): Promise<PullPage> =>
    loadPullPage(tx, ctx.names, {
      scopePk: scope.scopePk,
      afterBundleSeq: input.afterBundleSeq,
      ceiling: stableBundleSeq,
      bundleCountMax: input.maxBundles,
      byteCountMax,
      currentShapeKeys: listCurrentShapeKeys(catalog),
    });
  const page = await choosePage(reservation, ctx.options.maxBytesPerPullPage, choose);
  const { scopePk } = scope;
  return openPullBody(ctx, tx, { scopePk, scopeId: actor.scopeId, stableBundleSeq, page, catalog, reservation });
}

/** While memory is short, the page is chosen again for what could be had. */
async function choosePage(
  reservation: Reservation,
  byteCountMax: number,
  choose: (byteCountMax: number) => Promise<PullPage>,
): Promise<PullPage> {
  const page = await choose(byteCountMax);
  const held = reservation.extendTo(Math.min(Number(page.byteCount), byteCountMax));
  return page.byteCount > BigInt(held) && page.bundleCount > 1 ? choose(held) : page;
}

/** Checks both ends of the wanted range; returns the sequence up to which bundles are served. */
function checkRange(ctx: SyncContext, scope: ScopeFacts, input: PullInput): bigint {
  checkRetained(ctx, 'pull', input.afterBundleSeq, scope);
  if (input.targetBundleSeq === 0n) return scope.head;
  checkRetained(ctx, 'pull', input.targetBundleSeq, scope);
  if (input.targetBundleSeq < input.afterBundleSeq) {
    throw new SyncError('invalid_request', { message: 'target_bundle_seq is below after_bundle_seq' });
  }
  return input.targetBundleSeq;
}

function checkRetained(ctx: SyncContext, operation: Operation, sequence: bigint, scope: ScopeFacts): void {
  const verdict = decideRetention(sequence, scope);
  if (verdict === 'accept') return;
  const isPruned = verdict === 'history_pruned';
  const distance = String(isPruned ? scope.floor - sequence : sequence - scope.head);
  ctx.emit({ name: isPruned ? 'historyPruned' : 'checkpointAhead', operation, distance });
  throw new SyncError(verdict);
}
