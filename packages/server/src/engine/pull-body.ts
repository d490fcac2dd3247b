import type { PgTransaction } from '../ports/postgres.ts';
import { PgFault } from '../ports/postgres.ts';
import { checkShapesRecorded, parseShapeKeys, rerenderRows, UnrecordedShapeError } from '../rules/rerender-rows.ts';
import type { Catalog } from '../rules/table-description.ts';
import { copyTexts } from '../store/block-copy.ts';
import { loadBlockBatch, loadBundleOpening, loadPullBlocks, loadShapeKeys } from '../store/pull-page.ts';
import type { PullBlock, PullPage } from '../store/pull-page.ts';
import { copyPullBundles } from '../store/reading.sql.ts';
import type { SeqRange } from '../store/reading.sql.ts';
import type { Reservation } from './byte-budget.ts';
import { createBufferedBody, encodeText, mergeParts } from './byte-body.ts';
import type { ByteBody } from './byte-body.ts';
import { ByteQueue } from './byte-queue.ts';
import type { SyncContext } from './context.ts';

interface PullBodyInput {
  readonly scopePk: string;
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
  const opening = encodeText(`{"stable_bundle_seq":${input.stableBundleSeq.toString()},"bundles":[`);
  const hasMore = page.range !== undefined && page.range.lastSeq < input.stableBundleSeq;
  const closing = encodeText(`],"has_more":${String(hasMore)}}`);
  const release = (): void => reservation.release();
  if (page.range === undefined) return toOpened(createBufferedBody([opening, closing], release));
  if (page.bundleCount === 1 && page.byteCount > BigInt(reservation.byteCount)) {
    const chunks = await openLargeBundle(ctx, tx, { ...input, bundleSeq: page.range.firstSeq, opening, closing });
    return toOpened({ byteLength: Number(page.byteCount), chunks, release });
  }
  if (page.bundleTexts !== undefined) {
    const small = createBufferedBody([opening, encodeText(page.bundleTexts), closing], release);
    reservation.shrinkTo(small.byteLength);
    return toOpened(small);
  }
  const seqRange = { scopePk: input.scopePk, ...page.range };
  if (page.isCurrentShape && page.byteCount >= STREAMED_BYTES_MIN) {
    return openStreamedPage(copyTexts(tx, copyPullBundles(ctx.names, seqRange)), { ...input, opening, closing });
  }
  const body = createBufferedBody([opening, ...(await readBundles(ctx, tx, input, seqRange)), closing], release);
  reservation.shrinkTo(body.byteLength);
  return toOpened(body);
}

function toOpened(body: ByteBody): OpenedBody {
  return { body, settle: () => {} };
}

/** Waits for the first bytes, so that a statement that PostgreSQL refuses is still answered with an error. */
async function openStreamedPage(
  texts: AsyncGenerator<Uint8Array>,
  { page, reservation, opening, closing }: PullBodyInput & { readonly opening: Uint8Array; readonly closing: Uint8Array },
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
  bundle: Omit<LargeBundle, 'bundleOpening' | 'rowCount'>,
): Promise<AsyncGenerator<Uint8Array>> {
  const { scopePk, bundleSeq } = bundle;
  if (!bundle.page.isCurrentShape) {
    const shapeKeys = await loadShapeKeys(tx, ctx.names, scopePk, bundleSeq);
    asCatalogFault(() => checkShapesRecorded(shapeKeys, bundle.catalog));
  }
  const header = await loadBundleOpening(tx, ctx.names, scopePk, bundleSeq);
  return streamLargeBundle(ctx, { ...bundle, ...header });
}

async function readBundles(ctx: SyncContext, tx: PgTransaction, input: PullBodyInput, range: SeqRange): Promise<Uint8Array[]> {
  if (!input.page.isCurrentShape) {
    const blocks = await loadPullBlocks(tx, ctx.names, range);
    return asCatalogFault(() => rerenderBundles(blocks, input.catalog)).map(encodeText);
  }
  const parts: Uint8Array[] = [];
  for await (const text of copyTexts(tx, copyPullBundles(ctx.names, range))) parts.push(text);
  return parts;
}

/** Lets the transaction start again with a fresh catalog when another process has stored rows of a shape that this one does not know yet. */
function asCatalogFault<T>(render: () => T): T {
  try {
    return render();
  } catch (cause) {
    if (!(cause instanceof UnrecordedShapeError)) throw cause;
    throw new PgFault(cause.message, { sqlState: '42703', cause });
  }
}

/** Texts of the bundles with their rows in the current shapes, commas included. */
function rerenderBundles(blocks: readonly PullBlock[], catalog: Catalog): string[] {
  const texts: string[] = [];
  let openSeq: string | undefined;
  let hasRows = false;
  for (const block of blocks) {
    if (block.bundleSeq !== openSeq) {
      texts.push(openSeq === undefined ? block.opening : `]},${block.opening}`);
      openSeq = block.bundleSeq;
      hasRows = false;
    }
    if (block.rowTexts === null) continue;
    const rows = rerenderRows(block.rowTexts, parseShapeKeys(block.shapeKeys), catalog);
    if (rows === '') continue;
    texts.push(hasRows ? `,${rows}` : rows);
    hasRows = true;
  }
  if (openSeq !== undefined) texts.push(']}');
  return texts;
}

interface LargeBundle extends PullBodyInput {
  readonly bundleSeq: bigint;
  readonly opening: Uint8Array;
  readonly closing: Uint8Array;
  readonly bundleOpening: string;
  readonly rowCount: number;
}

async function* streamLargeBundle(ctx: SyncContext, bundle: LargeBundle): AsyncGenerator<Uint8Array> {
  yield bundle.opening;
  yield encodeText(bundle.bundleOpening);
  const byteCountMax = Math.max(1, bundle.reservation.byteCount - BUNDLE_ENVELOPE_BYTES);
  let nextRowOrdinal = 0;
  let hasRows = false;
  while (nextRowOrdinal < bundle.rowCount) {
    const blocks = await loadBlockBatch(ctx.db, ctx.names, { ...bundle, firstRowOrdinal: nextRowOrdinal, byteCountMax });
    // Maintenance may have deleted the bundle meanwhile: the client must not take what it has got for all of it.
    if (blocks[0]?.firstRowOrdinal !== nextRowOrdinal) throw new Error('the bundle was pruned while it was being sent');
    for (const block of blocks) {
      const rows = bundle.page.isCurrentShape
        ? block.rowTexts
        : rerenderRows(block.rowTexts, parseShapeKeys(block.shapeKeys), bundle.catalog);
      nextRowOrdinal = block.firstRowOrdinal + block.rowCount;
      if (rows === '') continue;
      yield encodeText(hasRows ? `,${rows}` : rows);
      hasRows = true;
    }
  }
  yield encodeText(']}');
  yield bundle.closing;
}
