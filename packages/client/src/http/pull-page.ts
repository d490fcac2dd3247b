import { isSourceId } from '@oversync/protocol';

import type { CheckedRow } from '../rules/incoming-row.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import type { BodyReader } from './body.ts';
import { CheckedRowReader } from './checked-rows.ts';
import { JsonCursor } from './json-cursor.ts';
import { readBoolean, readElement, readInt64, readString, skipValue } from './json-envelope.ts';
import { violation } from './row-text.ts';

/** When the rows of an open bundle are handed over before the bundle is complete. */
export interface SpillBounds {
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** Longest text of one row. */
  readonly rowCharsMax: number;
}

/** One thing read from a pull page (protocol.md 8.8), in the order of the stream. */
export type PullPagePart =
  | { readonly kind: 'stable'; readonly stableBundleSeq: bigint }
  /** Rows of a bundle that is larger than the bounds; the rest follows. */
  | {
      readonly kind: 'spill';
      readonly bundleSeq: bigint;
      readonly firstRowOrdinal: number;
      readonly rows: readonly CheckedRow[];
    }
  /** A complete bundle; `rows` are those after the last spill. */
  | {
      readonly kind: 'bundle';
      readonly bundleSeq: bigint;
      readonly rowCount: number;
      readonly rows: readonly CheckedRow[];
      readonly byteCount: number;
    }
  | { readonly kind: 'end'; readonly hasMore: boolean };

type BundlePart = Extract<PullPagePart, { kind: 'spill' | 'bundle' }>;

/**
 * Reads a pull page as it arrives and checks its rows. Memory holds one piece of the body and at most one batch of rows, provided that the server writes
 * `stable_bundle_seq` before the bundles and `bundle_seq` before the rows, as ours and the Go server do; in any other order the page is
 * read completely before the first part is given out.
 */
export async function* readPullPage(
  body: BodyReader,
  schema: LocalSchema,
  bounds: SpillBounds,
): AsyncGenerator<PullPagePart, void, undefined> {
  const page = new PullPageReader(body, schema, bounds);
  yield* page.parts();
}

class PullPageReader {
  readonly #cursor: JsonCursor;
  readonly #bounds: SpillBounds;
  readonly #rowReader: CheckedRowReader;
  #stable: bigint | null = null;
  #hasMore: boolean | null = null;
  #hasBundles = false;

  constructor(body: BodyReader, schema: LocalSchema, bounds: SpillBounds) {
    this.#cursor = new JsonCursor(body);
    this.#rowReader = new CheckedRowReader(schema, 'bundle');
    this.#bounds = bounds;
  }

  async *parts(): AsyncGenerator<PullPagePart, void, undefined> {
    const waiting: BundlePart[] = [];
    const seen = new Set<string>();
    await this.#cursor.expect('{');
    do {
      const name = await this.#memberName(seen);
      if (name === 'bundles') {
        if (this.#stable === null) for await (const part of this.#bundles(false)) waiting.push(part);
        else yield* this.#bundles(true);
      } else if (await this.#scalar(name)) yield this.#stablePart();
    } while (await this.#cursor.accept(','));
    await this.#cursor.expect('}');
    await this.#cursor.expectEnd();
    if (this.#stable === null || this.#hasMore === null || !this.#hasBundles) throw violation('row_shape');
    yield* waiting;
    yield { kind: 'end', hasMore: this.#hasMore };
  }

  async #memberName(seen: Set<string>): Promise<string> {
    const name = await readString(this.#cursor);
    if (seen.has(name)) throw violation('decode');
    seen.add(name);
    await this.#cursor.expect(':');
    return name;
  }

  #stablePart(): PullPagePart {
    if (this.#stable === null) throw violation('row_shape');
    return { kind: 'stable', stableBundleSeq: this.#stable };
  }

  /** True when the ceiling was read. */
  async #scalar(name: string): Promise<boolean> {
    if (name === 'stable_bundle_seq') {
      this.#stable = await readInt64(this.#cursor);
      return true;
    }
    if (name === 'has_more') this.#hasMore = await readBoolean(this.#cursor);
    else await skipValue(this.#cursor);
    return false;
  }

  async *#bundles(maySpill: boolean): AsyncGenerator<BundlePart, void, undefined> {
    this.#hasBundles = true;
    await this.#cursor.expect('[');
    if (await this.#cursor.accept(']')) return;
    do yield* this.#bundle(maySpill);
    while (await this.#cursor.accept(','));
    await this.#cursor.expect(']');
  }

  async *#bundle(maySpill: boolean): AsyncGenerator<BundlePart, void, undefined> {
    const open = new OpenBundle(this.#bounds);
    const seen = new Set<string>();
    await this.#cursor.expect('{');
    do {
      const name = await this.#memberName(seen);
      if (name === 'rows') yield* this.#rows(open, maySpill);
      else await this.#bundleScalar(open, name);
    } while (await this.#cursor.accept(','));
    await this.#cursor.expect('}');
    yield open.complete();
  }

  async #bundleScalar(open: OpenBundle, name: string): Promise<void> {
    if (name === 'bundle_seq') open.bundleSeq = await readInt64(this.#cursor);
    else if (name === 'source_id') open.sourceId = await readString(this.#cursor);
    else if (name === 'source_bundle_id') open.sourceBundleId = await readInt64(this.#cursor);
    else await skipValue(this.#cursor);
  }

  async *#rows(open: OpenBundle, maySpill: boolean): AsyncGenerator<BundlePart, void, undefined> {
    open.hasRows = true;
    await this.#cursor.expect('[');
    if (await this.#cursor.accept(']')) return;
    const { rowCharsMax } = this.#bounds;
    const take = (row: CheckedRow, start: number, end: number): void => open.add(row, end - start);
    const reader = {
      scan: (text: string, start: number) => this.#rowReader.scan(text, start, take),
      read: (text: string) => open.add(this.#rowReader.read(text), text.length),
    };
    do {
      if (!this.#cursor.scanned(reader.scan, rowCharsMax)) await readElement(this.#cursor, rowCharsMax, reader);
      if (maySpill && open.isFull()) yield open.spill();
    } while (this.#cursor.bufferedDelimiter(']') ?? (await this.#cursor.delimiter(']')));
  }
}

/** The bundle being read. */
class OpenBundle {
  bundleSeq: bigint | null = null;
  sourceId: string | null = null;
  sourceBundleId: bigint | null = null;
  hasRows = false;
  readonly #bounds: SpillBounds;
  #rows: CheckedRow[] = [];
  #byteCount = 0;
  #rowCount = 0;

  constructor(bounds: SpillBounds) {
    this.#bounds = bounds;
  }

  add(row: CheckedRow, byteCount: number): void {
    this.#rows.push(row);
    this.#byteCount += byteCount;
    this.#rowCount += 1;
  }

  /** Only a bundle whose sequence is known can be kept outside memory. */
  isFull(): boolean {
    return this.bundleSeq !== null && (this.#rows.length >= this.#bounds.rowsMax || this.#byteCount >= this.#bounds.bytesMax);
  }

  spill(): BundlePart {
    const rows = this.#takeRows();
    return { kind: 'spill', bundleSeq: this.#checkedSeq(), firstRowOrdinal: this.#rowCount - rows.length, rows };
  }

  complete(): BundlePart {
    const { sourceId, sourceBundleId } = this;
    if (!this.hasRows || sourceId === null || !isSourceId(sourceId)) throw violation('identity');
    if (sourceBundleId === null || sourceBundleId <= 0n) throw violation('identity');
    const byteCount = this.#byteCount;
    return { kind: 'bundle', bundleSeq: this.#checkedSeq(), rowCount: this.#rowCount, rows: this.#takeRows(), byteCount };
  }

  #checkedSeq(): bigint {
    if (this.bundleSeq === null || this.bundleSeq <= 0n) throw violation('identity');
    return this.bundleSeq;
  }

  #takeRows(): readonly CheckedRow[] {
    const rows = this.#rows;
    this.#rows = [];
    this.#byteCount = 0;
    return rows;
  }
}
