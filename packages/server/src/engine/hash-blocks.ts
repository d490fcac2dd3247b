import { canonicalJson, committedRowText, isJsonObject, parseJson, requestRowText, RowHasher } from '@oversync/protocol';
import type { JsonObject, JsonValue, Sha256Factory, SyncError } from '@oversync/protocol';

import type { PgTransaction } from '../ports/postgres.ts';
import { formatCommittedRow, formatRequestRow, readFlatBlock } from '../rules/flat-block.ts';
import { createViolationError } from '../rules/violation.ts';
import { copyJsonOut } from '../store/block-copy.ts';
import { blockTextsSql } from '../store/finalise.sql.ts';
import type { MetadataNames } from '../store/metadata.sql.ts';

/** Deeper than any stored value: PostgreSQL's own JSON reader gives up long before. */
const STORED_DEPTH_MAX = 100_000;

/** What has to be known of a bundle to hash its blocks. */
export interface HashedBlocks {
  readonly bundleSeq: bigint;
  /** Rows with a lower ordinal were pushed, so that a violation can name the ordinal of the push. */
  readonly pushedRowCount: number;
  /** A payload may hold nested JSON, whose canonical form the database cannot make. */
  readonly hasNestedJson: boolean;
  /** The request hash is wanted as well. */
  readonly hashesRequest: boolean;
  readonly createHash: Sha256Factory;
}

export interface BlockHashes {
  readonly bundleHash: string;
  readonly canonicalBytes: bigint;
  /** The request hash of a push of these rows with base version 0, where it was wanted. */
  readonly requestHash: string | undefined;
}

/**
 * Bundle hash and canonical length of rows that were just stored, read back block by block through one COPY: for nested JSON,
 * whose canonical form only the process can make, and for bundles too large to be hashed as one value. For what the statement does not
 * tell while it writes.
 *
 * @throws SyncError `push_commit_invalid` with violation `not_representable` for a JSON number outside binary64.
 */
export async function hashStoredBlocks(
  tx: PgTransaction,
  m: MetadataNames,
  blocks: HashedBlocks & { readonly scopePk: string },
): Promise<BlockHashes> {
  const hasher = new BlockHasher(blocks);
  const copy = tx.copyTo(copyJsonOut(blockTextsSql(m, blocks.scopePk, String(blocks.bundleSeq))));
  for await (const block of splitLines(copy)) hasher.add(block);
  return hasher.finish();
}

/** Hashes the blocks of a bundle one after the other, in their order. */
export class BlockHasher {
  readonly #blocks: HashedBlocks;
  readonly #hashers: Hashers;

  constructor(blocks: HashedBlocks) {
    this.#blocks = blocks;
    const request = blocks.hashesRequest ? new RowHasher(blocks.createHash) : undefined;
    this.#hashers = { committed: new RowHasher(blocks.createHash), request };
  }

  /** Throws as {@link hashStoredBlocks} does. */
  add(block: string): void {
    if (this.#blocks.hasNestedJson) addBlock(this.#hashers, block, this.#blocks);
    else addFlatBlock(this.#hashers, block, String(this.#blocks.bundleSeq));
  }

  finish(): BlockHashes {
    const { committed, request } = this.#hashers;
    return { bundleHash: committed.digestHex(), canonicalBytes: committed.byteCount, requestHash: request?.digestHex() };
  }
}

/** JSON text holds no raw newline, so each line is one block. */
async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let pending = '';
  for await (const chunk of chunks) {
    const lines = decoder.decode(chunk, { stream: true }).split('\n');
    lines[0] = pending + (lines[0] ?? '');
    pending = lines.pop() ?? '';
    yield* lines;
  }
  if (pending !== '') yield pending;
}

interface Hashers {
  readonly committed: RowHasher;
  readonly request: RowHasher | undefined;
}

/** Nothing is parsed: the stored texts have only to change places. */
function addFlatBlock(hashers: Hashers, block: string, bundleSeq: string): void {
  const firstOrdinal = hashers.committed.rowCount;
  let [committed, request, count] = ['', '', 0];
  for (const row of readFlatBlock(block, bundleSeq)) {
    const comma = count === 0 ? '' : ',';
    committed += comma + formatCommittedRow(row, firstOrdinal + count, bundleSeq);
    if (hashers.request !== undefined) request += comma + formatRequestRow(row, firstOrdinal + count);
    count += 1;
  }
  hashers.committed.addRows(committed, count);
  hashers.request?.addRows(request, count);
}

function addBlock(hashers: Hashers, block: string, { bundleSeq, pushedRowCount }: HashedBlocks): void {
  const rows = parseJson(`[${block}]`, { depthMax: STORED_DEPTH_MAX });
  if (!Array.isArray(rows)) throw new TypeError('a stored block is not a list of rows');
  for (const row of rows) {
    const ordinal = hashers.committed.rowCount;
    addRow(hashers, row, bundleSeq, ordinal, ordinal < pushedRowCount);
  }
}

function addRow(hashers: Hashers, row: JsonValue, bundleSeq: bigint, ordinal: number, isPushed: boolean): void {
  if (!isJsonObject(row)) throw new TypeError('a stored row is not an object');
  const { schema, table, key, op, payload } = row;
  if (typeof schema !== 'string' || typeof table !== 'string' || !isJsonObject(key) || !isRowOp(op)) {
    throw new TypeError('a stored row lacks a member');
  }
  const content = payload === undefined ? null : payload;
  if (content !== null && !isJsonObject(content)) throw new TypeError('a stored payload is not an object');
  try {
    const shared = { schema, table, key, op, payload: content === null ? null : canonicalJson(content) };
    hashers.committed.addRow(committedRowText({ ...shared, row_version: bundleSeq }, ordinal));
    hashers.request?.addRow(requestRowText({ ...shared, base_row_version: 0n }, ordinal));
  } catch (cause) {
    throw notRepresentable({ schema, table, key, ordinal: isPushed ? ordinal : undefined }, content, cause);
  }
}

function isRowOp(op: JsonValue | undefined): op is 'INSERT' | 'UPDATE' | 'DELETE' {
  return op === 'INSERT' || op === 'UPDATE' || op === 'DELETE';
}

interface FaultyRow {
  readonly schema: string;
  readonly table: string;
  readonly key: JsonObject;
  readonly ordinal: number | undefined;
}

function notRepresentable(row: FaultyRow, payload: JsonObject | null, cause: unknown): SyncError {
  const column = Object.entries(payload ?? {}).find(([, value]) => !hasCanonicalText(value))?.[0];
  const key = Object.fromEntries(Object.entries(row.key).map(([name, value]) => [name, typeof value === 'string' ? value : '']));
  const violation = {
    kind: 'not_representable' as const,
    schema: row.schema,
    table: row.table,
    category: 'non_finite' as const,
    key,
    ...(column === undefined ? {} : { column }),
    ...(row.ordinal === undefined ? {} : { row_ordinal: row.ordinal }),
  };
  return createViolationError('push_commit_invalid', violation, cause);
}

function hasCanonicalText(value: JsonValue): boolean {
  try {
    canonicalJson(value);
    return true;
  } catch {
    return false;
  }
}
