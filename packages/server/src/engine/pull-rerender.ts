/** Rows of history in the shapes of now. */
import type { PgTransaction } from '../ports/postgres.ts';
import { PgFault } from '../ports/postgres.ts';
import {
  findLiveRequest,
  parseShapeKeys,
  readStoredRows,
  renderStoredRow,
  rerenderRows,
  UnrecordedShapeError,
} from '../rules/rerender-rows.ts';
import type { LiveRow, StoredRow } from '../rules/rerender-rows.ts';
import type { Catalog } from '../rules/table-description.ts';
import { loadLiveRows } from '../store/live-columns.ts';
import type { PlacedRequest } from '../store/live-columns.ts';
import type { BundleBlock, PullBlock } from '../store/pull-page.ts';
import type { SyncContext } from './context.ts';
import { withReadTransaction } from './transaction.ts';

/** Whose rows, and what of them may be held. */
export interface RerenderInput {
  readonly scopePk: string;
  readonly scopeId: string;
  readonly catalog: Catalog;
  readonly byteCountMax: number;
}

export interface RerenderedPage {
  /** Texts of the bundles, commas included. */
  readonly texts: readonly string[];
  /** The blocks that were rendered: those of fewer bundles when values that were added would have made too large a page of all. */
  readonly blocks: readonly PullBlock[];
}

/**
 * Renders as many whole bundles as fit; none if the first one does not. Rows are parsed twice rather than kept, since their objects are
 * much larger than their text.
 */
export async function rerenderPage(
  ctx: SyncContext,
  tx: PgTransaction,
  input: RerenderInput,
  blocks: readonly PullBlock[],
): Promise<RerenderedPage> {
  const requests = asCatalogFault(() => listRequests(blocks, input.catalog));
  const live = await loadLiveRows(tx, ctx.names, { ...input, requests });
  const firstWithout = requests[live.length];
  const fitting =
    firstWithout === undefined
      ? blocks
      : blocks.slice(
          0,
          blocks.findIndex(({ bundleSeq }) => bundleSeq === firstWithout.bundleSeq),
        );
  return { texts: rerenderBundles(fitting, input.catalog, live), blocks: fitting };
}

/** The rows of one block of a bundle that is sent piece by piece; live values are looked up for as many of them at a time as fit. */
export async function* rerenderBlock(ctx: SyncContext, input: RerenderInput, block: BundleBlock): AsyncGenerator<string> {
  const rows = readStoredRows(block.rowTexts, parseShapeKeys(block.shapeKeys), input.catalog);
  let position = 0;
  while (position < rows.length) {
    const requests = rows.slice(position).flatMap((row) => findPlaced(row, 0));
    const load = (tx: PgTransaction): Promise<(LiveRow | undefined)[]> => loadLiveRows(tx, ctx.names, { ...input, requests });
    const live = requests.length === 0 ? [] : await withReadTransaction(ctx, 'pull', load);
    const texts: string[] = [];
    let used = 0;
    for (let row = rows[position]; row !== undefined; row = rows[position]) {
      const isWaiting = findLiveRequest(row) !== undefined;
      if (isWaiting && used === live.length) break;
      texts.push(renderStoredRow(row, isWaiting ? live[used] : undefined));
      if (isWaiting) used += 1;
      position += 1;
    }
    yield texts.join(',');
  }
}

/** Lets the transaction start again with a fresh catalog when another process has stored rows of a shape that this one does not know yet. */
export function asCatalogFault<T>(render: () => T): T {
  try {
    return render();
  } catch (cause) {
    if (!(cause instanceof UnrecordedShapeError)) throw cause;
    throw new PgFault(cause.message, { sqlState: '42703', cause });
  }
}

type BundleRequest = PlacedRequest & { readonly bundleSeq: string };

function listRequests(blocks: readonly PullBlock[], catalog: Catalog): BundleRequest[] {
  let storedBytes = 0;
  return blocks.flatMap(({ bundleSeq, byteCount, shapeKeys, rowTexts }) => {
    storedBytes += byteCount;
    if (rowTexts === null) return [];
    const rows = readStoredRows(rowTexts, parseShapeKeys(shapeKeys), catalog);
    return rows.flatMap((row) => findPlaced(row, storedBytes)).map((request) => ({ ...request, bundleSeq }));
  });
}

function findPlaced(row: StoredRow, storedBytes: number): PlacedRequest[] {
  const request = findLiveRequest(row);
  return request === undefined ? [] : [{ ...request, storedBytes }];
}

function rerenderBundles(blocks: readonly PullBlock[], catalog: Catalog, live: readonly (LiveRow | undefined)[]): string[] {
  const texts: string[] = [];
  let openSeq: string | undefined;
  let hasRows = false;
  let used = 0;
  const takeLive = (): LiveRow | undefined => live[used++];
  for (const block of blocks) {
    if (block.bundleSeq !== openSeq) {
      texts.push(openSeq === undefined ? block.opening : `]},${block.opening}`);
      openSeq = block.bundleSeq;
      hasRows = false;
    }
    if (block.rowTexts === null) continue;
    const rows = rerenderRows(block.rowTexts, parseShapeKeys(block.shapeKeys), catalog, takeLive);
    if (rows === '') continue;
    texts.push(hasRows ? `,${rows}` : rows);
    hasRows = true;
  }
  if (openSeq !== undefined) texts.push(']}');
  return texts;
}
