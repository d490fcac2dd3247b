import type { PgTransaction } from '../ports/postgres.ts';
import { PgFault } from '../ports/postgres.ts';
import { checkShapesRecorded, parseShapeKeys, rerenderRows, UnrecordedShapeError } from '../rules/rerender-rows.ts';
import type { Catalog } from '../rules/table-description.ts';
import { loadBlockBatch, loadBundleOpening, loadPullBlocks, loadShapeKeys } from '../store/pull-page.ts';
import type { PullBlock, PullPage } from '../store/pull-page.ts';
import { copyPullBundles } from '../store/reading.sql.ts';
import type { Reservation } from './byte-budget.ts';
import { createBufferedBody, encodeText } from './byte-body.ts';
import type { ByteBody } from './byte-body.ts';
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

/**
 * Reads the page while the transaction is open, so that the connection is free before the client has read anything. A single
 * bundle larger than the reservation is read batch by batch as the client takes it; its blocks never change.
 */
export async function openPullBody(ctx: SyncContext, tx: PgTransaction, input: PullBodyInput): Promise<ByteBody> {
  const { page, reservation } = input;
  const opening = encodeText(`{"stable_bundle_seq":${input.stableBundleSeq.toString()},"bundles":[`);
  const hasMore = page.range !== undefined && page.range.lastSeq < input.stableBundleSeq;
  const closing = encodeText(`],"has_more":${String(hasMore)}}`);
  if (page.range !== undefined && page.bundleCount === 1 && page.byteCount > BigInt(reservation.byteCount)) {
    if (!page.isCurrentShape) {
      const shapeKeys = await loadShapeKeys(tx, ctx.names, input.scopePk, page.range.firstSeq);
      asCatalogFault(() => checkShapesRecorded(shapeKeys, input.catalog));
    }
    const header = await loadBundleOpening(tx, ctx.names, input.scopePk, page.range.firstSeq);
    const chunks = streamLargeBundle(ctx, { ...input, bundleSeq: page.range.firstSeq, opening, closing, ...header });
    return { byteLength: Number(page.byteCount), chunks, release: () => reservation.release() };
  }
  const bundles = page.range === undefined ? [] : await readBundles(ctx, tx, input, page.range);
  const body = createBufferedBody([opening, ...bundles, closing], () => reservation.release());
  reservation.shrinkTo(body.byteLength);
  return body;
}

async function readBundles(
  ctx: SyncContext,
  tx: PgTransaction,
  input: PullBodyInput,
  range: { readonly firstSeq: bigint; readonly lastSeq: bigint },
): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  const seqRange = { scopePk: input.scopePk, ...range };
  if (!input.page.isCurrentShape) {
    const blocks = await loadPullBlocks(tx, ctx.names, seqRange);
    return asCatalogFault(() => rerenderBundles(blocks, input.catalog)).map(encodeText);
  }
  for await (const chunk of tx.copyTo(copyPullBundles(ctx.names, seqRange))) parts.push(chunk);
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
