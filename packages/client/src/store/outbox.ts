import { RowHasher, SyncError, canonicalJson, isSha256Hex, parseJson, requestRowText } from '@oversync/protocol';
import type { Sha256Factory } from '@oversync/protocol';

import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { RowOp } from '../rules/conflict-types.ts';
import type { LocalSchema } from '../rules/local-schema.ts';
import { UTF8_BYTES_MAX, utf8Length } from '../rules/utf8-length.ts';
import { loadClientState } from './client-state.ts';
import type { ClientState, Outbox } from './client-state.ts';
import { bigintColumn, countColumn, onlyRow, optionalTextColumn, textColumn } from './columns.ts';
import {
  CHUNK_END,
  CHUNK_ROWS,
  CHUNK_SIZE,
  CLEAR_OUTBOX_HEADER,
  OUTBOX_FACTS,
  SAVE_COMMITTED,
  UNFREEZE_ROWS,
} from './outbox.sql.ts';
import type { OutboxChunk, PageBounds } from './store-types.ts';
import { CREATE_WORK_TABLES } from './work-tables.sql.ts';
import { withDurableTransaction } from './transaction.ts';

/** Rows read at once while the outbox is verified. */
const VERIFY_PAGE: PageBounds = { rowsMax: 500, bytesMax: 1024 * 1024 };

/** Nesting of a frozen payload. */
const WIRE_DEPTH_MAX = 128;

/** The frozen rows of one upload request, joined from their stored texts. A single row always fits; an empty chunk means the end. */
export async function loadOutboxChunk(tx: SqliteTx, fromOrdinal: number, bounds: PageBounds): Promise<OutboxChunk> {
  const texts = (await loadFrozenRows(tx, fromOrdinal, bounds)).map(uploadRowText);
  const taken = texts.slice(0, fittingCount(texts, bounds.bytesMax));
  return { rowsText: taken.join(','), rowCount: taken.length, nextOrdinal: fromOrdinal + taken.length };
}

/** Texts that fit, the first one always. */
function fittingCount(texts: readonly string[], bytesMax: number): number {
  const length = texts.reduce((sum, text) => sum + text.length + 1, 0);
  // Nearly always there is so much room that nothing has to be counted.
  if (length * UTF8_BYTES_MAX <= bytesMax) return texts.length;
  let byteCount = 0;
  const end = texts.findIndex((text) => (byteCount += utf8Length(text) + 1) > bytesMax);
  return end < 0 ? texts.length : Math.max(1, end);
}

/** Frozen rows from an ordinal on: schema, table, wire key, op, base version as text, wire payload. None = the end. */
export async function loadFrozenRows(tx: SqliteTx, fromOrdinal: number, bounds: PageBounds): Promise<SqlValue[][]> {
  const [size, end] = onlyRow(await tx.all(CHUNK_SIZE, [BigInt(fromOrdinal), BigInt(bounds.rowsMax)]));
  const last = Number(size) <= bounds.bytesMax ? end : await chunkEnd(tx, fromOrdinal, bounds);
  return tx.all(CHUNK_ROWS, [BigInt(fromOrdinal), last ?? BigInt(fromOrdinal)]);
}

async function chunkEnd(tx: SqliteTx, fromOrdinal: number, bounds: PageBounds): Promise<SqlValue | undefined> {
  return onlyRow(await tx.all(CHUNK_END, [BigInt(fromOrdinal), BigInt(bounds.rowsMax), BigInt(bounds.bytesMax)]))[0];
}

function uploadRowText(row: readonly SqlValue[]): string {
  const head =
    `{"schema":${JSON.stringify(textColumn(row, 0))},"table":${JSON.stringify(textColumn(row, 1))},"key":${textColumn(row, 2)},` +
    `"op":"${textColumn(row, 3)}","base_row_version":${textColumn(row, 4)}`;
  const payload = optionalTextColumn(row, 5);
  return payload === null ? `${head}}` : `${head},"payload":${payload}}`;
}

/**
 * Stores that the server has committed the frozen bundle, before anything else is done about it.
 *
 * @throws SyncError `outbox_corrupt` when the stored outbox is not the prepared one that was handed in.
 */
export async function storeCommittedRemote(
  driver: SqliteDriver,
  outbox: Extract<Outbox, { readonly state: 'prepared' }>,
  commit: { readonly bundleSeq: bigint; readonly bundleHash: string },
): Promise<Extract<Outbox, { readonly state: 'committed_remote' }>> {
  await withDurableTransaction(driver, 'pushPending', async (tx) => {
    const { changes } = await tx.run(SAVE_COMMITTED, [commit.bundleHash, commit.bundleSeq, outbox.sourceBundleId]);
    if (changes !== 1) throw corrupt('not_prepared');
  });
  return { ...outbox, state: 'committed_remote', ...commit };
}

/** Puts the frozen rows back among the dirty rows and clears the outbox. Only for a tuple that is known not to be committed. */
export async function unfreezeOutbox(tx: SqliteTx): Promise<number> {
  const count = countColumn(onlyRow(await tx.all('SELECT count(*) FROM _sync_outbox_rows')), 0);
  if (count > 0) await tx.run(UNFREEZE_ROWS);
  // Rows that come back belong before those a plan still holds.
  await tx.exec(`${CREATE_WORK_TABLES}; DELETE FROM _oversync_work._oversync_freeze_plan`);
  await clearOutbox(tx);
  return count;
}

/** Back to state `none`. */
export async function clearOutbox(tx: SqliteTx): Promise<void> {
  await tx.run('DELETE FROM _sync_outbox_rows');
  await tx.run(CLEAR_OUTBOX_HEADER);
}

/**
 * Checks that header and rows of the outbox agree and that the rows still give the stored hash (client.md 3.2 rules 1 to 3).
 *
 * @throws SyncError `outbox_corrupt` with the broken `rule`.
 */
export async function verifyOutbox(tx: SqliteTx, schema: LocalSchema, sha256?: Sha256Factory): Promise<void> {
  const state = await loadClientState(tx);
  const facts = onlyRow(await tx.all(OUTBOX_FACTS));
  const rule = brokenRule(state, facts);
  if (rule !== null) throw corrupt(rule);
  if (state.outbox.state === 'none') return;
  if ((await requestHash(tx, schema, sha256)) !== state.outbox.requestHash) throw corrupt('request_hash');
}

function brokenRule({ outbox, lifecycle }: ClientState, facts: readonly SqlValue[]): string | null {
  const count = countColumn(facts, 0);
  if (outbox.state === 'none') return count === 0 ? null : 'rows_without_header';
  if (count === 0 || count !== outbox.rowCount || countColumn(facts, 1) !== 0 || countColumn(facts, 2) !== count - 1)
    return 'row_count';
  if (bigintColumn(facts, 3) !== outbox.sourceBundleId || bigintColumn(facts, 4) !== outbox.sourceBundleId)
    return 'source_bundle_id';
  if (outbox.sourceBundleId <= 0n || !isSha256Hex(outbox.requestHash)) return 'header';
  if (outbox.sourceId !== lifecycle.sourceId) return 'source_id';
  if (outbox.state === 'committed_remote' && (outbox.bundleSeq <= 0n || outbox.bundleHash.trim() === '')) return 'commit';
  return null;
}

async function requestHash(tx: SqliteTx, schema: LocalSchema, sha256: Sha256Factory | undefined): Promise<string> {
  const hasher = new RowHasher(sha256);
  for (;;) {
    const rows = await loadFrozenRows(tx, hasher.rowCount, VERIFY_PAGE);
    if (rows.length === 0) return hasher.digestHex();
    for (const row of rows) hasher.addRow(hashRowText(schema, row, hasher.rowCount));
  }
}

/** Numbers inside nested JSON keep their digits on the wire but are hashed as binary64; no other column needs to be read for that. */
function hashRowText(schema: LocalSchema, row: readonly SqlValue[], ordinal: number): string {
  const table = textColumn(row, 1);
  const stored = optionalTextColumn(row, 5);
  const hasJson = schema.tablesByName.get(table)?.columns.some((column) => column.isJson) === true;
  const payload = stored !== null && hasJson ? canonicalJson(parseJson(stored, { depthMax: WIRE_DEPTH_MAX })) : stored;
  return requestRowText(
    {
      schema: textColumn(row, 0),
      table,
      key: textColumn(row, 2),
      op: rowOp(textColumn(row, 3)),
      base_row_version: bigintColumn(row, 4),
      payload,
    },
    ordinal,
  );
}

/** The op of a stored row; the tables allow no other value. */
export function rowOp(text: string): RowOp {
  if (text !== 'INSERT' && text !== 'UPDATE' && text !== 'DELETE') throw new TypeError('the op is not one of three');
  return text;
}

function corrupt(rule: string): SyncError {
  return new SyncError('outbox_corrupt', { details: { rule } });
}
