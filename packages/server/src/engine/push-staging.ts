/** A chunk in the forms in which it is staged. */
import type { JsonValue } from '@oversync/protocol';

import { SMALL_CHUNK_LENGTH_MAX, SMALL_CHUNK_ROWS_MAX } from '../limits.ts';
import { readChunkOutline, readPushChunk, readPushRows } from '../rules/push-chunk-reader.ts';
import type { ChunkOutline, ChunkReaderSettings } from '../rules/push-chunk-reader.ts';
import type { PushRow } from '../rules/push-row.ts';
import type { Catalog } from '../rules/table-description.ts';
import type { EncodedText } from '../rules/utf8-pieces.ts';
import { StagedRowsWriter } from '../store/push-row.ts';
import type { ConversionGroup } from '../store/push-row.sql.ts';
import type { Actor, SyncContext } from './context.ts';
import { getPushMemory } from './push-memory.ts';

export interface PushChunkInput {
  readonly pushId: string;
  /** The parsed body. */
  readonly body: JsonValue;
}

/** A checked chunk, in the forms that depend on the catalog it was checked against. */
export interface Staging {
  readonly catalog: Catalog;
  readonly startRowOrdinal: number;
  readonly rowCount: number;
  /** Canonical rows joined by commas. */
  readonly canonical: EncodedText;
  readonly conversions: readonly ConversionGroup[];
  /** The rows of a small chunk. */
  readonly rows: readonly PushRow[] | undefined;
  /** The rows of any other chunk for `copyRows`, and the scope whose number stands in them. */
  readonly copy: { readonly input: EncodedText; readonly scopePk: string } | undefined;
}

/**
 * Reads and checks a chunk. The rows of a large one are encoded as they are read and not kept: what a chunk leaves behind for the
 * collector decides how long staging takes. `knownScopePk` is the scope of an open push.
 */
export function readStaging(ctx: SyncContext, actor: Actor, input: PushChunkInput, knownScopePk?: string): Staging {
  const settings = readSettings(ctx, actor);
  const outline = readChunkOutline(input.body, settings.rowsMax);
  // Without the number, which is nearly always known since the session was opened, the chunk is read again once it is.
  const scopePk = knownScopePk ?? getPushMemory(ctx).getScopePk(actor.scopeId) ?? '';
  const writer = new StagedRowsWriter({ scopePk, pushId: input.pushId });
  const conversions = new ConversionGroups();
  const rows: PushRow[] | undefined = outline.rawRows.length <= SMALL_CHUNK_ROWS_MAX ? [] : undefined;
  for (const row of readPushRows(outline, settings)) {
    conversions.add(row);
    writer.add(row);
    rows?.push(row);
  }
  return {
    ...describeOutline(outline),
    catalog: settings.catalog,
    conversions: conversions.list(),
    ...chooseForm(writer, rows, scopePk),
  };
}

/** All rows of a chunk that {@link readStaging} has accepted. */
export function readStagedRows(ctx: SyncContext, actor: Actor, input: PushChunkInput): readonly PushRow[] {
  return readPushChunk(input.body, readSettings(ctx, actor)).rows;
}

function readSettings(ctx: SyncContext, actor: Actor): ChunkReaderSettings {
  return {
    catalog: ctx.catalog(),
    scopeId: actor.scopeId,
    rowsMax: ctx.options.maxRowsPerPushChunk,
    rowBytesMax: ctx.options.maxBytesPerSnapshotRow,
  };
}

function describeOutline({ startRowOrdinal, rawRows }: ChunkOutline): Pick<Staging, 'startRowOrdinal' | 'rowCount'> {
  return { startRowOrdinal, rowCount: rawRows.length };
}

function chooseForm(
  writer: StagedRowsWriter,
  rows: readonly PushRow[] | undefined,
  scopePk: string,
): Pick<Staging, 'canonical' | 'rows' | 'copy'> {
  const { canonical, copy } = writer.finish();
  if (rows !== undefined && canonical.byteLength <= SMALL_CHUNK_LENGTH_MAX) return { canonical, rows, copy: undefined };
  return { canonical, rows: undefined, copy: { input: copy, scopePk } };
}

/** A literal is cast the same way whichever columns it sets; rows in JSON form are converted per column set. */
class ConversionGroups {
  readonly #groups = new Map<string, ConversionGroup>();
  #last: ConversionGroup | undefined;

  add({ table, columnSet, applyText }: PushRow): void {
    if (applyText === null || (this.#last?.table === table && this.#last.columnSet === columnSet)) return;
    this.#last = { table, columnSet };
    const form = columnSet.startsWith('l') ? 'l' : columnSet;
    const name = `${table.tableId} ${form}`;
    if (!this.#groups.has(name)) this.#groups.set(name, this.#last);
  }

  list(): readonly ConversionGroup[] {
    return [...this.#groups.values()];
  }
}
