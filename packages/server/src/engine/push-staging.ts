/** A chunk in the forms in which it is staged. */
import type { JsonValue } from '@oversync/protocol';

import { PARSED_CHUNK_BYTES_MAX, PIECES_KEPT_MAX, SMALL_CHUNK_LENGTH_MAX, SMALL_CHUNK_ROWS_MAX } from '../limits.ts';
import { FLAT_DEPTH, FlatChunk, readFlatHead } from '../rules/flat-chunk.ts';
import type { FlatHead } from '../rules/flat-chunk.ts';
import { PiecePool } from '../rules/piece-pool.ts';
import { readChunkOutline, readPushChunk, readPushRows } from '../rules/push-chunk-reader.ts';
import type { ChunkReaderSettings } from '../rules/push-chunk-reader.ts';
import type { PushRow } from '../rules/push-row.ts';
import type { Catalog, TableDescription } from '../rules/table-description.ts';
import type { EncodedText } from '../rules/utf8-pieces.ts';
import { CopyRowsWriter } from '../store/copy-rows.ts';
import { FlatCopyWriter } from '../store/flat-copy.ts';
import { CanonicalRowsWriter } from '../store/push-row.ts';
import type { ConversionGroup } from '../store/push-row.sql.ts';
import type { Actor, SyncContext } from './context.ts';

export interface PushChunkInput {
  readonly pushId: string;
  /** The parsed body; of a {@link ReceivedChunk} it is parsed when it is asked for, which throws for one that is malformed. */
  readonly body: JsonValue;
  /** The body as it came, where it is known. */
  readonly bytes?: Uint8Array;
}

/** A chunk as it came; most large ones are read where they lie and never parsed. */
export class ReceivedChunk implements PushChunkInput {
  readonly pushId: string;
  readonly bytes: Uint8Array;
  readonly #parse: (bytes: Uint8Array) => JsonValue;
  #body: { readonly value: JsonValue } | undefined;

  constructor(pushId: string, bytes: Uint8Array, parse: (bytes: Uint8Array) => JsonValue) {
    this.pushId = pushId;
    this.bytes = bytes;
    this.#parse = parse;
    if (bytes.byteLength <= PARSED_CHUNK_BYTES_MAX) this.#body = { value: parse(bytes) };
  }

  get body(): JsonValue {
    this.#body ??= { value: this.#parse(this.bytes) };
    return this.#body.value;
  }
}

/** A large chunk whose rows can be read in place. */
export interface FlatInput extends FlatHead {
  readonly bytes: Uint8Array;
}

/** `undefined` for a chunk that is small, or written in a way that only the exact reader knows. */
export function findFlatInput(ctx: SyncContext, { bytes }: PushChunkInput): FlatInput | undefined {
  if (bytes === undefined || bytes.byteLength <= PARSED_CHUNK_BYTES_MAX || ctx.options.maxJsonDepth < FLAT_DEPTH)
    return undefined;
  const head = readFlatHead(bytes);
  return head === undefined ? undefined : { ...head, bytes };
}

/** A checked chunk, in the forms that depend on the catalog it was checked against. */
export interface Staging {
  readonly catalog: Catalog;
  readonly startRowOrdinal: number;
  readonly rowCount: number;
  /** Canonical rows joined by commas. */
  readonly canonical: EncodedText;
  readonly conversions: readonly ConversionGroup[];
  /** The rows of a small chunk; those of any other go into the table as they are read. */
  readonly rows: readonly PushRow[] | undefined;
}

/** Place and size of a chunk; throws for one that is malformed beside its rows. */
export function describeChunk(ctx: SyncContext, input: PushChunkInput): Pick<Staging, 'startRowOrdinal' | 'rowCount'> {
  const { startRowOrdinal, rawRows } = readChunkOutline(input.body, ctx.options.maxRowsPerPushChunk);
  return { startRowOrdinal, rowCount: rawRows.length };
}

/** Whether the rows of a chunk are few enough to be kept. */
export function hasFewRows(ctx: SyncContext, input: PushChunkInput): boolean {
  return describeChunk(ctx, input).rowCount <= SMALL_CHUNK_ROWS_MAX;
}

/** Reads and checks a chunk without writing it anywhere. */
export function readStaging(ctx: SyncContext, actor: Actor, input: PushChunkInput): Staging {
  const settings = readSettings(ctx, actor);
  const outline = readChunkOutline(input.body, settings.rowsMax);
  const canonical = new CanonicalRowsWriter();
  const conversions = new ConversionGroups();
  const rows: PushRow[] | undefined = outline.rawRows.length <= SMALL_CHUNK_ROWS_MAX ? [] : undefined;
  for (const row of readPushRows(outline, settings)) {
    conversions.add(row);
    canonical.add(row);
    rows?.push(row);
  }
  const encoded = canonical.finish();
  return {
    catalog: settings.catalog,
    startRowOrdinal: outline.startRowOrdinal,
    rowCount: outline.rawRows.length,
    canonical: encoded,
    conversions: conversions.list(),
    rows: encoded.byteLength <= SMALL_CHUNK_LENGTH_MAX ? rows : undefined,
  };
}

/** Of the copies and canonical texts of large chunks. */
const piecePool = new PiecePool(PIECES_KEPT_MAX);

/** Call when nobody needs the canonical text of a chunk any more. */
export function releaseStaging({ canonical }: Staging): void {
  piecePool.giveBack(canonical.pieces);
}

/**
 * A chunk that is read, checked and encoded while PostgreSQL takes its rows, and of which no row is kept: with both at once, and little
 * left behind for the collector, staging takes a fraction of the time.
 */
export class StagingCopy {
  readonly #settings: ChunkReaderSettings;
  readonly #input: PushChunkInput;
  readonly #flat: FlatInput | undefined;
  readonly #writer: CopyRowsWriter;
  readonly #canonical = new CanonicalRowsWriter(piecePool);
  readonly #conversions = new ConversionGroups();
  /** Handed to the driver. */
  readonly #sent: Uint8Array[] = [];
  #startRowOrdinal = 0;
  #rowCount = 0;

  constructor(
    ctx: StagingContext,
    actor: Pick<Actor, 'scopeId'>,
    input: PushChunkInput,
    { scopePk, catalog, flat }: { readonly scopePk: string; readonly catalog: Catalog; readonly flat: FlatInput | undefined },
  ) {
    this.#settings = readSettings(ctx, actor, catalog);
    this.#input = input;
    this.#flat = flat;
    this.#writer = new CopyRowsWriter({ scopePk, pushId: input.pushId }, piecePool);
  }

  /** The input of `copyRows`, once; throws at the first row that breaks a rule. */
  *input(): Generator<Uint8Array> {
    const isComplete = this.#flat !== undefined && (yield* this.#copyFlat(this.#flat));
    if (!isComplete) yield* this.#copyExactly();
    yield* this.#send(this.#writer.finish());
  }

  *#send(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
    for (const piece of pieces) this.#sent.push(piece);
    yield* pieces;
  }

  /** What was read, once PostgreSQL has taken all of the input. */
  finish(): Staging {
    piecePool.giveBack(this.#sent);
    return {
      catalog: this.#settings.catalog,
      startRowOrdinal: this.#startRowOrdinal,
      rowCount: this.#rowCount,
      canonical: this.#canonical.finish(),
      conversions: this.#conversions.list(),
      rows: undefined,
    };
  }

  /** Returns whether all rows were read in place. */
  *#copyFlat(flat: FlatInput): Generator<Uint8Array, boolean> {
    const chunk = new FlatChunk(flat.bytes, flat, this.#settings);
    const writer = new FlatCopyWriter(chunk, this.#settings.scopeId, this.#writer, this.#canonical);
    for (let template = chunk.next(); template !== undefined; template = chunk.next()) {
      writer.add(template);
      if (template.plan !== undefined) this.#conversions.addGroup(template.codec.table, template.columnSet);
      if (this.#writer.hasFull) yield* this.#send(this.#writer.takeFull());
    }
    this.#startRowOrdinal = flat.startRowOrdinal;
    this.#rowCount = chunk.rowCount;
    return chunk.isComplete;
  }

  /** Reads all rows, and copies those that were not copied yet. */
  *#copyExactly(): Generator<Uint8Array> {
    const outline = readChunkOutline(this.#input.body, this.#settings.rowsMax);
    let skipped = this.#rowCount;
    for (const row of readPushRows(outline, this.#settings)) {
      if (skipped > 0) {
        skipped -= 1;
        continue;
      }
      this.#conversions.add(row);
      this.#canonical.add(row);
      this.#writer.add(row);
      if (this.#writer.hasFull) yield* this.#send(this.#writer.takeFull());
    }
    this.#startRowOrdinal = outline.startRowOrdinal;
    this.#rowCount = outline.rawRows.length;
  }
}

/** All rows of a chunk that {@link readStaging} has accepted. */
export function readStagedRows(ctx: SyncContext, actor: Actor, input: PushChunkInput): readonly PushRow[] {
  return readPushChunk(input.body, readSettings(ctx, actor)).rows;
}

/** What reading a chunk needs to know of its server. */
export interface StagingContext {
  readonly options: Pick<SyncContext['options'], 'maxRowsPerPushChunk' | 'maxBytesPerSnapshotRow'>;
  catalog(): Catalog;
}

function readSettings(ctx: StagingContext, actor: Pick<Actor, 'scopeId'>, catalog = ctx.catalog()): ChunkReaderSettings {
  return {
    catalog,
    scopeId: actor.scopeId,
    rowsMax: ctx.options.maxRowsPerPushChunk,
    rowBytesMax: ctx.options.maxBytesPerSnapshotRow,
  };
}

/** A literal is cast the same way whichever columns it sets; rows in JSON form are converted per column set. */
class ConversionGroups {
  readonly #groups = new Map<string, ConversionGroup>();
  #last: ConversionGroup | undefined;

  add({ table, columnSet, applyText }: PushRow): void {
    if (applyText !== null) this.addGroup(table, columnSet);
  }

  addGroup(table: TableDescription, columnSet: string): void {
    if (this.#last?.table === table && this.#last.columnSet === columnSet) return;
    this.#last = { table, columnSet };
    const form = columnSet.startsWith('l') ? 'l' : columnSet;
    const name = `${table.tableId} ${form}`;
    if (!this.#groups.has(name)) this.#groups.set(name, this.#last);
  }

  list(): readonly ConversionGroup[] {
    return [...this.#groups.values()];
  }
}
