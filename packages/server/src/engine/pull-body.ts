import type { PgTransaction } from '../ports/postgres.ts';
import { checkShapesRecorded } from '../rules/rerender-rows.ts';
import type { Catalog } from '../rules/table-description.ts';
import { copyTexts } from '../store/block-copy.ts';
import { loadBlockBatch, loadBundleOpening, loadPullBlocks, loadShapeKeys } from '../store/pull-page.ts';
import type { BundleBlock, PullPage } from '../store/pull-page.ts';
import { copyPullBundles } from '../store/reading.sql.ts';
import type { SeqRange } from '../store/reading.sql.ts';
import type { Reservation } from './byte-budget.ts';
import { createBufferedBody, encodeText, mergeParts } from './byte-body.ts';
import type { ByteBody } from './byte-body.ts';
import { ByteQueue } from './byte-queue.ts';
import type { SyncContext } from './context.ts';
import { asCatalogFault, rerenderBlock, rerenderPage } from './pull-rerender.ts';
import type { RerenderedPage } from './pull-rerender.ts';

interface PullBodyInput {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly stableBundleSeq: bigint;
  readonly page: PullPage;
  readonly catalog: Catalog;
  readonly reservation: Reservation;
}

/** Members around the bundles add this much at most to one bundle's row text. */
const BUNDLE_ENVELOPE_BYTES = 1024;

/** A body whose last part may still be on its way from PostgreSQL. */
export interface OpenedBody {
  readonly body: ByteBody;
  /** What the body holds in the end. */
  readonly page: PullPage;
  /** Reads that part, inside of the transaction; the client is served meanwhile. `undefined`: everything is in memory. */
  readonly finish?: () => Promise<void>;
  /** Tells the body how the transaction ended; called exactly once. */
  settle(failure?: { readonly error: unknown }): void;
}

/** Bytes of row text from which on the client gets the beginning of a page while the rest is read. Below, errors stay answers. */
const STREAMED_BYTES_MIN = 1024 * 1024;

/**
 * Reads the page while the transaction is open. Reading never waits for the client, so that the connection is free as soon as
 * PostgreSQL has sent the page, however slowly it goes out. A single bundle larger than the reservation is read batch by batch as the
 * client takes it; its blocks never change.
 */
export async function openPullBody(ctx: SyncContext, tx: PgTransaction, input: PullBodyInput): Promise<OpenedBody> {
  const { page, reservation } = input;
  const { opening, closing } = encodeEnvelope(input);
  if (page.range === undefined) return openBuffered(input, []);
  if (page.bundleCount === 1 && page.byteCount > BigInt(reservation.byteCount))
    return openLargeBundle(ctx, tx, input, page.range.firstSeq);
  if (page.bundleTexts !== undefined) return openBuffered(input, [encodeText(page.bundleTexts)]);
  const seqRange = { scopePk: input.scopePk, ...page.range };
  if (!page.isCurrentShape) return openRerenderedPage(ctx, tx, input, seqRange);
  if (page.byteCount >= STREAMED_BYTES_MIN) {
    return openStreamedPage(copyTexts(tx, copyPullBundles(ctx.names, seqRange)), { ...input, opening, closing });
  }
  const parts: Uint8Array[] = [];
  for await (const text of copyTexts(tx, copyPullBundles(ctx.names, seqRange))) parts.push(text);
  return openBuffered(input, parts);
}

interface Envelope {
  readonly opening: Uint8Array;
  readonly closing: Uint8Array;
}

function encodeEnvelope({ page, stableBundleSeq }: PullBodyInput): Envelope {
  const hasMore = page.range !== undefined && page.range.lastSeq < stableBundleSeq;
  return {
    opening: encodeText(`{"stable_bundle_seq":${stableBundleSeq.toString()},"bundles":[`),
    closing: encodeText(`],"has_more":${String(hasMore)}}`),
  };
}

function openBuffered(input: PullBodyInput, parts: readonly Uint8Array[]): OpenedBody {
  const { opening, closing } = encodeEnvelope(input);
  const body = createBufferedBody([opening, ...parts, closing], () => input.reservation.release());
  input.reservation.shrinkTo(body.byteLength);
  return { body, page: input.page, settle: () => {} };
}

/** Values that are added to the rows may leave room for fewer bundles; one that does not fit is read as the client takes it. */
async function openRerenderedPage(
  ctx: SyncContext,
  tx: PgTransaction,
  input: PullBodyInput,
  range: SeqRange,
): Promise<OpenedBody> {
  const blocks = await loadPullBlocks(tx, ctx.names, range);
  const byteCountMax = input.reservation.extendTo(ctx.options.maxBytesPerPullPage);
  const rerendered = await rerenderPage(ctx, tx, { ...input, byteCountMax }, blocks);
  if (rerendered.blocks.length === 0) return openLargeBundle(ctx, tx, input, range.firstSeq);
  const page = rerendered.blocks.length === blocks.length ? input.page : cutPage(input.page, range, rerendered);
  return openBuffered({ ...input, page }, rerendered.texts.map(encodeText));
}

function cutPage(page: PullPage, { firstSeq }: SeqRange, { blocks }: RerenderedPage): PullPage {
  return {
    ...page,
    range: { firstSeq, lastSeq: BigInt(blocks.at(-1)?.bundleSeq ?? firstSeq) },
    bundleCount: new Set(blocks.map(({ bundleSeq }) => bundleSeq)).size,
    rowCount: BigInt(blocks.reduce((sum, { rowCount }) => sum + rowCount, 0)),
    byteCount: BigInt(blocks.reduce((sum, { byteCount }) => sum + byteCount, 0)),
  };
}

/** Waits for the first bytes, so that a statement that PostgreSQL refuses is still answered with an error. */
async function openStreamedPage(
  texts: AsyncGenerator<Uint8Array>,
  { page, reservation, opening, closing }: PullBodyInput & Envelope,
): Promise<OpenedBody> {
  const queue = new ByteQueue();
  const first = await texts.next();
  queue.push(opening);
  if (first.done !== true) queue.push(first.value);
  return {
    body: {
      byteLength: Number(page.byteCount),
      chunks: mergeParts(queue),
      release: () => reservation.release(),
    },
    page,
    finish: async () => {
      for await (const text of texts) queue.push(text);
    },
    settle: (failure) => {
      // The last bytes wait for the end of the transaction: a page that could not be read to its end must not look whole.
      if (failure === undefined) queue.push(closing);
      queue.end(failure);
    },
  };
}

async function openLargeBundle(
  ctx: SyncContext,
  tx: PgTransaction,
  input: PullBodyInput,
  bundleSeq: bigint,
): Promise<OpenedBody> {
  const { scopePk, catalog, reservation } = input;
  if (!input.page.isCurrentShape) {
    const shapeKeys = await loadShapeKeys(tx, ctx.names, scopePk, bundleSeq);
    asCatalogFault(() => checkShapesRecorded(shapeKeys, catalog));
  }
  const { bundleOpening, rowCount, byteCount } = await loadBundleOpening(tx, ctx.names, scopePk, bundleSeq);
  const range = { firstSeq: bundleSeq, lastSeq: bundleSeq };
  const page = { ...input.page, range, bundleCount: 1, rowCount: BigInt(rowCount), byteCount };
  const large = { ...input, ...encodeEnvelope({ ...input, page }), bundleSeq, bundleOpening, rowCount };
  const body = { byteLength: Number(byteCount), chunks: streamLargeBundle(ctx, large), release: () => reservation.release() };
  return { body, page, settle: () => {} };
}

interface LargeBundle extends PullBodyInput, Envelope {
  readonly bundleSeq: bigint;
  readonly bundleOpening: string;
  readonly rowCount: number;
}

async function* streamLargeBundle(ctx: SyncContext, bundle: LargeBundle): AsyncGenerator<Uint8Array> {
  yield bundle.opening;
  yield encodeText(bundle.bundleOpening);
  const heldBytes = Math.max(1, bundle.reservation.byteCount - BUNDLE_ENVELOPE_BYTES);
  const byteCountMax = bundle.page.isCurrentShape ? heldBytes : Math.ceil(heldBytes / 2);
  let nextRowOrdinal = 0;
  let hasRows = false;
  while (nextRowOrdinal < bundle.rowCount) {
    const blocks = await loadBlockBatch(ctx.db, ctx.names, { ...bundle, firstRowOrdinal: nextRowOrdinal, byteCountMax });
    // Maintenance may have deleted the bundle meanwhile: the client must not take what it has got for all of it.
    if (blocks[0]?.firstRowOrdinal !== nextRowOrdinal) throw new Error('the bundle was pruned while it was being sent');
    for (const block of blocks) {
      for await (const rows of readBlock(ctx, bundle, block, byteCountMax)) {
        if (rows === '') continue;
        yield encodeText(hasRows ? `,${rows}` : rows);
        hasRows = true;
      }
      nextRowOrdinal = block.firstRowOrdinal + block.rowCount;
    }
  }
  yield encodeText(']}');
  yield bundle.closing;
}

/** Rows in their old shape need room for the values that are added to them, too. */
async function* readBlock(
  ctx: SyncContext,
  bundle: LargeBundle,
  block: BundleBlock,
  byteCountMax: number,
): AsyncGenerator<string> {
  if (bundle.page.isCurrentShape) yield block.rowTexts;
  else yield* rerenderBlock(ctx, { ...bundle, byteCountMax }, block);
}
