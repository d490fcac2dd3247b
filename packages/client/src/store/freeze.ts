import { RowHasher, SyncError, requestRowText } from '@oversync/protocol';

import type { SqliteDriver, SqliteTx, SqlValue } from '../ports/sqlite-driver.ts';
import type { RowOp } from '../rules/conflict-types.ts';
import { EncodeFault } from '../rules/encode-value.ts';
import { RowEncoder } from '../rules/encode-row.ts';
import { fillFreezePlanSql } from '../rules/freeze-sql.ts';
import type { LocalSchema, LocalTable } from '../rules/local-schema.ts';
import { utf8Length } from '../rules/utf8-length.ts';
import { wireKeyOf } from '../rules/wire-key.ts';
import { loadClientState, loadSource } from './client-state.ts';
import { bigintColumn, countColumn, onlyRow, optionalTextColumn, textColumn } from './columns.ts';
import {
  CAPTURED_BYTES,
  DROP_FROZEN,
  FORGET_PLAN,
  FREEZE_PAGE,
  FREEZE_PAGE_END,
  GROUP_SIZE,
  HAS_DIRTY_UP_TO,
  HAS_PLAN,
  INSERT_OUTBOX_ROWS,
  LAST_DIRTY_ORDINAL,
  LOAD_REQUEUED,
  PLAN_START,
  QUARANTINE_UNENCODABLE,
  REBASE_REQUEUED,
  RELEASE_REQUEUED,
  SAVE_PREPARED,
  SHORTEN_PLAN,
} from './freeze.sql.ts';
import { insertRows } from './insert-rows.ts';
import { dropNoOpRecords } from './no-op-records.ts';
import { requeueQuarantined, waitingChildren } from './requeue-quarantined.ts';
import type { FreezeInput, FreezeResult, QuarantineRef } from './store-types.ts';
import { CREATE_WORK_TABLES } from './temp-tables.sql.ts';
import { withDurableTransaction } from './transaction.ts';

export { dropNoOpRecords } from './no-op-records.ts';

/** What a row adds to its captured size on the wire: names of the envelope, ordinals, versions. Only for deciding before encoding. */
const ROW_OVERHEAD_BYTES = 200;

/**
 * Freezes unsent changes into the outbox (client.md 6.2): one durable transaction that also commits when nothing is left to push.
 *
 * @throws SyncError `bundle_too_large`, `quarantine_limit_reached`, `storage_failed`; nothing has changed then.
 */
export function freezeOutbox(driver: SqliteDriver, schema: LocalSchema, input: FreezeInput): Promise<FreezeResult> {
  return withDurableTransaction(driver, 'pushPending', (tx) => freeze(tx, schema, input));
}

async function freeze(tx: SqliteTx, schema: LocalSchema, input: FreezeInput): Promise<FreezeResult> {
  const { outbox } = await loadClientState(tx);
  if (outbox.state !== 'none') throw new SyncError('outbox_corrupt', { details: { rule: 'frozen_twice' } });
  const source = await loadSource(tx, input.sourceId);
  const sourceBundleId = source?.nextSourceBundleId ?? 1n;
  const freezer = new Freezer(tx, schema, input, sourceBundleId);
  const plan = await freezeParts(tx, schema, input, freezer);
  const result = { ...plan, quarantined: freezer.quarantined };
  if (freezer.rowCount === 0) return { ...result, outbox: { state: 'none' } };
  const requestHash = freezer.digestHex();
  const { sourceId, initializationId } = input;
  await tx.run(SAVE_PREPARED, [sourceId, sourceBundleId, initializationId ?? '', requestHash, BigInt(freezer.rowCount)]);
  const frozen = { sourceId, sourceBundleId, initializationId, requestHash, rowCount: freezer.rowCount };
  return { ...result, outbox: { state: 'prepared', ...frozen } };
}

interface FreezePlan {
  readonly ordinalMax: bigint;
  readonly hasMore: boolean;
  readonly tables: readonly string[];
}

/**
 * Works off the plan. It is made once per call, since sorting a million dirty rows for each part would cost more than freezing them;
 * further parts go on where the one before has ended. A plan whose rows all had to be set aside is followed by a new one.
 */
async function freezeParts(tx: SqliteTx, schema: LocalSchema, input: FreezeInput, freezer: Freezer): Promise<FreezePlan> {
  await tx.exec(CREATE_WORK_TABLES);
  const tables = new Set<string>();
  let { ordinalMax } = input;
  let isPlanned = ordinalMax !== null && countColumn(onlyRow(await tx.all(HAS_PLAN)), 0) === 1;
  for (;;) {
    if (!isPlanned) for (const table of await dropNoOpRecords(tx, schema)) tables.add(table);
    if (!isPlanned) await releaseRequeued(tx, schema);
    ordinalMax ??= bigintColumn(onlyRow(await tx.all(LAST_DIRTY_ORDINAL)), 0);
    if (!isPlanned) await makePlan(tx, schema, input, ordinalMax);
    const takenCount = await freezer.run();
    const hasMore = countColumn(onlyRow(await tx.all(HAS_DIRTY_UP_TO, [ordinalMax])), 0) === 1;
    const isDone = freezer.rowCount > 0 || (takenCount === 0 && !isPlanned);
    if (!hasMore || isDone) return { ordinalMax, hasMore, tables: [...tables] };
    isPlanned = false;
  }
}

async function makePlan(tx: SqliteTx, schema: LocalSchema, input: FreezeInput, ordinalMax: bigint): Promise<void> {
  await tx.run(FORGET_PLAN);
  await tx.run(fillFreezePlanSql(schema, input.deletesFirst ?? new Set()), [schema.name, ordinalMax]);
}

/** Edited rows leave quarantine; rows that waited for them as their parents follow. */
async function releaseRequeued(tx: SqliteTx, schema: LocalSchema): Promise<void> {
  const released = (await tx.all(LOAD_REQUEUED)).map((row) => ({ table: textColumn(row, 0), keyJson: textColumn(row, 1) }));
  if (released.length === 0) return;
  await tx.run(REBASE_REQUEUED);
  await tx.run(RELEASE_REQUEUED);
  await requeueQuarantined(tx, schema, await waitingChildren(tx, schema, released));
}

interface DirtyRow {
  readonly table: LocalTable;
  readonly keyJson: string;
  readonly baseRowVersion: bigint;
  readonly payload: string | null;
  readonly op: RowOp;
  readonly position: number;
}

/** Moves the planned rows into the outbox, page by page. */
class Freezer {
  rowCount = 0;
  readonly quarantined: QuarantineRef[] = [];
  readonly #tx: SqliteTx;
  readonly #schema: LocalSchema;
  readonly #input: FreezeInput;
  readonly #sourceBundleId: bigint;
  readonly #hasher: RowHasher;
  readonly #encoders = new Map<LocalTable, RowEncoder>();
  #byteCount = 0;
  #openGroup: number | null = null;
  #consumed = 0;
  #isFull = false;

  constructor(tx: SqliteTx, schema: LocalSchema, input: FreezeInput, sourceBundleId: bigint) {
    this.#tx = tx;
    this.#schema = schema;
    this.#input = input;
    this.#sourceBundleId = sourceBundleId;
    this.#hasher = new RowHasher(input.sha256);
  }

  digestHex(): string {
    return this.#hasher.digestHex();
  }

  /** Takes rows from the plan until it or the bundle is full, and returns how many. */
  async run(): Promise<number> {
    this.#openGroup = null;
    const taken = this.rowCount + this.quarantined.length;
    this.#consumed = countColumn(onlyRow(await this.#tx.all(PLAN_START)), 0);
    for (let last = await this.#pageEnd(); last !== null && !this.#isFull; last = await this.#pageEnd()) {
      const rows = await this.#tx.all(FREEZE_PAGE, [BigInt(this.#consumed + 1), BigInt(last)]);
      await this.#freezePage(rows.flatMap((row) => this.#dirtyRow(row)));
      if (!this.#isFull) this.#consumed = last;
    }
    await this.#dropTaken(this.rowCount + this.quarantined.length - taken);
    return this.rowCount + this.quarantined.length - taken;
  }

  async #dropTaken(takenCount: number): Promise<void> {
    const dirtyCount = countColumn(onlyRow(await this.#tx.all('SELECT count(*) FROM _sync_dirty_rows')), 0);
    // Without a condition SQLite drops whole pages.
    if (dirtyCount === takenCount) await this.#tx.run('DELETE FROM _sync_dirty_rows');
    else if (takenCount > 0) await this.#tx.run(DROP_FROZEN, [BigInt(this.#consumed)]);
    await this.#tx.run(SHORTEN_PLAN, [BigInt(this.#consumed)]);
  }

  /** Last position of the next page; `null` at the end of the plan. One row always fits. */
  async #pageEnd(): Promise<number | null> {
    const { rowsMax, bytesMax } = this.#input.page;
    const [end, next] = onlyRow(await this.#tx.all(FREEZE_PAGE_END, [BigInt(bytesMax), BigInt(this.#consumed), BigInt(rowsMax)]));
    if (next === null || next === undefined) return null;
    return end === null || end === undefined ? Number(next) : Number(end);
  }

  #dirtyRow(row: readonly SqlValue[]): DirtyRow[] {
    const table = this.#schema.tablesByName.get(textColumn(row, 0));
    if (table === undefined) return [];
    const payload = optionalTextColumn(row, 3);
    const isLive = countColumn(row, 4) === 1;
    const op = payload === null ? 'DELETE' : isLive ? 'UPDATE' : 'INSERT';
    const baseRowVersion = bigintColumn(row, 2);
    return [{ table, keyJson: textColumn(row, 1), baseRowVersion, payload, op, position: countColumn(row, 5) }];
  }

  async #freezePage(rows: readonly DirtyRow[]): Promise<void> {
    const outboxRows: SqlValue[][] = [];
    const refused: [DirtyRow, EncodeFault][] = [];
    for (const row of rows) {
      const ends = this.#endsBefore(row);
      // Awaiting every row would cost more than encoding it.
      if (typeof ends === 'boolean' ? ends : await ends) {
        this.#isFull = true;
        break;
      }
      const isRefused = hasReplacement(row) && !(await this.#isUnicode(row));
      const fault = isRefused ? new EncodeFault('invalid_unicode', row.table.key.wireName) : this.#freezeRow(row, outboxRows);
      if (fault !== null) refused.push([row, fault]);
      this.#consumed = row.position;
    }
    await insertRows(this.#tx, INSERT_OUTBOX_ROWS.into, INSERT_OUTBOX_ROWS.width, outboxRows);
    if (refused.length > 0) await this.#quarantine(refused);
  }

  #freezeRow(row: DirtyRow, outboxRows: SqlValue[][]): EncodeFault | null {
    try {
      outboxRows.push(this.#encode(row));
      return null;
    } catch (error) {
      if (error instanceof EncodeFault) return error;
      throw error;
    }
  }

  #encode(row: DirtyRow): SqlValue[] {
    const { table, op, keyJson, baseRowVersion } = row;
    const encoder = this.#encoders.get(table) ?? new RowEncoder(table);
    this.#encoders.set(table, encoder);
    const wireKey = encoder.encodeKey(keyJson);
    const payload = row.payload === null ? null : encoder.encodePayload(row.payload);
    const hashRow = {
      schema: this.#schema.name,
      table: table.wireName,
      key: wireKey,
      op,
      base_row_version: baseRowVersion,
      payload: payload?.hashed ?? null,
    };
    const text = requestRowText(hashRow, this.rowCount);
    const byteCount = utf8Length(text);
    if (byteCount > this.#input.rowBytesMax) throw new EncodeFault('row_too_large', table.key.wireName);
    this.#checkBundle(byteCount, table);
    this.#hasher.addRow(text);
    const ordinal = BigInt(this.rowCount);
    this.rowCount += 1;
    this.#byteCount += byteCount + 1;
    const identity = [this.#schema.name, table.wireName, keyJson, wireKey];
    return [this.#sourceBundleId, ordinal, ...identity, op, baseRowVersion, row.payload, payload?.wire ?? null];
  }

  /** Inside an indivisible group nothing can be cut, so a group that proves too large fails as a whole. */
  #checkBundle(byteCount: number, table: LocalTable): void {
    const { bundleBytesMax } = this.#input;
    if (bundleBytesMax === null || this.#byteCount + byteCount + 2 <= bundleBytesMax) return;
    throw new SyncError('bundle_too_large', { details: { table: table.wireName, limit: bundleBytesMax } });
  }

  /** True when the bundle has to end before this row. */
  #endsBefore(row: DirtyRow): boolean | Promise<boolean> {
    const isGrouped = row.table.isGroupIndivisible && row.op !== 'DELETE' && this.#input.cutsGroups !== true;
    if (isGrouped && this.#openGroup === row.table.group) return false;
    this.#openGroup = isGrouped ? row.table.group : null;
    const { rowsMax, bytesMax } = this.#input;
    if (this.rowCount >= rowsMax || (this.rowCount > 0 && this.#byteCount >= bytesMax)) return true;
    if (isGrouped) return this.#groupIsTooLarge(row.table);
    const { bundleBytesMax, bundleRowsMax } = this.#input;
    if (bundleRowsMax !== null && this.rowCount >= bundleRowsMax) return true;
    const estimate = 2 * (row.payload?.length ?? 0) + ROW_OVERHEAD_BYTES;
    return this.rowCount > 0 && bundleBytesMax !== null && this.#byteCount + estimate > bundleBytesMax;
  }

  async #groupIsTooLarge(table: LocalTable): Promise<boolean> {
    const { bundleBytesMax, bundleRowsMax } = this.#input;
    const names = this.#schema.tables.filter((other) => other.group === table.group).map((other) => other.wireName);
    const size = onlyRow(await this.#tx.all(GROUP_SIZE, [JSON.stringify(names)]));
    const rows = countColumn(size, 0);
    const bytes = countColumn(size, 1) + rows * ROW_OVERHEAD_BYTES;
    const isTooLarge =
      (bundleRowsMax !== null && this.rowCount + rows > bundleRowsMax) ||
      (bundleBytesMax !== null && this.#byteCount + bytes > bundleBytesMax);
    if (!isTooLarge || this.rowCount > 0) return isTooLarge;
    if (bundleRowsMax !== null && rows > bundleRowsMax) {
      throw new SyncError('bundle_too_large', { details: { table: table.wireName, limit: bundleRowsMax } });
    }
    return false;
  }

  /** U+FFFD stands for itself or for bytes that are no UTF-8; only the bytes tell. */
  async #isUnicode(row: DirtyRow): Promise<boolean> {
    const [payload, key] = onlyRow(await this.#tx.all(CAPTURED_BYTES, [BigInt(row.position)]));
    return isUtf8(payload) && isUtf8(key);
  }

  async #quarantine(refused: readonly [DirtyRow, EncodeFault][]): Promise<void> {
    if (this.quarantined.length + refused.length > this.#input.quarantineMax) {
      throw new SyncError('quarantine_limit_reached', { details: { count: this.quarantined.length + refused.length } });
    }
    const entries = refused.map(([row, fault]) => [row.position, fault.code, fault.column, row.op]);
    await this.#tx.run(QUARANTINE_UNENCODABLE, [JSON.stringify(entries)]);
    for (const [row, fault] of refused) {
      const key = wireKeyOf(row.table, row.keyJson);
      this.quarantined.push({ table: row.table.wireName, key, op: row.op, origin: 'freeze', code: fault.code });
    }
  }
}

function isUtf8(value: SqlValue | undefined): boolean {
  if (!(value instanceof Uint8Array)) return true;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(value);
    return true;
  } catch {
    return false;
  }
}

function hasReplacement(row: DirtyRow): boolean {
  return row.payload?.includes('\ufffd') === true || row.keyJson.includes('\ufffd');
}
