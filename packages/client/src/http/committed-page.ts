import type { BodyReader } from './body.ts';
import { JsonCursor } from './json-cursor.ts';
import { readBoolean, readCount, readElements, readInt64, readMembers, readString, skipValue } from './json-envelope.ts';
import { RowTextReader, violation } from './row-text.ts';
import type { ReceivedRow } from './row-text.ts';

/** One page of the rows of a committed bundle (protocol.md 8.7), shapes checked, not yet compared with what was asked for. */
export interface CommittedPage {
  readonly bundleSeq: bigint;
  readonly sourceId: string;
  readonly sourceBundleId: bigint;
  readonly rowCount: number;
  readonly bundleHash: string;
  readonly canonicalRequestHash: string;
  readonly rows: readonly ReceivedRow[];
  readonly nextRowOrdinal: number;
  readonly hasMore: boolean;
}

/** Reads a whole page: a page is the unit that is staged, and the server bounds it by rows and bytes. */
export async function readCommittedPage(body: BodyReader, rowCharsMax: number): Promise<CommittedPage> {
  const cursor = new JsonCursor(body);
  const page: { -readonly [K in keyof CommittedPage]?: CommittedPage[K] } = {};
  await readMembers(cursor, async (name) => {
    if (name === 'bundle_seq') page.bundleSeq = await readInt64(cursor);
    else if (name === 'source_id') page.sourceId = await readString(cursor);
    else if (name === 'source_bundle_id') page.sourceBundleId = await readInt64(cursor);
    else if (name === 'row_count') page.rowCount = await readCount(cursor);
    else if (name === 'bundle_hash') page.bundleHash = await readString(cursor);
    else if (name === 'canonical_request_hash') page.canonicalRequestHash = await readString(cursor);
    else if (name === 'next_row_ordinal') page.nextRowOrdinal = await readCount(cursor);
    else if (name === 'has_more') page.hasMore = await readBoolean(cursor);
    else if (name === 'rows') page.rows = await readBundleRows(cursor, rowCharsMax);
    else await skipValue(cursor);
  });
  await cursor.expectEnd();
  return complete(page);
}

async function readBundleRows(cursor: JsonCursor, rowCharsMax: number): Promise<readonly ReceivedRow[]> {
  const rows: ReceivedRow[] = [];
  const reader = new RowTextReader();
  await readElements(cursor, rowCharsMax, (text) => {
    rows.push(reader.bundleRow(text));
  });
  return rows;
}

function complete(page: Partial<CommittedPage>): CommittedPage {
  const { bundleSeq, sourceId, sourceBundleId, rowCount, bundleHash, canonicalRequestHash, rows, nextRowOrdinal, hasMore } = page;
  if (bundleSeq === undefined || sourceId === undefined || sourceBundleId === undefined) throw violation('identity');
  if (bundleHash === undefined || canonicalRequestHash === undefined) throw violation('identity');
  if (rows === undefined || rowCount === undefined || nextRowOrdinal === undefined || hasMore === undefined)
    throw violation('row_shape');
  return { bundleSeq, sourceId, sourceBundleId, rowCount, bundleHash, canonicalRequestHash, rows, nextRowOrdinal, hasMore };
}
